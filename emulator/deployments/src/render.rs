//! Deployments and their operations as answers show them.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use uuid::Uuid;

use crate::deployment::{DeploymentOutcome, DeploymentPhase, DeploymentStep, StepAction, StepState};
use crate::evaluation::Environment;
use crate::json::get;
use crate::resource_manager::normalised;
use crate::{Deployment, DeploymentError, parameters, steps};

impl Deployment {
    /// The body of answers that show it.
    pub fn body(&self, now: Timestamp) -> Value {
        let ended = match &self.phase {
            DeploymentPhase::Ended { at, .. } => Some(*at),
            DeploymentPhase::Accepted { .. } | DeploymentPhase::Running | DeploymentPhase::Ending { .. } => None,
        };
        let mut body = self.shown(self.state(), (self.started, ended.unwrap_or(now)));
        let properties = &mut body["properties"];
        if let Some(outputs) = &self.outputs {
            properties["outputs"] = outputs.clone();
        }
        if let Some(error) = &self.error {
            properties["error"] = error.clone();
        }
        if ended.is_some() {
            let written = self
                .steps
                .iter()
                .filter(|step| step.action == StepAction::Create && matches!(step.state, StepState::Succeeded { .. }));
            properties["outputResources"] = written.map(|step| json!({ "id": step.id })).collect();
        }
        body
    }

    /// What `validate` answers about a deployment that could run.
    pub fn validated(&self, now: Timestamp) -> Value {
        let mut body = self.shown("Succeeded", (now, now));
        body["properties"]["duration"] = json!("PT0S");
        body["properties"]["validatedResources"] = self.steps.iter().map(|step| json!({ "id": step.id })).collect();
        body
    }

    /// What its status URL answers whose last segment is `operation`, or 404.
    pub fn status(&self, operation: &str) -> Result<Value, DeploymentError> {
        if !operation.eq_ignore_ascii_case(&self.operation) {
            return Err(DeploymentError::new(
                StatusCode::NOT_FOUND,
                "DeploymentOperationStatusNotFound",
                "The status of the deployment operation could not be found.",
            ));
        }
        let mut body = json!({ "status": self.state() });
        if let Some(error) = &self.error
            && !self.is_active()
        {
            body["error"] = error.clone();
        }
        Ok(body)
    }

    /// Its operations: one for each resource that was asked for, and the evaluation of its outputs.
    pub fn operations(&self, now: Timestamp) -> Vec<Value> {
        let mut all: Vec<Value> = self
            .steps
            .iter()
            .filter_map(|step| step_operation(self, step, now))
            .collect();
        if let DeploymentPhase::Ended {
            at,
            outcome: DeploymentOutcome::Succeeded,
        } = &self.phase
        {
            let status = json!({ "provisioningState": "Succeeded", "statusCode": "OK", "statusMessage": null });
            all.push(operation(
                self,
                &self.operation,
                json!("EvaluateDeploymentOutput"),
                (*at, *at),
                status,
            ));
        }
        all
    }

    /// The one of its operations that has this `operationId`, or 404.
    pub fn one_operation(&self, id: &str, now: Timestamp) -> Result<Value, DeploymentError> {
        let same = |one: &Value| {
            one["operationId"]
                .as_str()
                .is_some_and(|known| known.eq_ignore_ascii_case(id))
        };
        self.operations(now).into_iter().find(same).ok_or_else(|| {
            DeploymentError::new(
                StatusCode::NOT_FOUND,
                "DeploymentOperationNotFound",
                format!("The deployment operation '{id}' could not be found."),
            )
        })
    }

    /// What all answers show of it.
    fn shown(&self, state: &str, (since, until): (Timestamp, Timestamp)) -> Value {
        let environment = Environment::new(self);
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.Resources/deployments",
            "properties": {
                "templateHash": template_hash(&self.template),
                "parameters": parameters::rendered(&environment),
                "mode": self.mode,
                "provisioningState": state,
                "timestamp": until,
                "duration": duration(since, until),
                "correlationId": self.correlation_id,
                "providers": providers(&environment, &self.steps),
                "dependencies": dependencies(&self.steps),
            },
        });
        if let Some(tags) = &self.tags {
            body["tags"] = json!(tags);
        }
        body
    }
}

