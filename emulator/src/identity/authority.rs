//! Microsoft Entra's endpoints: OIDC discovery, JWKS and tokens (v1 and v2).

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Application, AssertionError, Directory, FederatedCredential, ManagedIdentity, Principal, assertion, certificate,
};
use crate::clock::seconds;
use crate::{AppState, query};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Answers a request to the authority.
pub async fn handle(state: AppState, request: Request) -> Response {
    let path = request.uri().path().to_ascii_lowercase();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let method = request.method().clone();
    match (&method, segments.as_slice()) {
        (&Method::GET, ["common", "discovery", "instance"]) => answer(StatusCode::OK, &instance_discovery(&state)),
        (&Method::GET, [tenant, ".well-known", "openid-configuration"]) => discovery(&state, tenant, false),
        (&Method::GET, [tenant, "v2.0", ".well-known", "openid-configuration"]) => discovery(&state, tenant, true),
        (&Method::GET, [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"]) => {
            answer(StatusCode::OK, &state.tokens().jwks())
        }
        (&Method::POST, [tenant, "oauth2", "v2.0", "token"]) => {
            let tenant = (*tenant).to_owned();
            token(&state, &tenant, request.into_body(), Flavour::V2).await
        }
        (&Method::POST, [tenant, "oauth2", "token"]) => {
            let tenant = (*tenant).to_owned();
            token(&state, &tenant, request.into_body(), Flavour::V1).await
        }
        (_, [_, "oauth2", "v2.0", "token"] | [_, "oauth2", "token"]) => failure(
            &state,
            &TokenFailure::new(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                900_561,
                "The endpoint only accepts POST requests.",
            ),
        ),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    V1,
    V2,
}

fn knows_tenant(state: &AppState, tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(state.tenant_id()) || matches!(tenant, "common" | "organizations")
}

fn instance_discovery(state: &AppState) -> Value {
    let root = state.root();
    let host = root.trim_start_matches("https://");
    json!({
        "tenant_discovery_endpoint": format!("{root}/{}/v2.0/.well-known/openid-configuration", state.tenant_id()),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    })
}

fn discovery(state: &AppState, tenant: &str, v2: bool) -> Response {
    if !knows_tenant(state, tenant) {
        return failure(state, &unknown_tenant(tenant));
    }
    let root = state.root();
    let id = state.tenant_id();
    let (suffix, keys) = if v2 {
        ("/v2.0", "discovery/v2.0/keys")
    } else {
        ("", "discovery/keys")
    };
    let issuer = if v2 {
        format!("{root}/{id}/v2.0")
    } else {
        format!("https://sts.windows.net/{id}/")
    };
    let body = json!({
        "token_endpoint": format!("{root}/{id}/oauth2{suffix}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{root}/{id}/{keys}"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "authorization_endpoint": format!("{root}/{id}/oauth2{suffix}/authorize"),
        "device_authorization_endpoint": format!("{root}/{id}/oauth2{suffix}/devicecode"),
        "end_session_endpoint": format!("{root}/{id}/oauth2{suffix}/logout"),
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "oid", "tid", "ver"],
        "tenant_region_scope": null,
        "cloud_instance_name": "microsoftonline.com",
    });
    answer(StatusCode::OK, &body)
}

/// An answer of the token endpoint that is no token.
struct TokenFailure {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
}

impl TokenFailure {
    fn new(status: StatusCode, error: &'static str, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            error,
            code,
            message: message.into(),
        }
    }
}

fn unknown_tenant(tenant: &str) -> TokenFailure {
    let message = format!(
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    TokenFailure::new(StatusCode::BAD_REQUEST, "invalid_tenant", 90002, message)
}

async fn token(state: &AppState, tenant: &str, body: Body, flavour: Flavour) -> Response {
    let Ok(body) = body.collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let form = query::parse(&String::from_utf8_lossy(&body.to_bytes()));
    match grant(state, tenant, &form, flavour) {
        Ok(granted) => answer(StatusCode::OK, &granted),
        Err(refused) => failure(state, &refused),
    }
}

fn grant(state: &AppState, tenant: &str, form: &[(String, String)], flavour: Flavour) -> Result<Value, TokenFailure> {
    use StatusCode as S;
    if !knows_tenant(state, tenant) {
        return Err(unknown_tenant(tenant));
    }
    let missing = |name: &str| {
        let message = format!("The request body must contain the following parameter: '{name}'.");
        TokenFailure::new(S::BAD_REQUEST, "invalid_request", 900_144, message)
    };
    let field = |name: &str| query::find(form, name).filter(|value| !value.is_empty());
    match field("grant_type").ok_or_else(|| missing("grant_type"))? {
        "client_credentials" => {}
        other => {
            let message = format!("The app requested an unsupported grant type '{other}'.");
            return Err(TokenFailure::new(
                S::BAD_REQUEST,
                "unsupported_grant_type",
                70003,
                message,
            ));
        }
    }
    let client_id = field("client_id").ok_or_else(|| missing("client_id"))?;
    let principal = authenticate(state, client_id, form)?;
    let resource = match flavour {
        Flavour::V1 => field("resource").ok_or_else(|| missing("resource"))?,
        Flavour::V2 => {
            let scope = field("scope").ok_or_else(|| missing("scope"))?;
            // MSAL adds OpenID scopes to some requests; the one of the resource is the one with a path.
            scope.split(' ').find_map(|one| one.strip_suffix("/.default")).ok_or_else(|| {
                let message = format!("The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid.");
                TokenFailure::new(S::BAD_REQUEST, "invalid_scope", 1_002_012, message)
            })?
        }
    };
    if !state.tokens().knows_resource(resource) {
        let message = format!(
            "The resource principal named {resource} was not found in the tenant named {}.",
            state.tenant_id()
        );
        return Err(TokenFailure::new(S::BAD_REQUEST, "invalid_resource", 500_011, message));
    }
    let lifetime = state.behaviour().tokens.lifetime_seconds;
    let access_token = state.tokens().issue(&principal, resource, lifetime);
    Ok(match flavour {
        Flavour::V2 => json!({
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": access_token,
        }),
        // Numbers are strings in answers of the older endpoint.
        Flavour::V1 => {
            let now = jiff::Timestamp::now().as_second();
            json!({
                "token_type": "Bearer",
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": (now + i64::from(lifetime)).to_string(),
                "not_before": now.to_string(),
                "resource": resource,
                "access_token": access_token,
            })
        }
    })
}

/// Who the client is, if its secret or assertion is right.
fn authenticate(state: &AppState, client_id: &str, form: &[(String, String)]) -> Result<Principal, TokenFailure> {
    let store = state.store();
    let behaviour = state.behaviour();
    let now = state.clock().now();
    let directory = &store.directory;
    let registration = directory.registration_of(client_id);
    let replication = seconds(behaviour.roles.principal_replication_seconds);
    // What the control API registered was there long ago.
    let is_known = |it: &&Application| registration.is_none() || it.created + replication <= now;
    if let Some(application) = directory.application(client_id).filter(is_known) {
        let credentials: Vec<_> = application.federated_credentials.iter().collect();
        if let Some(assertion) =
            query::find(form, "client_assertion").filter(|it| certificate::is_of_client(it, client_id))
        {
            check_certificate(state, &store.tenant_id, application, assertion)?;
            return Ok(application.principal(&store.tenant_id));
        }
        let registered = registration.into_iter().flat_map(|it| it.secrets(now));
        let secrets: Vec<_> = registered.chain(application.client_secret.as_deref()).collect();
        check_proof(directory, client_id, &secrets, &credentials, form)?;
        return Ok(application.principal(&store.tenant_id));
    }
    let replicated = |identity: &&ManagedIdentity| identity.created + replication <= now;
    if let Some(identity) = directory.managed_identity(client_id).filter(replicated) {
        let known = identity.credentials.iter().filter(|one| one.effective <= now);
        let credentials: Vec<_> = known.map(|one| &one.credential).collect();
        check_proof(directory, client_id, &[], &credentials, form)?;
        return Ok(identity.principal(&store.tenant_id));
    }
    let message = format!(
        "Application with identifier '{client_id}' was not found in the directory '{}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
        store.tenant_id
    );
    Err(TokenFailure::new(
        StatusCode::BAD_REQUEST,
        "unauthorized_client",
        700_016,
        message,
    ))
}

/// Checks an assertion that the application signed itself.
fn check_certificate(
    state: &AppState,
    tenant_id: &str,
    application: &Application,
    assertion: &str,
) -> Result<(), TokenFailure> {
    let root = state.root();
    let audiences = ["oauth2/v2.0/token", "oauth2/token", "v2.0"].map(|path| format!("{root}/{tenant_id}/{path}"));
    certificate::check(
        application.certificate.as_deref(),
        &application.client_id,
        &audiences,
        assertion,
    )
    .map_err(|error| {
        TokenFailure::new(
            StatusCode::UNAUTHORIZED,
            "invalid_client",
            error.code(),
            error.to_string(),
        )
    })
}

/// Checks the assertion or secret of a form; managed identities have no secret.
fn check_proof(
    directory: &Directory,
    client_id: &str,
    secrets: &[&str],
    credentials: &[&FederatedCredential],
    form: &[(String, String)],
) -> Result<(), TokenFailure> {
    use StatusCode as S;
    let field = |name: &str| query::find(form, name).filter(|value| !value.is_empty());
    if let Some(assertion) = field("client_assertion") {
        if field("client_assertion_type") != Some(ASSERTION_TYPE) {
            let message = "The client_assertion_type parameter is not valid.";
            return Err(TokenFailure::new(S::BAD_REQUEST, "invalid_request", 90023, message));
        }
        if credentials.is_empty() {
            let message = "No matching federated identity record found for presented assertion.";
            return Err(TokenFailure::new(S::BAD_REQUEST, "invalid_request", 70021, message));
        }
        return assertion::check(directory, credentials, assertion).map_err(|error| {
            let kind = match error {
                AssertionError::Signature | AssertionError::Time => "invalid_client",
                _ => "invalid_request",
            };
            let status = if kind == "invalid_client" {
                S::UNAUTHORIZED
            } else {
                S::BAD_REQUEST
            };
            TokenFailure::new(status, kind, error.code(), error.to_string())
        });
    }
    let Some(given) = field("client_secret") else {
        let message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(TokenFailure::new(S::UNAUTHORIZED, "invalid_client", 7_000_218, message));
    };
    if secrets.contains(&given) {
        return Ok(());
    }
    let message = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client_id}'."
    );
    Err(TokenFailure::new(S::UNAUTHORIZED, "invalid_client", 7_000_215, message))
}

fn failure(state: &AppState, refused: &TokenFailure) -> Response {
    let now = state.clock().now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    let (trace, correlation) = (Uuid::new_v4(), Uuid::new_v4());
    let body = json!({
        "error": refused.error,
        "error_description": format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
            refused.code, refused.message
        ),
        "error_codes": [refused.code],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("{}/error?code={}", state.root(), refused.code),
    });
    answer(refused.status, &body)
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if let Ok(id) = HeaderValue::try_from(Uuid::new_v4().to_string()) {
        headers.insert("x-ms-request-id", id);
    }
    response
}
