//! The data plane of session pools, below `/{region}.dynamicsessions.io/`.
//!
//! Shell pools really run what they are given ([`crate::session`]). Any number of executions of one identifier run at the
//! same time, as nothing says that the service would queue or refuse them. What was started goes on when the client hangs
//! up or the service's time for an answer is over.
//!
//! Python and Node pools really run code too, with the interpreters of this machine, and a local process is the container of
//! a pool of custom ones. What cannot be run is answered with 501 and the code `NotEmulated`.

mod allocations;
mod control;
mod custom;
mod error;
mod executions;
mod files;
mod mcp;
mod registry;
mod session;
mod sessions;
mod target;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
pub use control::control_routes;
use futures::future::join_all;
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use uuid::Uuid;

use crate::behaviour::{Exhaustion, MissingRole, SessionsBehaviour};
use crate::clock::{Clock, seconds};
use crate::identity::{Audience, Principal};
use crate::roles::Permission;
use crate::session::{HostError, SessionHost};
use crate::store::Pool;
use crate::{AppState, Options};
use error::ServiceError;
use registry::{Acquired, Occupancy, Registry};
use session::{Lease, Manner, Session};
use target::{ApiVersion, Family, Target};

/// The sessions of all pools.
#[derive(Debug)]
pub struct DataPlane {
    host: SessionHost,
    registry: Registry,
}

/// Why the data plane could not start.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DataPlaneError(#[from] HostError);

impl DataPlane {
    /// A data plane without sessions. Fails when the wanted isolation is not to be had.
    pub fn new(options: &Options) -> Result<Self, DataPlaneError> {
        let hidden = std::slice::from_ref(&options.data_dir);
        let host = SessionHost::start(options.isolation, &options.data_dir.join("sessions"), hidden)?;
        Ok(Self {
            host,
            registry: Registry::default(),
        })
    }

    /// Ends every session of a pool that was deleted. `instance` is [`crate::Pool::instance`].
    pub(crate) fn pool_deleted(&self, instance: Uuid, clock: &Clock) {
        let gone = self.registry.end_pool(instance, clock);
        if let (false, Ok(runtime)) = (gone.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(close_all(gone));
        }
    }

    /// Ends every session.
    pub async fn stop(&self) {
        close_all(self.registry.clear()).await;
    }
}

/// One request to a pool, after everything that is checked alike for all of them.
struct Call {
    state: AppState,
    pool: Pool,
    target: Target,
    version: ApiVersion,
    parts: Parts,
    body: Bytes,
}

/// Answers a request whose path starts with `/{region}.dynamicsessions.io/` or `/{pool}….azurecontainerapps.io/`.
pub async fn handle(state: AppState, request: Request) -> Response {
    // In a task of its own, because a client that hangs up stops nothing on the service's side.
    let correlation = Uuid::new_v4().to_string();
    let answered =
        tokio::spawn(async move { answer(state, request).await.unwrap_or_else(ServiceError::into_response) });
    let mut response = answered.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request to the data plane failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    });
    if let Ok(correlation) = HeaderValue::try_from(correlation) {
        response.headers_mut().insert("mise-correlation-id", correlation);
    }
    response
}

