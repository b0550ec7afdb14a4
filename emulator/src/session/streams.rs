//! The two output streams of a process that is ours to read.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe::Receiver;

use super::capture::{Capture, PACKET_BYTES};

/// Reads from a pipe after the process has ended, at most: what it left there is never more (16 packets), while a
/// process that it left behind may go on writing.
const MAX_DRAINED_WRITES: usize = 64;

/// The reading ends of standard output and standard error: packet-mode pipes, which keep the borders between writes.
#[derive(Debug)]
pub(super) struct Streams {
    stdout: Receiver,
    stderr: Receiver,
}

/// The writing ends, for the process.
#[derive(Debug)]
pub(super) struct StreamEnds {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// What was read of both streams.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

impl Captured {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            stdout: Capture::new(max_bytes),
            stderr: Capture::new(max_bytes),
        }
    }
}

impl Streams {
    pub(super) fn open() -> io::Result<(Self, StreamEnds)> {
        let (stdout, stdout_end) = packet_pipe()?;
        let (stderr, stderr_end) = packet_pipe()?;
        let ends = StreamEnds {
            stdout: stdout_end,
            stderr: stderr_end,
        };
        Ok((Self { stdout, stderr }, ends))
    }

    /// Reads both for as long as `until` takes, and then what is left in the pipes, without waiting for their end:
    /// processes that were left behind may keep them open.
    pub(super) async fn capture_until<T>(&self, captured: &mut Captured, until: impl Future<Output = T>) -> T {
        let outcome = {
            let pump = async {
                tokio::join!(
                    pump(&self.stdout, &mut captured.stdout),
                    pump(&self.stderr, &mut captured.stderr)
                );
                std::future::pending::<()>().await;
            };
            tokio::select! {
                outcome = until => outcome,
                () = pump => unreachable!("it pends for ever"),
            }
        };
        drain(&self.stdout, &mut captured.stdout);
        drain(&self.stderr, &mut captured.stderr);
        outcome
    }
}

fn packet_pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::DIRECT | PipeFlags::CLOEXEC)?;
    Ok((Receiver::from_owned_fd(read)?, write))
}

async fn pump(pipe: &Receiver, capture: &mut Capture) {
    let mut packet = [0; PACKET_BYTES];
    loop {
        if pipe.readable().await.is_err() {
            return;
        }
        match pipe.try_read(&mut packet) {
            Ok(0) => return,
            Ok(length) => capture.push(&packet[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn drain(pipe: &Receiver, capture: &mut Capture) {
    let mut packet = [0; PACKET_BYTES];
    for _ in 0..MAX_DRAINED_WRITES {
        match pipe.try_read(&mut packet) {
            Ok(length) if length > 0 => capture.push(&packet[..length]),
            _ => return,
        }
    }
}
