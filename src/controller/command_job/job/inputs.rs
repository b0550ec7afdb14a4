//! What a job's command gets: its program, environment and standard input, with the values of Secrets and ConfigMaps.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kube::Client;

use super::expansion::expand;
use super::not_runnable::{NotRunnable, Unavailable};
use super::sources::{self, ValueOrigin, Values};
use crate::api::command_job::CommandJob;
use crate::api::environment::EnvironmentVariable;
use crate::controller::command_job::budget::{ExecBudget, InputMemory, MASKED_BYTES, OverBudget, UPLOAD_BYTES};
use crate::controller::command_job::room::Room;
use crate::controller::command_job::runner::{EnvVar, Program, Secrets, Work, WorkError};

/// What a job's command gets, ready to be uploaded. Its values are never shown.
pub struct Inputs {
    /// What runs.
    pub work: Work,
    /// The values that come from Secrets.
    pub secrets: Vec<Bytes>,
    /// The same, to be masked in what is captured.
    pub to_mask: Arc<Secrets>,
    /// Whether the values from Secrets were dropped: then nothing can be masked with these.
    pub lack_secrets: bool,
    /// Room for them in memory, where they are large.
    room: InputRoom,
}

/// Room for a job's inputs.
#[derive(Default)]
struct InputRoom {
    upload: Option<Room>,
    secrets: Option<Arc<Room>>,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("work", &self.work)
            .field("secrets", &self.secrets.len())
            .field("has_room_for_upload", &self.room.upload.is_some())
            .finish_non_exhaustive()
    }
}

impl Inputs {
    fn new(work: Work, secrets: Vec<Bytes>) -> Self {
        Self {
            to_mask: Arc::new(Secrets::new(secrets.iter().cloned())),
            work,
            secrets,
            lack_secrets: false,
            room: InputRoom::default(),
        }
    }

    /// Keeps them if there is room: what is uploaded until the command is prepared, the values from Secrets until it has
    /// ended. Else what has to be waited for.
    pub fn keep(mut self, memory: &InputMemory, namespace: &str, room: Option<Room>) -> Result<Self, NoRoom> {
        let secret_bytes = self.to_mask.bytes();
        let mut secrets = memory.for_secrets(namespace, secret_bytes);
        if secrets.as_mut().is_some_and(|it| !it.is_granted()) {
            return Err(NoRoom::ForSecrets(secret_bytes));
        }
        let bytes = self.work.upload_bytes();
        let held = room.filter(|it| it.size() >= bytes as u64);
        let mut upload = held.or_else(|| memory.for_upload(namespace, bytes));
        if upload.as_mut().is_some_and(|it| !it.is_granted()) {
            return upload.map_or(Ok(self), |it| Err(NoRoom::ForUpload(it)));
        }
        self.room = InputRoom {
            upload,
            secrets: secrets.map(Arc::new),
        };
        Ok(self)
    }

    /// Keeps what a command needs that may be running already, whatever room there is.
    #[must_use]
    pub fn of_running(mut self, memory: &InputMemory, namespace: &str) -> Self {
        let secrets = memory.of_running(namespace, self.to_mask.bytes());
        self.room.secrets = secrets.map(Arc::new);
        self
    }

    /// What is still needed of them once they lie in a session: what is to be masked, and no more of the rest than tells
    /// how to start it.
    #[must_use]
    pub fn prepared(&self) -> Self {
        Self {
            work: self.work.prepared(),
            secrets: self.secrets.clone(),
            to_mask: Arc::clone(&self.to_mask),
            lack_secrets: self.lack_secrets,
            room: InputRoom {
                upload: None,
                secrets: self.room.secrets.clone(),
            },
        }
    }

    /// What is needed of them to give up an attempt that was not started: no more than tells how it would have been.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        Self {
            lack_secrets: true,
            ..Self::new(self.work.prepared(), Vec::new())
        }
    }

    /// Everything that makes a difference to what runs, secret values included: for a keyed digest and nothing else.
    pub fn parts(&self) -> Vec<Cow<'_, [u8]>> {
        let Work {
            program,
            env,
            stdin,
            timeout_seconds,
            grace_seconds,
        } = &self.work;
        let settings = format!("{timeout_seconds:?} {grace_seconds} {}", env.is_some());
        let mut parts: Vec<Cow<'_, [u8]>> = vec![settings.into_bytes().into()];
        match program {
            Program::Shell(script) => parts.extend([b"shell".as_slice(), script.as_bytes()].map(Cow::from)),
            Program::Command(words) => parts.extend(words.iter().map(|it| Cow::from(it.as_bytes()))),
        }
        let variables = env.iter().flatten();
        parts.extend(variables.flat_map(|it| [it.name.as_bytes(), &it.value]).map(Cow::from));
        parts.push(format!("{}", stdin.is_some()).into_bytes().into());
        parts.extend(stdin.as_deref().map(Cow::from));
        parts
    }
}

