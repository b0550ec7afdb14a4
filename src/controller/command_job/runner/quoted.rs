//! How shells show a value that they quote, as far as it differs from the value: without the quotes around it, which hide
//! nothing.
//!
//! Observed with bash 5.2 (`set`, `export -p`, `declare -p`, `set -x`, `printf %q`, `${NAME@Q}`), dash 0.5.12 and busybox ash
//! 1.35 (`set`, `export -p`).

use std::fmt::Write as _;

use bytes::Bytes;

use super::quote::quote_bytes;

/// How a value looks in one way to quote it; `None` where that is never used for it.
type Form = fn(&[u8]) -> Option<Vec<u8>>;

/// The forms of a value other than the value itself, one after the other.
pub fn forms(value: &Bytes) -> impl Iterator<Item = Bytes> {
    let forms: [Form; 6] = [
        single_quoted,
        quotes_in_double_quotes,
        double_quoted,
        backslashes,
        |value| ansi(value, false),
        |value| ansi(value, true),
    ];
    let value = value.clone();
    let forms = forms
        .into_iter()
        .filter_map(move |form| form(&value).filter(|it| **it != *value));
    forms.map(Bytes::from)
}

/// Within `'…'`, as POSIX suggests and bash does it: `'\''`.
fn single_quoted(value: &[u8]) -> Option<Vec<u8>> {
    let word = value.contains(&b'\'').then(|| quote_bytes(value))?;
    Some(word[1..word.len() - 1].to_vec())
}

/// Within `'…'`, as dash and busybox do it: a row of `'` stands between `"…"`.
fn quotes_in_double_quotes(value: &[u8]) -> Option<Vec<u8>> {
    if !value.contains(&b'\'') {
        return None;
    }
    let mut form = Vec::with_capacity(value.len() + 16);
    let mut rows = value.chunk_by(|a, b| (*a == b'\'') == (*b == b'\'')).peekable();
    while let Some(row) = rows.next() {
        if row[0] == b'\'' {
            form.extend_from_slice(b"'\"");
            form.extend_from_slice(row);
            // After the last row there is nothing more to quote.
            form.extend_from_slice(if rows.peek().is_some() { b"\"'" } else { b"\"" });
        } else {
            form.extend_from_slice(row);
        }
    }
    Some(form)
}

/// Within `"…"`, as bash declares variables.
fn double_quoted(value: &[u8]) -> Option<Vec<u8>> {
    Some(escaped(value, |byte| match byte {
        b'"' | b'$' | b'`' | b'\\' => b"\\",
        _ => b"",
    }))
}

/// Without quotes, as `printf %q` of bash shows what has no control characters.
fn backslashes(value: &[u8]) -> Option<Vec<u8>> {
    if value.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mut before = None;
    Some(escaped(value, |byte| {
        let is_special = match byte {
            b'~' => matches!(before, None | Some(b':' | b'=')),
            b'#' => before.is_none(),
            _ => b" !\"$&'()*,;<>?[\\]^`{|}".contains(&byte),
        };
        before = Some(byte);
        if is_special { b"\\" } else { b"" }
    }))
}

/// Within `$'…'`, as bash shows what has control characters, or other than ASCII in a locale that does not know them.
fn ansi(value: &[u8], ascii_only: bool) -> Option<Vec<u8>> {
    if ascii_only && value.is_ascii() {
        return None;
    }
    let is_shown = |it: char| !it.is_control() && (it.is_ascii() || !ascii_only);
    let mut chunks = value.utf8_chunks();
    if chunks.all(|it| it.invalid().is_empty() && it.valid().chars().all(is_shown)) {
        return None;
    }
    let mut form = String::with_capacity(value.len() + 16);
    let octal = |form: &mut String, bytes: &[u8]| {
        for byte in bytes {
            write!(form, "\\{byte:03o}").expect("invariant: writing to a String does not fail");
        }
    };
    for chunk in value.utf8_chunks() {
        for it in chunk.valid().chars() {
            match it {
                '\x07' => form.push_str("\\a"),
                '\x08' => form.push_str("\\b"),
                '\t' => form.push_str("\\t"),
                '\n' => form.push_str("\\n"),
                '\x0b' => form.push_str("\\v"),
                '\x0c' => form.push_str("\\f"),
                '\r' => form.push_str("\\r"),
                '\x1b' => form.push_str("\\E"),
                '\\' => form.push_str("\\\\"),
                '\'' => form.push_str("\\'"),
                shown if is_shown(shown) => form.push(shown),
                other => octal(&mut form, other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        octal(&mut form, chunk.invalid());
    }
    Some(form.into_bytes())
}

/// The value with something in front of some of its bytes.
fn escaped(value: &[u8], mut before: impl FnMut(u8) -> &'static [u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(value.len() + 16);
    for &byte in value {
        form.extend_from_slice(before(byte));
        form.push(byte);
    }
    form
}
