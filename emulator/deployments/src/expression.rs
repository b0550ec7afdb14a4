//! The syntax of template expressions: `[concat(parameters('name'), resourceGroup().tags['x'])]`.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Value, json};

/// Longest expression (template limits of Azure Resource Manager).
const LONGEST: usize = 24_576;

/// Calls, indices and members that may be nested in an expression.
const MAX_NESTING: usize = 96;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A string or a number.
    Literal(Value),
    /// A function with its arguments.
    Call(String, Vec<Expression>),
    /// A member of what an expression yields: `.name` or `[index]`.
    Member(Box<Expression>, Box<Expression>),
}

/// A string of a template.
#[derive(Debug, PartialEq)]
pub enum Text {
    /// One that stands for itself; a doubled bracket at its start is one.
    Plain(String),
    /// One in brackets.
    Expression(Expression),
}

/// Reads a string of a template. The error is what ARM puts between quotes in its own message.
pub fn read(text: &str) -> Result<Text, String> {
    if let Some(rest) = text.strip_prefix("[[") {
        return Ok(Text::Plain(format!("[{rest}")));
    }
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return Ok(Text::Plain(text.to_owned()));
    };
    let length = text.chars().count();
    if length > LONGEST {
        return Err(format!(
            "The language expression length limit exceeded. Limit: '{LONGEST}' and actual: '{length}'."
        ));
    }
    let mut parser = Parser {
        chars: inner.chars().peekable(),
        nesting: 0,
    };
    parser
        .expression()
        .and_then(|parsed| {
            parser.skip_blanks();
            match parser.chars.next() {
                None => Ok(parsed),
                Some(other) => Err(format!("the end of the expression is expected and not '{other}'")),
            }
        })
        .map(Text::Expression)
        .map_err(|reason| format!("Unable to parse language expression '{inner}': {reason}."))
}

struct Parser<'a> {
    chars: Peekable<Chars<'a>>,
    /// How deep the expression that is being read is by now.
    nesting: usize,
}

impl Parser<'_> {
    fn expression(&mut self) -> Result<Expression, String> {
        let outside = self.nesting;
        self.deeper()?;
        self.skip_blanks();
        let mut parsed = match self.chars.peek() {
            Some('\'') => Expression::Literal(Value::String(self.string()?)),
            Some(one) if one.is_ascii_digit() || *one == '-' => self.number()?,
            Some(one) if one.is_ascii_alphabetic() || *one == '_' => self.call()?,
            Some(other) => return Err(format!("a function or a literal is expected and not '{other}'")),
            None => return Err("a function or a literal is expected and not the end".to_owned()),
        };
        loop {
            self.skip_blanks();
            let member = match self.chars.peek() {
                Some('.') => {
                    self.chars.next();
                    Expression::Literal(Value::String(self.name()?))
                }
                Some('[') => {
                    self.chars.next();
                    let index = self.expression()?;
                    self.expect(']')?;
                    index
                }
                _ => {
                    self.nesting = outside;
                    return Ok(parsed);
                }
            };
            self.deeper()?;
            parsed = Expression::Member(Box::new(parsed), Box::new(member));
        }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("it is nested deeper than {MAX_NESTING} levels"));
        }
        Ok(())
    }

    fn call(&mut self) -> Result<Expression, String> {
        let name = self.name()?;
        self.skip_blanks();
        self.expect('(')?;
        let mut arguments = Vec::new();
        self.skip_blanks();
        if self.chars.peek() != Some(&')') {
            loop {
                arguments.push(self.expression()?);
                self.skip_blanks();
                if self.chars.peek() != Some(&',') {
                    break;
                }
                self.chars.next();
            }
        }
        self.expect(')')?;
        Ok(Expression::Call(name, arguments))
    }

    fn string(&mut self) -> Result<String, String> {
        self.expect('\'')?;
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some('\'') if self.chars.peek() == Some(&'\'') => {
                    self.chars.next();
                    text.push('\'');
                }
                Some('\'') => return Ok(text),
                Some(one) => text.push(one),
                None => return Err("a string does not end".to_owned()),
            }
        }
    }

    fn number(&mut self) -> Result<Expression, String> {
        let mut digits = String::new();
        while let Some(one) = self.chars.next_if(|one| one.is_ascii_digit() || *one == '-') {
            digits.push(one);
        }
        let number: i64 = digits.parse().map_err(|_| format!("'{digits}' is no integer"))?;
        Ok(Expression::Literal(json!(number)))
    }

    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        while let Some(one) = self.chars.next_if(|one| one.is_alphanumeric() || *one == '_') {
            name.push(one);
        }
        if name.is_empty() {
            return Err("a name is expected".to_owned());
        }
        Ok(name)
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        self.skip_blanks();
        match self.chars.next() {
            Some(found) if found == wanted => Ok(()),
            Some(found) => Err(format!("'{wanted}' is expected and not '{found}'")),
            None => Err(format!("'{wanted}' is expected and not the end")),
        }
    }

    fn skip_blanks(&mut self) {
        while self.chars.next_if(|one| one.is_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: Vec<Expression>) -> Expression {
        Expression::Call(name.to_owned(), arguments)
    }

    fn text(value: &str) -> Expression {
        Expression::Literal(json!(value))
    }

    #[test]
    fn strings_without_brackets_stand_for_themselves() {
        for plain in ["", "a", "a[b]", "[a", "a]"] {
            assert_eq!(read(plain).unwrap(), Text::Plain(plain.to_owned()));
        }
        assert_eq!(read("[[a]").unwrap(), Text::Plain("[a]".to_owned()));
    }

    #[test]
    fn calls_members_and_quoted_quotes_are_read() {
        let parsed = read("[concat('it''s ', resourceGroup().tags['a'] , -3)]").unwrap();
        let tags = Expression::Member(Box::new(call("resourceGroup", Vec::new())), Box::new(text("tags")));
        let tag = Expression::Member(Box::new(tags), Box::new(text("a")));
        let wanted = call("concat", vec![text("it's "), tag, Expression::Literal(json!(-3))]);
        assert_eq!(parsed, Text::Expression(wanted));
    }

    #[test]
    fn breadth_is_not_depth_and_length_has_its_limit() {
        let wide = format!("[a({}1)]", "b().c,".repeat(500));
        assert!(read(&wide).is_ok());
        let long = format!("['{}']", "x".repeat(LONGEST));
        assert!(read(&long).unwrap_err().contains("length limit exceeded"));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        for bad in [
            "[]",
            "[concat('a']",
            "[concat('a)]",
            "[a b]",
            "[a(1,)]",
            "[a().]",
            "[a()]]",
            &format!("[{}{}]", "a(".repeat(5000), ")".repeat(5000)),
            &format!("[a(){}]", ".b".repeat(5000)),
            &format!("[a(){}{}]", "[a()".repeat(2000), "]".repeat(2000)),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.starts_with("Unable to parse language expression"), "{message}");
        }
    }
}
