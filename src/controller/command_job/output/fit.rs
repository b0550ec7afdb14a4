//! A result that fits into its object.

use crate::api::command_job::CapturedStream;
use crate::controller::command_job::runner::in_base64;

/// What a stream is cut to where the result fits in no other way.
pub const SMALL_STREAM_BYTES: usize = 4096;

/// How a result is written: the first of these ways that the API server takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Text as text.
    #[default]
    AsItIs,
    /// In base64 what is shorter so: text of control characters, which have six bytes each in JSON.
    InBase64,
    /// Of each stream only its two ends, of [`SMALL_STREAM_BYTES`] together.
    Cut,
}

impl Fit {
    /// The way that is tried after this one.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::AsItIs => Some(Self::InBase64),
            Self::InBase64 => Some(Self::Cut),
            Self::Cut => None,
        }
    }

    /// Brings a stream into this form.
    pub fn apply(self, stream: &mut CapturedStream) {
        match self {
            Self::AsItIs => {}
            Self::InBase64 => encode(stream),
            Self::Cut => shorten(stream, SMALL_STREAM_BYTES),
        }
    }
}

/// Head and tail go together, so that whoever reads them reads one form.
fn encode(stream: &mut CapturedStream) {
    let ends: Vec<_> = [&stream.text, &stream.tail_text]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let Some(encoded) = in_base64(&ends) else { return };
    let mut encoded = encoded.into_iter();
    (stream.base64, stream.tail_base64) = (encoded.next(), encoded.next());
    (stream.text, stream.tail_text) = (None, None);
}

/// Cuts what is kept of a stream to `max_bytes`: its first and its last half.
fn shorten(stream: &mut CapturedStream, max_bytes: usize) {
    let half = max_bytes / 2;
    if let Some(text) = stream.text.take() {
        let (head, tail) = (text.as_str(), stream.tail_text.take());
        let (head, tail, cut) = halves(head, tail.as_deref(), max_bytes, half);
        stream.text = Some(head);
        stream.tail_text = tail;
        stream.truncated |= cut;
    }
    if let Some(text) = stream.base64.take() {
        let (head, tail) = (text.as_str(), stream.tail_base64.take());
        // Base64 stays decodable when it is cut between groups of four.
        let (head, tail, cut) = halves(head, tail.as_deref(), max_bytes, half / 4 * 4);
        stream.base64 = Some(head);
        stream.tail_base64 = tail;
        stream.truncated |= cut;
    }
}

/// The first `half` bytes of the head and the last of the tail, cut between characters; and whether anything was cut.
fn halves(head: &str, tail: Option<&str>, whole: usize, half: usize) -> (String, Option<String>, bool) {
    if tail.is_none() && head.len() <= whole {
        return (head.to_owned(), None, false);
    }
    let last = tail.unwrap_or(head);
    let first = &head[..head.floor_char_boundary(half)];
    let last = &last[last.ceil_char_boundary(last.len().saturating_sub(half))..];
    (first.to_owned(), Some(last.to_owned()), true)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::controller::command_job::output::capture::{Raw, mask_and_cut};
    use crate::controller::command_job::runner::Secrets;

    fn kept(bytes: &[u8], most: usize) -> CapturedStream {
        let none = Secrets::new([b"".as_slice()]);
        let masked = mask_and_cut(Raw::Whole(bytes.to_vec()), &none, most, &|| false);
        masked.expect("it is not given up").stream
    }

    #[test]
    fn text_goes_into_base64_only_where_that_is_shorter_and_both_of_its_ends_together() {
        for (bytes, most, is_encoded) in [
            ("\0".repeat(100), 100, true),
            ("\0".repeat(100), 20, true),
            ("plain text\n".repeat(100), 10_000, false),
            (format!("{}{}", "\0".repeat(100), "x".repeat(100)), 100, true),
            (format!("{}{}", "x".repeat(100), "\0".repeat(4)), 1000, false),
            (String::new(), 100, false),
        ] {
            let before = kept(bytes.as_bytes(), most);
            let mut stream = before.clone();
            Fit::InBase64.apply(&mut stream);
            assert_eq!(stream.base64.is_some(), is_encoded, "{bytes:?}");
            if !is_encoded {
                assert_eq!(stream, before);
                continue;
            }
            let decoded = |text: &Option<String>| text.as_ref().map(|it| STANDARD.decode(it).unwrap());
            assert_eq!(decoded(&stream.base64), before.text.map(String::into_bytes));
            assert_eq!(decoded(&stream.tail_base64), before.tail_text.map(String::into_bytes));
            assert_eq!((stream.text, stream.tail_text), (None, None));
        }
    }

    proptest! {
        #[test]
        fn what_is_shortened_stays_decodable_and_short(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..3000),
                ".{0,900}".prop_map(String::into_bytes),
            ],
            max in 8_usize..600,
        ) {
            let before = kept(&bytes, 1000);
            let mut stream = before.clone();
            shorten(&mut stream, max);
            let kept = [&stream.text, &stream.tail_text, &stream.base64, &stream.tail_base64];
            prop_assert!(kept.into_iter().flatten().map(String::len).sum::<usize>() <= max);
            for text in [&stream.base64, &stream.tail_base64].into_iter().flatten() {
                prop_assert!(STANDARD.decode(text).is_ok());
            }
            for (short, long) in [(&stream.text, &before.text), (&stream.base64, &before.base64)] {
                prop_assert!(long.as_deref().unwrap_or_default().starts_with(short.as_deref().unwrap_or_default()));
            }
        }
    }
}
