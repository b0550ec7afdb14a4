//! The quickstart from nothing to a command's output, in one go.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lifeguard_local::{Error, Kubectl, Options, temporary_folder};
use serde_json::Value;

use crate::Cluster;
use crate::console::{Console, print};
use crate::layout::Layout;
use crate::up::{self, Running};

/// How long the objects may take until the job has ended.
const DEADLINE: Duration = Duration::from_mins(3);

const KINDS: &str = "azureaccounts.lifeguard.dev,resourcegroups.lifeguard.dev,sessionpools.lifeguard.dev,\
    commandjobs.lifeguard.dev";

/// Why the demo did not show what it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The surroundings could not be started.
    #[error(transparent)]
    Local(#[from] Error),
    /// The job has not ended.
    #[error("the quickstart was not done after {} s; logs are in {folder}", DEADLINE.as_secs())]
    NotDone {
        /// Where the logs are kept.
        folder: String,
    },
    /// The job ended otherwise than it should.
    #[error("{job} ended with exit code {exit_code}, not 0; logs are in {folder}")]
    Failed {
        /// The job.
        job: String,
        /// Its exit code, null if it has none.
        exit_code: Value,
        /// Where the logs are kept.
        folder: String,
    },
    /// The folder could not be made.
    #[error("cannot find the paths of this installation")]
    Paths(#[from] std::io::Error),
}

/// Starts everything in a fresh temporary folder, applies the quickstart, prints what happens and the job's output,
/// and stops everything. Succeeds only if every job of the quickstart exited with 0.
pub fn demo(repository: &Path, console: &Console) -> Result<(), DemoError> {
    let mut temporary = temporary_folder()?;
    let layout = Layout::new(temporary.path(), repository)?;
    let folder = layout.folder().display().to_string();
    // Nothing is deleted, so there is nobody to clean up behind, and what does it need not be built first.
    let options = Options {
        controllers: false,
        ..Options::default()
    };
    let result = up::up(&layout, Cluster::Local, options, console)
        .map_err(DemoError::from)
        .and_then(|running| show(&layout, running, console, &folder));
    if result.is_err() {
        // The logs are what explains it.
        temporary.disable_cleanup(true);
    }
    result
}

fn show(layout: &Layout, running: Running, console: &Console, folder: &str) -> Result<(), DemoError> {
    let kubectl = &running.kubectl;
    let quickstart = layout.quickstart().display().to_string();
    console.step("applying examples/quickstart with kubectl");
    let applied = kubectl.run(&["apply", "-f", &quickstart])?;
    print(&indented(&applied));

    let jobs = wait_for_jobs(kubectl, console)?.ok_or_else(|| DemoError::NotDone {
        folder: folder.to_owned(),
    })?;
    console.step("done");
    print("");
    print(&indented(&kubectl.run(&["get", KINDS])?));
    for job in &jobs {
        let result = &job["status"]["result"];
        let name = format!("commandjob/{}", job["metadata"]["name"].as_str().unwrap_or_default());
        print(&format!(
            "\nexit code of {name}: {}\nstdout of {name}:\n",
            result["exitCode"]
        ));
        print(&indented(result["stdout"]["text"].as_str().unwrap_or_default()));
        if result["exitCode"] != 0 {
            return Err(DemoError::Failed {
                job: name,
                exit_code: result["exitCode"].clone(),
                folder: folder.to_owned(),
            });
        }
    }

    print("");
    running.operator.stop();
    running.emulator.stop();
    if let Some(control_plane) = running.control_plane {
        control_plane.stop();
    }
    console.step("everything is stopped; `make up` starts it and leaves it running");
    Ok(())
}

/// Prints every change of state until all jobs have ended, and returns them; None when the deadline passed.
fn wait_for_jobs(kubectl: &Kubectl, console: &Console) -> Result<Option<Vec<Value>>, DemoError> {
    let started = Instant::now();
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    while started.elapsed() < DEADLINE {
        let list = kubectl.get(&[KINDS])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        for item in &items {
            let kind = item["kind"].as_str().unwrap_or_default().to_lowercase();
            let name = format!("{kind}/{}", item["metadata"]["name"].as_str().unwrap_or_default());
            let state = state_of(item);
            if shown.get(&name) != Some(&state) {
                console.step(&format!("{name:<28}{state}"));
                shown.insert(name, state);
            }
        }
        let jobs: Vec<Value> = items.into_iter().filter(|item| item["kind"] == "CommandJob").collect();
        let ended = |job: &Value| is_true(job, "Complete") || is_true(job, "Failed");
        if !jobs.is_empty() && jobs.iter().all(ended) {
            return Ok(Some(jobs));
        }
        thread::sleep(Duration::from_millis(250));
    }
    Ok(None)
}

/// A few words about an object: a job's phase, else whether it is ready; and why it is not.
fn state_of(item: &Value) -> String {
    let ready = condition(item, "Ready");
    let word = match (item["status"]["phase"].as_str(), ready) {
        (Some(phase), _) => phase,
        (None, None) => "applied",
        (None, Some(ready)) if ready["status"] == "True" => "Ready",
        (None, Some(_)) => "not ready",
    };
    match ready {
        // The reason that it has while all is well says no more than the word.
        Some(ready) if ready["status"] != "True" => {
            let message = ready["message"].as_str().unwrap_or_default();
            // What comes of it, which a message may say next, is about to be seen.
            format!("{word:<12}{}", message.split("; ").next().unwrap_or_default())
        }
        _ => word.to_owned(),
    }
}

fn is_true(item: &Value, kind: &str) -> bool {
    condition(item, kind).is_some_and(|condition| condition["status"] == "True")
}

fn condition<'a>(item: &'a Value, kind: &str) -> Option<&'a Value> {
    item["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn indented(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
