//! Drift as the status shows it.

use serde_json::Value;

use crate::api::azure_resource::Drift;
use crate::azure::Difference;
use crate::controller::operator_key::OperatorKey;

/// More differences than these are not listed.
const MAX_LISTED: usize = 50;
/// A value is cut to this many characters.
const MAX_VALUE: usize = 512;
/// Values at and below these paths are secret.
const SECRET_PATHS: [&str; 1] = ["properties.secrets"];

/// Differences as they are shown: values as JSON, or as digests under the operator's key where they are secret.
pub fn shown(differences: &[Difference], key: &OperatorKey) -> Vec<Drift> {
    differences.iter().take(MAX_LISTED).map(|it| one(it, key)).collect()
}

/// The paths of differences, for messages.
pub fn paths(differences: &[Difference]) -> String {
    let named: Vec<&str> = differences.iter().take(5).map(|it| it.path.as_str()).collect();
    let more = differences.len().saturating_sub(named.len());
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn one(difference: &Difference, key: &OperatorKey) -> Drift {
    let secret = SECRET_PATHS
        .iter()
        .any(|path| difference.path.to_ascii_lowercase().starts_with(path));
    let text = |value: &Option<Value>| match value {
        None => "null".to_owned(),
        Some(value) if secret => format!("hmac:{}", key.digest([value.to_string().as_bytes()])),
        Some(value) => shortened(&value.to_string()),
    };
    Drift {
        path: difference.path.clone(),
        desired: text(&difference.desired),
        actual: text(&difference.actual),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_json_and_secret_ones_as_digests() {
        let key = OperatorKey::new([1; 32]);
        let plain = Difference {
            path: "location".into(),
            desired: Some(json!("a")),
            actual: None,
        };
        let secret = Difference {
            path: "properties.secrets[token]".into(),
            desired: Some(json!({"name": "token", "value": "canary"})),
            actual: None,
        };
        let drift = shown(&[plain, secret], &key);
        assert_eq!((drift[0].desired.as_str(), drift[0].actual.as_str()), ("\"a\"", "null"));
        assert!(drift[1].desired.starts_with("hmac:"), "{}", drift[1].desired);
        assert!(!format!("{drift:?}").contains("canary"));
    }
}
