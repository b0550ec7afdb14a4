//! Pools of custom containers: every request to the pool's host goes to the port of the session's container.
//!
//! The emulator has no images. A container is a local process: the `command` and `args` of the pool's template, or what the
//! switch `sessions.containerPrograms` names for the image.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::allocations::Ending;
use super::error::ServiceError;
use super::session::{Backend, Lease};
use super::target::check_identifier;
use super::{allocate, authenticate, authorize};
use crate::AppState;
use crate::behaviour::SessionsBehaviour;
use crate::json::{get, get_str};
use crate::query;
use crate::session::{Connection, Service, ServiceFailure};
use crate::store::Pool;

/// The call that ends a session. Every other path is the container's.
const STOP_PATH: &str = "/.management/stopSession";

/// Answers a request to the host of a pool of custom containers.
pub(super) async fn answer(state: AppState, request: Request) -> Result<Response, ServiceError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let (host, _) = path.split_once('/').unwrap_or((&path, ""));
    let rest = path[host.len()..].to_owned();
    let principal = authenticate(&state, &parts)?;
    let pool = state
        .store()
        .find_pool_by_host(host)
        .ok_or_else(|| ServiceError::not_found(format!("There is no session pool at '{host}'.")))?;
    authorize(&state, &principal, &pool)?;
    let parameters = query::parse(parts.uri.query().unwrap_or_default());
    let identifier = query::find(&parameters, "identifier")
        .ok_or_else(|| ServiceError::bad_request("MissingIdentifier", "The identifier query parameter is required."))?;
    let identifier = check_identifier(identifier)?;
    if rest.eq_ignore_ascii_case(STOP_PATH) && parts.method == Method::POST {
        return stop(&state, &pool, identifier).await;
    }
    let service = service(&pool, &state.behaviour().sessions)?;
    let lease = allocate(&state, &pool, identifier).await?;
    lease.count_execution();
    let connection = connect(&state, &lease, &service).await?;
    forward(connection, lease, &service, parts, &rest, body).await
}

async fn stop(state: &AppState, pool: &Pool, identifier: &str) -> Result<Response, ServiceError> {
    let registry = &state.dataplane().registry;
    let session = registry.end(pool.instance, identifier, Ending::Deleted, state.clock());
    let session = session.ok_or_else(|| {
        ServiceError::new(
            StatusCode::NOT_FOUND,
            "SessionNotFound",
            format!("Session '{identifier}' was not found."),
        )
    })?;
    session.close().await;
    Ok(format!("Session {identifier} in session pool {} stopped.", pool.name).into_response())
}

/// What runs as the container of a pool, and which port it serves.
fn service(pool: &Pool, behaviour: &SessionsBehaviour) -> Result<Service, ServiceError> {
    let template = get(&pool.properties, "customContainerTemplate").unwrap_or(&Value::Null);
    let port = get(template, "ingress")
        .and_then(|ingress| get(ingress, "targetPort"))
        .and_then(Value::as_u64)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| ServiceError::not_found(format!("Session pool '{}' has no target port.", pool.name)))?;
    let containers = get(template, "containers").and_then(Value::as_array);
    let Some([container]) = containers.map(Vec::as_slice) else {
        return Err(ServiceError::not_emulated(
            "The emulator runs session pools with exactly one container.",
        ));
    };
    let image = get_str(container, "image").unwrap_or_default();
    let own = words(container, "command");
    let mut program = if own.is_empty() {
        behaviour.container_programs.get(image).cloned().unwrap_or_default()
    } else {
        own
    };
    if program.is_empty() {
        return Err(ServiceError::not_emulated(format!(
            "The emulator has no images: it does not know what to run for '{image}'. Give the container a command that \
             this machine has, or name a program for the image in the switch sessions.containerPrograms."
        )));
    }
    program.extend(words(container, "args"));
    Ok(Service {
        program,
        environment: environment(pool, container),
        port,
    })
}

/// The container's variables, secrets resolved.
fn environment(pool: &Pool, container: &Value) -> Vec<(String, String)> {
    let secrets = get(&pool.properties, "secrets").and_then(Value::as_array);
    let secret = |name: &str| {
        let secret = secrets?.iter().find(|secret| get_str(secret, "name") == Some(name))?;
        get_str(secret, "value")
    };
    let variables = get(container, "env").and_then(Value::as_array);
    variables
        .into_iter()
        .flatten()
        .filter_map(|variable| {
            let value = get_str(variable, "value").or_else(|| get_str(variable, "secretRef").and_then(secret));
            Some((
                get_str(variable, "name")?.to_owned(),
                value.unwrap_or_default().to_owned(),
            ))
        })
        .collect()
}

fn words(container: &Value, name: &str) -> Vec<String> {
    let words = get(container, name).and_then(Value::as_array);
    words
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

async fn connect(state: &AppState, lease: &Lease, service: &Service) -> Result<Connection, ServiceError> {
    match lease.backend(&state.dataplane().host, state.clock()).await? {
        Backend::Container(container) => Ok(container.connect(service).await?),
        Backend::Simulated { .. } => Err(ServiceError::not_emulated(
            "Custom containers cannot be simulated: the switch sessions.simulatedExecution is set.",
        )),
    }
}

/// Sends a request over a connection and answers with what comes back.
async fn forward(
    connection: Connection,
    lease: Lease,
    service: &Service,
    parts: Parts,
    path: &str,
    body: Body,
) -> Result<Response, ServiceError> {
    let Connection { stream, guard } = connection;
    let failed = |error: hyper::Error| {
        tracing::info!(
            error = &error as &dyn std::error::Error,
            "a custom container did not answer"
        );
        ServiceError::new(
            StatusCode::BAD_GATEWAY,
            "ContainerNotResponding",
            "The container closed the connection without an answer.",
        )
    };
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    tokio::spawn(async move {
        // It ends when the answer has been read, or nobody reads it any more. Until then the session is in use.
        let _ = driver.await;
        drop((guard, lease));
    });
    let path = if path.is_empty() { "/" } else { path };
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let invalid = || ServiceError::bad_request("InvalidPath", "The path cannot be forwarded.");
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = Uri::try_from(target).map_err(|_| invalid())?;
    *request.headers_mut() = parts.headers;
    without_hop(request.headers_mut());
    // It opens the whole pool, which no container is meant to do.
    request.headers_mut().remove(AUTHORIZATION);
    let host = HeaderValue::try_from(format!("localhost:{}", service.port)).map_err(|_| invalid())?;
    request.headers_mut().insert(HOST, host);
    let mut response = sender.send_request(request).await.map_err(failed)?.map(Body::new);
    without_hop(response.headers_mut());
    Ok(response)
}

/// Removes what is about one connection only.
fn without_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

impl From<ServiceFailure> for ServiceError {
    fn from(failure: ServiceFailure) -> Self {
        match failure {
            ServiceFailure::Ended { .. } | ServiceFailure::NotListening(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "ContainerNotReady",
                format!("The container cannot be reached: {failure}."),
            ),
            ServiceFailure::NoBash => Self::not_emulated(format!("{failure}.")),
            ServiceFailure::SessionEnded => crate::session::ExecuteError::SessionEnded.into(),
            ServiceFailure::Io(error) => crate::session::ExecuteError::Io(error).into(),
        }
    }
}
