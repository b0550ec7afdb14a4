//! `{scope}/providers/Microsoft.ManagedIdentity/identities/default`: the system-assigned identity of a resource.

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::super::router::no_method;
use super::super::{ArmError, ArmReply, ArmRequest, access, versions};
use crate::identity::ManagedIdentityKind;
use crate::store::Store;

/// GET; `scope` is the id of the resource.
pub fn get_one(request: &ArmRequest<'_>, store: &Store, scope: &str) -> Result<ArmReply, ArmError> {
    if request.arrived.method != Method::GET {
        return Err(no_method(request));
    }
    versions::check(
        request.api_version,
        versions::MANAGED_IDENTITIES,
        "Microsoft.ManagedIdentity/identities",
    )?;
    access::authorize(request, store, scope, "Microsoft.ManagedIdentity/identities/read")?;
    let not_found = |what: String| {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("The Resource '{what}' was not found."),
        )
    };
    let resource = store.resource(scope).ok_or_else(|| not_found(scope.to_owned()))?;
    let id = format!("{}/providers/Microsoft.ManagedIdentity/identities/default", resource.id);
    let identity = store
        .directory
        .managed_identity_of(&resource.id)
        .filter(|identity| identity.kind == ManagedIdentityKind::SystemAssigned)
        .ok_or_else(|| not_found(id.clone()))?;
    Ok(ArmReply::ok(json!({
        "id": id,
        "name": "default",
        "type": "Microsoft.ManagedIdentity/identities",
        "location": resource.location,
        "tags": resource.tags.clone().unwrap_or_default(),
        "properties": {
            "tenantId": store.tenant_id,
            "principalId": identity.object_id,
            "clientId": identity.client_id,
            "clientSecretUrl": format!("{}{}/credentials", request.state.root(), id),
        },
    })))
}
