//! The text of an execution: one small POSIX program that looks at an attempt, and starts, cancels or only watches it.
//!
//! Who runs the text may be killed at any moment, may run it twice at the same time, and may lose its answer. What makes
//! that harmless is in the texts (`*.sh` beside this file) and in this order of things: the directory is only a registration;
//! the lock is a hard link that the detached runner makes of its own file, identity inside, just before the command; the
//! exit mark is a rename. Only the winner of the lock runs anything, and a lock never goes away.

use std::fmt;

use super::attempt::AttemptFiles;
use super::frame::{self, FrameError, Report};
use super::quote::quote;
use super::ticket::Work;

/// Makes the frame of one call recognisable: 8 to 32 alphanumeric characters, fresh for each call.
#[derive(Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Accepts `text` where it is a valid nonce.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let valid = (8..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then_some(Self(text))
    }

    /// The nonce as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", self.0)
    }
}

/// Why an attempt was made to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KillReason {
    /// The runner's own: the attempt took longer than `timeoutSeconds`.
    Timeout,
    /// The deadline of the whole job.
    Deadline,
    /// Somebody asked for it.
    Cancel,
    /// The job was deleted.
    Delete,
}

impl KillReason {
    /// The word that stands for it in the session's files.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
        }
    }

    /// The reason of a word; one that nobody here wrote is a cancellation.
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "timeout" => Self::Timeout,
            "deadline" => Self::Deadline,
            "delete" => Self::Delete,
            _ => Self::Cancel,
        }
    }
}

/// What a call does besides looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Starts the attempt where that is provably safe: its ticket lies there and nothing of it ran in this container. May
    /// be repeated without change as often as its answer is lost.
    Start {
        /// What runs. Its [`uploads`](Work::uploads) must have been placed before the attempt was claimed.
        work: &'a Work,
        /// Seconds since the epoch, by the session's clock. Later than this it starts nothing but takes the lock with a
        /// tombstone, which proves that nothing ran nor ever will ([`ReportedState::Void`](super::ReportedState::Void)).
        start_by: u64,
    },
    /// Changes nothing, but for removing a secrets file that a killed runner left.
    Observe,
    /// Asks the attempt to end, as the upload of [`AttemptFiles::cancel_upload`] does; where nothing runs yet it takes the lock
    /// with a tombstone.
    Cancel {
        /// Why.
        reason: KillReason,
        /// Time between SIGTERM and SIGKILL.
        grace_seconds: u32,
    },
}

/// Which bytes of the streams a call brings. An answer's streams are cut at 4096 bytes each, so at most about 2700 bytes of
/// standard output and 3000 of standard error fit, in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// After the end: a stream that fits, whole; of any other its SHA-256.
    Fitting,
    /// At any time: what there is from these offsets on, as much as fits. No digest.
    From {
        /// First byte of standard output.
        stdout: u64,
        /// First byte of standard error.
        stderr: u64,
    },
    /// After the end, as [`Self::Fitting`]; and a stream longer than both together is cut into the files
    /// [`AttemptFiles::STDOUT_HEAD`] and so on, for download.
    Cut {
        /// Bytes of the first file.
        head: u64,
        /// Bytes of the second file.
        tail: u64,
    },
}

/// One execution.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The attempt it is about.
    pub attempt: &'a AttemptFiles,
    /// Fresh for each call.
    pub nonce: Nonce,
    /// How long it waits for the command's end before it answers.
    pub window_seconds: u32,
    /// How long it lingers after the frame; 0 unless the service is found to lose more than the last write.
    pub linger_milliseconds: u32,
    /// Which output it brings.
    pub streams: Streams,
    /// What it does.
    pub action: Action<'a>,
}

