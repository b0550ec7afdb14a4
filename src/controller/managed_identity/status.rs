//! The status of a ManagedIdentity.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{ManagedIdentity, ManagedIdentityStatus};
use crate::controller::azure_resource::{self, Assessment, Observation, Subject, may_use};
use crate::runtime::Seen;

use super::Observed;
use super::credentials::still_recorded;
use super::export::still_exported;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(
    object: &ManagedIdentity,
    seen: &Seen<'_, Observed, Assessment>,
    now: Timestamp,
) -> Option<ManagedIdentityStatus> {
    let observation = seen.observed.map(|it| &it.observation);
    let azure = azure_resource::summarize(object, seen, now)?;
    let before = object.status.clone().unwrap_or_default();
    let exported = before.azure.exported_config_map;
    let (principal_id, client_id, tenant_id) = match observation {
        None | Some(Observation::Blocked(_)) => (before.principal_id, before.client_id, before.tenant_id),
        Some(Observation::Seen(resource)) => {
            let actual = resource
                .actual
                .as_ref()
                .filter(|_| may_use(&Subject::of(object), resource));
            let text = |name: &str| {
                let value = actual?.pointer(&format!("/properties/{name}"));
                value.and_then(Value::as_str).map(str::to_owned)
            };
            (text("principalId"), text("clientId"), text("tenantId"))
        }
    };
    let (federated_credentials, exported) = match seen.observed.and_then(|it| it.details.as_ref()) {
        None => (before.federated_credentials, exported),
        Some(details) => (
            still_recorded(
                &object.spec.azure.management,
                &before.federated_credentials,
                &details.credentials,
                now,
            ),
            still_exported(exported.as_deref(), &details.export),
        ),
    };
    Some(ManagedIdentityStatus {
        azure: AzureResourceStatus {
            exported_config_map: exported,
            ..azure
        },
        principal_id,
        client_id,
        tenant_id,
        federated_credentials,
    })
}
