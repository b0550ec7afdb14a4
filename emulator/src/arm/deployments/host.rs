//! The Resource Manager that deployments are carried out by: their resources are written through the same router as a client's
//! requests and with the rights of whoever asked for them, so that every rule of their types applies.

use axum::http::Method;
use azure_deployments::{Answer, Caller, DeploymentError, ResourceManager, ResourceType};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::AppState;
use crate::arm::request::Arrived;
use crate::arm::{ArmError, ArmReply, providers, regions, resources, router};
use crate::clock::seconds;
use crate::identity::Principal;
use crate::roles::Permission;
use crate::store::Store;

/// API version of provider registrations that ARM makes for a template.
const PROVIDERS_VERSION: &str = "2021-04-01";

/// The emulator as deployments see it.
pub struct Host<'a> {
    pub state: &'a AppState,
    pub store: &'a mut Store,
    pub now: Timestamp,
}

/// The principal of a request as deployments remember it.
pub fn caller(principal: &Principal) -> Caller {
    Caller {
        object_id: principal.object_id.clone(),
        client_id: principal.client_id.clone(),
    }
}

impl Host<'_> {
    fn send(
        &mut self,
        caller: &Caller,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
    ) -> Result<ArmReply, ArmError> {
        let principal = Principal {
            object_id: caller.object_id.clone(),
            client_id: caller.client_id.clone(),
            tenant_id: self.store.tenant_id.clone(),
            resource_id: None,
        };
        let arrived = Arrived::internal(method, path, api_version, body);
        router::on_behalf(self.state, self.store, &principal, &arrived)
    }

    fn registration(&self, subscription: &str, namespace: &str) -> &'static str {
        let arm = &self.state.behaviour().arm;
        providers::registration_state(self.store, subscription, namespace, self.now, arm)
    }
}

impl ResourceManager for Host<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn phase(&self) -> SignedDuration {
        seconds(self.state.behaviour().arm.deployment_phase_seconds)
    }

    fn resource_type(&self, namespace: &str, name: &str, api_version: &str) -> Result<ResourceType, DeploymentError> {
        let (provider, kind) = providers::find_type(namespace, name, api_version)?;
        let regions = if kind.regional { regions::REGIONS } else { &[] };
        Ok(ResourceType {
            namespace: provider.namespace,
            name: kind.name,
            api_versions: kind.versions,
            locations: regions.iter().map(|region| regions::normalise(region)).collect(),
        })
    }

    fn is_allowed(&self, caller: &Caller, action: &str, id: &str) -> bool {
        self.store
            .is_allowed(&caller.object_id, id, Permission::Action(action), self.now)
    }

    fn resources(&self, group_id: &str) -> Vec<String> {
        resources::inside(self.store, group_id)
            .map(|resource| resource.id.clone())
            .collect()
    }

    fn register(&mut self, caller: &Caller, subscription_id: &str, namespace: &str) -> bool {
        match self.registration(subscription_id, namespace) {
            "Registered" => false,
            "Registering" => true,
            _ => {
                let path = format!("/subscriptions/{subscription_id}/providers/{namespace}/register");
                let asked = self.send(caller, Method::POST, &path, PROVIDERS_VERSION, None);
                asked.is_ok() && self.registration(subscription_id, namespace) != "Registered"
            }
        }
    }

    fn get(&mut self, caller: &Caller, id: &str, api_version: &str) -> Result<Answer, DeploymentError> {
        Ok(self.send(caller, Method::GET, id, api_version, None)?.into())
    }

    fn put(&mut self, caller: &Caller, id: &str, api_version: &str, body: &Value) -> Result<Answer, DeploymentError> {
        Ok(self.send(caller, Method::PUT, id, api_version, Some(body))?.into())
    }

    fn delete(&mut self, caller: &Caller, id: &str, api_version: &str) -> Result<(), DeploymentError> {
        self.send(caller, Method::DELETE, id, api_version, None)?;
        Ok(())
    }
}

impl From<ArmReply> for Answer {
    fn from(reply: ArmReply) -> Self {
        Self {
            status: reply.status,
            body: reply.body.unwrap_or_default(),
        }
    }
}

impl From<ArmError> for DeploymentError {
    fn from(error: ArmError) -> Self {
        Self {
            target: error.target,
            details: error.details,
            ..Self::new(error.status, error.code, error.message)
        }
    }
}
