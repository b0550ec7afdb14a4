//! Sessions without namespaces, for machines that have none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::path::DATA_ROOT;

/// Names the session in the environment of its processes, which is how they are found when it ends.
const SESSION_VARIABLE: &str = "AZURE_EMULATOR_SESSION";

/// Names the emulator's directory, by which the next run finds what this one left behind.
const HOST_VARIABLE: &str = "AZURE_EMULATOR_SESSIONS";

/// Runs sessions as plain processes.
#[derive(Debug)]
pub(super) struct MountFree {
    sessions: PathBuf,
}

impl MountFree {
    pub(super) fn new(sessions: &Path) -> Self {
        Self {
            sessions: sessions.to_owned(),
        }
    }

    pub(super) fn open(&self, data: &Path, id: Uuid) -> PlainProcesses {
        PlainProcesses {
            sessions: self.sessions.clone(),
            data: data.to_owned(),
            id,
            ended: CancellationToken::new(),
        }
    }
}

/// The processes of one session: those whose environment names it. One that clears its environment gets away.
#[derive(Debug)]
pub(super) struct PlainProcesses {
    sessions: PathBuf,
    data: PathBuf,
    id: Uuid,
    ended: CancellationToken,
}

impl PlainProcesses {
    /// Cancelled once [`Self::kill`] found no process any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// A command that will run `program`, in which `/mnt/data` stands for the session's directory.
    pub(super) fn command(&self, program: &[&str]) -> tokio::process::Command {
        let mut words = program.iter().map(|word| self.localise(word));
        let mut command = tokio::process::Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .current_dir(&self.data)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.data)
            .env("LANG", "C.UTF-8")
            .env(SESSION_VARIABLE, self.id.to_string())
            .env(HOST_VARIABLE, &self.sessions);
        command
    }

    /// A text in which the session's directory stands for `/mnt/data`.
    pub(super) fn localise(&self, text: &str) -> String {
        text.replace(DATA_ROOT, &self.data.to_string_lossy())
    }

    pub(super) fn kill(&self) {
        let marker = format!("{SESSION_VARIABLE}={}", self.id);
        let ended = self.ended.clone();
        // It looks at every process of the machine, more than once.
        std::thread::spawn(move || {
            kill_marked(&marker);
            ended.cancel();
        });
    }
}

/// Ends what an earlier run with the same directory left behind.
pub(super) fn sweep(sessions: &Path) {
    kill_marked(&format!("{HOST_VARIABLE}={}", sessions.display()));
}

/// Kills every process that has this in its environment, until there is none.
fn kill_marked(marker: &str) {
    // A process may fork between two looks, hence the repetition.
    for _ in 0..20 {
        let marked: Vec<Pid> = processes().filter(|id| has_in_environment(*id, marker)).collect();
        if marked.is_empty() {
            return;
        }
        for id in marked {
            let _ = kill_process(id, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
}

fn has_in_environment(id: Pid, marker: &str) -> bool {
    let Ok(environment) = std::fs::read(format!("/proc/{}/environ", id.as_raw_nonzero())) else {
        return false;
    };
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == marker.as_bytes())
}
