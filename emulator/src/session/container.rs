//! What a session runs in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::capture::StreamRules;
use super::execution::{Command, ExecuteError, Execution, run};
use super::kernel::{Code, CodeExecution, KernelError, Kernels};
use super::mount_free::PlainProcesses;
use super::sandbox::{CLOSE_LIMIT, SessionProcesses};
use super::service::{Connection, Service, ServiceFailure, ServiceSlot};
use super::volume::Volume;
use super::volume_directory::{DirectoryVolume, remove_tree};

/// Why a container could not be closed cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its processes did not end in time.
    #[error("processes of a session did not end")]
    StillRunning,
    /// Its files could not be removed.
    #[error("cannot remove the files of a session")]
    Files(#[from] std::io::Error),
}

/// A container: processes and files that live until it is closed.
///
/// Dropping it without closing ends its processes; the files stay until the next start of the host.
#[derive(Debug)]
pub struct Container {
    volume: Volume,
    processes: Processes,
    kernels: Kernels,
    service: ServiceSlot,
    directory: PathBuf,
    /// Set before anything is killed, so that a command that is killed with its container knows why.
    closing: AtomicBool,
}

#[derive(Debug)]
pub(super) enum Processes {
    Namespaces(SessionProcesses),
    MountFree(PlainProcesses),
}

impl Container {
    pub(super) fn new(volume: DirectoryVolume, processes: Processes, directory: PathBuf) -> Self {
        Self {
            volume: Volume::Directory(Arc::new(volume)),
            processes,
            kernels: Kernels::default(),
            service: ServiceSlot::default(),
            directory,
            closing: AtomicBool::new(false),
        }
    }

    /// The files below `/mnt/data`.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Whether it has ended, by [`Self::close`] or because something killed it.
    pub fn has_ended(&self) -> bool {
        self.closing.load(Ordering::SeqCst) || self.processes.ended().is_cancelled()
    }

    /// Runs a command, with a clear environment and no standard input, in a process group of its own.
    ///
    /// Any number may run at the same time. Processes that the command leaves behind live on until the container ends.
    /// At `limit` the command is killed with its process group.
    pub async fn execute(
        &self,
        command: &Command,
        rules: StreamRules,
        limit: Option<Duration>,
    ) -> Result<Execution, ExecuteError> {
        let program = match command {
            Command::Shell(text) => vec![shell(), "-c", text],
            Command::Arguments(arguments) => arguments.iter().map(String::as_str).collect(),
        };
        if program.first().is_none_or(|name| name.is_empty()) || program.iter().any(|word| word.contains('\0')) {
            return Err(ExecuteError::InvalidCommand);
        }
        if self.has_ended() {
            return Err(ExecuteError::SessionEnded);
        }
        let execution = run(self.processes.command(&program), rules, limit).await?;
        if self.has_ended() {
            Err(ExecuteError::SessionEnded)
        } else {
            Ok(execution)
        }
    }

    /// Runs code in one of the session's kernels, which keeps what the code defined.
    ///
    /// The limit of the code counts from the moment at which the kernel has done with what came before.
    pub async fn run_code(&self, code: &Code) -> Result<CodeExecution, KernelError> {
        if self.has_ended() {
            return Err(KernelError::SessionEnded);
        }
        let code = Code {
            text: self.processes.localise(&code.text),
            ..code.clone()
        };
        let execution = self.kernels.run(&code, |program| self.processes.command(program)).await;
        if self.has_ended() {
            return Err(KernelError::SessionEnded);
        }
        execution
    }

    /// Connects to the program that serves a port of the session, which is started if it does not run.
    pub async fn connect(&self, service: &Service) -> Result<Connection, ServiceFailure> {
        if self.has_ended() {
            return Err(ServiceFailure::SessionEnded);
        }
        let connected = self
            .service
            .connect(service, |program| self.processes.command(program))
            .await;
        if self.has_ended() {
            return Err(ServiceFailure::SessionEnded);
        }
        connected
    }

    /// Whether the program that serves its port was started and has ended since.
    pub fn service_has_ended(&self) -> bool {
        self.service.has_ended()
    }

    fn kill(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.processes.kill();
    }

    /// Kills every process of the container, waits until they are gone and removes its files.
    pub async fn close(&self) -> Result<(), ContainerError> {
        self.kill();
        let gone = tokio::time::timeout(CLOSE_LIMIT, self.processes.ended().cancelled()).await;
        gone.map_err(|_| ContainerError::StillRunning)?;
        let directory = self.directory.clone();
        let removed = tokio::task::spawn_blocking(move || remove_tree(&directory)).await;
        Ok(removed.map_err(std::io::Error::other)??)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
    }
}

impl Processes {
    /// A process that will run `program` in the session.
    fn command(&self, program: &[&str]) -> tokio::process::Command {
        match self {
            Self::Namespaces(processes) => processes.command(program),
            Self::MountFree(processes) => processes.command(program),
        }
    }

    /// A text that names files, as it is understood in the session.
    fn localise(&self, text: &str) -> String {
        match self {
            Self::Namespaces(_) => text.to_owned(),
            Self::MountFree(processes) => processes.localise(text),
        }
    }

    fn ended(&self) -> &CancellationToken {
        match self {
            Self::Namespaces(processes) => processes.ended(),
            Self::MountFree(processes) => processes.ended(),
        }
    }

    fn kill(&self) {
        match self {
            Self::Namespaces(processes) => processes.kill(),
            Self::MountFree(processes) => processes.kill(),
        }
    }
}

fn shell() -> &'static str {
    static SHELL: OnceLock<&str> = OnceLock::new();
    SHELL.get_or_init(|| {
        if Path::new("/bin/bash").exists() {
            "/bin/bash"
        } else {
            "/bin/sh"
        }
    })
}
