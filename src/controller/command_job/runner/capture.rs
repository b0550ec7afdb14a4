//! What is kept of a stream: all of it, or its two ends; as text where it is text, else in base64; never altered.
//!
//! Text is valid UTF-8, whatever characters it has: where a reader finds what a command printed must not depend on what it
//! printed this time. Only where the object would not fit otherwise is text kept [in base64](in_base64).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// What is kept of a stream, and what the stream was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The bytes.
    pub kept: Kept,
    /// Length of the whole stream.
    pub bytes: u64,
    /// SHA-256 of the whole stream, lower-case hexadecimal; `None` where it is not to be known.
    pub sha256: Option<String>,
    /// Whether bytes between the head and the tail are missing.
    pub truncated: bool,
}

/// The bytes that are kept. `tail` is set where the stream was truncated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Valid UTF-8, cut at character boundaries.
    Text {
        /// All of it, or its first half.
        head: String,
        /// Its last half.
        tail: Option<String>,
    },
    /// Anything else.
    Base64 {
        /// All of it, or its first half.
        head: String,
        /// Its last half.
        tail: Option<String>,
    },
}

/// Captures a stream of which all bytes are at hand, keeping at most `max_bytes`.
pub fn capture(stream: &[u8], max_bytes: usize) -> Captured {
    let sha256 = Some(hexadecimal(&Sha256::digest(stream)));
    let bytes = stream.len() as u64;
    let truncated = stream.len() > max_bytes;
    let kept = if truncated {
        // Bytes that are no text anywhere make all of it binary, although they may not be kept.
        let text = std::str::from_utf8(stream).is_ok();
        ends(stream, stream, max_bytes, text)
    } else {
        whole(stream)
    };
    Captured {
        kept,
        bytes,
        sha256,
        truncated,
    }
}

/// Captures a stream of `bytes` bytes of which only the ends are at hand. `head` and `tail` each hold at least half of
/// `max_bytes`, of which the outermost bytes are kept; whether it is text is decided by them. `sha256` is the digest of the
/// whole stream; of a masked one it is not to be known.
pub fn capture_ends(head: &[u8], tail: &[u8], bytes: u64, sha256: Option<String>, max_bytes: usize) -> Captured {
    Captured {
        kept: ends(head, tail, max_bytes, true),
        bytes,
        sha256,
        truncated: true,
    }
}

fn whole(stream: &[u8]) -> Kept {
    match std::str::from_utf8(stream) {
        Ok(text) => Kept::Text {
            head: text.to_owned(),
            tail: None,
        },
        Err(_) => Kept::Base64 {
            head: STANDARD.encode(stream),
            tail: None,
        },
    }
}

fn ends(first: &[u8], last: &[u8], max_bytes: usize, text: bool) -> Kept {
    let head = &first[..max_bytes.div_ceil(2).min(first.len())];
    let tail = &last[last.len() - (max_bytes / 2).min(last.len())..];
    if text && let (Some(head), Some(tail)) = (text_head(head), text_tail(tail)) {
        return Kept::Text {
            head: head.to_owned(),
            tail: Some(tail.to_owned()),
        };
    }
    Kept::Base64 {
        head: STANDARD.encode(head),
        tail: Some(STANDARD.encode(tail)),
    }
}

/// The text without a character that the cut at its end divides.
fn text_head(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        // `error_len` is `None` exactly where the input ends within a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// The text without a character that the cut at its beginning divides.
fn text_tail(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(&bytes[leading_continuation(bytes)..]).ok()
}

/// How many bytes are of a character that begins before them.
fn leading_continuation(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|&&byte| byte & 0xC0 == 0x80).count()
}

/// The text between two cuts, without the characters that they divide; `None` where that is no text.
pub fn text_between(bytes: &[u8]) -> Option<&str> {
    text_head(&bytes[leading_continuation(bytes)..])
}

/// The parts of a text in base64, where that takes less of an object than the text, which may have many escapes in JSON.
pub fn in_base64(parts: &[&str]) -> Option<Vec<String>> {
    let sum = |length: fn(&str) -> usize| parts.iter().map(|it| length(it)).sum::<usize>();
    let is_shorter = sum(|it| it.len().div_ceil(3) * 4) < sum(json_length);
    is_shorter.then(|| parts.iter().map(|it| STANDARD.encode(it)).collect())
}

/// Bytes between the quotes of a JSON string, with the escapes that the status writer uses: besides JSON's own, `\uHHHH` for
/// what the YAML reader behind server-side apply refuses or alters.
fn json_length(text: &str) -> usize {
    let length = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => 6,
        c => c.len_utf8(),
    };
    text.chars().map(length).sum()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
