//! Namespaces: the sandbox that encloses all sessions, and one session in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::unix::pipe::Receiver;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::host::{HostError, Network, Owner, START_LIMIT};

const SANDBOX_SCRIPT: &str = include_str!("scripts/sandbox.sh");
const SESSION_SCRIPT: &str = include_str!("scripts/session.sh");
const INIT_SCRIPT: &str = include_str!("scripts/init.sh");

/// Enters the folder of the sessions, which only its descriptor reaches for sure, then the outer namespaces.
const ENTER_SANDBOX: &str = "cd /proc/self/fd/0 && exec unshare --user --map-root-user --mount --pid \
                             --fork --kill-child /bin/sh -c \"$0\" sandbox \"$@\"";

/// What our own programs (mount, unshare, nsenter, ip) are found by.
const TOOL_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin:/run/current-system/sw/bin";

const READY: &[u8] = b"ready\n";

/// The outer namespaces, in which all sessions are.
///
/// They die with the emulator: their PID 1 reads a socket of ours and ends at end of file.
#[derive(Debug)]
pub(super) struct Sandbox {
    owner: Option<Owner>,
    /// PID 1 of the outer process namespace, as the machine numbers it.
    holder: u32,
    liveness: UnixStream,
    process: Mutex<Child>,
}

impl Sandbox {
    pub(super) fn start(sessions: &Path, hidden: &[PathBuf], owner: Option<Owner>) -> Result<Self, HostError> {
        let (mut liveness, remote) = UnixStream::pair()?;
        liveness.set_read_timeout(Some(START_LIMIT))?;
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", ENTER_SANDBOX, SANDBOX_SCRIPT])
            .args(hidden)
            .env_clear()
            .env("PATH", TOOL_PATH)
            .stdin(File::open(sessions)?)
            .stdout(OwnedFd::from(remote))
            .stderr(Stdio::piped())
            // A Ctrl-C at the emulator's terminal is the emulator's to handle.
            .process_group(0);
        if let Some(owner) = owner {
            command.uid(owner.uid().as_raw()).gid(owner.gid().as_raw());
        }
        let mut process = command.spawn()?;
        // `command` holds the other end of the socket too.
        drop(command);
        let mut answer = [0; READY.len()];
        if liveness.read_exact(&mut answer).is_err() || answer != READY {
            let _ = process.kill();
            let mut said = String::new();
            if let Some(mut stderr) = process.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            let _ = process.wait();
            return Err(refusal(&said));
        }
        let holder = only_child(process.id())?;
        Ok(Self {
            owner,
            holder,
            liveness,
            process: Mutex::new(process),
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        let mut process = self.process.lock().expect("invariant: no holder of this lock panics");
        matches!(process.try_wait(), Ok(None))
    }

    /// Starts a session's namespaces in its prepared directory.
    pub(super) async fn open(&self, id: Uuid, network: Network) -> Result<SessionProcesses, HostError> {
        let (ready, ready_end) = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        let ready = Receiver::from_owned_fd(ready)?;
        let mut command = tokio::process::Command::new("nsenter");
        command
            .args([
                "--target",
                &self.holder.to_string(),
                "--user",
                "--mount",
                "--pid",
                "--preserve-credentials",
            ])
            .args([
                "unshare",
                "--mount",
                "/bin/sh",
                "-c",
                SESSION_SCRIPT,
                "session",
                &id.to_string(),
            ])
            .args([
                if network == Network::Egress {
                    "egress"
                } else {
                    "isolated"
                },
                INIT_SCRIPT,
            ])
            .env_clear()
            .env("PATH", TOOL_PATH)
            .stdin(Stdio::null())
            .stdout(ready_end)
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(owner) = self.owner {
            command.uid(owner.uid().as_raw()).gid(owner.gid().as_raw());
        }
        let spawned = tokio::task::spawn_blocking(move || command.spawn())
            .await
            .map_err(io::Error::other)?;
        let mut entry = spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => HostError::MissingTool("nsenter"),
            _ => HostError::Io(error),
        })?;
        let is_ready = tokio::time::timeout(START_LIMIT, says_ready(&ready))
            .await
            .unwrap_or(false);
        let init = match (is_ready, entry.id()) {
            (true, Some(id)) => only_child(id)
                .and_then(only_child)
                .and_then(|init| Ok((init, open_pid(init)?))),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let Ok((init, init_handle)) = init else {
            let _ = entry.kill().await;
            let said = match entry.wait_with_output().await {
                Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            return Err(HostError::Start(said));
        };
        let ended = CancellationToken::new();
        let on_end = ended.clone();
        tokio::spawn(async move {
            let _ = entry.wait().await;
            on_end.cancel();
        });
        Ok(SessionProcesses {
            owner: self.owner,
            network,
            init,
            init_handle,
            ended,
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // PID 1 reads end of file now; killing `unshare` takes it along even if it does not.
        let _ = self.liveness.shutdown(Shutdown::Both);
        let mut process = self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The processes of one session.
#[derive(Debug)]
pub(super) struct SessionProcesses {
    owner: Option<Owner>,
    network: Network,
    /// PID 1 of the session, as the machine numbers it.
    init: u32,
    init_handle: OwnedFd,
    ended: CancellationToken,
}

impl SessionProcesses {
    /// Cancelled once every process of the session is gone.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// A command that will run `program` within the session.
    pub(super) fn command(&self, program: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command.args([
            "--target",
            &self.init.to_string(),
            "--user",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
        ]);
        if self.network == Network::Isolated {
            command.arg("--net");
        }
        command
            .args(["--wdns=/mnt/data", "--preserve-credentials", "--"])
            .args(program)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/mnt/data")
            .env("LANG", "C.UTF-8");
        if let Some(owner) = self.owner {
            command.uid(owner.uid().as_raw()).gid(owner.gid().as_raw());
        }
        command
    }

    /// Kills every process of the session, however it detached itself. The kernel does it when PID 1 dies.
    pub(super) fn kill(&self) {
        // Fails only if it is dead already.
        let _ = pidfd_send_signal(&self.init_handle, Signal::KILL);
    }
}

async fn says_ready(pipe: &Receiver) -> bool {
    let mut said = Vec::new();
    let mut buffer = [0; 64];
    while !said.ends_with(READY) {
        if pipe.readable().await.is_err() {
            return false;
        }
        match pipe.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => said.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    true
}

/// The one child of a process of ours, which has just started it.
fn only_child(parent: u32) -> io::Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let first = children.split_ascii_whitespace().next().and_then(|id| id.parse().ok());
    first.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn open_pid(id: u32) -> io::Result<OwnedFd> {
    let id = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(id, PidfdFlags::empty())?)
}

/// Why there is no sandbox, and which setting of the machine would allow it.
fn refusal(said: &str) -> HostError {
    let said = said.trim();
    if said.contains("unshare: not found") {
        return HostError::MissingTool("unshare");
    }
    let lower = said.to_ascii_lowercase();
    let by_kernel = ["unshare:", "permission denied", "not permitted", "no space left"];
    if !by_kernel.iter().any(|sign| lower.contains(sign)) {
        return HostError::Start(said.to_owned());
    }
    let setting = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).map(|value| value.trim().to_owned())
    };
    let advice = if setting("kernel.unprivileged_userns_clone").is_ok_and(|value| value == "0") {
        "set `sysctl kernel.unprivileged_userns_clone=1`".to_owned()
    } else if setting("kernel.apparmor_restrict_unprivileged_userns").is_ok_and(|value| value == "1") {
        "set `sysctl kernel.apparmor_restrict_unprivileged_userns=0`".to_owned()
    } else if setting("user.max_user_namespaces").is_ok_and(|value| value == "0") {
        "set `sysctl user.max_user_namespaces=10000`".to_owned()
    } else {
        "allow unprivileged user namespaces (`kernel.unprivileged_userns_clone`, `user.max_user_namespaces`, AppArmor's \
         `kernel.apparmor_restrict_unprivileged_userns`, or the seccomp profile of the container this runs in)"
            .to_owned()
    };
    HostError::Refused {
        advice,
        detail: said.to_owned(),
    }
}

/// How long closing a session waits for its processes to be gone.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(20);
