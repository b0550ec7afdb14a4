//! `Microsoft.ManagedIdentity`: user-assigned identities, their federated credentials, and the system-assigned identity
//! of any resource.
//!
//! The ARM resource holds what was asked for; its principal and its federated credentials are in the
//! [`Directory`](crate::identity::Directory), where the authority finds them.

mod credentials;
mod system_assigned;
mod user_assigned;

use axum::http::{Method, StatusCode};
pub use system_assigned::get_one as system_assigned;

use super::router::{no_method, no_route};
use super::target::Target;
use super::{ArmError, ArmReply, ArmRequest, providers, versions};
use crate::store::Store;

/// Namespace of the provider.
pub const NAMESPACE: &str = "Microsoft.ManagedIdentity";
/// Type of user-assigned identities.
const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// Answers a path below `providers/Microsoft.ManagedIdentity`; `at` is the index of the segment after the namespace.
pub fn answer(
    request: &ArmRequest<'_>,
    store: &mut Store,
    subscription: &str,
    group: Option<&str>,
    tail: &[&str],
    at: usize,
) -> Result<ArmReply, ArmError> {
    let Some(kind) = tail.first() else {
        return Err(no_route(request));
    };
    providers::find_type(NAMESPACE, kind, request.api_version)?;
    versions::check(request.api_version, versions::MANAGED_IDENTITIES, TYPE)?;
    let segment = |index: usize| request.arrived.segments[at + index].as_str();
    let method = &request.arrived.method;
    match (group, tail) {
        (group, ["userassignedidentities"]) if *method == Method::GET => {
            user_assigned::list(request, store, subscription, group)
        }
        (Some(group), ["userassignedidentities", _]) => {
            let identity = Target::new(TYPE, subscription, group, segment(1));
            match *method {
                Method::PUT => user_assigned::put(request, store, &identity),
                Method::PATCH => user_assigned::patch(request, store, &identity),
                Method::GET => user_assigned::get_one(request, store, &identity),
                Method::DELETE => user_assigned::delete(request, store, &identity),
                _ => Err(no_method(request)),
            }
        }
        (Some(group), ["userassignedidentities", _, "federatedidentitycredentials", rest @ ..]) => {
            let supported = &versions::MANAGED_IDENTITIES[..versions::MANAGED_IDENTITIES_WITH_CREDENTIALS];
            versions::check(request.api_version, supported, credentials::TYPE)?;
            let identity = Target::new(TYPE, subscription, group, segment(1));
            match (method.clone(), rest) {
                (Method::GET, []) => credentials::list(request, store, &identity),
                (Method::PUT, [_]) => credentials::put(request, store, &identity, segment(3)),
                (Method::GET, [_]) => credentials::get_one(request, store, &identity, segment(3)),
                (Method::DELETE, [_]) => credentials::delete(request, store, &identity, segment(3)),
                _ => Err(no_method(request)),
            }
        }
        _ => Err(no_method(request)),
    }
}

/// The provider answers ids with the group segment in lower case (managed identities documentation, `az identity create`).
fn spelled_as_answered(id: &str) -> String {
    id.replacen("/resourceGroups/", "/resourcegroups/", 1)
}

/// Refuses a name that does not start with a letter or digit or has other characters than those, `-` and `_`.
fn check_name(name: &str, longest: usize) -> Result<(), ArmError> {
    let inner = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
    let good = (3..=longest).contains(&name.len())
        && name.starts_with(|one: char| one.is_ascii_alphanumeric())
        && name.chars().all(inner);
    if good {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "InvalidResourceName",
        format!(
            "The resource name '{name}' is invalid. It must start with a letter or number, have only letters, numbers, '-' and '_', and 3 to {longest} characters."
        ),
    ))
}
