//! `federatedIdentityCredentials` of a user-assigned identity.

use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::{check_name, spelled_as_answered};
use crate::arm::target::Target;
use crate::arm::{ArmError, ArmReply, ArmRequest, paging};
use crate::behaviour::UnknownProperties;
use crate::clock::seconds;
use crate::identity::{FederatedCredential, ManagedCredential, ManagedIdentity};
use crate::json::{get, get_str};
use crate::store::Store;

/// The type.
pub const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials";

/// Credentials that an identity may have (workload identity federation considerations).
const MOST: usize = 20;
const LONGEST_NAME: usize = 120;
const LONGEST_VALUE: usize = 600;

/// PUT: creates or replaces. The authority knows the result after a while; a PUT that changes nothing has no such effect.
pub fn put(request: &ArmRequest<'_>, store: &mut Store, target: &Target, name: &str) -> Result<ArmReply, ArmError> {
    enter(request, store, target, "write")?;
    check_name(name, LONGEST_NAME)?;
    let credential = read(request, &request.body()?)?;
    let behaviour = request.state.behaviour();
    let identity = of(store, target)?;
    refuse_concurrent(request, identity)?;
    let is_new = |one: &ManagedCredential| !one.name.eq_ignore_ascii_case(name);
    let others = || identity.credentials.iter().filter(|one| is_new(one));
    if others().any(|one| one.credential.issuer == credential.issuer && one.credential.subject == credential.subject) {
        return Err(ArmError::new(
            StatusCode::CONFLICT,
            "Conflict",
            "Issuer and subject combination already exists for this Managed Identity.",
        ));
    }
    if others().count() >= MOST {
        return Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            format!(
                "The managed identity '{}' has {MOST} federated identity credentials, which is the most it can have.",
                target.name
            ),
        ));
    }
    let effective = request.now + seconds(behaviour.tokens.federation_propagation_seconds);
    let position = identity.credentials.iter().position(|one| !is_new(one));
    let (status, at) = match position {
        Some(at) => {
            let known = &mut identity.credentials[at];
            if known.credential != credential {
                known.credential = credential;
                known.effective = effective;
            }
            (StatusCode::OK, at)
        }
        None => {
            let at = identity
                .credentials
                .partition_point(|one| one.name.to_ascii_lowercase() < name.to_ascii_lowercase());
            let credential = ManagedCredential {
                name: name.to_owned(),
                credential,
                effective,
            };
            identity.credentials.insert(at, credential);
            (StatusCode::CREATED, at)
        }
    };
    let reply = ArmReply::json(status, render(identity, &identity.credentials[at]));
    Ok(hold(request, identity, reply))
}

/// GET.
pub fn get_one(request: &ArmRequest<'_>, store: &mut Store, target: &Target, name: &str) -> Result<ArmReply, ArmError> {
    enter(request, store, target, "read")?;
    let identity = of(store, target)?;
    let found = identity
        .credentials
        .iter()
        .find(|one| one.name.eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| {
        ArmError::new(
            StatusCode::NOT_FOUND,
            "ResourceNotFound",
            format!("The Resource '{TYPE}/{}/{name}' was not found.", target.name),
        )
    })?;
    Ok(ArmReply::ok(render(identity, found)))
}

/// DELETE: 200, or 204 for an absent one.
pub fn delete(request: &ArmRequest<'_>, store: &mut Store, target: &Target, name: &str) -> Result<ArmReply, ArmError> {
    match enter(request, store, target, "delete") {
        // What has no parent is gone already.
        Err(error) if error.status == StatusCode::NOT_FOUND => return Ok(ArmReply::empty(StatusCode::NO_CONTENT)),
        entered => entered?,
    }
    let identity = of(store, target)?;
    let Some(at) = identity
        .credentials
        .iter()
        .position(|one| one.name.eq_ignore_ascii_case(name))
    else {
        return Ok(ArmReply::empty(StatusCode::NO_CONTENT));
    };
    refuse_concurrent(request, identity)?;
    identity.credentials.remove(at);
    Ok(hold(request, identity, ArmReply::empty(StatusCode::OK)))
}

/// GET on the collection.
pub fn list(request: &ArmRequest<'_>, store: &mut Store, target: &Target) -> Result<ArmReply, ArmError> {
    enter(request, store, target, "read")?;
    let identity = of(store, target)?;
    let items = identity.credentials.iter().map(|one| render(identity, one)).collect();
    Ok(paging::page(request, items))
}

