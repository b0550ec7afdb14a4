//! Masking and cutting, without a session.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::super::*;

fn secrets(values: &[&str]) -> Secrets {
    Secrets::new(values.iter().map(|value| value.as_bytes().to_vec()))
}

fn never() -> bool {
    false
}

fn masked(values: &[&str], stream: &str) -> (String, u64) {
    let (bytes, count) = secrets(values).mask(stream.into(), &never).expect("a stream");
    (String::from_utf8(bytes).expect("text"), count)
}

fn text(head: &str, tail: Option<&str>) -> Kept {
    Kept::Text {
        head: head.to_owned(),
        tail: tail.map(str::to_owned),
    }
}

fn base64(head: &[u8], tail: Option<&[u8]>) -> Kept {
    Kept::Base64 {
        head: STANDARD.encode(head),
        tail: tail.map(|tail| STANDARD.encode(tail)),
    }
}

#[test]
fn each_occurrence_of_a_secret_is_replaced_and_counted() {
    for (values, stream, expected, count) in [
        (&["hunter2"][..], "pw=hunter2; again hunter2", "pw=***; again ***", 2),
        (&["hunter2"], "hunter", "hunter", 0),
        (&["hunter2"], "hunter2hunter2", "******", 2),
        (&["hunter2"], "", "", 0),
        (&["abc"], "abc is too short to mask", "abc is too short to mask", 0),
        (&["pass", "password"], "password pass", "*** ***", 2),
        (&["password", "wordplay"], "a passwordplay b", "a *** b", 1),
        (&["abab"], "abababab", "***", 1),
        (
            &["line one\nline two"],
            "x line two y line one\nline two z",
            "x *** y *** z",
            2,
        ),
        (&["line one\r\nline two"], "line one", "***", 1),
        (&["a\nlong line\nb"], "a b long line", "a b ***", 1),
        (&["value\n"], "value!", "***!", 1),
    ] {
        assert_eq!(
            masked(values, stream),
            (expected.to_owned(), count),
            "{values:?} in {stream:?}"
        );
    }
    assert_eq!(secrets(&["ab", "abc", "", "abcd"]).ignored(), 2);
    assert!(secrets(&["ab"]).is_empty());
}

#[test]
fn no_byte_of_a_secret_is_left_wherever_a_stream_is_cut() {
    let secrets = secrets(&["topsecret", "secretive", "cret"]);
    let stream = b"..topsecretive..topsecret....secretive.cret..";
    let (all, _) = secrets.mask(stream.to_vec(), &never).expect("a stream");
    for cut in secrets.margin()..=stream.len() {
        let (head, _) = secrets.mask_head(stream[..cut].to_vec(), &never).expect("a head");
        assert!(all.starts_with(&head), "{cut}: {}", String::from_utf8_lossy(&head));
        let (tail, _) = secrets
            .mask_tail(stream[stream.len() - cut..].to_vec(), &never)
            .expect("a tail");
        assert!(all.ends_with(&tail), "{cut}: {}", String::from_utf8_lossy(&tail));
    }
    let (head, count) = secrets
        .mask_head(b"before topsecret and after it more".to_vec(), &never)
        .expect("a head");
    assert_eq!((&head[..], count), (&b"before *** and after"[..], 1));
}

/// Where secrets are in a stream, by the definition: every occurrence, those that overlap as one.
fn occurrences(values: &[Vec<u8>], stream: &[u8]) -> Vec<(usize, usize)> {
    let lines = values
        .iter()
        .flat_map(|it| it.split(|&byte| byte == b'\n').chain([&it[..]]));
    let texts = lines.filter(|it| it.len() >= 4).collect::<Vec<_>>();
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for start in 0..stream.len() {
        let found = texts
            .iter()
            .filter(|it| stream[start..].starts_with(it))
            .map(|it| start + it.len());
        match (found.max(), merged.last_mut()) {
            (Some(end), Some(last)) if start < last.1 => last.1 = last.1.max(end),
            (Some(end), _) => merged.push((start, end)),
            (None, _) => {}
        }
    }
    merged
}

/// What may be shown of some bytes of a stream: for a secret that has any of them, a mask.
fn visible(stream: &[u8], secrets: &[(usize, usize)], from: usize, to: usize) -> Vec<u8> {
    let mut visible = Vec::new();
    let mut at = from;
    while at < to {
        match secrets.iter().find(|(start, end)| (*start..*end).contains(&at)) {
            Some((_, end)) => {
                visible.extend(b"***");
                at = *end;
            }
            None => {
                visible.push(stream[at]);
                at += 1;
            }
        }
    }
    visible
}