impl Call<'_> {
    /// The text to execute, for any POSIX shell. Below 16 KiB; it contains neither secrets nor the user's program.
    pub fn render(&self) -> String {
        self.render_with(&strip)
    }

    /// Reads the answer to this call.
    pub fn parse(&self, stdout: &[u8], stderr: &[u8]) -> Result<Report, FrameError> {
        frame::parse(&self.nonce, self.streams, stdout, stderr)
    }

    /// Renders with another way to prepare each template: the tests put a kill at a marked place.
    pub(super) fn render_with(&self, prepare: &dyn Fn(&str) -> String) -> String {
        let action = match self.action {
            Action::Start { work, start_by } => self.start(work, start_by, prepare),
            Action::Observe => String::new(),
            Action::Cancel { reason, grace_seconds } => prepare(include_str!("cancel.sh"))
                .replace("@REASON@", reason.word())
                .replace("@GRACE@", &grace_seconds.to_string()),
        };
        let inline = prepare(include_str!("inline.sh"));
        let streams = match self.streams {
            Streams::Fitting => inline,
            Streams::From { stdout, stderr } => prepare(include_str!("slice.sh"))
                .replace("@STDOUT_OFFSET@", &stdout.to_string())
                .replace("@STDERR_OFFSET@", &stderr.to_string()),
            Streams::Cut { head, tail } => {
                let cut = prepare(include_str!("cut.sh"));
                cut.replace("@HEAD@", &head.to_string())
                    .replace("@TAIL@", &tail.to_string())
                    + &inline
            }
        };
        let linger = match self.linger_milliseconds {
            0 => String::new(),
            n => format!("sleep {}.{:03}", n / 1000, n % 1000),
        };
        prepare(include_str!("supervisor.sh"))
            .replace("@COMMON@\n", &prepare(include_str!("common.sh")))
            .replace("@DIR@", &self.attempt.path())
            .replace("@NONCE@", self.nonce.as_str())
            .replace("@WINDOW@", &self.window_seconds.to_string())
            .replace("@STREAMS@\n", &streams)
            .replace("@LINGER@", &linger)
            .replace("@ACTION@\n", &action)
    }

    fn start(&self, work: &Work, start_by: u64, prepare: &dyn Fn(&str) -> String) -> String {
        let dir = self.attempt.path();
        let id = self.attempt.id().as_str();
        let env = work.env.is_some();
        let (words, exec) = match (&work.program, work.program.interpreter()) {
            (super::Program::Command(_), _) => (String::new(), format!(". \"{dir}.sh\"")),
            (super::Program::Shell(_), Some(words)) => {
                let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
                (words.join(" "), format!("exec \"$@\" \"{dir}.sh\""))
            }
            (super::Program::Shell(_), None) => (
                String::new(),
                format!("[ -x /bin/bash ] && exec /bin/bash \"{dir}.sh\"\nexec /bin/sh \"{dir}.sh\""),
            ),
        };
        let source_env = if env {
            format!(". /proc/self/fd/4 2>/dev/null || exit 2\nexec 4<&-\n[ \"$LG_ID\" = {id} ] || exit 2")
        } else {
            String::new()
        };
        let command = prepare(include_str!("command.sh"))
            .replace("@SOURCE_ENV@", &source_env)
            .replace("@EXEC@", &exec)
            .replace("@DIR@", &dir)
            .replace("@ID@", id);
        // Opened, then deleted, then read through the descriptor: it is gone even where it is broken, or changes PATH.
        let open_env = if env {
            format!("exec 4<\"{dir}.env\" || exit 2\nrm -f \"{dir}.env\" 2>/dev/null")
        } else {
            String::new()
        };
        let stdin = if work.stdin.is_some() {
            format!("\"{dir}.in\"")
        } else {
            "/dev/null".to_owned()
        };
        let runner = prepare(include_str!("runner.sh"))
            .replace("@COMMON@\n", &prepare(include_str!("common.sh")))
            .replace("@OPEN_ENV@", &open_env)
            .replace("@STDIN@", &stdin)
            .replace("@DIR@", &dir)
            .replace("@ID@", id)
            .replace("@START_BY@", &start_by.to_string())
            .replace("@TIMEOUT@", &work.timeout_seconds.unwrap_or(0).to_string())
            .replace("@GRACE@", &work.grace_seconds.to_string());
        let chmod = if env {
            format!("chmod 700 \"{dir}.sh\"; chmod 600 \"{dir}.env\"")
        } else {
            format!("chmod 700 \"{dir}.sh\"")
        };
        prepare(include_str!("start.sh"))
            .replace("@CHMOD@", &format!("{{ {chmod}; }} 2>/dev/null"))
            .replace("@WINDOW@", &self.window_seconds.to_string())
            .replace("@RUNNER@", &quote(&runner))
            .replace("@COMMAND@", &quote(&command))
            // Last: the words of a `#!` line are the user's and may look like any of the others.
            .replace("@WORDS@", &words)
    }
}

/// Leaves out comments, blank lines and indentation: the text is an argument of a process.
fn strip(template: &str) -> String {
    let lines = template
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}
