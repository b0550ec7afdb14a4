//! What a deployment needs of the Resource Manager that it is carried out by.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::DeploymentError;

/// The host of deployments: its clock, its types, its resources and its rights.
///
/// Ids are ARM ids of whatever case. `get`, `put`, `delete` and `register` are requests that ARM makes in the name of
/// `caller`: the host applies every rule that it applies to requests of clients, the caller's rights included, and answers
/// at once. What takes a while shows in `properties.provisioningState`, which is read again each time the deployment is
/// brought on.
pub trait ResourceManager {
    /// The time, which is the same for as long as the host is borrowed.
    fn now(&self) -> Timestamp;

    /// How long a deployment is `Accepted` before its first resource, and `Running` after its last.
    fn phase(&self) -> SignedDuration;

    /// A resource type, or the host's refusal of one that it does not have; `api_version` is only for its message.
    fn resource_type(&self, namespace: &str, name: &str, api_version: &str) -> Result<ResourceType, DeploymentError>;

    /// Whether roles of the caller allow an action (`Microsoft.App/sessionPools/write`) at the scope of an id.
    fn is_allowed(&self, caller: &Caller, action: &str, id: &str) -> bool;

    /// Ids of the resources of a resource group, of which complete mode deletes what the template lacks.
    fn resources(&self, group_id: &str) -> Vec<String>;

    /// Has a resource provider registered in a subscription, if it is not. Returns whether this is still under way; false
    /// too if the caller may not have it registered, since the provider's own refusal follows then.
    fn register(&mut self, caller: &Caller, subscription_id: &str, namespace: &str) -> bool;

    /// Reads a resource.
    fn get(&mut self, caller: &Caller, id: &str, api_version: &str) -> Result<Answer, DeploymentError>;

    /// Writes a resource.
    fn put(&mut self, caller: &Caller, id: &str, api_version: &str, body: &Value) -> Result<Answer, DeploymentError>;

    /// Deletes a resource, or begins to. 409 is taken for *in use*: it is tried again while other deletions are under way.
    fn delete(&mut self, caller: &Caller, id: &str, api_version: &str) -> Result<(), DeploymentError>;
}

/// Whoever asked for a deployment. Its resources are written with the rights of this principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Object id of the service principal or managed identity, which roles are assigned to.
    pub object_id: String,
    /// Its client id.
    pub client_id: String,
}

/// A resource type of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// Namespace of the provider, in ARM's spelling.
    pub namespace: &'static str,
    /// Name below the namespace, in ARM's spelling.
    pub name: &'static str,
    /// API versions, newest first.
    pub api_versions: &'static [&'static str],
    /// Regions of its resources, normalised (`westeurope`); empty for a type whose resources are in no region.
    pub locations: Vec<String>,
}

/// An answer that is no refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The resource; null if there is no body.
    pub body: Value,
}

/// A region as ids spell it: `North Central US` is `northcentralus`.
pub(crate) fn normalised(location: &str) -> String {
    location
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase()
}
