//! The TLS port and the ports of hosts: connections, and what every request on them passes through.

mod connection;
mod dispatch;

use std::sync::Arc;

pub use connection::ConnectionControl;
use dispatch::Door;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::AppState;

/// Serves the TLS port until `shutdown`; connections end with it.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, state: AppState, shutdown: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    accept(listener, shutdown, |stream| {
        serve_tls(stream, acceptor.clone(), state.clone())
    })
    .await;
}

/// Serves the identity endpoints of a host, in plain HTTP as platforms do, until `shutdown`.
pub async fn serve_host(listener: TcpListener, host: Arc<str>, state: AppState, shutdown: CancellationToken) {
    accept(listener, shutdown, |stream| {
        let control = ConnectionControl::default();
        let stream = connection::ControlledStream::new(stream, control.clone());
        serve_connection(stream, control, state.clone(), Door::Host(host.clone()))
    })
    .await;
}

/// Accepts connections until `shutdown` and waits for them to end with it.
async fn accept<Served>(listener: TcpListener, shutdown: CancellationToken, mut serve: impl FnMut(TcpStream) -> Served)
where
    Served: Future<Output = ()> + Send + 'static,
{
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
        let (shutdown, served) = (shutdown.clone(), serve(stream));
        connections.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = served => {}
            }
        });
    }
    connections.close();
    connections.wait().await;
}

async fn serve_tls(stream: TcpStream, acceptor: TlsAcceptor, state: AppState) {
    let control = ConnectionControl::default();
    let stream = connection::ControlledStream::new(stream, control.clone());
    match acceptor.accept(stream).await {
        Ok(stream) => serve_connection(stream, control, state, Door::Azure).await,
        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
    }
}

async fn serve_connection<Stream>(stream: Stream, control: ConnectionControl, state: AppState, door: Door)
where
    Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let (state, control, door) = (state.clone(), control.clone(), door.clone());
        async move { Ok::<_, std::convert::Infallible>(dispatch::answer(state, control, door, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended early");
    }
}
