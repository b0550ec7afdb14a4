//! From what a session printed to what a status keeps. Pure.

use crate::api::command_job::{CapturedStream, CommandResult, Outcome};
use crate::controller::command_job::runner::{
    Captured, Kept, KillReason, Report, ReportedState, Secrets, Stream, capture, capture_ends,
};

/// A stream as it was read from the session.
#[derive(Debug, PartialEq, Eq)]
pub enum Raw {
    /// All of it.
    Whole(Vec<u8>),
    /// Its two ends, each with [`margin`](Secrets::margin) bytes more than is kept of it.
    Ends {
        /// The first bytes.
        head: Vec<u8>,
        /// The last bytes.
        tail: Vec<u8>,
        /// Length of the whole.
        length: u64,
        /// SHA-256 of the whole, in hexadecimal.
        sha256: Option<String>,
    },
}

impl Raw {
    /// How many bytes of it are in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Ends { head, tail, .. } => head.len() + tail.len(),
        }
    }
}

/// A stream ready for the status, and what masking did to it.
#[derive(Debug, PartialEq, Eq)]
pub struct MaskedStream {
    /// What the status keeps.
    pub stream: CapturedStream,
    /// How many secret values were masked in it.
    pub count: u64,
    /// All of the masked stream, where all of it was read: what goes into ConfigMaps.
    pub whole: Option<Vec<u8>>,
}

/// Masks a stream, then cuts it to `max_bytes`. Length and digest are those of the masked stream; where the middle was
/// never read and there is something to mask, the digest is unknown. `None` where `is_given_up` said so meanwhile.
pub fn mask_and_cut(
    raw: Raw,
    secrets: &Secrets,
    max_bytes: usize,
    is_given_up: &dyn Fn() -> bool,
) -> Option<MaskedStream> {
    let masked = match raw {
        Raw::Whole(bytes) => {
            let (bytes, count) = if secrets.is_empty() || bytes.is_empty() {
                (bytes, 0)
            } else {
                secrets.mask(bytes, is_given_up)?
            };
            let stream = into_stream(capture(&bytes, max_bytes));
            MaskedStream {
                stream,
                count,
                whole: Some(bytes),
            }
        }
        Raw::Ends {
            head,
            tail,
            length,
            sha256,
        } => {
            if secrets.is_empty() {
                let stream = into_stream(capture_ends(&head, &tail, length, sha256, max_bytes));
                return Some(MaskedStream {
                    stream,
                    count: 0,
                    whole: None,
                });
            }
            let (head, in_head) = secrets.mask_head(head, is_given_up)?;
            let (tail, in_tail) = secrets.mask_tail(tail, is_given_up)?;
            let stream = into_stream(capture_ends(&head, &tail, length, None, max_bytes));
            MaskedStream {
                stream,
                count: in_head + in_tail,
                whole: None,
            }
        }
    };
    Some(masked)
}

/// The result of a command whose end is known and whose output is not.
pub fn without_output(look: &Report) -> CommandResult {
    let withheld = |stream: &Stream| CapturedStream {
        bytes: signed(stream.length),
        truncated: stream.length > 0,
        incomplete: stream.is_incomplete,
        ..CapturedStream::default()
    };
    CommandResult {
        withheld: look.stdout.length > 0 || look.stderr.length > 0,
        stdout: withheld(&look.stdout),
        stderr: withheld(&look.stderr),
        ..ending(look)
    }
}

/// The result of a command that was told to end for this reason, did not, and ended with its session; what it printed went
/// with it.
pub fn ended_with_session(reason: KillReason) -> CommandResult {
    CommandResult {
        outcome: outcome(Some(reason)),
        exit_code: None,
        execution_time_in_milliseconds: None,
        masked_count: None,
        withheld: true,
        stdout: CapturedStream::default(),
        stderr: CapturedStream::default(),
    }
}

