//! Where containers come from.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Gid, Uid};
use tokio::sync::{Mutex, Semaphore};
use uuid::Uuid;

use super::container::{Container, Processes};
use super::mount_free::MountFree;
use super::sandbox::Sandbox;
use super::volume_directory::{DirectoryVolume, remove_tree};
use crate::Isolation;

/// The user and group that sessions run as when the emulator itself runs as root. No account of a usual machine has it.
pub const SESSION_UID: u32 = 62_000;

/// Sessions that are opened at the same time; more would only make each of them slower.
const CONCURRENT_OPENINGS: usize = 8;

/// Which network a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The machine's (`EgressEnabled`).
    Egress,
    /// Only a loopback device of its own (`EgressDisabled`).
    Isolated,
}

/// Why there are no sessions, or not this one.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kernel does not give us namespaces.
    #[error(
        "this machine refuses the namespaces that sessions run in: {advice}; or start with `--isolation none` (kernel or tool said: {detail})"
    )]
    Refused {
        /// What to change.
        advice: String,
        /// What the kernel or a tool said.
        detail: String,
    },
    /// A program that sessions need is not installed.
    #[error("sessions need `{0}` of util-linux, which is not installed")]
    MissingTool(&'static str),
    /// A session did not come up.
    #[error("a session did not start: {0}")]
    Start(String),
    /// The directory of the sessions cannot be used, or a process cannot be made.
    #[error("cannot prepare sessions")]
    Io(#[from] io::Error),
}

/// Whom a session's files and processes belong to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(u32);

impl Owner {
    /// `None` where it is the emulator's own user: for an ordinary one, and for a root that may not become another (the
    /// root of a user namespace that has only itself, who is an ordinary user of the machine).
    fn of_this_process() -> Option<Self> {
        let maps = |file: &str| {
            let map = std::fs::read_to_string(file).unwrap_or_default();
            map.lines().any(|range| maps_id(range, SESSION_UID))
        };
        let groups = std::fs::read_to_string("/proc/self/setgroups");
        let may_change = groups.is_ok_and(|setting| setting.trim() == "allow")
            && maps("/proc/self/uid_map")
            && maps("/proc/self/gid_map");
        (rustix::process::geteuid().is_root() && may_change).then_some(Self(SESSION_UID))
    }

    pub(super) fn uid(self) -> Uid {
        Uid::from_raw(self.0)
    }

    pub(super) fn gid(self) -> Gid {
        Gid::from_raw(self.0)
    }
}

/// Opens containers below one directory, of which it is the only user.
#[derive(Debug)]
pub struct SessionHost {
    directory: PathBuf,
    owner: Option<Owner>,
    kind: Kind,
    openings: Semaphore,
}

#[derive(Debug)]
enum Kind {
    Namespaces {
        sandbox: Mutex<Arc<Sandbox>>,
        hidden: Vec<PathBuf>,
    },
    MountFree(MountFree),
}

impl SessionHost {
    /// Prepares `directory`, ends what an earlier run left there, and makes sure that sessions can be had.
    ///
    /// Sessions do not see `hidden`, nor home directories. Blocks for some ten milliseconds.
    pub fn start(isolation: Isolation, directory: &Path, hidden: &[PathBuf]) -> Result<Self, HostError> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        if isolation == Isolation::None {
            super::mount_free::sweep(&directory);
        }
        for leftover in std::fs::read_dir(&directory)? {
            remove_tree(&leftover?.path())?;
        }
        // Others may pass through but not look: a session's directory has an unguessable name.
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o711))?;
        let (owner, kind) = match isolation {
            Isolation::None => (None, Kind::MountFree(MountFree::new(&directory))),
            Isolation::Namespaces => {
                let owner = Owner::of_this_process();
                let hidden = hidden_directories(hidden);
                let sandbox = Sandbox::start(&directory, &hidden, owner)?;
                (
                    owner,
                    Kind::Namespaces {
                        sandbox: Mutex::new(Arc::new(sandbox)),
                        hidden,
                    },
                )
            }
        };
        Ok(Self {
            directory,
            owner,
            kind,
            openings: Semaphore::new(CONCURRENT_OPENINGS),
        })
    }

    /// Opens a container: fresh, empty and with nothing running in it. No two may have the same id.
    pub async fn open(&self, id: Uuid, network: Network) -> Result<Container, HostError> {
        let _turn = self.openings.acquire().await.map_err(io::Error::other)?;
        let directory = self.directory.join(id.to_string());
        let volume = self.prepare(directory.clone(), id).await?;
        let processes = match &self.kind {
            Kind::MountFree(host) => Ok(Processes::MountFree(host.open(&directory.join("data"), id))),
            Kind::Namespaces { sandbox, hidden } => {
                let sandbox = self.living(sandbox, hidden).await?;
                sandbox.open(id, network).await.map(Processes::Namespaces)
            }
        };
        match processes {
            Ok(processes) => Ok(Container::new(volume, processes, directory)),
            Err(error) => {
                remove_tree(&directory)?;
                Err(error)
            }
        }
    }

    /// The sandbox, started anew if something killed it (and with it every session).
    async fn living(&self, current: &Mutex<Arc<Sandbox>>, hidden: &[PathBuf]) -> Result<Arc<Sandbox>, HostError> {
        let mut current = current.lock().await;
        if !current.is_alive() {
            tracing::warn!("the sandbox of the sessions was killed; starting another");
            let (directory, hidden, owner) = (self.directory.clone(), hidden.to_vec(), self.owner);
            let started = tokio::task::spawn_blocking(move || Sandbox::start(&directory, &hidden, owner));
            *current = Arc::new(started.await.map_err(io::Error::other)??);
        }
        Ok(Arc::clone(&current))
    }

    async fn prepare(&self, directory: PathBuf, id: Uuid) -> Result<DirectoryVolume, HostError> {
        let owner = self.owner;
        let prepare = move || -> io::Result<DirectoryVolume> {
            use std::os::unix::fs::PermissionsExt as _;
            let data = directory.join("data");
            std::fs::create_dir_all(&data)?;
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o711))?;
            if let Some(owner) = owner {
                std::os::unix::fs::chown(&data, Some(owner.uid().as_raw()), Some(owner.gid().as_raw()))?;
            }
            std::fs::write(directory.join("fstab"), mounts(id))?;
            std::fs::set_permissions(directory.join("fstab"), std::fs::Permissions::from_mode(0o644))?;
            DirectoryVolume::open(&data, owner)
        };
        Ok(tokio::task::spawn_blocking(prepare).await.map_err(io::Error::other)??)
    }
}

