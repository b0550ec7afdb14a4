//! A process that is left running: started with a log file, watched by its id, ended by its id.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::Error;

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const TERMINATION_GRACE: Duration = Duration::from_secs(5);

/// Whether a process may outlive the one that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It is killed when its handle is dropped and when this process ends in any way, SIGKILL included.
    WithParent,
    /// It keeps running after this process; its id is in a file beside its log, `NAME.pid`, until it is stopped.
    Detached,
}

/// How a process is started. Programs get their configuration by arguments and `environment` only: stdin is empty.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Short name: the stem of the log file and of the file with the process id.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables added to the inherited environment.
    pub environment: Vec<(String, String)>,
    /// The folder of the log file `NAME.log`, which receives stdout and stderr.
    pub folder: PathBuf,
    /// Where stdout goes if not to the log.
    pub stdout: Option<PathBuf>,
    /// Whether it may outlive this process.
    pub lifetime: Lifetime,
}

impl Launch {
    /// The log file.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    /// Starts the process. With [`Lifetime::Detached`], one that an earlier call left running is taken over instead.
    pub fn start(&self) -> Result<Process, Error> {
        if self.lifetime == Lifetime::Detached
            && let Some(process) = self.running()
        {
            return Ok(process);
        }
        fs::create_dir_all(&self.folder).map_err(Error::file("create", &self.folder))?;
        let log = open_log(&self.log())?;
        let stdout = match &self.stdout {
            Some(path) => create_private(path).map_err(Error::file("create", path))?,
            None => log.try_clone().map_err(Error::file("open", &self.log()))?,
        };

        let mut command = match (self.lifetime, parent_death_wrapper()) {
            (Lifetime::WithParent, Some(setpriv)) => {
                // The wrapper executes the program in its own place, so the id stays the same.
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program);
                command
            }
            (Lifetime::WithParent | Lifetime::Detached, _) => Command::new(&self.program),
        };
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            // A group of its own: Ctrl-C in the terminal reaches only the process that decides about the others.
            .process_group(0);
        let child = spawn_from_lasting_thread(command).map_err(|source| Error::Start {
            program: self.program.display().to_string(),
            source,
        })?;

        let pid = child.id();
        if self.lifetime == Lifetime::Detached {
            let path = self.pid_file();
            fs::write(&path, format!("{pid}\n")).map_err(Error::file("write", &path))?;
        }
        Ok(Process {
            launch: self.clone(),
            pid,
            child: Mutex::new(Some(child)),
        })
    }

    /// The process that an earlier [`Lifetime::Detached`] start left running, if it still does.
    ///
    /// A process id may have been given to another program since: the command line must be the one of this launch's
    /// program and mention the folder or its parent, as all programs here do.
    pub fn running(&self) -> Option<Process> {
        let pid: u32 = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command_line = String::from_utf8_lossy(&command_line).into_owned();
        let program = command_line.split('\0').next().unwrap_or_default();
        let same_program = Path::new(program).file_name() == self.program.file_name();
        (same_program && command_line.contains(&*self.folder.to_string_lossy())).then(|| Process {
            launch: self.clone(),
            pid,
            child: Mutex::new(None),
        })
    }
}

/// A running process. Dropping the handle ends the process at once if it was started [`Lifetime::WithParent`].
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    pid: u32,
    /// None for a process that was taken over: it is not our child.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The log file.
    pub fn log(&self) -> PathBuf {
        self.launch.log()
    }

    /// Whether the process has not ended yet.
    pub fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        match child.as_mut() {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => self.launch.running().is_some_and(|process| process.pid == self.pid),
        }
    }

    /// The value that follows the flag `name` on the process's command line.
    pub(crate) fn argument(&self, name: &str) -> Option<String> {
        let command_line = fs::read(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let command_line = String::from_utf8_lossy(&command_line).into_owned();
        command_line
            .split('\0')
            .skip_while(|argument| *argument != name)
            .nth(1)
            .map(str::to_owned)
    }

    /// Ends the process with SIGKILL, as a crash would, and waits until it is gone.
    pub fn kill(&self) {
        self.end(Signal::KILL);
    }

    /// Asks the process to end (SIGTERM) and waits; after five seconds it is killed.
    pub fn stop(&self) {
        self.end(Signal::TERM);
    }

    /// Waits until `ready` says so. Fails when the process ends first or `deadline` passes.
    pub fn wait_until(&self, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<(), Error> {
        self.wait_for(deadline, || ready().then_some(()))
    }

    /// Waits until `look` returns something. Fails when the process ends first or `deadline` passes.
    pub fn wait_for<T>(&self, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T, Error> {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            if !self.is_running() {
                return Err(Error::Ended {
                    name: self.launch.name.clone(),
                    log: self.log(),
                    tail: tail_of(&self.log()),
                });
            }
            if started.elapsed() > deadline {
                return Err(Error::NotReady {
                    name: self.launch.name.clone(),
                    seconds: deadline.as_secs(),
                    log: self.log(),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(&self, signal: Signal) {
        if self.is_running() {
            // Opened while the process certainly is the one that is meant.
            let whole = self.id().and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok());
            self.signal(signal);
            let started = Instant::now();
            while self.is_running() || whole.as_ref().is_some_and(|whole| !has_ended(whole)) {
                if started.elapsed() > TERMINATION_GRACE {
                    self.signal(Signal::KILL);
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        if self.launch.lifetime == Lifetime::Detached {
            // Absent when it was stopped before, which is what is wanted.
            let _ = fs::remove_file(self.launch.pid_file());
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id() {
            // It fails only for a process that is gone, which the caller's loop sees.
            let _ = kill_process(id, signal);
        }
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

/// Whether all threads of a process have ended. Its command line is gone as soon as its first thread has, while others may
/// still hold its listening sockets, so that whoever starts its successor finds the port taken.
fn has_ended(process: &OwnedFd) -> bool {
    let mut waited = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut waited, Some(&Timespec::default())), Ok(ready) if ready > 0)
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.launch.lifetime == Lifetime::WithParent {
            self.kill();
        }
    }
}

/// The end of a log, for an error message.
fn tail_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Output that is kept in a file may hold credentials, as the emulator's ready line does.
fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn open_log(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(Error::file("open", path))
}

/// util-linux's `setpriv`, which sets the parent-death signal without a line of unsafe code here. None where it is not
/// installed: children are then ended by `Drop` only.
fn parent_death_wrapper() -> Option<&'static Path> {
    static WRAPPER: OnceLock<Option<PathBuf>> = OnceLock::new();
    WRAPPER
        .get_or_init(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .map(|folder| folder.join("setpriv"))
                .find(|file| file.is_file())
        })
        .as_deref()
}

/// Spawns from a thread that lives as long as this process does. Linux sends the parent-death signal when the *thread*
/// that spawned ends, and a test's thread ends long before the control plane that it happened to start first.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in receiver {
                // The requester waits for the answer, so the channel is open.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| io::Error::other("the spawning thread ended"))?;
    child
        .recv()
        .map_err(|_| io::Error::other("the spawning thread ended"))?
}
