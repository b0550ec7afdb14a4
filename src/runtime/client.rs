//! Connections to the API server.

use std::time::Duration;

use kube::{Client, Config, client::ClientBuilder};
use tower::timeout::TimeoutLayer;

/// How long the response to a read or write may take to begin.
const WRITE_HEADERS_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the response to a list or watch may take to begin; a list is computed before its first byte.
const WATCH_HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may be silent after a request before it counts as dead. kube has no limit by default, so that a
/// connection that a firewall forgot would be used for minutes.
const WRITE_SILENCE: Duration = Duration::from_mins(1);
/// As above, for watches: longer than the 295 s after which kube-runtime gives up a silent watch by itself.
const WATCH_SILENCE: Duration = Duration::from_secs(310);

/// Two clients for the same API server, so that slow lists and hundreds of watches never delay a write.
#[derive(Clone)]
pub struct Clients {
    /// For watches and their lists. Transient answers are retried inside.
    pub watch: Client,
    /// For everything that a pass does. Nothing is retried inside: the pass decides, and its slot is free meanwhile.
    pub write: Client,
}

impl Clients {
    /// Creates the clients without connecting. The rustls provider of the process must be installed before.
    pub fn new(config: Config) -> Result<Self, kube::Error> {
        let mut watch = config;
        watch.read_timeout = Some(WATCH_SILENCE);
        watch.reset_reader_on_write = true;
        let mut write = watch.clone();
        write.read_timeout = Some(WRITE_SILENCE);
        write.default_retry = false;
        Ok(Self {
            watch: build(watch, WATCH_HEADERS_TIMEOUT)?,
            write: build(write, WRITE_HEADERS_TIMEOUT)?,
        })
    }

    /// Finds the API server as kubectl does (`KUBECONFIG`, `~/.kube/config`), else as a pod does.
    pub async fn infer() -> Result<Self, kube::Error> {
        Self::new(Config::infer().await.map_err(kube::Error::InferConfig)?)
    }
}

/// The timeout is on the head of the answer only: a limit on the body would end every watch.
fn build(config: Config, headers_timeout: Duration) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&TimeoutLayer::new(headers_timeout))
        .build())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use axum::{Router, http::StatusCode};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use tokio::net::TcpListener;

    use super::*;
    use crate::runtime::{ApiError, Class, Classify};

    async fn listening() -> (TcpListener, Config) {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        (listener, Config::new(root.parse().unwrap()))
    }

    async fn failure(client: Client) -> ApiError {
        Api::<ConfigMap>::default_namespaced(client)
            .get("any")
            .await
            .unwrap_err()
            .into()
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_given_up() {
        let (listener, config) = listening().await;
        let silent = tokio::spawn(async move {
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.push(connection);
            }
        });
        let client = build(config, Duration::from_millis(50)).unwrap();
        assert_eq!(failure(client).await.class(), Class::Transient);
        silent.abort();
    }

    #[tokio::test]
    async fn what_a_pass_does_is_not_repeated_behind_its_back() {
        let (listener, config) = listening().await;
        let requests = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&requests);
        let router = Router::new().fallback(move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
            (StatusCode::SERVICE_UNAVAILABLE, [("Retry-After", "0")])
        });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        assert_eq!(
            failure(Clients::new(config).unwrap().write).await.class(),
            Class::Transient
        );
        assert_eq!(requests.load(Ordering::Relaxed), 1);
        server.abort();
    }
}
