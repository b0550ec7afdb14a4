//! What a job's command gets: its program, environment and standard input, with the values of Secrets and ConfigMaps.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use kube::Client;

use super::environment::{arguments, environment};
use super::not_runnable::{NotRunnable, Unavailable};
use super::sources::{self, ValueOrigin, Values};
use crate::api::command_job::CommandJob;
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

#[cfg(test)]
mod tests;
