//! Deployments at work.

use std::cell::RefCell;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::deployment::{DeploymentMode, DeploymentOutcome, DeploymentPhase, DeploymentStep, StepAction, StepState};
use crate::evaluation::{Environment, EvaluationError, Reference};
use crate::json::{get, get_str};
use crate::{Answer, Deployment, DeploymentError, ResourceManager, outputs, steps};

impl Deployment {
    /// Does what there is to do by now, and returns when it has to wait: for time, or for a resource provider.
    pub fn advance(&mut self, azure: &mut dyn ResourceManager) {
        let now = azure.now();
        let mut run = Run { azure, now };
        while run.step(self) {}
    }

    /// Whether there may be something to do by `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        match &self.phase {
            DeploymentPhase::Accepted { until } | DeploymentPhase::Ending { until, .. } => *until <= now,
            DeploymentPhase::Running => true,
            DeploymentPhase::Ended { .. } => false,
        }
    }
}

struct Run<'a> {
    azure: &'a mut dyn ResourceManager,
    now: Timestamp,
}

impl Run<'_> {
    /// One move of a deployment; false if it has to wait.
    fn step(&mut self, deployment: &mut Deployment) -> bool {
        if !deployment.is_due(self.now) {
            return false;
        }
        match deployment.phase {
            DeploymentPhase::Accepted { .. } => {
                deployment.phase = DeploymentPhase::Running;
                true
            }
            DeploymentPhase::Running => self.work(deployment),
            DeploymentPhase::Ending { until: at, outcome } => {
                deployment.phase = DeploymentPhase::Ended { at, outcome };
                false
            }
            DeploymentPhase::Ended { .. } => false,
        }
    }

    fn work(&mut self, deployment: &mut Deployment) -> bool {
        let mut moved = false;
        for at in 0..deployment.steps.len() {
            let step = &deployment.steps[at];
            let next = match &step.state {
                StepState::Waiting if is_ready(deployment, step) => self.begin(deployment, step),
                StepState::Running { since } => self.poll(deployment, step, *since),
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
            let error = json!({
                "code": "DeploymentFailed",
                "target": deployment.id,
                "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
                "details": errors,
            });
            self.fail(deployment, error);
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
        match self.with_environment(deployment, outputs::values) {
            Ok(outputs) => {
                deployment.outputs = outputs;
                self.conclude(deployment, DeploymentOutcome::Succeeded);
            }
            Err((name, reason)) => {
                let code = "DeploymentOutputEvaluationFailed";
                let error = json!({
                    "code": code,
                    "message": format!("Unable to evaluate template outputs: '{name}'. Please see error details and deployment operations. Please see https://aka.ms/arm-common-errors for usage details."),
                    "details": [{
                        "code": code,
                        "target": name,
                        "message": format!("The template output '{name}' is not valid: {reason}."),
                    }],
                });
                self.fail(deployment, error);
            }
        }
        true
    }

    fn fail(&self, deployment: &mut Deployment, error: Value) {
        deployment.error = Some(error);
        self.conclude(deployment, DeploymentOutcome::Failed);
    }

    fn conclude(&self, deployment: &mut Deployment, outcome: DeploymentOutcome) {
        deployment.phase = DeploymentPhase::Ending {
            until: self.now + self.azure.phase(),
            outcome,
        };
    }

    /// Sends a step's request; `None` while the provider is being registered.
    fn begin(&mut self, deployment: &Deployment, step: &DeploymentStep) -> Option<StepState> {
        let caller = &deployment.caller;
        if step.action == StepAction::Delete {
            return match self.azure.delete(caller, &step.id, &step.api_version) {
                Ok(()) => Some(StepState::Running { since: self.now }),
                // What is still in use can go once its users are gone.
                Err(error) if error.status == StatusCode::CONFLICT && is_deleting(deployment) => None,
                Err(error) => Some(self.failed(step, self.now, error)),
            };
        }
        let (namespace, _) = steps::namespace_and_type(&step.id);
        if self
            .azure
            .register(caller, &deployment.scope.subscription_id, namespace)
        {
            return None;
        }
        let written = self
            .with_environment(deployment, |environment| steps::body(environment, step))
            .map_err(|error| steps::unresolved(step, &error.to_string()))
            .and_then(|body| self.azure.put(caller, &step.id, &step.api_version, &body));
        Some(match written {
            Ok(answer) => self.settled(step, self.now, &answer),
            Err(error) => self.failed(step, self.now, error),
        })
    }

    /// The state that a resource has reached; `None` if its provider is still at it.
    fn poll(&mut self, deployment: &Deployment, step: &DeploymentStep, since: Timestamp) -> Option<StepState> {
        let read = self.azure.get(&deployment.caller, &step.id, &step.api_version);
        let next = match (step.action, read) {
            (StepAction::Create, Ok(answer)) => self.settled(step, since, &answer),
            (StepAction::Delete, Ok(_)) => return None,
            (StepAction::Delete, Err(error)) if error.status == StatusCode::NOT_FOUND => StepState::Succeeded {
                since,
                at: self.now,
                status: StatusCode::OK.as_u16(),
            },
            (_, Err(error)) => self.failed(step, since, error),
        };
        (next != StepState::Running { since }).then_some(next)
    }

    fn settled(&self, step: &DeploymentStep, since: Timestamp, answer: &Answer) -> StepState {
        let state = get(&answer.body, "properties")
            .and_then(|properties| get_str(properties, "provisioningState"))
            .unwrap_or("Succeeded");
        match state.to_ascii_lowercase().as_str() {
            "succeeded" => StepState::Succeeded {
                since,
                at: self.now,
                status: answer.status.as_u16(),
            },
            "failed" | "canceled" => {
                let message = format!(
                    "The resource write operation failed to complete successfully, because it reached terminal provisioning state '{state}'."
                );
                let error = DeploymentError::new(StatusCode::CONFLICT, "ResourceDeploymentFailure", message);
                self.failed(step, since, error)
            }
            _ => StepState::Running { since },
        }
    }

    fn failed(&self, step: &DeploymentStep, since: Timestamp, mut error: DeploymentError) -> StepState {
        error.target.get_or_insert_with(|| step.id.clone());
        StepState::Failed {
            since,
            at: self.now,
            status: error.status.as_u16(),
            error: error.body(),
        }
    }

    /// Deletions of the group's resources that the template lacks.
    fn surplus(&self, deployment: &Deployment) -> Vec<DeploymentStep> {
        let wanted = |id: &str| deployment.steps.iter().any(|step| step.id.eq_ignore_ascii_case(id));
        let existing = self.azure.resources(&deployment.scope.group_id);
        existing
            .into_iter()
            .filter(|id| !wanted(id))
            .filter_map(|id| {
                let (namespace, name) = steps::namespace_and_type(&id);
                let kind = self.azure.resource_type(namespace, &name, "").ok()?;
                let stable = kind.api_versions.iter().find(|version| !version.ends_with("-preview"));
                let api_version = (*stable.or(kind.api_versions.first())?).to_owned();
                let resource_type = format!("{}/{}", kind.namespace, kind.name);
                let name = id.rsplit('/').next().unwrap_or_default().to_owned();
                Some(DeploymentStep::new(
                    StepAction::Delete,
                    id,
                    resource_type,
                    name,
                    api_version,
                ))
            })
            .collect()
    }

    /// Evaluates with the state of resources at hand.
    fn with_environment<T>(&mut self, deployment: &Deployment, evaluate: impl FnOnce(&Environment<'_>) -> T) -> T {
        let run = RefCell::new(self);
        let read = |reference: &Reference| run.borrow_mut().read(deployment, reference);
        evaluate(&Environment::reading(deployment, &read))
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
        let answer = self
            .azure
            .get(&deployment.caller, id, version)
            .map_err(|error| EvaluationError::invalid(error.to_string()))?;
        if reference.full {
            return Ok(answer.body);
        }
        Ok(get(&answer.body, "properties").cloned().unwrap_or_default())
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
