//! The answer to a call: one line on standard output, and one on standard error where the command wrote there.
//!
//! `LG1 nonce state code start end reason outLength errLength missing errPayload outPayload [baseline remains] END nonce`; times in centiseconds
//! since boot. A length with a `_` is the least. A payload is `=` and base64, `~` and hexadecimal (where base64 is missing), `#` and SHA-256, or `-`. A line
//! without its end was cut and is not read.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::call::{KillReason, Nonce, Streams};
use super::cleaning::Cleaned;

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportedState {
    /// The ticket lies there and nothing of the attempt ran: a start is safe.
    Absent,
    /// Neither ticket nor attempt: this is not the container that the ticket was put into. What the other one did is not to
    /// be known here.
    Replaced,
    /// Announced, but nothing took the lock: a start is safe. After a start it means that the runner could not begin, for
    /// example because the disk is full.
    Registered,
    /// A start that came too late sealed the attempt: nothing ran and nothing ever will.
    Void,
    /// A cancellation sealed the attempt before it started: nothing ran and nothing ever will.
    Cancelled(KillReason),
    /// The runner lives.
    Running {
        /// Since the runner took the lock.
        elapsed: Duration,
    },
    /// The command ended, and this is how.
    Ended {
        /// As a shell reports it: 128 + n after signal n, 127 not found, 126 not executable.
        exit_code: u8,
        /// From the lock to the end.
        elapsed: Duration,
        /// Set where the runner had begun to kill it before it ended.
        killed: Option<KillReason>,
    },
    /// Preparation failed (unreadable environment or input, no space): the command was never executed. The lock is taken,
    /// so it never will be.
    Unprepared {
        /// Set where the runner was killing it.
        killed: Option<KillReason>,
    },
    /// The runner died without an exit mark: whether the command ran, and how it ended, is not to be known.
    Lost {
        /// Set where it was being killed, which explains the death.
        killed: Option<KillReason>,
    },
    /// The ticket was taken, and neither lock nor runner is there any more: something may have run, and its files were removed.
    Removed,
}

/// What a call says about one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Length so far, or at the end.
    pub length: u64,
    /// Whether more may have been printed: the disk was full, and what was written to it then is lost.
    pub is_incomplete: bool,
    /// Its bytes or digest.
    pub payload: Payload,
}

/// How much of a stream came with the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: not asked for, or it got lost. A length of 0 needs no payload.
    Absent,
    /// With [`Streams::From`] the bytes from the offset on; with [`Streams::FittingOrTail`], while the command runs, the last
    /// bytes; otherwise all of the stream.
    Bytes(Vec<u8>),
    /// SHA-256 of the whole stream, lower-case hexadecimal.
    Sha256(String),
}

/// Something that the session lacks, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `flock`: calls wait in a sleep loop, and answer up to a second late.
    Flock,
    /// `setsid`: the command is killed with the call that started it, if that is killed.
    Setsid,
    /// `sha256sum`: no digests.
    Sha256sum,
    /// `base64`: hexadecimal, which carries about two thirds as much.
    Base64,
    /// `setsid -f`, or `setsid` at all: the command starts with SIGINT and SIGQUIT ignored.
    InterruptDefault,
}

/// What a call found and brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The attempt's state.
    pub state: ReportedState,
    /// Standard output.
    pub stdout: Stream,
    /// Standard error.
    pub stderr: Stream,
    /// What the session lacks.
    pub missing: Vec<Missing>,
    /// What is left of the command, where the call was to empty the session.
    pub cleaned: Cleaned,
}

/// Why an answer says nothing about the attempt. The call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The call was killed, or its last writes were lost.
    #[error("the answer has no frame")]
    Missing,
    /// The frame has no end.
    #[error("the frame is cut")]
    Cut,
    /// The frame is whole but not one of ours.
    #[error("the frame is malformed")]
    Malformed,
}

