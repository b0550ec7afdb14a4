//! Objects that cannot be read as their kind: reported once, then ignored until they change.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::{
    Resource,
    core::{DeserializeGuard, error_boundary::InvalidObject},
};

use super::{
    events::{Events, Note, Severity},
    reconciler::Object,
    snapshot::Key,
};

/// Which version of each unreadable object was last complained about, by uid.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<String, String>>);

impl Complaints {
    /// Reports once for each version of an object, in the log and by a Warning event, that it is ignored and why. Its status
    /// is left alone: it may be what cannot be read.
    pub fn complain<K: Object>(&self, object: &DeserializeGuard<K>, invalid: &InvalidObject, events: &Events) {
        let meta = object.meta();
        let version = meta.resource_version.clone().unwrap_or_default();
        let before = self
            .lock()
            .insert(meta.uid.clone().unwrap_or_default(), version.clone());
        if before.as_deref() == Some(&version) {
            return;
        }
        let why = without_values(&invalid.error);
        tracing::error!(kind = %K::kind(&()), object = %Key::of(object), why, "an object cannot be read and is ignored");
        let note = Note {
            severity: Severity::Warning,
            reason: "InvalidObject".into(),
            action: "Decode".into(),
            message: format!("the operator cannot read this object and ignores it: {why}"),
        };
        events.publish(object, &note);
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// serde quotes the value that it did not expect, in double quotes, or in backticks for an unknown variant or field. An
/// object may hold what the readers of logs and events must not see, so only the names that serde expected stay.
fn without_values(error: &str) -> String {
    let mut kept = String::with_capacity(error.len());
    let mut rest = error;
    while let Some(start) = rest.find('"') {
        let (before, quoted) = rest.split_at(start);
        kept.push_str(before);
        kept.push_str("\"…\"");
        rest = quoted[1..].get(end_of_quote(&quoted[1..])..).unwrap_or_default();
    }
    kept.push_str(rest);
    for prefix in ["unknown variant `", "unknown field `"] {
        if let Some(start) = kept.find(prefix).map(|found| found + prefix.len()) {
            // The value may hold backticks itself; what serde says about it ends with `, expected` or `, there are`.
            let tail = &kept[start..];
            let end = tail
                .rfind("`, expected")
                .or_else(|| tail.rfind("`, there are"))
                .unwrap_or(tail.len());
            kept.replace_range(start..start + end, "…");
        }
    }
    kept
}

/// Behind the quote that ends a string in Rust's debug notation.
fn end_of_quote(text: &str) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[serde(rename = "size")]
        _size: i64,
        #[serde(rename = "act", default)]
        _act: Option<Act>,
    }

    #[derive(Debug, Deserialize)]
    enum Act {
        Rest,
    }

    fn told(json: &str) -> String {
        without_values(&serde_json::from_str::<Thing>(json).unwrap_err().to_string())
    }

    #[test]
    fn values_are_not_told_but_names_are() {
        for json in [
            r#"{"size": "hunter2"}"#,
            r#"{"size": "a\"hunter2\" \\"}"#,
            r#"{"size": 1, "act": "hunter2"}"#,
            r#"{"size": 1, "act": "`, expected hunter2 `"}"#,
            r#"{"size": 1, "hunter2": 1}"#,
        ] {
            assert!(!told(json).contains("hunter2"), "{}", told(json));
        }
        assert!(told("{}").contains("missing field `size`"));
        assert!(told(r#"{"size": 1, "act": "hunter2"}"#).contains("expected `Rest`"));
    }
}
