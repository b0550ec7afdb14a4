//! A stand-in for a session: directories, and shells that run calls in them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::super::*;
use super::container::Container;

/// What runs the text of a call, and `/bin/sh` within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shell {
    Dash,
    Bash,
    Busybox,
}

impl Shell {
    /// Those that this machine has; dash or bash is the least.
    pub(super) fn installed() -> Vec<Self> {
        let all = [Self::Dash, Self::Bash, Self::Busybox];
        let found: Vec<_> = all.into_iter().filter(|shell| shell.program().is_some()).collect();
        assert!(!found.is_empty(), "no shell to test with");
        found
    }

    pub(super) fn program(self) -> Option<PathBuf> {
        which(match self {
            Self::Dash => "dash",
            Self::Bash => "bash",
            Self::Busybox => "busybox",
        })
    }
}

pub(super) fn which(name: &str) -> Option<PathBuf> {
    let directories = ["/usr/local/bin", "/usr/bin", "/bin"];
    directories.iter().map(|d| Path::new(d).join(name)).find(|p| p.exists())
}

/// The tools that the texts use.
const TOOLS: &[&str] = &[
    "flock",
    "setsid",
    "sha256sum",
    "base64",
    "mkdir",
    "chmod",
    "ln",
    "mv",
    "rm",
    "wc",
    "head",
    "tail",
    "sleep",
    "true",
    "grep",
    "date",
    "od",
    "tr",
    "env",
    "cat",
    "ls",
    "printf",
    "seq",
    "pwd",
    "find",
    "mkfifo",
    "fallocate",
    "sort",
    "timeout",
];

/// One session. Whatever an attempt of it still runs is killed when it is dropped.
pub(super) struct Session {
    pub(super) machine: TempDir,
    /// What `/mnt/data` is.
    pub(super) root: PathBuf,
    pub(super) attempt: AttemptFiles,
    shell: Shell,
    pub(super) path: String,
    pub(super) home: String,
    disk: Option<&'static str>,
    pub(super) container: Option<Container>,
}

impl Session {
    pub(super) fn new(shell: Shell) -> Self {
        Self::without(shell, &[])
    }

    /// Each call, with what it starts, finds an empty disk of this size where the runner keeps its files.
    pub(super) fn on_disk_of(mut self, size: &'static str) -> Self {
        self.disk = Some(size);
        self
    }

    /// A session that lacks some tools.
    pub(super) fn without(shell: Shell, lacking: &[&str]) -> Self {
        let machine = tempfile::Builder::new()
            .prefix("runner")
            .tempdir()
            .expect("a temporary directory");
        let directory = |name: &str| {
            let path = machine.path().join(name);
            fs::create_dir(&path).expect("a directory");
            path
        };
        let [root, bin, first, second] = ["data", "bin", "first", "second"].map(directory);
        let program = shell.program().expect("an installed shell");
        symlink(&program, bin.join("sh")).expect("sh");
        for tool in TOOLS.iter().filter(|tool| !lacking.contains(tool)) {
            let target = if shell == Shell::Busybox && *tool != "flock" {
                Some(program.clone())
            } else {
                which(tool)
            };
            if shell == Shell::Busybox && *tool == "flock" {
                continue;
            }
            symlink(target.expect("a tool"), bin.join(tool)).expect("a link");
        }
        let path = if shell == Shell::Busybox || !lacking.is_empty() {
            bin.to_str().expect("a path").to_owned()
        } else {
            "/usr/local/bin:/usr/bin:/bin".to_owned()
        };
        let [data, first, second] = [&root, &first, &second].map(|it| it.to_str().expect("a path"));
        let id = AttemptId::new(fresh("attempt")).expect("an id");
        let attempt = AttemptFiles::below(data, &[first, second], &[], id);
        Self {
            machine,
            root,
            attempt,
            shell,
            path,
            home: "/".to_owned(),
            disk: None,
            container: None,
        }
    }

    /// Places the files of the attempt.
    pub(super) fn upload(&self, work: &Work) {
        for upload in work.uploads(&self.attempt).expect("work") {
            self.place(&upload);
        }
    }

    pub(super) fn place(&self, upload: &Upload) {
        fs::write(self.root.join(&upload.name), &upload.content).expect("an upload");
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file that no command reaches without knowing where.
    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.machine.path().join(name)
    }

