//! `make demo`, `make up` and `make down` do what the documentation says, started as a user starts them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeguard_local::{Tools, beside};

/// `lifeguard-local` in this repository. It needs the emulator and the operator beside it, which `make test` builds.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(beside(Path::new(env!("CARGO_BIN_EXE_lifeguard")), "lifeguard-local"));
    command
        .args(arguments)
        .arg("--folder")
        .arg(folder)
        .args(["--repository", env!("CARGO_MANIFEST_DIR")])
        .env_remove("CLUSTER");
    command
}

fn local(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("lifeguard-local is built")
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with the tools that `hack/demo` builds, and no others.
fn tools_of_the_demo() -> tempfile::TempDir {
    let script = fs::read_to_string(repository("hack/demo")).expect("hack/demo");
    let names = script
        .lines()
        .find_map(|line| line.strip_prefix("tools=(")?.strip_suffix(')'))
        .expect("hack/demo lists its tools");
    let all = Tools::locate().expect("the tools are built");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in names.split_whitespace() {
        symlink(all.program(name), folder.path().join(name)).expect("a link");
    }
    folder
}

fn succeeded(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{stdout}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Stops what `up` left running even when the test fails.
struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn pid(&self, name: &str) -> String {
        let path = self.path().join(format!("{name}.pid"));
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        local(self.path(), &["down"]);
    }
}

/// A process that nobody waited for yet (state Z) has ended, too.
fn runs(pid: &str) -> bool {
    fs::read_to_string(PathBuf::from("/proc").join(pid).join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn the_demo_prints_what_the_quickstarts_job_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tools = tools_of_the_demo();
    let mut demo = command(folder.path(), &["demo"]);
    let demo = demo.env("LIFEGUARD_TOOLS", tools.path());
    let printed = succeeded(&demo.output().expect("lifeguard-local is built"));
    for line in ["exit code of commandjob/hello: 0", "    Hello world!"] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line:?} is not in:\n{printed}"
        );
    }
    assert_pictured(&printed);
    for became_ready in [
        "azureaccount/default",
        "resourcegroup/mygroup",
        "sessionpool/myshellpool",
    ] {
        let ready = |line: &str| line.contains(became_ready) && line.ends_with("Ready");
        assert!(
            printed.lines().any(ready),
            "{became_ready} did not become ready:\n{printed}"
        );
    }
}

/// The picture of the demo on the first page shows what it prints, but for times, ports and what was seen of a moment.
fn assert_pictured(printed: &str) {
    let picture = fs::read_to_string(repository("docs/pictures/demo.txt")).expect("the text of the picture");
    let without_numbers = |line: &str| {
        let words = line.split_whitespace();
        // Times and durations have one unit or another.
        let words = words.map(|word| {
            if word.starts_with(|it: char| it.is_ascii_digit()) {
                "0".to_owned()
            } else {
                word.replace(|it: char| it.is_ascii_digit(), "")
            }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let printed: Vec<_> = printed.lines().map(without_numbers).collect();
    let of_a_moment = |line: &&str| line.contains("not ready") || line.contains("Queued");
    for line in picture.lines().skip(1).filter(|line| !of_a_moment(line)) {
        let shown = without_numbers(line);
        assert!(
            printed.contains(&shown),
            "the demo prints no such line: see hack/terminal-picture\n{line}"
        );
    }
}

#[test]
fn up_starts_what_is_missing_and_leaves_the_rest_and_down_stops_everything() {
    let folder = Folder(tempfile::tempdir().expect("a temporary folder"));
    succeeded(&local(folder.path(), &["up"]));
    let (emulator, operator) = (folder.pid("emulator"), folder.pid("operator"));

    succeeded(&local(folder.path(), &["up"]));
    assert_eq!(
        (folder.pid("emulator"), folder.pid("operator")),
        (emulator.clone(), operator.clone())
    );

    let killed = Command::new("kill")
        .args(["-KILL", &operator])
        .status()
        .expect("kill can be run");
    assert!(killed.success());
    succeeded(&local(folder.path(), &["up"]));
    assert_eq!(folder.pid("emulator"), emulator, "what runs stays");
    let operator = folder.pid("operator");
    assert!(runs(&operator), "what died is started again");

    // The file that a shell sources is enough to use the cluster.
    let script = format!(
        ". '{}/env' && kubectl get sessionpools.lifeguard.dev --all-namespaces",
        folder.path().display()
    );
    succeeded(&Command::new("sh").args(["-c", &script]).output().expect("a shell"));

    succeeded(&local(folder.path(), &["down"]));
    assert!(!runs(&emulator) && !runs(&operator), "something still runs");
}

/// Runs a shell text as the build of two parts, `a` and `b`, each of which it names with `part`.
fn progress(build: &str) -> Output {
    Command::new(repository("hack/progress"))
        .args(["1 of 3: it", "parts", "2", "^part (.*)", "^chatter"])
        .args(["sh", "-c", build])
        .output()
        .expect("bash")
}

#[test]
fn a_build_says_how_far_it_is_and_ends_as_it_ended() {
    let done = progress("echo part a >&2; sleep 4; echo part b >&2; echo chatter >&2; echo result");
    assert!(done.status.success());
    assert_eq!(String::from_utf8_lossy(&done.stdout), "result\n");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let said: Vec<_> = said.lines().collect();
    assert!(
        said[0].starts_with("1 of 3: it: 1 of 2 parts, ") && said[0].ends_with(" s: a"),
        "{said:?}"
    );
    assert!(said.last().unwrap().starts_with("1 of 3: it: done in "), "{said:?}");

    let failed = progress("echo part a >&2; echo 'error: no such thing' >&2; exit 3");
    assert_eq!(failed.status.code(), Some(3));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said[0], "error: no such thing");
    assert!(said[1].starts_with("1 of 3: it: failed after "), "{said:?}");

    let nothing_to_do = progress("echo part a >&2; echo part b >&2");
    assert!(nothing_to_do.status.success() && nothing_to_do.stderr.is_empty());
}
