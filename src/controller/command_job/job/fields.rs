//! What a variable has from the job's own metadata, as `fieldRef` has it in Pods.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

/// The field of this path. A label or annotation that the object does not have is an empty text, as in
/// <https://kubernetes.io/docs/concepts/workloads/pods/downward-api/>. `None` for a path that the definition refuses.
pub fn field<'a>(meta: &'a ObjectMeta, path: &str) -> Option<&'a str> {
    let text = match path.strip_prefix("metadata.")? {
        "name" => meta.name.as_deref(),
        "namespace" => meta.namespace.as_deref(),
        "uid" => meta.uid.as_deref(),
        of_map => {
            let (map, key) = of_map.strip_suffix("']")?.split_once("['")?;
            let map: Option<&BTreeMap<String, String>> = match map {
                "labels" => meta.labels.as_ref(),
                "annotations" => meta.annotations.as_ref(),
                _ => return None,
            };
            map.and_then(|it| it.get(key)).map(String::as_str)
        }
    };
    Some(text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_job_and_what_it_lacks_is_empty() {
        let meta: ObjectMeta = serde_json::from_value(serde_json::json!({
            "name": "report", "namespace": "team", "uid": "5d",
            "labels": {"app.kubernetes.io/name": "a"}, "annotations": {"note": "['x']"},
        }))
        .expect("metadata");
        for (path, expected) in [
            ("metadata.name", Some("report")),
            ("metadata.namespace", Some("team")),
            ("metadata.uid", Some("5d")),
            ("metadata.labels['app.kubernetes.io/name']", Some("a")),
            ("metadata.labels['note']", Some("")),
            ("metadata.annotations['note']", Some("['x']")),
            ("metadata.annotations['app.kubernetes.io/name']", Some("")),
            ("metadata.labels", None),
            ("metadata.labels['note'", None),
            ("metadata.finalizers['note']", None),
            ("metadata.generation", None),
            ("spec.stdin", None),
            ("name", None),
            ("", None),
        ] {
            assert_eq!(field(&meta, path), expected, "{path}");
        }
    }
}