async fn answer(state: AppState, request: Request) -> Result<Response, ServiceError> {
    let host = request.uri().path().trim_start_matches('/').split('/').next();
    if host.is_some_and(|host| host.to_ascii_lowercase().ends_with(".azurecontainerapps.io")) {
        return custom::answer(state, request).await;
    }
    let (parts, body) = request.into_parts();
    let target = Target::of(&parts)
        .ok_or_else(|| ServiceError::bad_request("InvalidPath", "The path is not one of a session pool."))?;
    let pool = || {
        state
            .find_pool(&target.subscription, &target.resource_group, &target.pool)
            .filter(|pool| pool.region.eq_ignore_ascii_case(&target.region))
            .ok_or_else(|| ServiceError::not_found(format!("Session pool '{}' was not found.", target.pool)))
    };
    let is_mcp = matches!(target.rest.as_slice(), [one] if one.eq_ignore_ascii_case("mcp"));
    let has_key = is_mcp && mcp::is_let_in_by_key(&state, &pool()?, &parts)?;
    if !has_key {
        let principal = authenticate(&state, &parts)?;
        authorize(&state, &principal, &pool()?)?;
    }
    let pool = pool()?;
    if pool.is_custom() {
        return Err(ServiceError::bad_request(
            "DynamicApisNotAllowed",
            format!(
                "Dynamic API calls are not allowed for session pool '{}': 'the pool is not dynamic'.",
                pool.name
            ),
        ));
    }
    let version = if is_mcp {
        ApiVersion::of_mcp()
    } else {
        target.api_version()?
    };
    let body = body.collect().await;
    let body = body
        .map_err(|_| ServiceError::bad_request("InvalidRequestBody", "The body could not be read."))?
        .to_bytes();
    let call = Call {
        state,
        pool,
        target,
        version,
        parts,
        body,
    };
    if is_mcp {
        return Ok(mcp::answer(&call).await);
    }
    let mut response = route(call).await?;
    let headers = response.headers_mut();
    headers.insert("api-supported-versions", HeaderValue::from_static(version.as_str()));
    Ok(response)
}

fn authenticate(state: &AppState, parts: &Parts) -> Result<Principal, ServiceError> {
    let verified = state.tokens().verify(&parts.headers, Audience::Sessions);
    verified.map_err(|error| {
        let message = format!("Unauthorized: {error}.");
        ServiceError::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    })
}

fn authorize(state: &AppState, principal: &Principal, pool: &Pool) -> Result<(), ServiceError> {
    let action = Permission::DataAction("Microsoft.App/sessionPools/executions/action");
    if state.is_allowed(principal, &pool.id, action) {
        return Ok(());
    }
    let (status, code) = match state.behaviour().sessions.missing_role {
        MissingRole::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
        MissingRole::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
    };
    let message = format!(
        "The principal '{}' is not allowed to use session pool '{}'.",
        principal.object_id, pool.name
    );
    Err(ServiceError::new(status, code, message))
}

async fn route(call: Call) -> Result<Response, ServiceError> {
    let method = &call.parts.method;
    let rest: Vec<&str> = call.target.rest.iter().map(String::as_str).collect();
    // Names of files keep their case; everything else is matched without it.
    let word = |at: usize| {
        rest.get(at)
            .map(|segment| segment.to_ascii_lowercase())
            .unwrap_or_default()
    };
    let sessions = call.version.manages_sessions();
    match (call.version.family(), method, word(0).as_str(), rest.len()) {
        (Family::Newer, &Method::POST, "executions", 1) => executions::execute(&call).await,
        (Family::Newer, &Method::GET, "executions", 2) => executions::get(&call, rest[1]).await,
        (Family::Older, &Method::POST, "code", 2) if word(1) == "execute" => executions::execute_older(&call).await,

        (Family::Newer, &Method::POST, "files", 1) => files::upload(&call, Family::Newer).await,
        (Family::Older, &Method::POST, "files", 2) if word(1) == "upload" => files::upload(&call, Family::Older).await,
        (family, &Method::GET, "files", 1) => files::list(&call, family).await,
        (Family::Older, &Method::GET, "files", 3..) if word(1) == "content" => files::content(&call, &rest[2..]).await,
        (Family::Newer, &Method::GET, "files", length @ 3..) if word(length - 1) == "content" => {
            files::content(&call, &rest[1..length - 1]).await
        }
        (family, &Method::GET, "files", 2..) => files::metadata(&call, family, &rest[1..]).await,
        (family, &Method::DELETE, "files", 2..) => files::remove(&call, family, &rest[1..]).await,

        (_, &Method::GET, "listsessions", 1) if sessions => sessions::list(&call),
        (_, &Method::GET, "session", 1) if sessions => sessions::get(&call),
        (_, &Method::DELETE, "session", 1) if sessions => sessions::delete(&call).await,
        (_, &Method::GET, "metadata", 1) if sessions => Ok(sessions::metadata(&call)),

        _ => Err(call.no_path()),
    }
}

