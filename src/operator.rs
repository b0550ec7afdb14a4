//! The process: puts the parts together and runs them until it is asked to end.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, ResourceExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::azure::cloud::CloudError;
use crate::azure::http::HttpError;
use crate::azure::{Cloud, HostIdentity, Http};
use crate::config::Config;
use crate::controller::accounts::HostAccess;
use crate::controller::config_maps::ConfigMapWrites;
use crate::controller::operator_key::{self, KeyError};
use crate::controller::ownership::ClusterId;
use crate::controller::{Context, Foundation};
use crate::runtime::health::Health;
use crate::runtime::supervisor::{Supervisor, SupervisorError};
use crate::runtime::{ApiError, Clients, Events, Scope, shutdown};

/// Why the operator did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The cloud is not known.
    #[error("--cloud is not usable")]
    Cloud(#[from] CloudError),
    /// No HTTP client could be made.
    #[error("no HTTP client could be made for the cloud")]
    Http(#[from] HttpError),
    /// The cluster could not be reached or refused.
    #[error("the cluster could not be used")]
    Kubernetes(#[from] ApiError),
    /// The cluster has no name.
    #[error("the namespace kube-system cannot be read, so --cluster-id must be given")]
    NoClusterId(#[source] ApiError),
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Signals could not be handled, or the health address not be bound.
    #[error("the process could not be set up")]
    Setup(#[from] std::io::Error),
    /// A part of the process ended.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
}

/// Runs the operator until a signal asks it to end. The rustls provider of the process must be installed before.
pub async fn run(config: Config) -> Result<(), OperatorError> {
    let signals = shutdown::signals()?;
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let health = Health::new(stop.clone());
    let listener = TcpListener::bind(config.health_address).await?;
    supervisor.spawn(
        "health server",
        health.clone().serve(listener, stop.clone().cancelled_owned()),
    );

    let cloud = Cloud::load(&config.cloud)?;
    let cloud = Arc::new(match &config.ca_bundle {
        Some(path) => cloud.trusting(path)?,
        None => cloud,
    });
    let http = Http::new(&cloud)?;
    let host = HostAccess::new(HostIdentity::of_process()?, config.allow_host_identity.clone());
    let clients = Clients::infer().await.map_err(ApiError::from)?;
    let secrets: Api<Secret> = Api::namespaced(clients.watch.clone(), &config.operator_namespace);
    let key = operator_key::load_or_create(&secrets, &config.operator_namespace).await?;
    let cluster = ClusterId::new(&cluster_id(&config, &clients).await?);
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| "lifeguard".to_owned());
    let events = Events::new(clients.write.clone(), "lifeguard.dev/operator", instance);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cloud = %cloud.name, "starting");

    let scope = Scope::new(config.watch_namespaces.iter().cloned());
    let foundation = Foundation {
        clients,
        scope,
        cloud,
        http,
        host,
        cluster,
        config_maps: ConfigMapWrites::allowed_if(config.write_config_maps),
        key,
        events: events.clone(),
        health,
        pace: config.pace,
        stop: stop.clone(),
    };
    let (context, sources) = Context::new(foundation);
    crate::controller::spawn(&context, sources, &config, &mut supervisor);

    let ended = supervisor.run(signals).await;
    events.drained().await;
    Ok(ended?)
}

async fn cluster_id(config: &Config, clients: &Clients) -> Result<String, OperatorError> {
    if let Some(id) = &config.cluster_id {
        return Ok(id.clone());
    }
    let namespaces: Api<Namespace> = Api::all(clients.watch.clone());
    let namespace = namespaces
        .get("kube-system")
        .await
        .map_err(|error| OperatorError::NoClusterId(error.into()))?;
    Ok(namespace.uid().unwrap_or_default())
}

/// An error with its causes, in one line. A cause whose text its parent already ends with is not repeated.
pub fn report(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_every_cause_once() {
        let error = OperatorError::from(std::io::Error::other("no sockets left"));
        assert_eq!(report(&error), "the process could not be set up: no sockets left");
    }
}
