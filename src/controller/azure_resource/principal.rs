//! Which principal an identity has that a spec names by its id.

use serde_json::Value;

use crate::api::ManagedIdentity;
use crate::azure::managed_identity::MANAGED_IDENTITY_API_VERSION;
use crate::azure::{ArmClient, ResourceId};
use crate::controller::context::Context;

use super::owner::owners;
use super::read::find;

/// The principal of an identity. One that was deleted and created again under its name has another: whoever had it attached
/// has a principal that nobody knows any more, until it is attached again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityPrincipal {
    /// Its object id.
    Known(String),
    /// Azure knows no such identity yet, or no longer.
    Absent,
    /// Nobody says, such as where the account may not read the identity. What is attached is believed then.
    Unknown,
}

/// The principal, as the ManagedIdentity says that owns the identity, else as Azure does.
pub async fn principal_of(context: &Context, arm: &ArmClient, id: &ResourceId) -> IdentityPrincipal {
    for owner in owners::<ManagedIdentity>(context, id).await {
        let principal = owner.status.as_ref().and_then(|it| it.principal_id.clone());
        if let Some(principal) = principal {
            return IdentityPrincipal::Known(principal);
        }
    }
    match find(arm, id, MANAGED_IDENTITY_API_VERSION).await {
        Ok(Some(identity)) => {
            let principal = identity.body.pointer("/properties/principalId").and_then(Value::as_str);
            principal.map_or(IdentityPrincipal::Unknown, |it| IdentityPrincipal::Known(it.to_owned()))
        }
        Ok(None) => IdentityPrincipal::Absent,
        Err(error) => {
            tracing::debug!(code = error.code(), identity = %id, "an identity could not be read");
            IdentityPrincipal::Unknown
        }
    }
}