/// How a command ended, with empty streams.
pub fn ending(look: &Report) -> CommandResult {
    let (outcome, exit_code, elapsed) = match look.state {
        ReportedState::Ended {
            exit_code,
            elapsed,
            killed,
        } => (outcome(killed), Some(i32::from(exit_code)), Some(elapsed)),
        ReportedState::Cancelled(reason) | ReportedState::Lost { killed: Some(reason) } => {
            (outcome(Some(reason)), None, None)
        }
        ReportedState::Absent
        | ReportedState::Replaced
        | ReportedState::Registered
        | ReportedState::Removed
        | ReportedState::Void
        | ReportedState::Running { .. }
        | ReportedState::Unprepared { .. }
        | ReportedState::Lost { killed: None } => (Outcome::Lost, None, None),
    };
    CommandResult {
        outcome,
        exit_code,
        execution_time_in_milliseconds: elapsed.map(|it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)),
        masked_count: None,
        withheld: false,
        stdout: CapturedStream::default(),
        stderr: CapturedStream::default(),
    }
}

fn outcome(killed: Option<KillReason>) -> Outcome {
    match killed {
        None => Outcome::Exited,
        Some(KillReason::Timeout | KillReason::Deadline) => Outcome::TimedOut,
        Some(KillReason::Cancel | KillReason::Delete) => Outcome::Cancelled,
    }
}

fn into_stream(captured: Captured) -> CapturedStream {
    let mut stream = CapturedStream {
        bytes: signed(captured.bytes),
        sha256: captured.sha256,
        truncated: captured.truncated,
        ..CapturedStream::default()
    };
    match captured.kept {
        Kept::Text { head, tail } => {
            stream.text = Some(head);
            stream.tail_text = tail;
        }
        Kept::Base64 { head, tail } => {
            stream.base64 = Some(head);
            stream.tail_base64 = tail;
        }
    }
    stream
}

fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn none() -> Secrets {
        Secrets::new([b"".as_slice()])
    }

    fn mask_and_cut(raw: Raw, secrets: &Secrets, max_bytes: usize) -> MaskedStream {
        super::mask_and_cut(raw, secrets, max_bytes, &|| false).expect("it is not given up")
    }

    #[test]
    fn a_short_text_is_kept_as_it_is() {
        let masked = mask_and_cut(Raw::Whole(b"hello\n".to_vec()), &none(), 100);
        assert_eq!(masked.stream.text.as_deref(), Some("hello\n"));
        assert_eq!(masked.stream.bytes, 6);
        assert!(!masked.stream.truncated);
        assert_eq!(masked.whole.as_deref(), Some(b"hello\n".as_slice()));
    }

    #[test]
    fn a_secret_is_masked_before_the_stream_is_measured() {
        let masked = mask_and_cut(
            Raw::Whole(b"x hunter2 y".to_vec()),
            &Secrets::new([b"hunter2".as_slice()]),
            100,
        );
        assert_eq!(masked.stream.text.as_deref(), Some("x *** y"));
        assert_eq!((masked.stream.bytes, masked.count), (7, 1));
    }

    #[test]
    fn the_digest_of_a_masked_stream_of_which_only_the_ends_are_known_is_unknown() {
        let raw = || Raw::Ends {
            head: b"aaaaaaaaaa".to_vec(),
            tail: b"bbbbbbbbbb".to_vec(),
            length: 1000,
            sha256: Some("d".into()),
        };
        assert_eq!(mask_and_cut(raw(), &none(), 8).stream.sha256.as_deref(), Some("d"));
        assert_eq!(
            mask_and_cut(raw(), &Secrets::new([b"hush".as_slice()]), 8)
                .stream
                .sha256,
            None
        );
    }

    proptest! {
        #[test]
        fn an_untruncated_stream_is_byte_for_byte(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            use base64::Engine as _;
            let stream = mask_and_cut(Raw::Whole(bytes.clone()), &none(), 2000).stream;
            let kept = match (&stream.text, &stream.base64) {
                (Some(text), None) => text.clone().into_bytes(),
                (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
                _ => panic!("exactly one"),
            };
            prop_assert_eq!(stream.text.is_some(), std::str::from_utf8(&bytes).is_ok());
            prop_assert_eq!(kept, bytes);
        }
    }
}
