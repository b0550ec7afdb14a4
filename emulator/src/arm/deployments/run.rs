//! Deployments at work.
//!
//! Whoever asks ARM for something sees deployments as far as they are by then; in between, a task brings them on, so that a
//! deployment ends without being watched.

use std::cell::RefCell;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::evaluation::{Environment, EvaluationError, Reference, Surroundings};
use super::{preflight, render, steps, surroundings};
use crate::AppState;
use crate::arm::request::Arrived;
use crate::arm::{ArmError, ArmReply, groups, providers, resources, router};
use crate::clock::seconds;
use crate::json::{get, get_str};
use crate::state::StoreGuard;
use crate::store::{
    Deployment, DeploymentMode, DeploymentPhase, DeploymentStep, OperationOutcome, StepAction, StepState, Store,
};

/// API version of provider registrations that ARM makes for a template.
const PROVIDERS_VERSION: &str = "2021-04-01";

/// How often deployments are brought on when nobody asks for anything.
const INTERVAL: Duration = Duration::from_millis(250);

/// Brings deployments on until the emulator stops.
pub async fn run_in_background(state: AppState, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => advance(&state, &mut state.store()),
        }
    }
}

/// Does what deployments have to do by now.
pub fn advance(state: &AppState, store: &mut StoreGuard<'_>) {
    let now = state.clock().now();
    let due: Vec<String> = store
        .deployments
        .iter()
        .filter(|(_, deployment)| match &deployment.phase {
            DeploymentPhase::Accepted { until } | DeploymentPhase::Ending { until, .. } => *until <= now,
            DeploymentPhase::Running => true,
            DeploymentPhase::Ended { .. } => false,
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in due {
        let Some(mut deployment) = store.deployments.get(&key).cloned() else {
            continue;
        };
        let Some(surroundings) = surroundings(store, &deployment) else {
            continue;
        };
        let mut run = Run {
            state,
            store: &mut *store,
            surroundings,
            now,
        };
        while run.step(&mut deployment) {}
        store.deployments.insert(key, deployment);
    }
}

struct Run<'a> {
    state: &'a AppState,
    store: &'a mut Store,
    surroundings: Surroundings,
    now: Timestamp,
}

impl Run<'_> {
    /// One move of a deployment; false if it has to wait.
    fn step(&mut self, deployment: &mut Deployment) -> bool {
        match deployment.phase.clone() {
            DeploymentPhase::Accepted { until } if until <= self.now => {
                deployment.phase = DeploymentPhase::Running;
                true
            }
            DeploymentPhase::Running => self.work(deployment),
            DeploymentPhase::Ending { until, outcome } if until <= self.now => {
                deployment.end(until, outcome);
                false
            }
            DeploymentPhase::Accepted { .. } | DeploymentPhase::Ending { .. } | DeploymentPhase::Ended { .. } => false,
        }
    }

    fn work(&mut self, deployment: &mut Deployment) -> bool {
        let mut moved = false;
        for at in 0..deployment.steps.len() {
            let next = match &deployment.steps[at].state {
                StepState::Waiting if is_ready(deployment, &deployment.steps[at]) => self.begin(deployment, at),
                StepState::Running { since } => self.poll(deployment, &deployment.steps[at], *since),
                StepState::Waiting | StepState::Succeeded { .. } | StepState::Failed { .. } => None,
            };
            if let Some(next) = next {
                deployment.steps[at].state = next;
                moved = true;
            }
        }
        if moved {
            return true;
        }
        let can_go_on = |step: &DeploymentStep| match step.state {
            StepState::Running { .. } => true,
            StepState::Waiting => !is_blocked(deployment, step),
            StepState::Succeeded { .. } | StepState::Failed { .. } => false,
        };
        if deployment.steps.iter().any(can_go_on) {
            return false;
        }
        let errors: Vec<Value> = deployment.steps.iter().filter_map(error_of).collect();
        if !errors.is_empty() {
            deployment.error = Some(json!({
                "code": "DeploymentFailed",
                "target": deployment.id,
                "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
                "details": errors,
            }));
            self.conclude(deployment, OperationOutcome::Failed);
            return true;
        }
        let cleaned = deployment.steps.iter().any(|step| step.action == StepAction::Delete);
        if deployment.mode == DeploymentMode::Complete && !cleaned {
            let surplus = self.surplus(deployment);
            if !surplus.is_empty() {
                deployment.steps.extend(surplus);
                return true;
            }
        }
        match self.with_environment(deployment, render::outputs) {
            Ok(outputs) => {
                deployment.outputs = outputs;
                self.conclude(deployment, OperationOutcome::Succeeded);
            }
            Err((name, reason)) => {
                let code = "DeploymentOutputEvaluationFailed";
                deployment.error = Some(json!({
                    "code": code,
                    "message": format!("Unable to evaluate template outputs: '{name}'. Please see error details and deployment operations. Please see https://aka.ms/arm-common-errors for usage details."),
                    "details": [{
                        "code": code,
                        "target": name,
                        "message": format!("The template output '{name}' is not valid: {reason}."),
                    }],
                }));
                self.conclude(deployment, OperationOutcome::Failed);
            }
        }
        true
    }

    fn conclude(&self, deployment: &mut Deployment, outcome: OperationOutcome) {
        let phase = seconds(self.state.behaviour().arm.deployment_phase_seconds);
        deployment.phase = DeploymentPhase::Ending {
            until: self.now + phase,
            outcome,
        };
    }

    /// Sends a step's request; `None` while the provider is being registered.
    fn begin(&mut self, deployment: &Deployment, at: usize) -> Option<StepState> {
        let step = &deployment.steps[at];
        if step.action == StepAction::Delete {
            let reply = self.send(deployment, Method::DELETE, &step.id, &step.api_version, None);
            return match reply {
                Ok(_) => Some(StepState::Running { since: self.now }),
                // What is still in use can go once its users are gone.
                Err(error) if error.status == StatusCode::CONFLICT && is_deleting(deployment) => None,
                Err(error) => Some(self.failed(step, self.now, &error)),
            };
        }
        if self.is_registering(deployment, step) {
            return None;
        }
        let body = match self.with_environment(deployment, |environment| steps::body(environment, step)) {
            Ok(body) => body,
            Err(error) => return Some(self.failed(step, self.now, &steps::unresolved(step, &error.to_string()))),
        };
        let reply = self.send(deployment, Method::PUT, &step.id, &step.api_version, Some(&body));
        Some(match reply {
            Ok(reply) => self.settled(step, self.now, &reply),
            Err(error) => self.failed(step, self.now, &error),
        })
    }

    /// The state that a resource has reached; `None` if its provider is still at it.
    fn poll(&mut self, deployment: &Deployment, step: &DeploymentStep, since: Timestamp) -> Option<StepState> {
        let reply = self.send(deployment, Method::GET, &step.id, &step.api_version, None);
        let next = match (step.action, reply) {
            (StepAction::Create, Ok(reply)) => self.settled(step, since, &reply),
            (StepAction::Delete, Ok(_)) => StepState::Running { since },
            (StepAction::Delete, Err(error)) if error.status == StatusCode::NOT_FOUND => StepState::Succeeded {
                since,
                at: self.now,
                status: StatusCode::OK.as_u16(),
            },
            (_, Err(error)) => self.failed(step, since, &error),
        };
        (next != StepState::Running { since }).then_some(next)
    }

    fn settled(&self, step: &DeploymentStep, since: Timestamp, reply: &ArmReply) -> StepState {
        let state = reply
            .body
            .as_ref()
            .and_then(|body| get(body, "properties"))
            .and_then(|properties| get_str(properties, "provisioningState"))
            .unwrap_or("Succeeded");
        match state.to_ascii_lowercase().as_str() {
            "succeeded" => StepState::Succeeded {
                since,
                at: self.now,
                status: reply.status.as_u16(),
            },
            "failed" | "canceled" => {
                let mut error = ArmError::new(
                    StatusCode::CONFLICT,
                    "ResourceDeploymentFailure",
                    format!(
                        "The resource write operation failed to complete successfully, because it reached terminal provisioning state '{state}'."
                    ),
                );
                error.target = Some(step.id.clone());
                self.failed(step, since, &error)
            }
            _ => StepState::Running { since },
        }
    }

    fn failed(&self, step: &DeploymentStep, since: Timestamp, error: &ArmError) -> StepState {
        let mut shown = error.body()["error"].clone();
        if error.target.is_none() {
            shown["target"] = json!(step.id);
        }
        StepState::Failed {
            since,
            at: self.now,
            status: error.status.as_u16(),
            error: shown,
        }
    }

    /// ARM registers the providers of a template, with the rights of the caller; whether that is under way. Where it may not,
    /// the provider's own refusal follows.
    fn is_registering(&mut self, deployment: &Deployment, step: &DeploymentStep) -> bool {
        let (namespace, _) = preflight::type_of(step);
        match self.registration(deployment, &namespace) {
            "Registered" => false,
            "Registering" => true,
            _ => {
                let path = format!(
                    "/subscriptions/{}/providers/{namespace}/register",
                    deployment.subscription
                );
                let asked = self.send(deployment, Method::POST, &path, PROVIDERS_VERSION, None);
                asked.is_ok() && self.registration(deployment, &namespace) != "Registered"
            }
        }
    }

    fn registration(&self, deployment: &Deployment, namespace: &str) -> &'static str {
        let arm = &self.state.behaviour().arm;
        providers::registration_state(self.store, &deployment.subscription, namespace, self.now, arm)
    }

    /// Deletions of the group's resources that the template lacks.
    fn surplus(&self, deployment: &Deployment) -> Vec<DeploymentStep> {
        let group = groups::id(&deployment.subscription, &deployment.group);
        let wanted = |id: &str| deployment.steps.iter().any(|step| step.id.eq_ignore_ascii_case(id));
        resources::inside(self.store, &group)
            .filter(|resource| !wanted(&resource.id))
            .filter_map(|resource| {
                let (namespace, kind) = resource.resource_type.split_once('/')?;
                let (_, kind) = providers::find_type(namespace, kind, "").ok()?;
                let stable = kind.versions.iter().find(|version| !version.ends_with("-preview"));
                Some(DeploymentStep {
                    id: resource.id.clone(),
                    resource_type: resource.resource_type.clone(),
                    resource_name: resource.name.clone(),
                    api_version: (*stable.or(kind.versions.first())?).to_owned(),
                    action: StepAction::Delete,
                    depends_on: Vec::new(),
                    resource: Value::Null,
                    operation: super::operation_id(),
                    state: StepState::Waiting,
                })
            })
            .collect()
    }

    fn send(
        &mut self,
        deployment: &Deployment,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
    ) -> Result<ArmReply, ArmError> {
        let arrived = Arrived::internal(method, path, api_version, body);
        router::on_behalf(self.state, self.store, &deployment.caller, &arrived)
    }

    /// Evaluates with the state of resources at hand.
    fn with_environment<T>(&mut self, deployment: &Deployment, evaluate: impl FnOnce(&Environment<'_>) -> T) -> T {
        let surroundings = self.surroundings.clone();
        let run = RefCell::new(self);
        let read = |reference: &Reference| run.borrow_mut().read(deployment, reference);
        let environment = Environment {
            reader: Some(&read),
            ..super::environment(deployment, &surroundings)
        };
        evaluate(&environment)
    }

    fn read(&mut self, deployment: &Deployment, reference: &Reference) -> Result<Value, EvaluationError> {
        let known = steps::find(&deployment.steps, &reference.resource);
        let id = known.map_or(reference.resource.as_str(), |step| step.id.as_str());
        let version = reference
            .api_version
            .as_deref()
            .or(known.map(|step| step.api_version.as_str()));
        let (true, Some(version)) = (id.starts_with('/'), version) else {
            return Err(EvaluationError::invalid(format!(
                "The resource '{}' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details",
                reference.resource
            )));
        };
        let reply = self
            .send(deployment, Method::GET, id, version, None)
            .map_err(|error| EvaluationError::invalid(error.to_string()))?;
        let body = reply.body.unwrap_or_default();
        if reference.full {
            return Ok(body);
        }
        Ok(get(&body, "properties").cloned().unwrap_or_default())
    }
}