/// Why inputs cannot be kept.
#[derive(Debug)]
pub enum NoRoom {
    /// The room that was asked for, and was not there.
    ForUpload(Room),
    /// Jobs that run have the room that so many bytes need.
    ForSecrets(usize),
}

/// Reads the Secrets and ConfigMaps that the job names, all of its own namespace, and makes its inputs. When it is killed
/// the command has `grace_seconds` between TERM and KILL.
pub async fn resolve(client: &Client, job: &CommandJob, grace_seconds: u32) -> Result<Inputs, Unavailable> {
    let values = sources::read(client, job).await?;
    Ok(compose(job, &values, grace_seconds)?)
}

/// The inputs of a job whose values are not known any more: enough to ask a session about an attempt that was given
/// them, and not enough to prepare one.
pub fn shape(job: &CommandJob, grace_seconds: u32) -> Inputs {
    let program = match &job.spec.script {
        Some(script) => Program::Shell(script.clone()),
        None => Program::Command(Vec::new()),
    };
    Inputs::new(work(job, program, Vec::new(), grace_seconds).prepared(), Vec::new())
}

/// Makes the inputs of a job from the values of its variables. Pure.
fn compose(job: &CommandJob, values: &Values, grace_seconds: u32) -> Result<Inputs, NotRunnable> {
    let spec = &job.spec;
    let mut budget = ExecBudget::new();
    let env = environment(spec.env.as_deref().unwrap_or_default(), values, &mut budget)?;
    let program = match (&spec.script, &spec.command) {
        (Some(script), _) => Program::Shell(script.clone()),
        (None, command) => {
            let words = command.iter().flatten().chain(spec.args.iter().flatten());
            Program::Command(arguments(words, &env, &mut budget)?)
        }
    };
    if program == Program::Command(Vec::new()) {
        return Err(WorkError::EmptyCommand.into());
    }
    let secrets = values
        .values()
        .filter(|(_, origin)| *origin == ValueOrigin::Secret)
        .map(|(value, _)| value.clone())
        .collect();
    let inputs = Inputs::new(work(job, program, env, grace_seconds), secrets);
    inputs.work.program.check()?;
    if inputs.work.upload_bytes() > UPLOAD_BYTES {
        return Err(OverBudget::Uploads.into());
    }
    if inputs.to_mask.bytes() > MASKED_BYTES {
        return Err(OverBudget::Masked.into());
    }
    Ok(inputs)
}

fn work(job: &CommandJob, program: Program, env: Vec<EnvVar>, grace_seconds: u32) -> Work {
    let spec = &job.spec;
    Work {
        program,
        env: spec.env.as_ref().filter(|it| !it.is_empty()).map(|_| env),
        stdin: spec.stdin.as_ref().map(|it| it.clone().into()),
        timeout_seconds: u32::try_from(spec.timeout_seconds).ok(),
        grace_seconds,
    }
}

/// The environment in the order of the spec; a value may refer to variables before it, as in Pods.
fn environment(
    variables: &[EnvironmentVariable],
    values: &Values,
    budget: &mut ExecBudget,
) -> Result<Vec<EnvVar>, OverBudget> {
    let made: Vec<OnceCell<Bytes>> = variables.iter().map(|_| OnceCell::new()).collect();
    let mut earlier: HashMap<&str, &str> = HashMap::new();
    for (variable, made) in variables.iter().zip(&made) {
        let name = &variable.name;
        let (most, is_whole) = budget.next();
        let kind = if is_whole {
            OverBudget::Environment
        } else {
            OverBudget::Variable
        };
        let over = || kind(name.clone());
        let most = most.checked_sub(name.len() + 1).ok_or_else(over)?;
        let value = match (&variable.value, values.get(name)) {
            (Some(text), _) => expand(text, |name| earlier.get(name).copied(), most).map(Bytes::from),
            (None, Some((value, _))) => Some(value.clone()).filter(|it| it.len() <= most),
            (None, None) => continue,
        };
        let value = value.ok_or_else(over)?;
        budget.take(name.len() + 1 + value.len());
        // What is no text cannot be referred to. Each value is looked at once, however often it is.
        match str::from_utf8(made.get_or_init(|| value)) {
            Ok(text) => earlier.insert(name, text),
            Err(_) => earlier.remove(name.as_str()),
        };
    }
    let made = variables.iter().zip(made);
    let made = made.filter_map(|(variable, value)| Some((variable.name.clone(), value.into_inner()?)));
    Ok(made.map(|(name, value)| EnvVar { name, value }).collect())
}

