//! What is uploaded before an attempt is claimed: the ticket, the environment and the standard input.
//!
//! The ticket is the script. Its presence says that this is the container it was put into and that nothing of the attempt ran
//! there, because the runner takes it away before the command; it must therefore never be uploaded again once the attempt was
//! claimed.

use std::fmt;

use bytes::Bytes;

use super::attempt::AttemptFiles;
use super::quote::{is_valid_env_name, quote, quote_bytes, quoted_length};

/// What an attempt runs.
#[derive(Clone, PartialEq, Eq)]
pub enum Program {
    /// Text of a script. Its `#!` line chooses the interpreter as the kernel would; without one it is `/bin/bash` where
    /// the session has it, else `/bin/sh`.
    Shell(String),
    /// A program and its arguments, executed without a shell between; found by the `PATH` of the command's environment.
    Command(Vec<String>),
}

/// A variable of the command's environment. Its value may be a secret, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Must pass [`is_valid_env_name`].
    pub name: String,
    /// Any bytes but NUL.
    pub value: Bytes,
}

/// Everything that an attempt runs with. It follows from the job alone, so that any operator makes the same of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Work {
    /// What runs.
    pub program: Program,
    /// Added to the environment that the session gives; of two equal names the last one counts. `Some` of none is a file
    /// that sets nothing: whether there is a file must follow from the job, not from values that can come and go.
    pub env: Option<Vec<EnvVar>>,
    /// Standard input; `/dev/null` where absent.
    pub stdin: Option<Bytes>,
    /// Enforced inside the session, by the runner; `None` is no limit.
    pub timeout_seconds: Option<u32>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
}

/// A file to upload to the root of the files API. Its content may be a secret, so only its size is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// File name, without a directory.
    pub name: String,
    /// The file's bytes.
    pub content: Bytes,
}

/// `BINPRM_BUF_SIZE` of Linux without the byte at its end.
const MAX_INTERPRETER_LINE: usize = 255;

/// Why something cannot be run as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// A shell could not set the variable.
    #[error("environment variable name {0:?} cannot be set by a shell")]
    EnvName(String),
    /// No process can have NUL in its environment.
    #[error("the value of environment variable {0:?} contains NUL")]
    EnvValue(String),
    /// No process can have NUL in its arguments.
    #[error("argument {0} of the command contains NUL")]
    Argument(usize),
    /// There is nothing to execute.
    #[error("the command is empty")]
    EmptyCommand,
    /// Linux would not execute the script.
    #[error("script: its #! line has more than {MAX_INTERPRETER_LINE} bytes, which is the most that Linux takes")]
    InterpreterLine,
}

impl Work {
    /// The files of the attempt, in the order in which they must be uploaded: the ticket is the last one, so that it
    /// stands for all.
    pub fn uploads(&self, attempt: &AttemptFiles) -> Result<Vec<Upload>, WorkError> {
        let mut uploads = Vec::with_capacity(3);
        if let Some(env) = &self.env {
            uploads.push(Upload {
                name: attempt.beside("env"),
                content: environment(env, attempt)?.into(),
            });
        }
        if let Some(stdin) = &self.stdin {
            uploads.push(Upload {
                name: attempt.beside("in"),
                content: stdin.clone(),
            });
        }
        uploads.push(Upload {
            name: attempt.beside("sh"),
            content: self.program.ticket()?.into(),
        });
        Ok(uploads)
    }

    /// About how many bytes all [`uploads`](Self::uploads) together have, without making them.
    pub fn upload_bytes(&self) -> usize {
        let program = match &self.program {
            Program::Shell(script) => script.len(),
            Program::Command(words) => words.iter().map(|it| quoted_length(it.as_bytes()) + 1).sum(),
        };
        let variable = |it: &EnvVar| it.name.len() + quoted_length(&it.value) + 9;
        let env: usize = self.env.iter().flatten().map(variable).sum();
        program + env + self.stdin.as_ref().map_or(0, Bytes::len)
    }