/// `status` of an operation, its start and its end.
fn step_operation(deployment: &Deployment, step: &DeploymentStep, now: Timestamp) -> Option<Value> {
    let code = |status: u16| {
        StatusCode::from_u16(status)
            .ok()
            .and_then(|one| one.canonical_reason())
            .unwrap_or_default()
            .replace(' ', "")
    };
    let (span, mut status) = match &step.state {
        StepState::Waiting => return None,
        StepState::Running { since } => (
            (*since, now),
            json!({
                "provisioningState": if deployment.is_active() { "Running" } else { "Canceled" },
                "statusCode": "Created",
            }),
        ),
        StepState::Succeeded { since, at, status } => (
            (*since, *at),
            json!({ "provisioningState": "Succeeded", "statusCode": code(*status) }),
        ),
        StepState::Failed {
            since,
            at,
            status,
            error,
        } => (
            (*since, *at),
            json!({
                "provisioningState": "Failed",
                "statusCode": code(*status),
                "statusMessage": { "status": "Failed", "error": error },
            }),
        ),
    };
    status["serviceRequestId"] = json!(Uuid::new_v5(&Uuid::NAMESPACE_OID, step.operation.as_bytes()).to_string());
    status["targetResource"] = json!({
        "id": step.id,
        "resourceType": step.resource_type,
        "resourceName": step.resource_name,
    });
    Some(operation(deployment, &step.operation, json!(step.action), span, status))
}

fn operation(
    deployment: &Deployment,
    id: &str,
    what: Value,
    (since, until): (Timestamp, Timestamp),
    status: Value,
) -> Value {
    let mut properties = json!({
        "provisioningOperation": what,
        "timestamp": until,
        "duration": duration(since, until),
        "trackingId": deployment.correlation_id,
    });
    if let (Value::Object(properties), Value::Object(status)) = (&mut properties, status) {
        properties.extend(status);
    }
    json!({
        "id": format!("{}/operations/{id}", deployment.id),
        "operationId": id,
        "properties": properties,
    })
}

/// The providers of a template's resources, with the places that each type is written to.
fn providers(environment: &Environment<'_>, steps: &[DeploymentStep]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for step in steps.iter().filter(|step| step.action == StepAction::Create) {
        let (namespace, kind) = steps::namespace_and_type(&step.id);
        let location = get(&step.resource, "location")
            .and_then(|one| environment.text(one).ok())
            .map(|one| json!(normalised(&one)))
            .unwrap_or_default();
        let provider = named(&mut all, "namespace", namespace, "resourceTypes");
        let locations = named(provider, "resourceType", &kind, "locations");
        if !locations.contains(&location) {
            locations.push(location);
        }
    }
    all
}

/// The list `list` of the entry whose `member` is `name`, whatever its case; a new entry if there is none.
fn named<'a>(entries: &'a mut Vec<Value>, member: &str, name: &str, list: &str) -> &'a mut Vec<Value> {
    let same = |one: &Value| {
        one[member]
            .as_str()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    };
    let at = entries.iter().position(same).unwrap_or_else(|| {
        entries.push(json!({ member: name, list: [] }));
        entries.len() - 1
    });
    entries[at][list]
        .as_array_mut()
        .expect("invariant: an entry is made with its list")
}

fn dependencies(steps: &[DeploymentStep]) -> Vec<Value> {
    let named = |step: &DeploymentStep| json!({ "id": step.id, "resourceType": step.resource_type, "resourceName": step.resource_name });
    steps
        .iter()
        .filter(|step| !step.depends_on.is_empty())
        .map(|step| {
            let mut one = named(step);
            let needed: Vec<Value> = steps
                .iter()
                .filter(|other| step.depends_on.contains(&other.id.to_ascii_lowercase()))
                .map(named)
                .collect();
            one["dependsOn"] = json!(needed);
            one
        })
        .collect()
}

/// A template's hash: a number in decimal digits.
fn template_hash(template: &Value) -> String {
    let digest = Sha512::digest(template.to_string().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first).to_string()
}

/// ISO 8601, as ARM writes it: `PT12.5S`, `PT1M2.5S`.
fn duration(since: Timestamp, until: Timestamp) -> String {
    let seconds = until.duration_since(since).as_secs_f64().max(0.0);
    let minutes = (seconds / 60.0).floor();
    if minutes < 1.0 {
        format!("PT{seconds:.7}S")
    } else {
        format!("PT{minutes:.0}M{:.7}S", seconds - minutes * 60.0)
    }
}