/// Whether all that a step waits for has succeeded.
fn is_ready(deployment: &Deployment, step: &DeploymentStep) -> bool {
    needed(deployment, step).all(|one| matches!(one.state, StepState::Succeeded { .. }))
}

/// Whether something that a step waits for will never succeed.
fn is_blocked(deployment: &Deployment, step: &DeploymentStep) -> bool {
    needed(deployment, step).any(|one| match one.state {
        StepState::Failed { .. } => true,
        StepState::Waiting => is_blocked(deployment, one),
        StepState::Running { .. } | StepState::Succeeded { .. } => false,
    })
}

fn needed<'a>(deployment: &'a Deployment, step: &'a DeploymentStep) -> impl Iterator<Item = &'a DeploymentStep> {
    deployment
        .steps
        .iter()
        .filter(|one| step.depends_on.contains(&one.id.to_ascii_lowercase()))
}

fn is_deleting(deployment: &Deployment) -> bool {
    let running = |one: &DeploymentStep| matches!(one.state, StepState::Running { .. });
    deployment
        .steps
        .iter()
        .any(|one| one.action == StepAction::Delete && running(one))
}

fn error_of(step: &DeploymentStep) -> Option<Value> {
    match &step.state {
        StepState::Failed { error, .. } => Some(error.clone()),
        StepState::Waiting | StepState::Running { .. } | StepState::Succeeded { .. } => None,
    }
}
