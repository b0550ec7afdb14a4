//! The deployments that a host knows.

use std::collections::BTreeMap;

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::deployment::{DeploymentOutcome, DeploymentPhase};
use crate::{Deployment, DeploymentError};

/// Deployments by their id, whatever its case. What was deployed does not go with its record.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Deployments(BTreeMap<String, Deployment>);

impl Deployments {
    /// The deployment of an id, or 404.
    pub fn get(&self, id: &str) -> Result<&Deployment, DeploymentError> {
        self.0.get(&id.to_ascii_lowercase()).ok_or_else(|| not_found(id))
    }

    /// The deployments of a resource group, newest first, of which a `$filter` may take those of one `provisioningState`.
    pub fn list(&self, group_id: &str, filter: &str) -> Result<Vec<&Deployment>, DeploymentError> {
        let filter = filter.trim();
        let wanted = match filter.split_once(" eq ") {
            None if filter.is_empty() => None,
            Some((name, value)) if name.trim().eq_ignore_ascii_case("provisioningState") => {
                Some(value.trim().trim_matches('\''))
            }
            _ => {
                return Err(DeploymentError::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidFilterInQueryString",
                    format!("Invalid $filter '{filter}' specified in the query string."),
                ));
            }
        };
        let mut found: Vec<&Deployment> = self
            .0
            .values()
            .filter(|one| one.scope.group_id.eq_ignore_ascii_case(group_id))
            .filter(|one| wanted.is_none_or(|state| state.eq_ignore_ascii_case(one.state())))
            .collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.started));
        Ok(found)
    }

    /// Keeps a new deployment in place of an older one of its id. Returns whether there was none; one that is still at work
    /// is not overwritten.
    pub fn put(&mut self, deployment: Deployment) -> Result<bool, DeploymentError> {
        let known = self.0.get(&deployment.id.to_ascii_lowercase());
        if known.is_some_and(Deployment::is_active) {
            return Err(is_active(format!(
                "The deployment with resource id '{}' cannot be saved, because this would overwrite an existing deployment which is still active. Please see https://aka.ms/arm-deploy for usage details.",
                deployment.id
            )));
        }
        let is_new = known.is_none();
        self.update(deployment);
        Ok(is_new)
    }

    /// Cancels a deployment: what was asked for goes on, nothing more is.
    pub fn cancel(&mut self, id: &str, now: Timestamp) -> Result<(), DeploymentError> {
        let deployment = self.0.get_mut(&id.to_ascii_lowercase()).ok_or_else(|| not_found(id))?;
        if !deployment.is_active() {
            return Err(DeploymentError::new(
                StatusCode::CONFLICT,
                "DeploymentCannotBeCancelled",
                format!(
                    "The deployment '{}' cannot be cancelled, because it is not active.",
                    deployment.name
                ),
            ));
        }
        deployment.phase = DeploymentPhase::Ended {
            at: now,
            outcome: DeploymentOutcome::Canceled,
        };
        deployment.error = Some(json!({
            "code": "DeploymentCanceled",
            "message": "The deployment was canceled by the user.",
        }));
        Ok(())
    }

    /// Has the record of a deployment go at `due`, unless it goes sooner. Returns its id in its own spelling, or `None` if
    /// there is no such record.
    pub fn delete(&mut self, id: &str, due: Timestamp) -> Result<Option<String>, DeploymentError> {
        let Some(deployment) = self.0.get_mut(&id.to_ascii_lowercase()) else {
            return Ok(None);
        };
        if deployment.is_active() {
            return Err(is_active(format!(
                "The deployment '{}' cannot be deleted while it is running.",
                deployment.id
            )));
        }
        deployment.deleted_at.get_or_insert(due);
        Ok(Some(deployment.id.clone()))
    }

    /// The deployments that have something to do by `now`, as copies to bring on and [`Deployments::update`], since the
    /// host that they run on is likely to own these records.
    pub fn due(&self, now: Timestamp) -> Vec<Deployment> {
        self.0.values().filter(|one| one.is_due(now)).cloned().collect()
    }

    /// Replaces a deployment by what it has become.
    pub fn update(&mut self, deployment: Deployment) {
        self.0.insert(deployment.id.to_ascii_lowercase(), deployment);
    }

    /// Records whose deletion is through by `now` go. Returns whether any did.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|_, one| one.deleted_at.is_none_or(|due| due > now));
        self.0.len() != before
    }

    /// The records of a resource group go with it.
    pub fn remove_group(&mut self, group_id: &str) {
        self.0
            .retain(|_, one| !one.scope.group_id.eq_ignore_ascii_case(group_id));
    }
}

fn not_found(id: &str) -> DeploymentError {
    let name = id.rsplit('/').next().unwrap_or_default();
    DeploymentError::new(
        StatusCode::NOT_FOUND,
        "DeploymentNotFound",
        format!("Deployment '{name}' could not be found."),
    )
}

fn is_active(message: String) -> DeploymentError {
    DeploymentError::new(StatusCode::CONFLICT, "DeploymentActive", message)
}