/// What every request about a credential has to pass, the existence of its identity included.
fn enter(request: &ArmRequest<'_>, store: &mut Store, target: &Target, verb: &str) -> Result<(), ArmError> {
    target.enter(request, store, &format!("federatedIdentityCredentials/{verb}"))?;
    of(store, target).map(|_| ())
}

fn of<'a>(store: &'a mut Store, target: &Target) -> Result<&'a mut ManagedIdentity, ArmError> {
    let id = target.id();
    store.directory.managed_identity_of_mut(&id).ok_or_else(|| {
        ArmError::gateway(
            StatusCode::NOT_FOUND,
            "ParentResourceNotFound",
            format!(
                "Failed to perform 'action' on resource(s) of type 'userAssignedIdentities/federatedIdentityCredentials', because the parent resource '{id}' could not be found."
            ),
        )
    })
}

/// A write while another one on the same identity is under way is refused, not queued.
fn refuse_concurrent(request: &ArmRequest<'_>, identity: &ManagedIdentity) -> Result<(), ArmError> {
    if identity.credential_write_until.is_none_or(|until| until <= request.now) {
        return Ok(());
    }
    // Live messages spell the provider's part of the id in lower case.
    let id = identity.resource_id.replacen(
        "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/",
        "/providers/microsoft.managedidentity/userassignedidentities/",
        1,
    );
    Err(ArmError::new(
        StatusCode::CONFLICT,
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
        format!(
            "Too many Federated Identity Credentials are written concurrently for the managed identity '{id}'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported."
        ),
    ))
}

/// The answer of a write comes when the write is through, which takes a little time.
fn hold(request: &ArmRequest<'_>, identity: &mut ManagedIdentity, reply: ArmReply) -> ArmReply {
    let until = request.now + seconds(request.state.behaviour().identities.credential_write_seconds);
    identity.credential_write_until = Some(until);
    reply.held_until(until)
}

fn read(request: &ArmRequest<'_>, body: &Value) -> Result<FederatedCredential, ArmError> {
    const KNOWN: [&str; 3] = ["issuer", "subject", "audiences"];
    let properties = get(body, "properties").cloned().unwrap_or(Value::Null);
    let unknown = properties
        .as_object()
        .into_iter()
        .flat_map(|members| members.keys())
        .find(|name| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)));
    if let Some(name) = unknown
        && request.state.behaviour().arm.unknown_properties == UnknownProperties::Refuse
    {
        return Err(ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: 'Could not find member '{name}' on object of type 'FederatedIdentityCredentialProperties'.'."
        )));
    }
    let text = |name: &str| {
        get_str(&properties, name)
            .filter(|value| !value.is_empty() && value.chars().count() <= LONGEST_VALUE)
            .map(str::to_owned)
            .ok_or_else(|| {
                ArmError::invalid_parameter(
                    &format!("properties.{name}"),
                    format!(
                        "The federated identity credential must have '{name}' with 1 to {LONGEST_VALUE} characters."
                    ),
                )
            })
    };
    let (issuer, subject) = (text("issuer")?, text("subject")?);
    let is_url = issuer
        .parse::<Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https") && url.host().is_some_and(|host| !host.is_empty()));
    if !is_url {
        return Err(ArmError::invalid_parameter(
            "properties.issuer",
            format!("The issuer '{issuer}' is not an https URL."),
        ));
    }
    // A list of exactly one (Microsoft Graph's documentation of federated identity credentials).
    let audience = match get(&properties, "audiences")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([Value::String(one)]) if !one.is_empty() && one.chars().count() <= LONGEST_VALUE => one.clone(),
        _ => {
            return Err(ArmError::invalid_parameter(
                "properties.audiences",
                format!(
                    "The federated identity credential must have 'audiences' with one of 1 to {LONGEST_VALUE} characters."
                ),
            ));
        }
    };
    Ok(FederatedCredential {
        issuer,
        subject,
        audiences: vec![audience],
    })
}

fn render(identity: &ManagedIdentity, one: &ManagedCredential) -> Value {
    let id = spelled_as_answered(&identity.resource_id);
    json!({
        "id": format!("{id}/federatedIdentityCredentials/{}", one.name),
        "name": one.name,
        "type": TYPE,
        "properties": {
            "issuer": one.credential.issuer,
            "subject": one.credential.subject,
            "audiences": one.credential.audiences,
        },
    })
}
