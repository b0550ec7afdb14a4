//! Microsoft Graph, as far as clients ask it who a principal is, and as far as one makes an app registration with it.
//!
//! Any application of the tenant may read; managed identities may not, since nobody granted them a permission of Graph. Only the
//! first principal may write, which stands for the person who installs something.

mod applications;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Audience, ManagedIdentityKind};
use crate::json::{get, get_str};
use crate::store::Store;
use crate::{AppState, query};

/// The host's name, which is the first segment of its paths here.
pub const HOST: &str = "graph.microsoft.com";

/// Answers a request below `/graph.microsoft.com/`.
pub async fn handle(state: AppState, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let segments: Vec<String> = parts
        .uri
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .skip(1)
        .map(query::decode_segment)
        .collect();
    let lower: Vec<String> = segments.iter().map(|one| one.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let principal = match state.tokens().verify(&parts.headers, Audience::Graph) {
        Ok(principal) => principal,
        Err(error) => {
            return refusal(
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationToken",
                &error.to_string(),
            );
        }
    };
    if principal.resource_id.is_some() {
        return denied();
    }
    let now = state.clock().now();
    let replicated = crate::clock::seconds(state.behaviour().roles.principal_replication_seconds);
    let mut store = state.store();
    let tenant = state.tenant_id();
    let body: Option<Value> = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
    let body = body.unwrap_or_default();
    let parameters = query::parse(parts.uri.query().unwrap_or_default());
    let filter = query::find(&parameters, "$filter").unwrap_or_default().trim();
    let reads = parts.method == Method::GET || lower.last() == Some(&"getbyids");
    if !reads && principal.client_id != store.first_application().client_id {
        return denied();
    }
    let changed = match (&parts.method, lower.as_slice()) {
        (&Method::GET, ["v1.0", "applications"]) => Some(applications::list(&store, filter)),
        (&Method::GET, ["v1.0", "applications", id]) => Some(applications::show(&store, id)),
        (&Method::POST, ["v1.0", "applications"]) => Some(applications::create(&mut store, &body, now)),
        (&Method::DELETE, ["v1.0", "applications", id]) => Some(applications::delete(&mut store, id)),
        (&Method::POST, ["v1.0", "applications", id, "addpassword"]) => {
            Some(applications::add_password(&mut store, id, &body, now))
        }
        (&Method::POST, ["v1.0", "applications", id, "removepassword"]) => {
            Some(applications::remove_password(&mut store, id, &body))
        }
        (&Method::POST, ["v1.0", "serviceprincipals"]) => {
            Some(applications::create_service_principal(&mut store, &body, now, tenant))
        }
        _ => None,
    };
    if let Some(response) = changed {
        return response;
    }
    let known: Vec<ServicePrincipal> = principals(&store)
        .into_iter()
        .filter(|one| one.created + replicated <= now)
        .collect();
    drop(store);
    match (&parts.method, lower.as_slice()) {
        (&Method::GET, ["v1.0", "serviceprincipals"]) => {
            let Some(condition) = Condition::read(filter) else {
                return unsupported(filter);
            };
            let found: Vec<Value> = known
                .iter()
                .filter(|one| condition.takes(one))
                .map(|one| one.render(tenant))
                .collect();
            answer(StatusCode::OK, &json!({ "value": found }))
        }
        (&Method::GET, ["v1.0", "serviceprincipals" | "directoryobjects", id]) => {
            match known.iter().find(|one| one.id.eq_ignore_ascii_case(id)) {
                Some(one) => answer(StatusCode::OK, &one.render(tenant)),
                None => not_found(id),
            }
        }
        (&Method::POST, ["v1.0", "directoryobjects", "getbyids"]) => {
            let Some(ids) = get(&body, "ids").and_then(Value::as_array) else {
                return refusal(
                    StatusCode::BAD_REQUEST,
                    "Request_BadRequest",
                    "The property 'ids' is required.",
                );
            };
            let wanted = |one: &ServicePrincipal| {
                ids.iter()
                    .filter_map(Value::as_str)
                    .any(|id| id.eq_ignore_ascii_case(&one.id))
            };
            let takes = get(&body, "types").and_then(Value::as_array).is_none_or(|types| {
                types.iter().filter_map(Value::as_str).any(|kind| {
                    kind.eq_ignore_ascii_case("servicePrincipal") || kind.eq_ignore_ascii_case("directoryObject")
                })
            });
            let found: Vec<Value> = known
                .iter()
                .filter(|one| takes && wanted(one))
                .map(|one| one.render(tenant))
                .collect();
            answer(StatusCode::OK, &json!({ "value": found }))
        }
        // The tenant has no users and no groups.
        (&Method::GET, ["v1.0", "users" | "groups"]) => answer(StatusCode::OK, &json!({ "value": [] })),
        (&Method::GET, ["v1.0", "me"]) => refusal(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            "/me request is only valid with delegated authentication flow.",
        ),
        _ => refusal(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            &format!(
                "Resource not found for the segment '{}'.",
                segments.get(1).map_or("", String::as_str)
            ),
        ),
    }
}

/// A service principal as Graph shows it.
struct ServicePrincipal {
    id: String,
    app_id: String,
    display_name: String,
    /// The resource that it belongs to, for managed identities.
    resource_id: Option<(String, ManagedIdentityKind)>,
    created: Timestamp,
}

impl ServicePrincipal {
    fn names(&self) -> Vec<&str> {
        vec![self.app_id.as_str()]
    }

    fn render(&self, tenant: &str) -> Value {
        let alternative: Vec<String> = match &self.resource_id {
            None => Vec::new(),
            Some((id, kind)) => {
                let is_explicit = *kind == ManagedIdentityKind::UserAssigned;
                vec![
                    format!("isExplicit={}", if is_explicit { "True" } else { "False" }),
                    id.clone(),
                ]
            }
        };
        json!({
            "@odata.type": "#microsoft.graph.servicePrincipal",
            "id": self.id,
            "appId": self.app_id,
            "displayName": self.display_name,
            "appDisplayName": self.resource_id.is_none().then_some(&self.display_name),
            "accountEnabled": true,
            "alternativeNames": alternative,
            "appOwnerOrganizationId": self.resource_id.is_none().then_some(tenant),
            "createdDateTime": self.created,
            "servicePrincipalNames": self.names(),
            "servicePrincipalType": if self.resource_id.is_none() { "Application" } else { "ManagedIdentity" },
        })
    }
}

fn principals(store: &Store) -> Vec<ServicePrincipal> {
    let named = |client_id: &str| {
        let registration = store.directory.registration_of(client_id);
        registration.map_or(client_id, |one| &one.display_name).to_owned()
    };
    let applications = store.directory.applications.iter().map(|one| ServicePrincipal {
        id: one.object_id.clone(),
        app_id: one.client_id.clone(),
        display_name: named(&one.client_id),
        resource_id: None,
        created: one.created,
    });
    let identities = store.directory.managed_identities.iter().map(|one| ServicePrincipal {
        id: one.object_id.clone(),
        app_id: one.client_id.clone(),
        display_name: one.resource_id.rsplit('/').next().unwrap_or_default().to_owned(),
        resource_id: Some((one.resource_id.clone(), one.kind)),
        created: one.created,
    });
    applications.chain(identities).collect()
}

/// A `$filter` of service principals.
enum Condition {
    All,
    Name(String),
    Member(&'static str, String),
}

impl Condition {
    /// `servicePrincipalNames/any(c:c eq 'x')`, or one member that `eq` compares.
    fn read(filter: &str) -> Option<Self> {
        const MEMBERS: [&str; 3] = ["id", "appId", "displayName"];
        if filter.is_empty() {
            return Some(Self::All);
        }
        if let Some(rest) = filter.strip_prefix("servicePrincipalNames/any(") {
            let (_, compared) = rest.strip_suffix(')')?.split_once(" eq ")?;
            return Some(Self::Name(quoted(compared)?));
        }
        let (member, compared) = filter.split_once(" eq ")?;
        let member = MEMBERS
            .into_iter()
            .find(|one| one.eq_ignore_ascii_case(member.trim()))?;
        Some(Self::Member(member, quoted(compared)?))
    }

    fn takes(&self, one: &ServicePrincipal) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => one.names().iter().any(|known| known.eq_ignore_ascii_case(name)),
            Self::Member(member, value) => {
                get_str(&one.render(""), member).is_some_and(|known| known.eq_ignore_ascii_case(value))
            }
        }
    }
}

/// A text of a filter, without its quotes.
fn quoted(text: &str) -> Option<String> {
    let inside = text.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    Some(inside.replace("''", "'"))
}

fn not_found(id: &str) -> Response {
    refusal(
        StatusCode::NOT_FOUND,
        "Request_ResourceNotFound",
        &format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present."),
    )
}

fn unsupported(filter: &str) -> Response {
    refusal(
        StatusCode::BAD_REQUEST,
        "Request_UnsupportedQuery",
        &format!("Unsupported or invalid query filter clause '{filter}'."),
    )
}

fn denied() -> Response {
    refusal(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let id = Uuid::new_v4().to_string();
    let inner = json!({ "request-id": id, "client-request-id": id });
    answer(
        status,
        &json!({ "error": { "code": code, "message": message, "innerError": inner } }),
    )
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, Body::from(body.to_string())).into_response();
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json;odata.metadata=minimal"),
    );
    response
}