/// Reads both streams of a call. Whatever else they contain is ignored.
pub fn parse(nonce: &Nonce, streams: Streams, stdout: &[u8], stderr: &[u8]) -> Result<Report, FrameError> {
    let fields = fields(nonce, stdout)?;
    let [
        state,
        code,
        start,
        end,
        reason,
        out_length,
        err_length,
        missing,
        err,
        out,
        ref cleaned @ ..,
    ] = fields[..]
    else {
        return Err(FrameError::Malformed);
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| FrameError::Malformed);
    let killed = (reason != "-").then(|| KillReason::of_word(reason));
    let state = match state {
        "absent" => ReportedState::Absent,
        "replaced" => ReportedState::Replaced,
        "registered" => ReportedState::Registered,
        "removed" => ReportedState::Removed,
        "void" => ReportedState::Void,
        "cancelled" => ReportedState::Cancelled(KillReason::of_word(reason)),
        "lost" => ReportedState::Lost { killed },
        "unprepared" => ReportedState::Unprepared { killed },
        "running" => ReportedState::Running {
            elapsed: centiseconds(number(start)?, number(end)?),
        },
        "ended" => ReportedState::Ended {
            exit_code: code.parse().map_err(|_| FrameError::Malformed)?,
            elapsed: centiseconds(number(start)?, number(end)?),
            killed,
        },
        _ => return Err(FrameError::Malformed),
    };
    let err_payload = match err {
        // It came on the other stream, or was lost there.
        "=" => match self::fields(nonce, stderr).as_deref() {
            Ok([payload]) => payload,
            _ => "-",
        },
        inline => inline,
    };
    let is_whole = match streams {
        Streams::Fitting | Streams::Files { .. } => true,
        Streams::FittingOrTail { .. } => !matches!(state, ReportedState::Running { .. }),
        Streams::From { .. } => false,
    };
    Ok(Report {
        state,
        stdout: stream(out_length, out, is_whole)?,
        stderr: stream(err_length, err_payload, is_whole)?,
        missing: missing.split(',').filter_map(capability).collect(),
        cleaned: match cleaned {
            [baseline, remains] => Cleaned::of_fields(baseline, remains),
            [] => Cleaned::default(),
            _ => return Err(FrameError::Malformed),
        },
    })
}

/// From the start to the end of an attempt, both in centiseconds since boot.
pub(super) fn centiseconds(start: u64, end: u64) -> Duration {
    Duration::from_millis(end.saturating_sub(start).saturating_mul(10))
}

/// The fields between the last beginning of a frame and its end.
fn fields<'a>(nonce: &Nonce, answer: &'a [u8]) -> Result<Vec<&'a str>, FrameError> {
    let begin = format!("LG1 {} ", nonce.as_str());
    let end = format!(" END {}", nonce.as_str());
    let start = last(answer, begin.as_bytes()).ok_or(FrameError::Missing)? + begin.len();
    let rest = &answer[start..];
    let length = last(rest, end.as_bytes()).ok_or(FrameError::Cut)?;
    let text = std::str::from_utf8(&rest[..length]).map_err(|_| FrameError::Malformed)?;
    Ok(text.split(' ').collect())
}

fn last(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).rposition(|window| window == part)
}

/// A length, and whether it is the least.
pub(super) fn length(text: &str) -> Option<(u64, bool)> {
    let number = text.strip_suffix('_');
    Some((number.unwrap_or(text).parse().ok()?, number.is_some()))
}

fn stream(length: &str, payload: &str, is_whole: bool) -> Result<Stream, FrameError> {
    let malformed = FrameError::Malformed;
    let (length, is_incomplete) = self::length(length).ok_or(malformed)?;
    let payload = match payload.split_at_checked(1).ok_or(malformed)? {
        ("-", _) => Payload::Absent,
        ("#", digest) if digest.len() == 64 => Payload::Sha256(digest.to_owned()),
        ("=", text) => Payload::Bytes(STANDARD.decode(text).map_err(|_| malformed)?),
        ("~", text) => Payload::Bytes(hexadecimal(text).ok_or(malformed)?),
        _ => return Err(malformed),
    };
    let payload = match payload {
        Payload::Bytes(mut bytes) if is_whole => {
            // A daemon may have written between measuring and reading: the stream is what was measured.
            let length = usize::try_from(length).map_err(|_| malformed)?;
            if bytes.len() < length {
                Payload::Absent
            } else {
                bytes.truncate(length);
                Payload::Bytes(bytes)
            }
        }
        payload => payload,
    };
    Ok(Stream {
        length,
        is_incomplete,
        payload,
    })
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() {
        pairs.iter().map(byte).collect()
    } else {
        None
    }
}

fn capability(word: &str) -> Option<Missing> {
    match word {
        "flock" => Some(Missing::Flock),
        "setsid" => Some(Missing::Setsid),
        "sha256sum" => Some(Missing::Sha256sum),
        "base64" => Some(Missing::Base64),
        "interrupt" => Some(Missing::InterruptDefault),
        _ => None,
    }
}
