//! App registrations in Microsoft Graph: made, found and deleted, their client secrets, and their service principals.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{answer, not_found, refusal};
use crate::identity::{Application, Password, Registration};
use crate::json::{get, get_str};
use crate::store::{Store, new_secret};

/// Registrations that a `$filter` takes: `appId`, `id` or `displayName` with `eq`, or `startswith(displayName,'…')`.
pub(super) fn list(store: &Store, filter: &str) -> Response {
    let prefix = filter
        .strip_prefix("startswith(displayName,")
        .and_then(|rest| super::quoted(rest.strip_suffix(')')?));
    let condition = super::Condition::read(filter);
    let found: Vec<Value> = match (&prefix, &condition) {
        (Some(prefix), _) => rendered(store, |one| {
            let name = one["displayName"].as_str().unwrap_or_default().to_lowercase();
            name.starts_with(&prefix.to_lowercase())
        }),
        (None, Some(super::Condition::All)) => rendered(store, |_| true),
        (None, Some(super::Condition::Member(member, value))) => rendered(store, |one| {
            get_str(one, member).is_some_and(|known| known.eq_ignore_ascii_case(value))
        }),
        (None, _) => return super::unsupported(filter),
    };
    answer(StatusCode::OK, &json!({ "value": found }))
}

fn rendered(store: &Store, takes: impl Fn(&Value) -> bool) -> Vec<Value> {
    store.directory.registrations.iter().map(render).filter(takes).collect()
}

/// One registration.
pub(super) fn show(store: &Store, id: &str) -> Response {
    match store.directory.registration(id) {
        Some(one) => answer(StatusCode::OK, &render(one)),
        None => not_found(id),
    }
}

/// Makes a registration, without a secret and without a service principal.
pub(super) fn create(store: &mut Store, body: &Value, now: Timestamp) -> Response {
    let Some(display_name) = get_str(body, "displayName").filter(|name| !name.is_empty()) else {
        return invalid("Property displayName is required.");
    };
    let registration = Registration {
        object_id: Uuid::new_v4().to_string(),
        client_id: Uuid::new_v4().to_string(),
        display_name: display_name.to_owned(),
        passwords: Vec::new(),
        created: now,
    };
    let body = render(&registration);
    store.directory.registrations.push(registration);
    answer(StatusCode::CREATED, &body)
}

/// Deletes a registration and its service principal. Role assignments of the latter stay, as orphans.
pub(super) fn delete(store: &mut Store, id: &str) -> Response {
    let Some(client_id) = store.directory.registration(id).map(|one| one.client_id.clone()) else {
        return not_found(id);
    };
    store.directory.registrations.retain(|one| one.client_id != client_id);
    store.directory.applications.retain(|one| one.client_id != client_id);
    StatusCode::NO_CONTENT.into_response()
}

/// Adds a client secret, which this answer shows and no other.
pub(super) fn add_password(store: &mut Store, id: &str, body: &Value, now: Timestamp) -> Response {
    let wanted = get(body, "passwordCredential").cloned().unwrap_or_default();
    let time = |name: &str| get_str(&wanted, name).map(str::parse::<Timestamp>).transpose();
    let (Ok(start), Ok(end)) = (time("startDateTime"), time("endDateTime")) else {
        return invalid("startDateTime and endDateTime must be times.");
    };
    let Some(registration) = store.directory.registration_mut(id) else {
        return not_found(id);
    };
    let start = start.unwrap_or(now);
    // Two years, unless the request says otherwise.
    let in_two_years = || {
        now.to_zoned(TimeZone::UTC)
            .saturating_add(Span::new().years(2))
            .timestamp()
    };
    let password = Password {
        key_id: Uuid::new_v4().to_string(),
        secret: new_secret(),
        display_name: get_str(&wanted, "displayName").map(str::to_owned),
        start,
        end: end.unwrap_or_else(in_two_years),
    };
    let mut body = render_password(&password);
    body["secretText"] = json!(password.secret);
    registration.passwords.push(password);
    answer(StatusCode::OK, &body)
}

/// Removes a client secret.
pub(super) fn remove_password(store: &mut Store, id: &str, body: &Value) -> Response {
    let Some(registration) = store.directory.registration_mut(id) else {
        return not_found(id);
    };
    let key_id = get_str(body, "keyId").unwrap_or_default();
    let before = registration.passwords.len();
    registration
        .passwords
        .retain(|one| !one.key_id.eq_ignore_ascii_case(key_id));
    if registration.passwords.len() == before {
        return invalid("No password credential found with keyId.");
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Makes the service principal of a registration: until then nobody can be it, and no role can be assigned to it.
pub(super) fn create_service_principal(store: &mut Store, body: &Value, now: Timestamp, tenant: &str) -> Response {
    let client_id = get_str(body, "appId").unwrap_or_default();
    let is_registered = |one: &Registration| one.client_id.eq_ignore_ascii_case(client_id);
    let Some(registration) = store.directory.registrations.iter().find(|one| is_registered(one)) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "Request_BadRequest",
            &format!("The appId '{client_id}' of the service principal does not reference a valid application object."),
        );
    };
    let client_id = registration.client_id.clone();
    if store.directory.application(&client_id).is_some() {
        return refusal(
            StatusCode::CONFLICT,
            "Request_MultipleObjectsWithSameKeyValue",
            &format!(
                "The service principal cannot be created, updated, or restored because the service principal name {client_id} is already in use."
            ),
        );
    }
    store.directory.applications.push(Application {
        object_id: Uuid::new_v4().to_string(),
        client_secret: None,
        certificate: None,
        federated_credentials: Vec::new(),
        created: now,
        client_id: client_id.clone(),
    });
    let made = super::principals(store).into_iter().find(|one| one.app_id == client_id);
    answer(
        StatusCode::CREATED,
        &made.map(|one| one.render(tenant)).unwrap_or_default(),
    )
}

fn render(registration: &Registration) -> Value {
    let passwords: Vec<Value> = registration.passwords.iter().map(render_password).collect();
    json!({
        "id": registration.object_id,
        "appId": registration.client_id,
        "displayName": registration.display_name,
        "createdDateTime": registration.created,
        "identifierUris": [],
        "keyCredentials": [],
        "passwordCredentials": passwords,
        "signInAudience": "AzureADMyOrg",
    })
}

fn render_password(password: &Password) -> Value {
    json!({
        "customKeyIdentifier": null,
        "displayName": password.display_name,
        "endDateTime": password.end,
        "hint": password.secret.get(..3),
        "keyId": password.key_id,
        "secretText": null,
        "startDateTime": password.start,
    })
}

fn invalid(message: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
}