/// The mounts of one session, as `scripts/session.sh` makes them: before them, `/mnt/data` is the folder of all sessions.
/// What lies in the others is in this machine's memory, which a command that prints without end would else fill.
fn mounts(id: Uuid) -> String {
    format!(
        "/mnt/data/{id}/data /mnt/data none bind 0 0\n\
         session /tmp tmpfs mode=1777,nosuid,nodev,size=512m 0 0\n\
         session /dev/shm tmpfs mode=1777,nosuid,nodev,size=64m 0 0\n"
    )
}

/// Whether a line of a `uid_map` (first id inside, first id outside, how many) has an id inside.
fn maps_id(range: &str, id: u32) -> bool {
    let mut numbers = range
        .split_ascii_whitespace()
        .filter_map(|number| number.parse::<u64>().ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(first), Some(_), Some(count)) => (first..first.saturating_add(count)).contains(&u64::from(id)),
        _ => false,
    }
}

fn hidden_directories(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut hidden: Vec<PathBuf> = ["/root", "/home"].map(PathBuf::from).to_vec();
    hidden.extend(std::env::var_os("HOME").map(PathBuf::from));
    hidden.extend(given.iter().cloned());
    let real = |path: PathBuf| path.canonicalize().ok().filter(|path| path != Path::new("/"));
    hidden.into_iter().filter_map(real).collect()
}

/// How long a process of ours may take to say that it is ready. Loaded machines are slow; a refusal comes at once.
pub(super) const START_LIMIT: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_mapped_if_its_range_holds_it() {
        assert!(maps_id("         0          0 4294967295", SESSION_UID));
        assert!(maps_id("61000 100000 1001", SESSION_UID));
        assert!(!maps_id("0 1000 1", SESSION_UID));
        assert!(!maps_id("62001 0 10", SESSION_UID));
        assert!(!maps_id("", SESSION_UID));
    }
}
