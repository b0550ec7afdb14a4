//! Namespaces in which a session can be whatever a command makes of it.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::*;
use super::session::{Session, fresh, signal};

/// Namespaces of its own, so that a call can kill whatever it finds, and a command change what it must not. The first process reaps
/// the others.
pub(super) struct Container {
    holder: Child,
    /// Of its first process, as this machine sees it.
    pid: String,
}

impl Container {
    /// Prepared by `setup`, with these arguments.
    pub(super) fn new(setup: &str, arguments: &[&Path]) -> Self {
        let mut holder = Command::new("/usr/bin/unshare");
        holder
            .args([
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--ipc",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args([
                "/bin/sh",
                "-ec",
                &format!("{setup}\nsleep 100000 &\nsleep 0.1\necho ready\nwait"),
            ])
            .args(arguments);
        let mut holder = holder
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("namespaces");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(holder.stdout.take().expect("a pipe"));
        std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
        assert_eq!(line, "ready\n", "the namespaces are prepared");
        let outer = holder.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).expect("its children");
        let pid = children.trim().to_owned();
        let processes_of = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid")).expect("namespaces");
        assert_ne!(
            processes_of(&pid),
            processes_of("self"),
            "calls kill all that they find"
        );
        Self { holder, pid }
    }

    /// What runs a program in it, in this directory.
    pub(super) fn enter(&self, directory: &Path) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        command
            .args([
                "--user",
                "--mount",
                "--pid",
                "--ipc",
                "--preserve-credentials",
                "--target",
                &self.pid,
            ])
            .args(["/usr/bin/env", "--chdir"])
            .arg(directory);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        signal("KILL", &self.pid);
        self.holder.kill().expect("it is a child");
        self.holder.wait().expect("an end");
    }
}

impl Session {
    /// In namespaces of its own, where `/etc` and the directory `system` can be changed, and every place for the runner's files is a
    /// disk of 8 MiB. The home directory is `home`.
    pub(super) fn contained(mut self) -> Self {
        let machine = self.machine.path().to_owned();
        let directory = |name: &str| {
            let path = machine.join(name);
            fs::create_dir(&path).expect("a directory");
            path
        };
        let [home, system, upper] = ["home", "system", "upper"].map(directory);
        fs::write(home.join(".profile"), "# theirs\n").expect("a file");
        fs::write(system.join("shared"), "as it was\n").expect("a file");
        let setup = "mount -t tmpfs -o size=8m disk \"$0\"\nmount -t tmpfs -o size=8m disk \"$1\"\n\
                     mount -t tmpfs upper \"$2\"\nmkdir \"$2/u\" \"$2/w\"\n\
                     mount -t overlay -o lowerdir=/etc,upperdir=\"$2/u\",workdir=\"$2/w\" etc /etc";
        let [first, second] = ["first", "second"].map(|it| machine.join(it));
        self.container = Some(Container::new(setup, &[&first, &second, &upper]));
        let text = |path: &Path| path.to_str().expect("a path").to_owned();
        let unchanged = [text(&system), "/etc".to_owned()];
        self.home = text(&home);
        self.path = format!("{}:{}", text(&directory("tools")), self.path);
        self.attempt = self.files(&unchanged);
        self
    }

    /// Another attempt in the same session.
    pub(super) fn next_attempt(&mut self) -> AttemptFiles {
        let unchanged = self.attempt.unchanged().to_vec();
        let next = self.files(&unchanged);
        std::mem::replace(&mut self.attempt, next)
    }

    fn files(&self, unchanged: &[String]) -> AttemptFiles {
        let [data, first, second] = [self.root.clone(), self.outside("first"), self.outside("second")];
        let [data, first, second] = [&data, &first, &second].map(|it| it.to_str().expect("a path"));
        let unchanged: Vec<_> = unchanged.iter().map(String::as_str).collect();
        let id = AttemptId::new(fresh("attempt")).expect("an id");
        AttemptFiles::below(data, &[first, second], &unchanged, id)
    }

    /// What a shell prints that is in the session, but none of its calls.
    pub(super) fn inside(&self, text: &str) -> String {
        let container = self.container.as_ref().expect("a session in namespaces of its own");
        let mut command = container.enter(&self.root);
        command
            .args(["/bin/sh", "-c", text])
            .env("PATH", &self.path)
            .env("HOME", &self.home);
        let output = command.output().expect("a shell");
        String::from_utf8(output.stdout).expect("text")
    }
}