fn few_letters(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let letter = prop_oneof![4 => Just(b'a'), 2 => Just(b'b'), 1 => Just(b'\n')];
    proptest::collection::vec(letter, length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn what_is_shown_of_a_growing_stream_is_part_of_the_whole_masked_stream_and_all_that_can_be_known_of_it(
        values in proptest::collection::vec(few_letters(4..9), 0..4),
        stream in few_letters(0..60),
        length in 0_usize..60,
        kept in 0_usize..20,
    ) {
        let secrets = Secrets::new(values.clone());
        let length = length.min(stream.len());
        let begin = length.saturating_sub(kept + secrets.margin());
        let shown = secrets.mask_growing(stream[begin..length].to_vec(), begin > 0, &never).expect("a part");
        // What is still to come may make a secret longer, or whole.
        let found = occurrences(&values, &stream);
        let starts = begin..=if begin > 0 { length.min(begin + secrets.margin()) } else { 0 };
        let is_right = starts.into_iter().any(|from| {
            (length.saturating_sub(secrets.margin())..=length).any(|to| visible(&stream, &found, from, to) == shown)
        });
        prop_assert!(is_right, "{:?}", String::from_utf8_lossy(&shown));
    }
}

#[test]
fn a_secret_that_is_whole_is_not_held_back_although_a_longer_one_may_begin_so() {
    let secrets = secrets(&["pass", "password"]);
    for (stream, shown) in [
        ("my pas", "my "),
        ("my pass", "my ***"),
        ("my passw", "my ***"),
        ("my password", "my ***"),
        ("my passport", "my ***port"),
    ] {
        let masked = secrets.mask_growing(stream.into(), false, &never).expect("a part");
        assert_eq!(String::from_utf8_lossy(&masked), shown, "{stream}");
    }
    assert_eq!(secrets.mask_growing(b"password".to_vec(), false, &|| true), None);
}

#[test]
fn masking_ends_soon_after_nobody_wants_it_any_more() {
    let secrets = secrets(&["hunter2"]);
    let stream = vec![b'x'; 1 << 20];
    let asked = std::cell::Cell::new(0);
    let twice = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    assert_eq!(secrets.mask(stream.clone(), &twice), None);
    assert_eq!(asked.get(), 3, "it asks now and then, and ends at the first yes");
    assert_eq!(secrets.mask_head(stream.clone(), &|| true), None);
    assert_eq!(secrets.mask_tail(stream, &|| true), None);
}

#[test]
fn how_much_is_looked_for_is_known_beforehand() {
    for (values, bytes, margin) in [
        (&[][..], 0, 0),
        (&["abc"], 0, 0),
        (&["plain", "plain"], 5, 4),
        (&["one line\ntwo"], 12 + 8 + 13, 12),
    ] {
        let secrets = secrets(values);
        assert_eq!((secrets.bytes(), secrets.margin()), (bytes, margin), "{values:?}");
    }
}

#[test]
fn secrets_are_never_shown() {
    assert!(!format!("{:?}", secrets(&["canary-value"])).contains("canary"));
}

#[test]
fn a_stream_that_fits_is_kept_whole() {
    for (stream, kept) in [
        (&b""[..], text("", None)),
        (b"hello\n", text("hello\n", None)),
        ("\u{e9}\u{1F600}".as_bytes(), text("\u{e9}\u{1F600}", None)),
        (b"\xff\xfe", base64(b"\xff\xfe", None)),
        // Whatever characters a text has, it is text.
        (b"[\"a\",\"b\"]\n", text("[\"a\",\"b\"]\n", None)),
        (b"\n\n\n", text("\n\n\n", None)),
        (b"C:\\a\\b\t\r\n", text("C:\\a\\b\t\r\n", None)),
        (b"\x1b[1mok\x1b[0m", text("\x1b[1mok\x1b[0m", None)),
        (b"\0\0\0\0", text("\0\0\0\0", None)),
        ("\u{85}\u{feff}".as_bytes(), text("\u{85}\u{feff}", None)),
    ] {
        let captured = capture(stream, 64);
        let sha256: String = Sha256::digest(stream)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let expected = Captured {
            kept,
            bytes: stream.len() as u64,
            sha256: Some(sha256),
            truncated: false,
        };
        assert_eq!(captured, expected, "{stream:?}");
    }
    assert!(!capture(b"12345678", 8).truncated);
    assert!(capture(b"123456789", 8).truncated);
}

#[test]
fn a_stream_too_long_is_kept_as_two_halves_cut_between_characters() {
    let stream = "abcd\u{20ac}\u{20ac}\u{20ac}wxyz";
    for (max_bytes, head, tail) in [
        (0, "", ""),
        (1, "a", ""),
        (2, "a", "z"),
        (8, "abcd", "wxyz"),
        (9, "abcd", "wxyz"),
        (12, "abcd", "wxyz"),
        (13, "abcd\u{20ac}", "wxyz"),
        (14, "abcd\u{20ac}", "\u{20ac}wxyz"),
    ] {
        let captured = capture(stream.as_bytes(), max_bytes);
        assert_eq!(captured.kept, text(head, Some(tail)), "{max_bytes}");
        assert_eq!((captured.bytes, captured.truncated), (17, true));
        let from_ends = capture_ends(
            stream.as_bytes(),
            stream.as_bytes(),
            17,
            captured.sha256.clone(),
            max_bytes,
        );
        assert_eq!(from_ends, captured, "{max_bytes}");
    }
}

#[test]
fn a_long_stream_that_is_no_text_anywhere_is_cut_at_bytes() {
    let mut stream = b"text at both ends".to_vec();
    stream[8] = 0xff;
    assert_eq!(capture(&stream, 4).kept, base64(b"te", Some(b"ds")));
    let binary = [0x80, 0x81, 0x82, 0x83, 0x84, 0x85];
    assert_eq!(
        capture_ends(&binary, &binary, 6, None, 4).kept,
        base64(&binary[..2], Some(&binary[4..]))
    );
}

#[test]
fn every_character_survives_alone_and_in_company() {
    let all: String = ('\0'..=char::MAX).collect();
    let Kept::Text { head, tail: None } = capture(all.as_bytes(), usize::MAX).kept else {
        panic!("all characters together are text")
    };
    assert!(head == all);
    for c in ['\0', '\u{7f}', '\u{85}', '\u{feff}', '\u{ffff}', '"', '\u{10ffff}'] {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        let alone = std::str::from_utf8(bytes).expect("a character");
        assert_eq!(capture(bytes, 8).kept, text(alone, None), "{c:?}");
        let (long, half) = (alone.repeat(100), alone.repeat(20));
        let kept = capture(long.as_bytes(), half.len() * 2).kept;
        assert_eq!(kept, text(&half, Some(&half)), "{c:?}");
    }
}

#[test]
fn a_script_of_its_own_interpreter_is_quoted_whatever_it_says() {
    let attempt = AttemptFiles::new(AttemptId::new("attempt-1").expect("an id"));
    let work = Work {
        program: Program::Shell("#!/bin/x '; @DIR@ $(id)\n".to_owned()),
        env: None,
        stdin: None,
        timeout_seconds: None,
        grace_seconds: 30,
    };
    let call = Call {
        attempt: &attempt,
        nonce: Nonce::new("nonce0001").expect("a nonce"),
        window_seconds: 30,
        linger_milliseconds: 50,
        streams: Streams::Fitting,
        earlier: None,
        cleaning: None,
        action: Action::Start {
            work: &work,
            start_by: 1,
        },
    };
    let text = call.render();
    assert!(text.contains("'/bin/x' ''\\''; @DIR@ $(id)'"));
    assert!(text.ends_with("sleep 0.050\n"));
    let rest = text.replace("\"$@\"", "").replace("@DIR@ $(id)", "");
    assert!(!rest.contains('@'), "every placeholder is filled in");
}

#[test]
fn an_id_or_nonce_that_could_not_be_a_file_name_is_refused() {
    for text in [
        "",
        "short",
        "has.dots.in",
        "has/slash",
        "has space",
        "caf\u{e9}-caf\u{e9}",
        &"x".repeat(65),
    ] {
        assert_eq!(AttemptId::new(text), Err(InvalidAttemptId), "{text}");
        assert_eq!(Nonce::new(text), None, "{text}");
    }
    assert!(AttemptId::new("0123456789abcdef0123456789abcdef").is_ok());
}
