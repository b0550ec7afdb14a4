//! The TLS port: connections, and what every request on it passes through.

mod connection;
mod dispatch;

use std::sync::Arc;

pub use connection::ConnectionControl;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::AppState;

/// Serves the port until `shutdown`; connections end with it.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, state: AppState, shutdown: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone before it was accepted.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, state, shutdown) = (acceptor.clone(), state.clone(), shutdown.clone());
        connections.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = serve_connection(stream, acceptor, state) => {}
            }
        });
    }
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: tokio::net::TcpStream, acceptor: TlsAcceptor, state: AppState) {
    let control = ConnectionControl::default();
    let stream = connection::ControlledStream::new(stream, control.clone());
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            return;
        }
    };
    let service = hyper::service::service_fn(move |request| {
        let (state, control) = (state.clone(), control.clone());
        async move { Ok::<_, std::convert::Infallible>(dispatch::answer(state, control, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended early");
    }
}
