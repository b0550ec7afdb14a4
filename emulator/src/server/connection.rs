//! A TCP stream that a fault can cut.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const OPEN: u8 = 0;
const CLOSE: u8 = 1;
const RESET: u8 = 2;

/// Decides how a connection ends, from within the request that it carries.
#[derive(Debug, Clone, Default)]
pub struct ConnectionControl(Arc<AtomicU8>);

impl ConnectionControl {
    /// Nothing more is sent; the connection closes (FIN).
    pub fn close(&self) {
        self.0.store(CLOSE, Ordering::SeqCst);
    }

    /// Nothing more is sent; the connection is reset (RST).
    pub fn reset(&self) {
        self.0.store(RESET, Ordering::SeqCst);
    }
}

/// The stream below TLS: its writes fail once the connection is to end, whereupon everything above lets go of it.
pub(super) struct ControlledStream {
    stream: TcpStream,
    control: ConnectionControl,
}

impl ControlledStream {
    pub(super) fn new(stream: TcpStream, control: ConnectionControl) -> Self {
        Self { stream, control }
    }

    fn check(&self) -> io::Result<()> {
        match self.control.0.load(Ordering::SeqCst) {
            OPEN => Ok(()),
            CLOSE => Err(io::ErrorKind::BrokenPipe.into()),
            _ => {
                // With no time to linger, close() discards what is queued and sends RST.
                self.stream.set_zero_linger()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

impl AsyncRead for ControlledStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ControlledStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