impl Call {
    /// The session of the request's identifier, allocated if there is none any more.
    async fn session(&self) -> Result<Lease, ServiceError> {
        self.session_of(self.target.identifier()?).await
    }

    /// The session of an identifier, allocated if there is none any more.
    async fn session_of(&self, identifier: &str) -> Result<Lease, ServiceError> {
        allocate(&self.state, &self.pool, identifier).await
    }

    /// What a path that is none is answered. Clients report 400, not 404.
    fn no_path(&self) -> ServiceError {
        let (version, method) = (self.version.as_str(), &self.parts.method);
        let path = self.target.rest.join("/");
        ServiceError::bad_request(
            "InvalidPath",
            format!("The api-version '{version}' has no '{method} /{path}'."),
        )
    }
}

/// The session of an identifier in a pool, allocated if there is none any more.
async fn allocate(state: &AppState, pool: &Pool, identifier: &str) -> Result<Lease, ServiceError> {
    let behaviour = state.behaviour();
    let switches = &behaviour.sessions;
    let occupancy = Occupancy {
        unlisted: switches.unlisted_sessions,
        release: seconds(switches.release_seconds),
    };
    let dataplane = state.dataplane();
    let clock = state.clock();
    let mut gone = Vec::new();
    let acquired = dataplane
        .registry
        .acquire(pool, identifier, clock, Manner::of(switches), occupancy, &mut gone);
    if !gone.is_empty() {
        tokio::spawn(close_all(gone));
    }
    let lease = match acquired {
        Acquired::Known(session) => Lease::new(session, false, state.clone()),
        Acquired::New(session) => {
            tokio::spawn(expire(state.clone(), pool.instance, Arc::clone(&session)));
            Lease::new(session, true, state.clone())
        }
        Acquired::Full => return Err(exhausted(pool, switches)),
    };
    if let Err(error) = lease.backend(&dataplane.host, clock).await {
        dataplane.registry.end_unopened(pool.instance, &lease, clock);
        lease.close().await;
        return Err(error.into());
    }
    Ok(lease)
}

/// What a full pool answers. Its message is the same in every form.
fn exhausted(pool: &Pool, switches: &SessionsBehaviour) -> ServiceError {
    let message = format!(
        "No more sessions can be allocated in session pool '{}': it has reached its maximum of {} concurrent sessions.",
        pool.name, pool.max_concurrent_sessions
    );
    match switches.exhaustion {
        Exhaustion::NotFound => ServiceError::not_found(message),
        Exhaustion::TooManyRequests => {
            let pause = Some(switches.exhaustion_retry_after_seconds).filter(|seconds| *seconds > 0);
            ServiceError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).retry_after(pause)
        }
        Exhaustion::InternalServerError => {
            ServiceError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
        }
    }
}

/// Ends a session when its time has come.
async fn expire(state: AppState, instance: Uuid, session: Arc<Session>) {
    let clock = state.clock();
    loop {
        // One that is in use now has all of its cooldown before it.
        let due = session.expires().max(clock.now() + SignedDuration::from_millis(50));
        tokio::select! {
            () = session.removed().cancelled() => return,
            () = clock.sleep_until(due) => {}
        }
        if state.dataplane().registry.end_if_over(instance, &session, clock) {
            session.close().await;
            return;
        }
    }
}

impl Manner {
    /// How sessions are allocated by the switches of now.
    fn of(switches: &SessionsBehaviour) -> Self {
        match &switches.simulated_execution {
            None => Self {
                simulated: false,
                duration: seconds(switches.allocation_seconds),
            },
            Some(simulation) => Self {
                simulated: true,
                duration: SignedDuration::from_millis(
                    simulation.allocation_milliseconds.try_into().unwrap_or(i64::MAX),
                ),
            },
        }
    }
}

async fn close_all(sessions: Vec<Arc<Session>>) {
    join_all(sessions.iter().map(|session| session.close())).await;
}
