//! The signals that end the process.

use std::io;

use futures::Stream;
use tokio::signal::unix::{SignalKind, signal};

/// SIGTERM and SIGINT, as a stream that yields once for each. Install it once in a process, before anything else runs:
/// from then on neither signal ends the process by itself.
pub fn signals() -> io::Result<impl Stream<Item = &'static str> + Send> {
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    Ok(futures::stream::unfold(
        (terminate, interrupt),
        |(mut terminate, mut interrupt)| async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            Some((name, (terminate, interrupt)))
        },
    ))
}
