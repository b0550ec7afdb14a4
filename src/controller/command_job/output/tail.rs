//! What a status shows of a stream to which its command still writes. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::api::command_job::StreamTail;
use crate::controller::command_job::runner::{Secrets, text_between};

/// How many bytes of a stream's end are shown.
pub const TAIL_BYTES: usize = 2048;

/// How many bytes of a stream's end must be read, so that no secret is cut at the beginning of what is shown.
pub fn window_bytes(secrets: &Secrets) -> u64 {
    (TAIL_BYTES + secrets.margin()) as u64
}

/// What is shown of a stream of `length` bytes. `window` has its last [`window_bytes`], or all of it. `None` where `is_given_up`
/// said so meanwhile.
pub fn show(window: Vec<u8>, length: u64, secrets: &Secrets, is_given_up: &dyn Fn() -> bool) -> Option<StreamTail> {
    let is_cut = length > window_bytes(secrets);
    let masked = if secrets.is_empty() {
        window
    } else {
        secrets.mask_growing(window, is_cut, is_given_up)?
    };
    let end = &masked[masked.len().saturating_sub(TAIL_BYTES)..];
    let text = text_between(end).map(str::to_owned);
    Some(StreamTail {
        base64: text.is_none().then(|| STANDARD.encode(end)),
        text,
        bytes: i64::try_from(length).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stream: &[u8], secrets: &Secrets) -> StreamTail {
        let most = usize::try_from(window_bytes(secrets)).expect("a length");
        let window = stream[stream.len().saturating_sub(most)..].to_vec();
        show(window, stream.len() as u64, secrets, &|| false).expect("it is not given up")
    }

    #[test]
    fn the_last_bytes_are_shown_as_text_where_they_are_text() {
        let none = Secrets::new([b"".as_slice()]);
        let euros = "\u{20ac}".repeat(1000);
        for (stream, text, base64) in [
            (&b""[..], Some(""), None),
            (b"a\nb\n", Some("a\nb\n"), None),
            // The rest of the last character is still to come.
            (&"a\u{20ac}".as_bytes()[..3], Some("a"), None),
            (b"\xff\xfe!", None, Some("//4h")),
            (euros.as_bytes(), Some(&euros[..TAIL_BYTES / 3 * 3]), None),
        ] {
            let shown = shown(stream, &none);
            assert_eq!((shown.text.as_deref(), shown.base64.as_deref()), (text, base64));
            assert_eq!(usize::try_from(shown.bytes), Ok(stream.len()));
        }
    }

    #[test]
    fn of_a_secret_nothing_is_shown_wherever_the_stream_is_cut() {
        let secrets = Secrets::new([b"hunter2-and-more".as_slice()]);
        let stream = b"pw=hunter2-and-more; ".repeat(200);
        for length in 0..stream.len() {
            let text = shown(&stream[..length], &secrets).text.expect("text");
            let rest = text.replace("pw=", "").replace("***", "").replace("; ", "");
            assert!(text.len() <= TAIL_BYTES && rest.len() <= 4, "{length}: {rest}");
            assert!(!rest.contains(['h', 'u', 'n', 't', 'e', 'r']), "{length}: {text}");
        }
    }
}
