//! Bodies of server-side apply.
//!
//! The API server reads them as YAML, not as JSON, although JSON is what everybody sends. Inside a double-quoted YAML
//! scalar some characters that JSON allows raw are refused (U+007F to U+009F, U+FFFE, U+FFFF), turned into a space
//! (U+0085), or are line breaks around which blanks are trimmed (U+2028, U+2029); U+FEFF may be taken for a byte order
//! mark. Escapes of surrogate pairs are refused as well, so characters beyond the BMP must stay raw. All of this was
//! observed on kube-apiserver 1.36.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Serialises `value` as JSON that means the same when it is read as YAML.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(1024);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut body, YamlSafe))?;
    Ok(body)
}

struct YamlSafe;

impl Formatter for YamlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (start, found) in fragment
            .char_indices()
            .filter(|(_, character)| must_be_escaped(*character))
        {
            writer.write_all(&fragment.as_bytes()[written..start])?;
            write!(writer, "\\u{:04x}", u32::from(found))?;
            written = start + found.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

fn must_be_escaped(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        String::from_utf8(to_vec(text).unwrap()).unwrap()
    }

    #[test]
    fn every_unicode_scalar_survives_as_json_alone_and_among_others() {
        for character in ('\0'..=char::MAX).filter(|c| !c.is_control() || *c < '\u{a0}') {
            let text = format!("a {character} b");
            assert_eq!(serde_json::from_str::<String>(&written(&text)).unwrap(), text);
        }
        let all: String = ('\0'..=char::MAX).collect();
        assert_eq!(serde_json::from_str::<String>(&written(&all)).unwrap(), all);
    }

    #[test]
    fn nothing_that_yaml_refuses_or_alters_is_raw() {
        let all: String = ('\0'..=char::MAX).collect();
        let raw = written(&all);
        assert!(!raw.chars().any(must_be_escaped));
        assert!(!raw.chars().any(|character| character < ' '));
    }

    #[test]
    fn characters_beyond_the_bmp_are_never_surrogate_escapes() {
        assert_eq!(written("\u{1f600}\u{10ffff}"), "\"\u{1f600}\u{10ffff}\"");
    }

    #[test]
    fn keys_are_escaped_as_values_are() {
        let map = std::collections::BTreeMap::from([("\u{85}", "\u{85}")]);
        assert_eq!(to_vec(&map).unwrap(), br#"{"\u0085":"\u0085"}"#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text in ".*") {
            prop_assert_eq!(serde_json::from_str::<String>(&written(&text)).unwrap(), text);
        }
    }
}
