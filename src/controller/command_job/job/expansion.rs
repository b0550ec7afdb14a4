//! `$(NAME)` in values and arguments, as Kubernetes expands it in Pods.

/// Replaces each `$(NAME)` for which `lookup` knows a value; an unknown one stays as it is. `$$` is a literal `$`, so
/// `$$(NAME)` is the text `$(NAME)`. Replaced values are not expanded again. `None` where that has more than `most` bytes.
///
/// The rules are those of <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>, most: usize) -> Option<String> {
    let mut expanded = Bounded {
        text: String::new(),
        most,
    };
    let mut rest = text;
    // Where no `)` follows there is none further on: a text of nothing but `$(` is read once.
    let mut may_close = true;
    while let Some(at) = rest.find('$') {
        expanded.push(&rest[..at])?;
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push("$")?;
            rest = after;
            continue;
        }
        let reference = rest.strip_prefix('(').filter(|_| may_close);
        match reference.map(|it| it.split_once(')')) {
            Some(Some((name, after))) => {
                match lookup(name) {
                    Some(value) => expanded.push(value)?,
                    None => ["$(", name, ")"].iter().try_for_each(|it| expanded.push(it))?,
                }
                rest = after;
            }
            unclosed => {
                may_close &= unclosed.is_none();
                expanded.push("$")?;
            }
        }
    }
    expanded.push(rest)?;
    Some(expanded.text)
}

/// A text that never has more than `most` bytes.
struct Bounded {
    text: String,
    most: usize,
}

impl Bounded {
    fn push(&mut self, piece: &str) -> Option<()> {
        let fits = piece.len() <= self.most - self.text.len();
        fits.then(|| self.text.push_str(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_in_pods() {
        let lookup = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            _ => None,
        };
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(B)", "$(A)"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$A ${A}", "$A ${A}"),
            ("$(A", "$(A"),
            ("$(A) $(A $$ $(B", "1 $(A $ $(B"),
            ("$", "$"),
            ("ü$(A)ü", "ü1ü"),
        ] {
            assert_eq!(expand(text, lookup, 100).as_deref(), Some(expected), "{text}");
            assert_eq!(
                expand(text, lookup, expected.len()).as_deref(),
                Some(expected),
                "{text}"
            );
            if let Some(less) = expected.len().checked_sub(1) {
                assert_eq!(expand(text, lookup, less), None, "{text}");
            }
        }
    }

    #[test]
    fn nothing_is_made_beyond_the_bound() {
        let value = "x".repeat(100_000);
        let text = "$(A)".repeat(4000);
        let looked_up = std::cell::Cell::new(0);
        let lookup = |_: &str| {
            looked_up.set(looked_up.get() + 1);
            Some(value.as_str())
        };
        assert_eq!(expand(&text, lookup, 131_071), None);
        assert_eq!(looked_up.get(), 2, "it stops at the first reference that does not fit");
    }
}
