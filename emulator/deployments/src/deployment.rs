//! A template deployment and what it has done so far.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::evaluation::Environment;
use crate::{
    Caller, DeploymentError, DeploymentRequest, ResourceManager, Scope, outputs, parameters, preflight, steps,
};

/// A template deployment of a resource group.
///
/// It can be written to a file and read again at any time; nothing is lost but what was not written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its ARM id, with the group's own spelling.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scope: Scope,
    /// Its tags; `None` if none were given.
    pub(crate) tags: Option<Map<String, Value>>,
    pub(crate) mode: DeploymentMode,
    /// The template, as it was sent.
    pub(crate) template: Value,
    /// Values of parameters that were given; defaults are not among them.
    pub(crate) parameters: Map<String, Value>,
    pub(crate) caller: Caller,
    pub(crate) correlation_id: String,
    /// The segment of its status URL that is new with each PUT.
    pub(crate) operation: String,
    /// When it was asked for.
    pub(crate) started: Timestamp,
    pub(crate) phase: DeploymentPhase,
    /// What it writes and deletes, in the order of the template.
    pub(crate) steps: Vec<DeploymentStep>,
    /// Its outputs, as they are answered.
    pub(crate) outputs: Option<Value>,
    /// Why it failed, as the member `error` of answers.
    pub(crate) error: Option<Value>,
    /// When its record is gone, if that is being deleted.
    pub(crate) deleted_at: Option<Timestamp>,
}

/// What happens to resources of the group that the template lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentMode {
    /// Nothing.
    Incremental,
    /// They are deleted once everything of the template is written.
    Complete,
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum DeploymentPhase {
    /// It waits for its turn.
    Accepted { until: Timestamp },
    /// It writes resources.
    Running,
    /// All is written; it is about to end.
    Ending {
        until: Timestamp,
        outcome: DeploymentOutcome,
    },
    /// It is over.
    Ended { at: Timestamp, outcome: DeploymentOutcome },
}

/// How a deployment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentOutcome {
    /// All is as the template wants it.
    Succeeded,
    /// A resource or an output could not be had.
    Failed,
    /// Somebody cancelled it.
    Canceled,
}

/// One resource that a deployment writes or deletes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStep {
    /// The resource's ARM id.
    pub id: String,
    /// The type with its namespace, in the spelling of the template.
    pub resource_type: String,
    /// The name, in the spelling of the template.
    pub resource_name: String,
    /// The API version that it is written with.
    pub api_version: String,
    /// Whether it is written or deleted.
    pub action: StepAction,
    /// Lower-cased ids of the steps that must have succeeded before.
    pub depends_on: Vec<String>,
    /// The resource as the template has it, expressions unresolved.
    pub resource: Value,
    /// `operationId` of its entry in the list of operations.
    pub operation: String,
    /// How far it is.
    pub state: StepState,
}

/// What a step does to its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepAction {
    /// A PUT.
    Create,
    /// A DELETE, as complete mode asks for.
    Delete,
}

/// How far a step is. `since` is when the resource was asked for, `at` when that was through, and `status` what the
/// operation shows as `statusCode`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum StepState {
    /// Nothing was sent yet.
    Waiting,
    /// The resource was asked for, and its provider is not through.
    Running { since: Timestamp },
    /// The resource is as the template wants it.
    Succeeded {
        since: Timestamp,
        at: Timestamp,
        status: u16,
    },
    /// It could not be had.
    Failed {
        since: Timestamp,
        at: Timestamp,
        status: u16,
        /// An object with `code` and `message`.
        error: Value,
    },
}

impl Deployment {
    /// The deployment that a request asks for, checked as far as that is possible before it runs: expressions, parameters,
    /// the order of resources and, as the request's `validationLevel` says, their types and the caller's rights. Nothing is
    /// written.
    pub fn new(
        azure: &dyn ResourceManager,
        request: DeploymentRequest,
        tags: Option<Map<String, Value>>,
        scope: Scope,
        caller: Caller,
        correlation_id: String,
    ) -> Result<Self, DeploymentError> {
        let now = azure.now();
        let mut deployment = Self {
            id: format!(
                "{}/providers/Microsoft.Resources/deployments/{}",
                scope.group_id, request.name
            ),
            name: request.name,
            scope,
            tags,
            mode: request.mode,
            template: request.template,
            parameters: request.parameters,
            caller,
            correlation_id,
            operation: status_id(now),
            started: now,
            phase: DeploymentPhase::Accepted {
                until: now + azure.phase(),
            },
            steps: Vec::new(),
            outputs: None,
            error: None,
            deleted_at: None,
        };
        let environment = Environment::new(&deployment);
        parameters::check(&environment)?;
        let steps = steps::steps(&environment)?;
        outputs::check(&environment)?;
        preflight::check(azure, &environment, &deployment.caller, &steps, request.validation)?;
        deployment.steps = steps;
        Ok(deployment)
    }

    /// Its ARM id, with the group's own spelling.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The last segment of its status URL, which is new with each PUT.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Whether it is still at work.
    pub fn is_active(&self) -> bool {
        !matches!(self.phase, DeploymentPhase::Ended { .. })
    }

    /// `provisioningState`.
    pub(crate) fn state(&self) -> &'static str {
        match &self.phase {
            DeploymentPhase::Accepted { .. } => "Accepted",
            DeploymentPhase::Running | DeploymentPhase::Ending { .. } => "Running",
            DeploymentPhase::Ended { outcome, .. } => match outcome {
                DeploymentOutcome::Succeeded => "Succeeded",
                DeploymentOutcome::Failed => "Failed",
                DeploymentOutcome::Canceled => "Canceled",
            },
        }
    }
}

impl DeploymentStep {
    /// A step that has not begun.
    pub(crate) fn new(
        action: StepAction,
        id: String,
        resource_type: String,
        resource_name: String,
        api_version: String,
    ) -> Self {
        Self {
            id,
            resource_type,
            resource_name,
            api_version,
            action,
            depends_on: Vec::new(),
            resource: Value::Null,
            operation: Uuid::new_v4().simple().to_string()[..16].to_uppercase(),
            state: StepState::Waiting,
        }
    }
}

/// The last segment of a status URL, as recorded: the ticks that are left until the largest number, in twenty digits.
fn status_id(now: Timestamp) -> String {
    let ticks = 621_355_968_000_000_000 + now.as_microsecond() * 10;
    format!("{:020}", i64::MAX - ticks)
}
