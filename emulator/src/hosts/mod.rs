//! Hosts: the machine that the operator runs on, container apps and container groups, each with the endpoints at which its
//! workload asks for tokens of its managed identities.
//!
//! Every host has a port of its own, in plain HTTP on the loopback interface, because clients join paths to the root of
//! the Azure Instance Metadata Service (IMDS). The same port has IMDS and the endpoint in the manner of App Service, which
//! Container Apps has. A host listens from the first time that the control API was asked for it until it is deleted, on
//! the same port also after a restart of the emulator.

mod app_service;
mod control;
mod identities;
mod imds;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
pub(crate) use control::control_routes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{AppState, query};

/// Why a host cannot be asked for tokens.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no container app and no container group of this id.
    #[error("{0} is no container app, container group or host that exists")]
    Unknown(String),
    /// No port of the loopback interface can be had.
    #[error("cannot listen for the identity endpoints of {0}")]
    Listen(String, #[source] std::io::Error),
}

/// Where the workload of a host asks for tokens.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostEndpoints {
    /// Root of IMDS, without a trailing slash.
    pub imds: String,
    /// URL of the endpoint in the manner of App Service.
    pub identity_endpoint: String,
    /// Secret that requests to the latter carry in `X-IDENTITY-HEADER`.
    pub identity_header: String,
}

impl std::fmt::Debug for HostEndpoints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HostEndpoints")
            .field("imds", &self.imds)
            .finish_non_exhaustive()
    }
}

/// The hosts that listen.
#[derive(Debug, Default)]
pub struct Hosts {
    open: Mutex<HashMap<String, OpenHost>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct OpenHost {
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Hosts {
    /// Stops listening for a host, by its lower-cased id.
    pub(crate) fn close(&self, host: &str) {
        if let Some(host) = self.lock().remove(host) {
            host.shutdown.cancel();
        }
    }

    /// Stops listening for all hosts.
    pub(crate) fn close_all(&self) {
        for (_, host) in self.lock().drain() {
            host.shutdown.cancel();
        }
    }

    /// The same, and waits until all connections have ended.
    pub(crate) async fn stop(&self) {
        self.close_all();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OpenHost>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for every host that listened before the emulator was stopped; returns the endpoints of the operator's host.
pub(crate) fn open_all(state: &AppState) -> Result<HostEndpoints, HostError> {
    let known: Vec<String> = state.store().hosts.keys().cloned().collect();
    for host in known {
        match open(state, &host) {
            // It went while the emulator was stopped, by the virtual clock.
            Ok(_) | Err(HostError::Unknown(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let operator = state.store().operator_host();
    open(state, &operator)
}

/// The endpoints of a host, which listen from now on. Runs inside the runtime that serves them.
pub(crate) fn open(state: &AppState, id: &str) -> Result<HostEndpoints, HostError> {
    let key = id.to_ascii_lowercase();
    // The store is always taken before the hosts, as a deletion takes both in this order.
    let mut store = state.store();
    if !identities::is_host(&store, &key) {
        return Err(HostError::Unknown(id.to_owned()));
    }
    let endpoint = store.host_endpoint(&key);
    let mut hosts = state.hosts().lock();
    let address = match hosts.get(&key) {
        Some(host) => host.address,
        None => {
            let failed = |error| HostError::Listen(id.to_owned(), error);
            let listener = listen(state.options().listen.ip(), endpoint.port).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let shutdown = CancellationToken::new();
            let (key_of_task, state_of_task) = (Arc::from(key.as_str()), state.clone());
            state.hosts().tasks.spawn(crate::server::serve_host(
                listener,
                key_of_task,
                state_of_task,
                shutdown.clone(),
            ));
            hosts.insert(key, OpenHost { address, shutdown });
            address
        }
    };
    endpoint.port = address.port();
    Ok(HostEndpoints {
        imds: format!("http://{address}"),
        identity_endpoint: format!("http://{address}{}", app_service::PATH),
        identity_header: endpoint.header.clone(),
    })
}

/// The port of before, or another one if someone else took it meanwhile.
fn listen(ip: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind((ip, port)).or_else(|error| {
        if port == 0 {
            Err(error)
        } else {
            TcpListener::bind((ip, 0))
        }
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers a request to the port of a host.
pub(crate) fn answer(state: &AppState, host: &str, request: &Request) -> Response {
    let path = request.uri().path().trim_end_matches('/').to_ascii_lowercase();
    let parameters = query::parse(request.uri().query().unwrap_or_default());
    match path.as_str() {
        imds::PATH => imds::answer(state, host, request, &parameters),
        app_service::PATH => app_service::answer(state, host, request, &parameters),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
