//! Template deployments and what they have done so far.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{OperationOutcome, Settled, Store};
use crate::identity::Principal;

/// A template deployment of a resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// Its id, with the group's own spelling.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Id of its subscription.
    pub subscription: String,
    /// Name of its resource group.
    pub group: String,
    /// Its tags; `None` if none were given.
    pub tags: Option<Map<String, Value>>,
    /// What happens to resources of the group that the template lacks.
    pub mode: DeploymentMode,
    /// The template, as it was sent.
    pub template: Value,
    /// Values of parameters that were given; defaults are not among them.
    pub parameters: Map<String, Value>,
    /// Who asked for it; its resources are written with the rights of this principal.
    pub caller: Principal,
    /// `correlationId`.
    pub correlation_id: String,
    /// The segment of its status URL that is new with each PUT.
    pub operation: String,
    /// When it was asked for.
    pub started: Timestamp,
    /// How far it is.
    pub phase: DeploymentPhase,
    /// What it writes and deletes, in the order of the template.
    pub steps: Vec<DeploymentStep>,
    /// Its outputs, as they are answered.
    pub outputs: Option<Value>,
    /// Why it failed, as the member `error` of answers.
    pub error: Option<Value>,
    /// When its record is gone, if that is being deleted.
    pub deleted_at: Option<Timestamp>,
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
    Accepted {
        /// When it goes on.
        until: Timestamp,
    },
    /// It writes resources.
    Running,
    /// All is written; it is about to end.
    Ending {
        /// When it ends.
        until: Timestamp,
        /// How it ends.
        outcome: OperationOutcome,
    },
    /// It is over.
    Ended {
        /// When that was.
        at: Timestamp,
        /// How it ended.
        outcome: OperationOutcome,
    },
}

/// One resource that a deployment writes or deletes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStep {
    /// The resource's ARM id.
    pub id: String,
    /// Its type, in the spelling of the template.
    pub resource_type: String,
    /// Its name, in the spelling of the template.
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

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "name")]
pub enum StepState {
    /// Nothing was sent yet.
    Waiting,
    /// The resource was asked for, and its provider is not through.
    Running {
        /// When it was asked for.
        since: Timestamp,
    },
    /// The resource is as the template wants it.
    Succeeded {
        /// When it was asked for.
        since: Timestamp,
        /// When it was through.
        at: Timestamp,
        /// `statusCode` of the operation.
        status: u16,
    },
    /// It could not be had.
    Failed {
        /// When it was asked for.
        since: Timestamp,
        /// When it failed.
        at: Timestamp,
        /// `statusCode` of the operation.
        status: u16,
        /// Why: an object with `code` and `message`.
        error: Value,
    },
}

impl Deployment {
    /// Whether it is still at work.
    pub fn is_active(&self) -> bool {
        !matches!(self.phase, DeploymentPhase::Ended { .. })
    }

    /// `provisioningState`.
    pub fn state(&self) -> &'static str {
        match &self.phase {
            DeploymentPhase::Accepted { .. } => "Accepted",
            DeploymentPhase::Running | DeploymentPhase::Ending { .. } => "Running",
            DeploymentPhase::Ended { outcome, .. } => outcome.as_str(),
        }
    }

    /// Ends it by `at`.
    pub fn end(&mut self, at: Timestamp, outcome: OperationOutcome) {
        self.phase = DeploymentPhase::Ended { at, outcome };
    }
}

impl Store {
    /// Records whose deletion is through go.
    pub(super) fn settle_deployments(&mut self, now: Timestamp, settled: &mut Settled) {
        let before = self.deployments.len();
        self.deployments
            .retain(|_, deployment| deployment.deleted_at.is_none_or(|due| due > now));
        settled.changed |= self.deployments.len() != before;
    }

    /// Deployments go with their resource group.
    pub(super) fn remove_deployments(&mut self, group_prefix: &str) {
        self.deployments.retain(|id, _| !id.starts_with(group_prefix));
    }
}