/// The words of a command; each may refer to any variable.
fn arguments<'a>(
    words: impl Iterator<Item = &'a String>,
    env: &[EnvVar],
    budget: &mut ExecBudget,
) -> Result<Vec<String>, OverBudget> {
    let texts: HashMap<&str, Option<&str>> = env
        .iter()
        .map(|it| (it.name.as_str(), str::from_utf8(&it.value).ok()))
        .collect();
    let word = |(index, word): (usize, &String)| {
        let (most, is_whole) = budget.next();
        let expanded = expand(word, |name| texts.get(name).copied().flatten(), most);
        let over = if is_whole {
            OverBudget::Arguments
        } else {
            OverBudget::Argument
        };
        let expanded = expanded.ok_or_else(|| over(index))?;
        budget.take(expanded.len());
        Ok(expanded)
    };
    words.enumerate().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: serde_json::Value) -> CommandJob {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"}, "spec": spec,
        }))
        .expect("a valid job")
    }

    fn secret(value: impl Into<Bytes>) -> (Bytes, ValueOrigin) {
        (value.into(), ValueOrigin::Secret)
    }

    #[test]
    fn a_value_may_refer_to_variables_before_it_and_to_no_other() {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "command": ["run", "$(B)", "$$(B)"], "args": ["$(TOKEN)$(X)"],
            "env": [
                {"name": "A", "value": "$(B)"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "B", "value": "b$(A)$(TOKEN)"},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}},
            ],
        }));
        let inputs = compose(&job, &Values::from([("TOKEN".into(), secret("hush"))]), 10).unwrap();
        let env: Vec<_> = inputs
            .work
            .env
            .iter()
            .flatten()
            .map(|it| (it.name.as_str(), &*it.value))
            .collect();
        assert_eq!(
            env,
            [("A", b"$(B)".as_slice()), ("TOKEN", b"hush"), ("B", b"b$(B)hush")]
        );
        let words = ["run", "b$(B)hush", "$(B)", "hush$(X)"].map(String::from).to_vec();
        assert_eq!(inputs.work.program, Program::Command(words));
        assert_eq!(inputs.secrets, [b"hush".as_slice()]);
        assert!(!format!("{inputs:?}").contains("hush"));
    }

    #[test]
    fn a_script_is_not_expanded() {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "script": "echo $(A)", "env": [{"name": "A", "value": "1"}],
            "stdin": "in",
        }));
        let inputs = compose(&job, &Values::new(), 10).unwrap();
        assert_eq!(inputs.work.program, Program::Shell("echo $(A)".into()));
        assert_eq!(inputs.work.stdin.as_deref(), Some(b"in".as_slice()));
        assert_eq!(inputs.work.timeout_seconds, Some(600));
    }
    fn over(spec: serde_json::Value, values: &Values) -> OverBudget {
        match compose(&job(spec), values, 10) {
            Err(NotRunnable::OverBudget(over)) => over,
            other => panic!("{other:?}"),
        }
    }

    fn variables(value: &str, numbers: std::ops::Range<usize>) -> Vec<serde_json::Value> {
        numbers
            .map(|n| serde_json::json!({"name": format!("V{n}"), "value": value}))
            .collect()
    }

    #[test]
    fn a_small_job_that_stands_for_much_is_refused_where_it_goes_over_its_budget() {
        let target = serde_json::json!({"sessionPoolRef": {"name": "p"}});
        let base = |more: serde_json::Value| {
            let mut spec = serde_json::json!({"target": target});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        let large = serde_json::json!({"name": "A", "value": "x".repeat(100_000)});
        let from_secret = |n: usize| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
        let shared = Bytes::from(vec![b'x'; 100_000]);
        let values: Values = (0..200).map(|n| (format!("V{n}"), secret(shared.clone()))).collect();
        let mut many = variables("$(A)", 0..200);
        many.insert(0, large.clone());
        for (spec, values, expected) in [
            (
                base(
                    serde_json::json!({"script": "true", "env": [large, {"name": "B", "value": "$(A)".repeat(4000)}]}),
                ),
                Values::new(),
                OverBudget::Variable("B".into()),
            ),
            (
                base(serde_json::json!({"command": ["run", "$(A)$(A)"], "env": [large]})),
                Values::new(),
                OverBudget::Argument(1),
            ),
            (
                base(serde_json::json!({"command": ["run"], "args": vec!["$(A)"; 200], "env": [large]})),
                Values::new(),
                OverBudget::Arguments(20),
            ),
            (
                base(serde_json::json!({"script": "true", "env": many})),
                Values::new(),
                OverBudget::Environment("V19".into()),
            ),
            (
                base(serde_json::json!({"script": "true", "env": (0..200).map(from_secret).collect::<Vec<_>>()})),
                values,
                OverBudget::Environment("V20".into()),
            ),
            (
                base(serde_json::json!({"script": "true", "env": variables(&"'".repeat(120_000), 0..16)})),
                Values::new(),
                OverBudget::Uploads,
            ),
        ] {
            assert_eq!(over(spec, &values), expected);
        }
    }

    #[test]
    fn the_longest_value_that_linux_takes_is_taken_and_shared() {
        let env: Vec<_> = (0..15)
            .map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))
            .collect();
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "env": env,
        }));
        let longest = Bytes::from(vec![b'x'; 131_071 - "V14=".len()]);
        let values: Values = (0..15).map(|n| (format!("V{n}"), secret(longest.clone()))).collect();
        let inputs = compose(&job, &values, 10).unwrap();
        for variable in inputs.work.env.iter().flatten() {
            assert_eq!(variable.value.as_ptr(), longest.as_ptr(), "{}", variable.name);
        }
        assert_eq!(inputs.to_mask.bytes(), longest.len(), "the same value is masked once");
    }

    #[test]
    fn more_than_can_be_masked_is_refused() {
        let env: Vec<_> = (0..10)
            .map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))
            .collect();
        let spec = serde_json::json!({"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "env": env});
        let value = |n: usize| format!("{n}\n{}", "a \"line\" of 20 bytes\n".repeat(6000));
        let values: Values = (0..10).map(|n| (format!("V{n}"), secret(value(n)))).collect();
        assert_eq!(over(spec, &values), OverBudget::Masked);
    }

    #[test]
    fn once_it_is_prepared_only_what_is_masked_is_kept_of_it() {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "script": "#!/bin/sh -e\necho", "stdin": "in",
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        }));
        let inputs = compose(&job, &Values::from([("TOKEN".into(), secret("hush"))]), 10).unwrap();
        let prepared = inputs.prepared();
        assert_eq!(prepared.secrets, inputs.secrets);
        assert_eq!(prepared.work, shape(&job, 10).work);
        assert_eq!(prepared.work.upload_bytes(), "#!/bin/sh -e".len());
        assert!(prepared.work.env.is_some() && prepared.work.stdin.is_some());
    }

    fn of_script(bytes: usize, secret_bytes: usize) -> Inputs {
        let job = job(serde_json::json!({
            "target": {"sessionPoolRef": {"name": "p"}}, "script": "x".repeat(bytes),
            "env": (0..15).map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})).collect::<Vec<_>>(),
        }));
        let value = |n: usize| secret(format!("{n}{}", "z".repeat(secret_bytes / 15)));
        let values: Values = (0..15).map(|n| (format!("V{n}"), value(n))).collect();
        compose(&job, &values, 10).unwrap()
    }

    #[test]
    fn inputs_are_kept_while_their_namespace_has_room_and_those_that_were_started_whatever_there_is() {
        let memory = InputMemory::default();
        let keep = |inputs: Inputs, namespace: &str| inputs.keep(&memory, namespace, None);
        let large = || of_script(2_000_000, 1_500_000);
        let kept: Vec<_> = std::iter::from_fn(|| keep(large(), "a").ok()).take(20).collect();
        assert!((1..8).contains(&kept.len()), "{}", kept.len());
        assert!(matches!(keep(large(), "a"), Err(NoRoom::ForUpload(_))));
        assert!(keep(of_script(1000, 0), "a").is_ok(), "what is small needs no room");
        assert!(keep(large(), "b").is_ok());
        assert!(large().of_running(&memory, "a").room.secrets.is_some());
        drop(kept);

        // What was uploaded makes room for another upload, and the values are kept for as long as the command runs.
        let prepared: Vec<_> = std::iter::from_fn(|| Some(keep(large(), "a").ok()?.prepared()))
            .take(20)
            .collect();
        assert!((2..8).contains(&prepared.len()), "{}", prepared.len());
        assert!(matches!(keep(large(), "a"), Err(NoRoom::ForSecrets(_))));
        assert!(keep(of_script(2_000_000, 0), "a").is_ok());
        drop(prepared);
        assert!(keep(large(), "a").is_ok());
        assert!(large().prepared().without_secrets().to_mask.is_empty());
    }
}
