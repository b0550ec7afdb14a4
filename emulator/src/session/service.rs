//! A program that serves a port of its session, in the place of a container's image.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, Join};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{Mutex, watch};

use super::execution::{kill_group, spawn};
use super::host::START_LIMIT;
use super::streams::{Captured, Streams};

/// Joins its standard input and output to a port of the session, whose network only its own processes reach. It says so by
/// one byte, once it is connected. It ends with the connection: what starts a process in a session keeps its output open
/// for as long as the process lives.
const CONNECT: &str = r#"exec 3<>"/dev/tcp/127.0.0.1/$0" || exit 1; printf +; { cat <&3; kill $$; } & exec cat >&3"#;

/// The only shell that knows `/dev/tcp`.
const BASH: &str = "/bin/bash";

/// How soon a program that does not listen yet is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Bytes of each stream of the program that are kept, to tell why it ended.
const KEPT_BYTES: usize = 2048;

/// What is run, and which port it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The program, found by PATH, and its arguments.
    pub program: Vec<String>,
    /// Its environment, besides the session's own.
    pub environment: Vec<(String, String)>,
    /// The port on which it listens.
    pub port: u16,
}

/// Why there is no connection to a service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceFailure {
    /// The program ended before it listened.
    #[error("the program ended before it listened on port {port}: {said}")]
    Ended {
        /// The port.
        port: u16,
        /// How it ended, and what it printed.
        said: String,
    },
    /// It did not listen in time.
    #[error("the program does not listen on port {0}")]
    NotListening(u16),
    /// The machine has no bash.
    #[error("connections to a port of a session need {BASH}")]
    NoBash,
    /// The session ended.
    #[error("the session ended")]
    SessionEnded,
    /// A process could not be made.
    #[error("cannot run a process")]
    Io(#[from] std::io::Error),
}

/// A connection to a port of a session. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    /// What goes over it.
    pub stream: Join<ChildStdout, ChildStdin>,
    /// What holds it open.
    pub guard: ConnectionGuard,
}

/// The process that holds a connection open.
#[derive(Debug)]
pub struct ConnectionGuard(Child);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        kill_group(&self.0);
    }
}

/// The service of one session: started by the first connection, and again by the next one after its end.
#[derive(Debug, Default)]
pub(super) struct ServiceSlot(Mutex<Option<Running>>);

/// A started program; what it says of its end.
#[derive(Debug)]
struct Running(watch::Receiver<Option<String>>);

impl ServiceSlot {
    /// Connects to the service, as soon as it listens; `command` makes a process in the session that runs a program.
    pub(super) async fn connect(
        &self,
        service: &Service,
        command: impl Fn(&[&str]) -> tokio::process::Command,
    ) -> Result<Connection, ServiceFailure> {
        if !Path::new(BASH).exists() {
            return Err(ServiceFailure::NoBash);
        }
        loop {
            let (ended, is_new) = self.start(service, &command).await?;
            let connected = tokio::time::timeout(START_LIMIT, connect_or_end(service.port, ended, &command));
            match connected.await {
                // It ended before this call came to it, so that the call has another one.
                Ok(Err(ServiceFailure::Ended { .. })) if !is_new => {}
                Ok(outcome) => return outcome,
                Err(_) => return Err(ServiceFailure::NotListening(service.port)),
            }
        }
    }

    /// Whether it was started and has ended since.
    pub(super) fn has_ended(&self) -> bool {
        // Locked only while it is being started.
        let running = self.0.try_lock();
        running.is_ok_and(|running| running.as_ref().is_some_and(|running| running.0.borrow().is_some()))
    }

    /// Starts the program, unless it runs. The second part says whether it did.
    async fn start(
        &self,
        service: &Service,
        command: impl Fn(&[&str]) -> tokio::process::Command,
    ) -> Result<(watch::Receiver<Option<String>>, bool), ServiceFailure> {
        let mut slot = self.0.lock().await;
        if let Some(Running(ended)) = slot.as_ref().filter(|running| running.0.borrow().is_none()) {
            return Ok((ended.clone(), false));
        }
        let words: Vec<&str> = service.program.iter().map(String::as_str).collect();
        let (streams, ends) = Streams::open()?;
        let mut process = command(&words);
        process
            .envs(service.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(ends.stdout)
            .stderr(ends.stderr)
            .process_group(0)
            .kill_on_drop(true);
        let mut child = spawn(process).await.map_err(std::io::Error::other)?;
        let (tell, ended) = watch::channel(None);
        tokio::spawn(async move {
            let mut captured = Captured::new(KEPT_BYTES);
            let status = streams.capture_until(&mut captured, child.wait()).await;
            let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let stdout = captured.stdout.finish(false);
            let stderr = captured.stderr.finish(false);
            let printed = [stdout, stderr].concat();
            tell.send_replace(Some(format!("{how}\n{}", String::from_utf8_lossy(&printed))));
        });
        *slot = Some(Running(ended.clone()));
        Ok((ended, true))
    }
}

/// Connects as soon as somebody listens, or fails with the end of the program.
async fn connect_or_end(
    port: u16,
    mut ended: watch::Receiver<Option<String>>,
    command: impl Fn(&[&str]) -> tokio::process::Command,
) -> Result<Connection, ServiceFailure> {
    let number = port.to_string();
    loop {
        if let Some(connection) = connect(command(&[BASH, "-c", CONNECT, &number])).await? {
            return Ok(connection);
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            said = ended.wait_for(Option::is_some) => {
                let said = said.ok().and_then(|said| said.clone()).unwrap_or_default();
                return Err(ServiceFailure::Ended { port, said });
            }
        }
    }
}

/// A connection; none if nothing listens.
async fn connect(mut process: tokio::process::Command) -> Result<Option<Connection>, ServiceFailure> {
    process
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = spawn(process).await.map_err(std::io::Error::other)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let guard = ConnectionGuard(child);
    let (Some(stdin), Some(mut stdout)) = (stdin, stdout) else {
        return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
    };
    let mut sign = [0];
    if stdout.read_exact(&mut sign).await.is_err() {
        return Ok(None);
    }
    let stream = tokio::io::join(stdout, stdin);
    Ok(Some(Connection { stream, guard }))
}