    /// What is needed to start the work and to ask about it once it is prepared: everything but what was uploaded.
    #[must_use]
    pub fn prepared(&self) -> Self {
        let program = match &self.program {
            Program::Shell(script) => {
                let line = script.split('\n').next().filter(|it| it.starts_with("#!"));
                Program::Shell(line.unwrap_or_default().to_owned())
            }
            Program::Command(_) => Program::Command(Vec::new()),
        };
        Self {
            program,
            env: self.env.as_ref().map(|_| Vec::new()),
            stdin: self.stdin.as_ref().map(|_| Bytes::new()),
            timeout_seconds: self.timeout_seconds,
            grace_seconds: self.grace_seconds,
        }
    }
}

impl Program {
    /// That its first line is not too long to be sent with every call.
    pub fn check(&self) -> Result<(), WorkError> {
        let Self::Shell(script) = self else { return Ok(()) };
        let line = script.split('\n').next().filter(|it| it.starts_with("#!"));
        if line.is_some_and(|it| it.len() > MAX_INTERPRETER_LINE) {
            return Err(WorkError::InterpreterLine);
        }
        Ok(())
    }

    fn ticket(&self) -> Result<Vec<u8>, WorkError> {
        match self {
            Self::Shell(script) => Ok(script.clone().into_bytes()),
            Self::Command(words) if words.is_empty() => Err(WorkError::EmptyCommand),
            Self::Command(words) => {
                if let Some(index) = words.iter().position(|word| word.contains('\0')) {
                    return Err(WorkError::Argument(index));
                }
                let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
                // `exec` would take it for an option, and `--` is not understood by dash.
                if words[0].starts_with('-') {
                    return Ok(format!("printf '%s: not found\\n' {} >&2\nexit 127\n", quoted[0]).into_bytes());
                }
                Ok(format!("exec {}\n", quoted.join(" ")).into_bytes())
            }
        }
    }

    /// Interpreter and its one argument, as `execve(2)` reads them from a `#!` line. The interpreter of a relative path is
    /// made explicit, so that a shell does not look for it in `PATH`.
    pub(super) fn interpreter(&self) -> Option<Vec<String>> {
        let Self::Shell(script) = self else { return None };
        // Unlike `str::lines` this keeps a carriage return, as the kernel does.
        let line = script.strip_prefix("#!")?.split('\n').next()?.trim_matches([' ', '\t']);
        let (path, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if path.is_empty() || path.contains('\0') {
            return None;
        }
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("./{path}")
        };
        let argument = argument.trim_start_matches([' ', '\t']);
        let mut words = vec![path];
        words.extend((!argument.is_empty()).then(|| argument.to_owned()));
        Some(words)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(script) => write!(f, "Shell({} bytes)", script.len()),
            Self::Command(words) => write!(f, "Command({} words)", words.len()),
        }
    }
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvVar({})", self.name)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work")
            .field("program", &self.program)
            .field("env", &self.env)
            .field("stdin_bytes", &self.stdin.as_ref().map(Bytes::len))
            .field("timeout_seconds", &self.timeout_seconds)
            .field("grace_seconds", &self.grace_seconds)
            .finish()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Upload({}…, {} bytes)",
            self.name.get(..7).unwrap_or("file"),
            self.content.len()
        )
    }
}

fn environment(env: &[EnvVar], attempt: &AttemptFiles) -> Result<Vec<u8>, WorkError> {
    let mut file = Vec::new();
    for EnvVar { name, value } in env {
        if !is_valid_env_name(name) {
            return Err(WorkError::EnvName(name.clone()));
        }
        if value.contains(&0) {
            return Err(WorkError::EnvValue(name.clone()));
        }
        file.extend_from_slice(format!("export {name}=").as_bytes());
        file.extend_from_slice(&quote_bytes(value));
        file.push(b'\n');
    }
    // The runner refuses a file without this last line: it was cut.
    file.extend_from_slice(format!("export LG_ID={}\n", attempt.id().as_str()).as_bytes());
    Ok(file)
}