    /// A file of the runner's, in the first place that it can write to.
    pub(super) fn inner(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.attempt.places()[0]).join(name)
    }

    /// A file that is put below the files API.
    pub(super) fn published(&self, name: &str) -> PathBuf {
        self.root.join(self.attempt.directory()).join(name)
    }

    pub(super) fn start<'a>(&'a self, work: &'a Work) -> Call<'a> {
        self.call(Action::Start {
            work,
            start_by: now() + 120,
        })
    }

    pub(super) fn look(&self) -> Call<'_> {
        self.call(Action::Observe)
    }

    pub(super) fn call<'a>(&'a self, action: Action<'a>) -> Call<'a> {
        Call {
            attempt: &self.attempt,
            nonce: Nonce::new(fresh("n")).expect("a nonce"),
            window_seconds: 20,
            linger_milliseconds: 0,
            streams: Streams::Fitting,
            earlier: None,
            cleaning: None,
            action,
        }
    }

    /// Starts what runs for longer than a call waits.
    pub(super) fn begin(&self, work: &Work) -> Report {
        let mut call = self.start(work);
        call.window_seconds = 1;
        // A busy machine may not come so far within a second.
        let mut looks = (0..20)
            .map(|_| self.run(&call))
            .skip_while(|look| look.state == ReportedState::Registered);
        let look = looks.next().expect("a start");
        assert!(matches!(look.state, ReportedState::Running { .. }), "{look:?}");
        look
    }

    /// Executes a call and reads its answer.
    pub(super) fn run(&self, call: &Call<'_>) -> Report {
        self.try_run(call).expect("a frame")
    }

    pub(super) fn try_run(&self, call: &Call<'_>) -> Result<Report, FrameError> {
        let output = self.spawn(call, "").wait_with_output().expect("an answer");
        assert!(
            output.stdout.len() <= 4096 && output.stderr.len() <= 4096,
            "streams of a call fit"
        );
        call.parse(&output.stdout, &output.stderr)
    }

    /// Executes a call that is killed at the marked place.
    pub(super) fn run_killed_at(&self, call: &Call<'_>, place: &str) -> Result<Report, FrameError> {
        let output = self.spawn(call, place).wait_with_output().expect("an answer");
        call.parse(&output.stdout, &output.stderr)
    }

    /// Begins a call in a process group of its own.
    pub(super) fn spawn(&self, call: &Call<'_>, killed_at: &str) -> Child {
        self.launch(call, killed_at, Stdio::piped(), &str::to_owned)
    }

    /// Begins a call whose standard output goes elsewhere.
    pub(super) fn spawn_to(&self, call: &Call<'_>, stdout: Stdio) -> Child {
        self.launch(call, "", stdout, &str::to_owned)
    }

    /// Begins a call whose text was changed.
    pub(super) fn spawn_changed(&self, call: &Call<'_>, change: &dyn Fn(&str) -> String) -> Child {
        self.launch(call, "", Stdio::piped(), change)
    }

    fn launch(&self, call: &Call<'_>, killed_at: &str, stdout: Stdio, change: &dyn Fn(&str) -> String) -> Child {
        let marker = format!("# at: {killed_at}");
        let text = call.render_with(&|template| {
            let line = |line: &str| match line.trim() {
                trimmed if trimmed == marker => "kill -9 $$\n".to_owned(),
                trimmed if trimmed.is_empty() || trimmed.starts_with('#') => String::new(),
                trimmed => trimmed.replace("/bin/sh", self.outside("bin/sh").to_str().expect("a path")) + "\n",
            };
            template.lines().map(line).collect()
        });
        let text = change(&text);
        assert!(
            killed_at.is_empty() || text.contains("kill -9 $$"),
            "{killed_at} is a place"
        );
        // Who runs the tests may ignore signals (nohup does), which a shell cannot undo and a session does not do.
        let mut command = self.command();
        command
            .arg("--default-signal")
            .arg(self.shell.program().expect("a shell"));
        if self.shell == Shell::Busybox {
            command.arg("sh");
        }
        command
            .args(["-c", &text])
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            // A command may have removed it.
            .current_dir([&*self.root, self.machine.path()][usize::from(!self.root.exists())])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell")
    }

    fn command(&self) -> Command {
        if let Some(container) = &self.container {
            return container.enter(&self.root);
        }
        let Some(size) = self.disk else {
            return Command::new("/usr/bin/env");
        };
        let mount = format!("/usr/bin/mount -t tmpfs -o size={size} disk \"$0\" && exec \"$@\"");
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--user", "--map-root-user", "--mount", "/bin/sh", "-c", &mount]);
        command.arg(self.outside("first")).arg("/usr/bin/env");
        command
    }

    /// Processes of the attempt, by what they were started with or by its mark.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mark = format!("LG_ID={}", self.attempt.id().as_str());
        let runner = format!("LG_RUN={}", self.attempt.id().as_str());
        let place = self.published("");
        let place = place.to_str().expect("a path").trim_end_matches('/');
        let has = |file: PathBuf, text: &str| {
            fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        };
        let pids = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| {
            let process = Path::new("/proc").join(pid.to_string());
            has(process.join("environ"), &mark)
                || has(process.join("environ"), &runner)
                || has(process.join("cmdline"), place)
        })
        .collect()
    }

    /// Waits until nothing of the attempt runs any more.
    pub(super) fn comes_to_rest(&self) -> bool {
        (0..200).any(|_| {
            let rest = self.processes().is_empty();
            if !rest {
                std::thread::sleep(Duration::from_millis(20));
            }
            rest
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for pid in self.processes() {
            signal("KILL", &pid.to_string());
        }
    }
}

/// Sends a signal to a process, or to a group where `target` begins with `-`.
pub(super) fn signal(name: &str, target: &str) {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, "--", target]).stderr(Stdio::null());
    kill.status().expect("kill");
}

pub(super) fn fresh(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{:010}{n:08}", std::process::id())
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

pub(super) fn shell(script: &str) -> Work {
    work(Program::Shell(script.to_owned()))
}

pub(super) fn command(words: &[&str]) -> Work {
    work(Program::Command(words.iter().map(|word| (*word).to_owned()).collect()))
}

pub(super) fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: value.as_bytes().to_vec().into(),
    }
}

fn work(program: Program) -> Work {
    Work {
        program,
        env: None,
        stdin: None,
        timeout_seconds: None,
        grace_seconds: 1,
    }
}

pub(super) fn exit_code(look: &Report) -> Option<u8> {
    match look.state {
        ReportedState::Ended { exit_code, .. } => Some(exit_code),
        _ => None,
    }
}

/// The bytes of a stream that came whole.
pub(super) fn bytes(stream: &Stream) -> Vec<u8> {
    match &stream.payload {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::Absent if stream.length == 0 => Vec::new(),
        other => panic!("no bytes of {}: {other:?}", stream.length),
    }
}
