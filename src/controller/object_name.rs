//! Which names objects can have.

/// Whether an object can have this name: a DNS subdomain (RFC 1123).
///
/// kube puts names into the paths of requests as they are: a `/`, `%` or `?` in one would ask for something else. The API
/// server refuses such names in specs, but an object may have been stored before it knew that rule. So whatever a spec
/// names is looked at again before it is asked for; what has no possible name does not exist.
pub fn is_object_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_ask_for_something_else_is_no_name() {
        for name in ["a", "0", "a-b", "a.b-c.0", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "A",
            "a_b",
            "a b",
            "a/b",
            "../../namespaces/b/secrets/x",
            "a%2fb",
            "a?limit=500",
            "a#b",
            "ä",
            "a\0",
            "a\n",
            &"a".repeat(254),
        ] {
            assert!(!is_object_name(name), "{name:?}");
        }
    }
}
