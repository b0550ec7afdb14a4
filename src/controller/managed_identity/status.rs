//! The status of a ManagedIdentity.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::AzureResourceStatus;
use crate::api::{ManagedIdentity, ManagedIdentityStatus};
use crate::controller::azure_resource::drift::shown;
use crate::controller::azure_resource::{self, Look, Subject, may_use};
use crate::runtime::{Outcome, Seen};

use super::Observed;
use super::credentials::still_recorded;
use super::export::still_exported;
use super::plan::way;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(object: &ManagedIdentity, seen: &Seen<'_, Observed>, now: Timestamp) -> Option<ManagedIdentityStatus> {
    let look = seen.observed.map(|it| &it.look);
    let way = seen.observed.map(|observed| way(object, observed, now));
    let refine = |verdict, _: &_| way.as_ref().map_or(verdict, |it| it.verdict.clone());
    let mut azure = azure_resource::summarize(object, look, seen.outcome, now, refine)?;
    if let (Some(way), Some(Look::Seen(view)), Outcome::Done(_)) = (&way, look, seen.outcome) {
        azure.drift = shown(&way.drift, &view.key);
    }
    let before = object.status.clone().unwrap_or_default();
    let exported = before.azure.exported_config_map;
    let (principal_id, client_id, tenant_id) = match look {
        None | Some(Look::Held(_)) => (before.principal_id, before.client_id, before.tenant_id),
        Some(Look::Seen(view)) => {
            let actual = view.actual.as_ref().filter(|_| may_use(&Subject::of(object), view));
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
