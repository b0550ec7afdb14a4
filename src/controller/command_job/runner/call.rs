//! The text of an execution: one small POSIX program that looks at an attempt, and starts, cancels or only watches it.
//!
//! Who runs the text may be killed at any moment, may run it twice at the same time, and may lose its answer. What makes
//! that harmless is in the texts (`*.sh` beside this file) and in this order of things: the directory is only a registration;
//! the lock is a hard link that the detached runner makes of its own file, identity inside; then it takes the ticket away, by a
//! rename that succeeds once; then it runs the command; the exit mark is a rename. A start needs the ticket there, and neither
//! lock nor exit mark. So whatever a command removes, what it was started from is gone before it begins.

use std::fmt;

use super::attempt::AttemptFiles;
use super::cleaning::{Cleaning, removal};
use super::frame::{self, FrameError, Report};
use super::quote::quote;
use super::ticket::Work;

/// The longest stream that is put below the files API whole, and so read whole. Of a longer one only the ends are.
pub const WHOLE_STREAM_BYTES: u64 = 8 * 1024 * 1024;

/// The longest stream of which a call makes the digest: a few seconds.
const DIGESTED_BYTES: u64 = 1024 * 1024 * 1024;

/// The longest stream that the runner writes again where the command removed its file.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// What is set aside on the disk for each stream, where the session can do that.
const RESERVED_BYTES: u64 = 64 * 1024;

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
    /// After the end: a stream that fits, whole; of any other its SHA-256, and it is put below the files API for download
    /// where it has at most [`WHOLE_STREAM_BYTES`].
    Fitting,
    /// After the end as [`Self::Fitting`]. While the command runs the last bytes of each stream, at most so many: with the frame
    /// where they fit, else they are put below the files API as [`AttemptFiles::STDOUT_TAIL`] and so on. No digest.
    FittingOrTail {
        /// At most so many bytes.
        bytes: u64,
    },
    /// At any time: what there is from these offsets on, as much as fits. No digest.
    From {
        /// First byte of standard output.
        stdout: u64,
        /// First byte of standard error.
        stderr: u64,
    },
    /// After the end, as [`Self::Fitting`]; and every stream of at most [`WHOLE_STREAM_BYTES`] is put below the files API as
    /// [`AttemptFiles::STDOUT`] and so on, one longer than both numbers together is cut into [`AttemptFiles::STDOUT_HEAD`] and
    /// so on, for download.
    Files {
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
    /// The attempt that had the session before, whose result is known: its files are removed before the command begins.
    pub earlier: Option<&'a AttemptFiles>,
    /// Whether, and how, it empties the session where it sees the end of the command.
    pub cleaning: Option<Cleaning<'a>>,
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
        let inline = |cut: &str, above: &str| {
            let inline = prepare(include_str!("inline.sh"));
            inline.replace("@CUT@\n", cut).replace("@ABOVE@", above)
        };
        let streams = match self.streams {
            Streams::Fitting => inline("", "$3"),
            Streams::FittingOrTail { bytes } => {
                inline("", "$3") + &prepare(include_str!("tail.sh")).replace("@BYTES@", &bytes.to_string())
            }
            Streams::From { stdout, stderr } => prepare(include_str!("slice.sh"))
                .replace("@STDOUT_OFFSET@", &stdout.to_string())
                .replace("@STDERR_OFFSET@", &stderr.to_string()),
            Streams::Files { head, tail } => {
                let cut = prepare(include_str!("cut.sh"));
                let cut = cut
                    .replace("@HEAD@", &head.to_string())
                    .replace("@TAIL@", &tail.to_string());
                inline(&cut, "0")
            }
        };
        let cleaning = self.cleaning.map(|it| it.texts(self.attempt, self.earlier, prepare));
        let cleaning = cleaning.unwrap_or_default();
        let linger = match self.linger_milliseconds {
            0 => String::new(),
            n => format!("sleep {}.{:03}", n / 1000, n % 1000),
        };
        prepare(include_str!("supervisor.sh"))
            .replace("@COMMON@\n", &prepare(include_str!("common.sh")))
            .replace("@STREAMS@\n", &streams)
            .replace("@WHOLE@", &WHOLE_STREAM_BYTES.to_string())
            .replace("@DIGESTED@", &DIGESTED_BYTES.to_string())
            .replace("@FILES@", &self.attempt.path())
            .replace("@PLACES@", &self.attempt.places().join(" "))
            .replace("@ID@", self.attempt.id().as_str())
            .replace("@NONCE@", self.nonce.as_str())
            .replace("@WINDOW@", &self.window_seconds.to_string())
            .replace("@LINGER@", &linger)
            .replace("@CLEANED@", cleaning.fields)
            .replace("@CLEAN@\n", &cleaning.clean)
            .replace("@BASELINE@\n", &cleaning.baseline)
            .replace("@ACTION@\n", &action)
            .replace(
                "@EARLIER@\n",
                &self.earlier.map(|it| removal(it, prepare)).unwrap_or_default(),
            )
    }

    fn start(&self, work: &Work, start_by: u64, prepare: &dyn Fn(&str) -> String) -> String {
        let dir = self.attempt.path();
        let id = self.attempt.id().as_str();
        let env = work.env.is_some();
        // The words before the script, and how the command's process becomes the command, with both as its arguments.
        let (words, exec) = match (&work.program, work.program.interpreter()) {
            (super::Program::Command(_), _) => (String::new(), ". \"$1\""),
            (super::Program::Shell(_), Some(words)) => {
                let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
                (words.join(" "), "exec \"$@\"")
            }
            (super::Program::Shell(_), None) => (
                String::new(),
                "[ -x /bin/bash ] && exec /bin/bash \"$1\"\nexec /bin/sh \"$1\"",
            ),
        };
        let source_env = if env {
            format!(". /proc/self/fd/4 2>/dev/null || exit 2\nexec 4<&-\n[ \"$LG_ID\" = {id} ] || exit 2")
        } else {
            String::new()
        };
        let command = prepare(include_str!("command.sh"))
            .replace("@SOURCE_ENV@", &source_env)
            .replace("@EXEC@", exec)
            .replace("@ID@", id);
        // Opened, then deleted, then read through the descriptor: it is gone even where it is broken, or changes PATH.
        let open_env = if env {
            format!("exec 4<\"{dir}.env\" || exit 2\nrm -f \"{dir}.env\" 2>/dev/null\n")
        } else {
            String::new()
        };
        let (stdin, remove_stdin) = if work.stdin.is_some() {
            (format!("\"{dir}.in\""), format!("rm -f \"{dir}.in\" 2>/dev/null\n"))
        } else {
            ("/dev/null".to_owned(), String::new())
        };
        let runner = prepare(include_str!("runner.sh"))
            .replace("@COMMON@\n", &prepare(include_str!("common.sh")))
            .replace("@OPEN@\n", &(open_env + &remove_stdin))
            .replace("@STDIN@", &stdin)
            .replace("@FILES@", &dir)
            .replace("@ROOT@", self.attempt.root())
            .replace("@KEPT@", &KEPT_BYTES.to_string())
            .replace("@RESERVED@", &RESERVED_BYTES.to_string())
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
            .replace("@ID@", id)
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
