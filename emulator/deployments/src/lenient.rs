//! JSON as ARM's front door reads it.
//!
//! Deployments are read by Newtonsoft's reader, and the Azure CLI relies on that: it puts the text of a template file into its
//! body as it stands, comments and all, behind an unquoted name (`template:{…}`; azure-cli 2.91, `JsonCTemplatePolicy`). So
//! comments, names without quotes, single quotes, line breaks in strings and a comma before the end are taken. `#` begins no
//! comment.

use serde_json::{Map, Value};

/// Deeper values are refused, as the reader's own limit is.
const MAX_DEPTH: usize = 64;

/// Reads a text. The error is Newtonsoft's sentence.
pub fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        position: 0,
        path: Vec::new(),
    };
    let value = reader.value()?;
    reader.skip_blanks()?;
    match reader.peek() {
        None => Ok(value),
        Some(other) => Err(reader.error(&format!(
            "Additional text encountered after finished reading JSON content: {other}."
        ))),
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    position: usize,
    path: Vec<String>,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, String> {
        if self.path.len() > MAX_DEPTH {
            return Err(self.error(&format!("The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")));
        }
        self.skip_blanks()?;
        match self.peek() {
            None => Err(self.error("Unexpected end when reading JSON.")),
            Some('{') => self.object(),
            Some('[') => self.array(),
            Some(quote @ ('"' | '\'')) => Ok(Value::String(self.string(quote)?)),
            Some(one) => {
                let word = self.word(|one| one.is_alphanumeric() || matches!(one, '-' | '+' | '.'));
                match word.as_str() {
                    "null" => Ok(Value::Null),
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    // What JSON takes for a number and nothing else.
                    number => match serde_json::from_str::<Value>(number) {
                        Ok(value) if value.is_number() => Ok(value),
                        _ => Err(self.error(&format!("Unexpected character encountered while parsing value: {one}."))),
                    },
                }
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        let mut members = Map::new();
        self.take();
        let depth = self.path.len();
        loop {
            // An error before the next name is still told of the last one.
            self.skip_blanks()?;
            let name = match self.peek() {
                None => return Err(self.error("Unexpected end when reading JSON.")),
                Some('}') => {
                    self.take();
                    self.path.truncate(depth);
                    return Ok(Value::Object(members));
                }
                Some(quote @ ('"' | '\'')) => self.string(quote)?,
                Some(one) if is_name(one) => self.word(is_name),
                Some(other) => {
                    return Err(self.error(&format!("Invalid property identifier character: {other}.")));
                }
            };
            self.skip_blanks()?;
            if self.peek() != Some(':') {
                let found = self.peek().unwrap_or(' ');
                return Err(self.error(&format!(
                    "Invalid character after parsing property name. Expected ':' but got: {found}."
                )));
            }
            self.take();
            self.path.truncate(depth);
            self.path.push(name.clone());
            let value = self.value()?;
            self.after_value('}')?;
            members.insert(name, value);
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        self.take();
        loop {
            self.skip_blanks()?;
            if self.peek() == Some(']') {
                self.take();
                return Ok(Value::Array(items));
            }
            self.path.push(format!("[{}]", items.len()));
            items.push(self.value()?);
            self.after_value(']')?;
            self.path.pop();
        }
    }

    /// Passes the comma that follows a member or an item; its end is left.
    fn after_value(&mut self, end: char) -> Result<(), String> {
        self.skip_blanks()?;
        match self.peek() {
            Some(',') => {
                self.take();
                Ok(())
            }
            Some(found) if found == end => Ok(()),
            Some(other) => Err(self.error(&format!(
                "After parsing a value an unexpected character was encountered: {other}."
            ))),
            None => Err(self.error("Unexpected end when reading JSON.")),
        }
    }

    fn string(&mut self, quote: char) -> Result<String, String> {
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(self.error(&format!("Unterminated string. Expected delimiter: {quote}."))),
                Some(one) if one == quote => return Ok(text),
                Some('\\') => {
                    let escaped = self.escape()?;
                    text.push(escaped);
                }
                Some(one) => text.push(one),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.take() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(plain @ ('"' | '\'' | '\\' | '/')) => plain,
            Some('u') => {
                let first = self.code_unit()?;
                // A character beyond the basic plane is two code units.
                let units = if (0xd800..0xdc00).contains(&first) && self.rest.starts_with("\\u") {
                    self.take();
                    self.take();
                    vec![first, self.code_unit()?]
                } else {
                    vec![first]
                };
                char::decode_utf16(units)
                    .next()
                    .and_then(Result::ok)
                    .unwrap_or('\u{fffd}')
            }
            other => {
                let shown = other.map(String::from).unwrap_or_default();
                return Err(self.error(&format!("Bad JSON escape sequence: \\{shown}.")));
            }
        })
    }

    fn code_unit(&mut self) -> Result<u16, String> {
        let digits: String = (0..4).filter_map(|_| self.take()).collect();
        u16::from_str_radix(&digits, 16)
            .map_err(|_| self.error(&format!("Invalid Unicode escape sequence: \\u{digits}.")))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let mut word = String::new();
        while let Some(one) = self.peek().filter(|one| belongs(*one)) {
            word.push(one);
            self.take();
        }
        word
    }

    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            if self.peek().is_some_and(|one| one.is_whitespace() || one == '\u{feff}') {
                self.take();
            } else if self.rest.starts_with("//") {
                while self.peek().is_some_and(|one| one != '\n') {
                    self.take();
                }
            } else if self.rest.starts_with("/*") {
                while !self.rest.starts_with("*/") {
                    if self.take().is_none() {
                        return Err(self.error("Unexpected end while parsing comment."));
                    }
                }
                self.take();
                self.take();
            } else {
                return Ok(());
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let one = self.peek()?;
        self.rest = &self.rest[one.len_utf8()..];
        if one == '\n' {
            self.line += 1;
            self.position = 0;
        } else {
            self.position += 1;
        }
        Some(one)
    }

    fn error(&self, what: &str) -> String {
        let mut path = String::new();
        for part in &self.path {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        format!("{what} Path '{path}', line {}, position {}.", self.line, self.position)
    }
}

fn is_name(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde_json::json;

    #[test]
    fn the_body_of_the_azure_cli_is_read() {
        let text = "{\"properties\": {\"mode\": \"Incremental\", template:{\r\n // said\r\n  \"a\": 'b', /* c */ \"d\": [1, -2.5, true, null,],\n}}}";
        let wanted = json!({ "properties": {
            "mode": "Incremental",
            "template": { "a": "b", "d": [1, -2.5, true, null] },
        } });
        assert_eq!(read(text).unwrap(), wanted);
    }

    #[test]
    fn strings_may_break_lines_and_look_like_comments() {
        let value = read("{ \"a\": \"http://x\n\\u00e4\\ud83d\\ude00\\\"/*\" }").unwrap();
        assert_eq!(value, json!({ "a": "http://x\nä😀\"/*" }));
    }

    #[test]
    fn a_hash_is_no_comment() {
        let text = "{ \"resources\": [ { \"containerType\": \"Shell\", # said\n } ] }";
        assert_eq!(
            read(text).unwrap_err(),
            "Invalid property identifier character: #. Path 'resources[0].containerType', line 1, position 45."
        );
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (text, wanted) in [
            (
                "{ \"a\": x }",
                "Unexpected character encountered while parsing value: x. Path 'a'",
            ),
            (
                "{ \"a\": 1 2 }",
                "After parsing a value an unexpected character was encountered: 2. Path 'a'",
            ),
            (
                "{ \"a\" 1 }",
                "Invalid character after parsing property name. Expected ':' but got: 1.",
            ),
            ("{ \"a\": [1", "Unexpected end when reading JSON. Path 'a[0]'"),
            (
                "{} x",
                "Additional text encountered after finished reading JSON content: x.",
            ),
            ("", "Unexpected end when reading JSON."),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.starts_with(wanted), "{message}");
        }
    }

    #[test]
    fn what_json_takes_is_read_alike() {
        let value = json!({ "a": [1, 2.5, -3, 1e3, "x\ty", { "b": null }], "": {}, "c d": [] });
        assert_eq!(read(&value.to_string()).unwrap(), value);
    }
}
