//! Deployments and their operations as answers show them.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};
use uuid::Uuid;

use super::evaluation::Environment;
use super::{parameters, preflight};
use crate::json::{get, get_str};
use crate::store::{
    Deployment, DeploymentMode, DeploymentPhase, DeploymentStep, OperationOutcome, StepAction, StepState,
};

/// A deployment.
pub fn deployment(deployment: &Deployment, environment: &Environment<'_>, now: Timestamp) -> Value {
    let ended = ended_at(deployment);
    let mut properties = json!({
        "templateHash": template_hash(&deployment.template),
        "parameters": parameters::rendered(environment),
        "mode": match deployment.mode {
            DeploymentMode::Incremental => "Incremental",
            DeploymentMode::Complete => "Complete",
        },
        "provisioningState": deployment.state(),
        "timestamp": ended.unwrap_or(now),
        "duration": duration(deployment.started, ended.unwrap_or(now)),
        "correlationId": deployment.correlation_id,
        "providers": providers(environment, &deployment.steps),
        "dependencies": dependencies(&deployment.steps),
    });
    if let Some(outputs) = &deployment.outputs {
        properties["outputs"] = outputs.clone();
    }
    if let Some(error) = &deployment.error {
        properties["error"] = error.clone();
    }
    let written: Vec<Value> = deployment
        .steps
        .iter()
        .filter(|step| step.action == StepAction::Create && matches!(step.state, StepState::Succeeded { .. }))
        .map(|step| json!({ "id": step.id }))
        .collect();
    if !deployment.is_active() {
        properties["outputResources"] = json!(written);
    }
    envelope(deployment, properties)
}

/// What `POST …/validate` answers about a deployment that could run.
pub fn validated(deployment: &Deployment, environment: &Environment<'_>, now: Timestamp) -> Value {
    let resources: Vec<Value> = deployment.steps.iter().map(|step| json!({ "id": step.id })).collect();
    let properties = json!({
        "templateHash": template_hash(&deployment.template),
        "parameters": parameters::rendered(environment),
        "mode": match deployment.mode {
            DeploymentMode::Incremental => "Incremental",
            DeploymentMode::Complete => "Complete",
        },
        "provisioningState": "Succeeded",
        "timestamp": now,
        "duration": "PT0S",
        "correlationId": deployment.correlation_id,
        "providers": providers(environment, &deployment.steps),
        "dependencies": dependencies(&deployment.steps),
        "validatedResources": resources,
    });
    envelope(deployment, properties)
}

/// The operations of a deployment: one for each resource that was asked for, and the evaluation of its outputs.
pub fn operations(deployment: &Deployment, now: Timestamp) -> Vec<Value> {
    let mut all: Vec<Value> = deployment
        .steps
        .iter()
        .filter_map(|step| step_operation(deployment, step, now))
        .collect();
    if let DeploymentPhase::Ended {
        at,
        outcome: OperationOutcome::Succeeded,
    } = &deployment.phase
    {
        let status = json!({ "provisioningState": "Succeeded", "statusCode": "OK", "statusMessage": null });
        all.push(operation(
            deployment,
            &deployment.operation,
            "EvaluateDeploymentOutput",
            (*at, *at),
            status,
        ));
    }
    all
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
    status["serviceRequestId"] = json!(Uuid::new_v5(&Uuid::NAMESPACE_OID, step.operation.as_bytes()));
    status["targetResource"] = json!({
        "id": step.id,
        "resourceType": step.resource_type,
        "resourceName": step.resource_name,
    });
    let what = match step.action {
        StepAction::Create => "Create",
        StepAction::Delete => "Delete",
    };
    Some(operation(deployment, &step.operation, what, span, status))
}

fn operation(
    deployment: &Deployment,
    id: &str,
    what: &str,
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

fn envelope(deployment: &Deployment, properties: Value) -> Value {
    let mut body = json!({
        "id": deployment.id,
        "name": deployment.name,
        "type": "Microsoft.Resources/deployments",
        "properties": properties,
    });
    if let Some(tags) = &deployment.tags {
        body["tags"] = json!(tags);
    }
    body
}

fn ended_at(deployment: &Deployment) -> Option<Timestamp> {
    match &deployment.phase {
        DeploymentPhase::Ended { at, .. } => Some(*at),
        DeploymentPhase::Accepted { .. } | DeploymentPhase::Running | DeploymentPhase::Ending { .. } => None,
    }
}

/// The providers of a template's resources, with the places that each type is written to.
fn providers(environment: &Environment<'_>, steps: &[DeploymentStep]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for step in steps.iter().filter(|step| step.action == StepAction::Create) {
        let (namespace, kind) = preflight::type_of(step);
        let location = get(&step.resource, "location")
            .and_then(|one| environment.text(one).ok())
            .map(|one| json!(crate::arm::regions::normalise(&one)))
            .unwrap_or_default();
        let provider = named(&mut all, "namespace", &namespace, "resourceTypes");
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

/// The values of a template's outputs, secure ones by their type only. The error names the output that has none.
pub fn outputs(environment: &Environment<'_>) -> Result<Option<Value>, (String, String)> {
    let Some(declared) = get(environment.template, "outputs").and_then(Value::as_object) else {
        return Ok(None);
    };
    let mut all = serde_json::Map::new();
    for (name, output) in declared {
        let refused = |reason: String| (name.clone(), reason);
        let condition = get(output, "condition").map(|one| environment.resolve(one)).transpose();
        if condition.map_err(|error| refused(error.to_string()))? == Some(Value::Bool(false)) {
            continue;
        }
        let kind = get_str(output, "type").and_then(parameters::ParameterType::named);
        let (Some(kind), Some(value)) = (kind, get(output, "value")) else {
            continue;
        };
        let value = environment.resolve(value).map_err(|error| refused(error.to_string()))?;
        if !kind.takes(&value) {
            return Err(refused(format!("the value is not of the type '{}'", kind.as_str())));
        }
        let mut one = json!({ "type": kind.as_str() });
        if !kind.is_secure() {
            one["value"] = value;
        }
        all.insert(name.clone(), one);
    }
    Ok(Some(Value::Object(all)))
}
