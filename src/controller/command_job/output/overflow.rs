//! Streams that are longer than a status keeps, in ConfigMaps that the job owns.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::command_job::{CommandJob, StoredKey, StoredPart};
use crate::api::condition::Reason;
use crate::controller::config_maps::NOT_ALLOWED;
use crate::runtime::{ApiError, Class, Classify};

/// Bytes of the stream in one ConfigMap: the API server takes 1 MiB, in a request of at most 3 MiB, of which a control character in
/// text takes six bytes.
const CHUNK_BYTES: usize = 448 * 1024;

/// The key within each ConfigMap.
const KEY: &str = "data";

/// Why a stream could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum OverflowError {
    /// The installation does not let the operator write any.
    #[error("{NOT_ALLOWED}")]
    NotAllowed,
    /// A ConfigMap of that name exists and is not what the job stored.
    #[error("the config map {name} exists and is not what this job stored; delete it")]
    Foreign {
        /// Name of the ConfigMap.
        name: String,
    },
    /// The API server.
    #[error(transparent)]
    Kubernetes(#[from] ApiError),
}

impl From<kube::Error> for OverflowError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(error.into())
    }
}

impl Classify for OverflowError {
    fn class(&self) -> Class {
        match self {
            Self::NotAllowed => Class::Denied,
            Self::Foreign { .. } => Class::Waiting { after: None },
            Self::Kubernetes(error) => error.class(),
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::NotAllowed => Reason::ConfigMapsNotAllowed.as_str().into(),
            Self::Foreign { .. } => Reason::AlreadyExists.as_str().into(),
            Self::Kubernetes(error) => error.reason(),
        }
    }
}

/// Stores a stream and returns where its parts are, in order. Repeating it stores nothing twice: the names follow from the
/// job, and a ConfigMap of that name that the job owns, with the same content, is that of an earlier try.
pub async fn store(
    client: &Client,
    job: &CommandJob,
    stream: &str,
    bytes: &[u8],
) -> Result<Vec<StoredPart>, OverflowError> {
    let namespace = job.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let mut parts = Vec::new();
    for (number, chunk) in chunks(bytes).into_iter().enumerate() {
        let config_map = config_map(job, stream, number + 1, chunk);
        let name = config_map.name_any();
        match api.create(&PostParams::default(), &config_map).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                if !is_the_same(&api.get(&name).await?, &config_map) {
                    return Err(OverflowError::Foreign { name });
                }
            }
            Err(error) => return Err(error.into()),
        }
        let key = KEY.to_owned();
        parts.push(StoredPart {
            config_map_key_ref: StoredKey { name, key },
        });
    }
    Ok(parts)
}

/// Whether a ConfigMap is one that an earlier try of this very job made of this very stream. Names can be foreseen, so one
/// that somebody else made beforehand must not pass for what the command printed.
fn is_the_same(found: &ConfigMap, made: &ConfigMap) -> bool {
    let owner = |it: &ConfigMap| {
        let mut owners = it.owner_references().iter();
        owners.find(|it| it.controller == Some(true)).map(|it| it.uid.clone())
    };
    owner(found).is_some()
        && owner(found) == owner(made)
        && found.immutable == Some(true)
        && (&found.data, &found.binary_data) == (&made.data, &made.binary_data)
}

fn config_map(job: &CommandJob, stream: &str, number: usize, chunk: &[u8]) -> ConfigMap {
    let uid = job.uid().unwrap_or_default();
    let base = job.name_any();
    // Names have at most 253 characters; the UID keeps a shortened one unique.
    let base = base[..base.floor_char_boundary(200)].trim_end_matches(['.', '-']);
    let mut config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!(
                "{base}-{}-{stream}-{number}",
                &uid[..uid.floor_char_boundary(8)]
            )),
            namespace: job.namespace(),
            owner_references: job.controller_owner_ref(&()).map(|it| vec![it]),
            labels: Some(labels(job, stream)),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        ..ConfigMap::default()
    };
    match std::str::from_utf8(chunk) {
        Ok(text) => config_map.data = Some(BTreeMap::from([(KEY.into(), text.into())])),
        Err(_) => config_map.binary_data = Some(BTreeMap::from([(KEY.into(), ByteString(chunk.to_vec()))])),
    }
    config_map
}

/// By which they are found. The name of a job is longer than a label may be; then its UID tells which job it is.
fn labels(job: &CommandJob, stream: &str) -> BTreeMap<String, String> {
    let name = job.name_any();
    let name = name[..name.floor_char_boundary(63)].trim_end_matches(['.', '-']);
    BTreeMap::from([
        ("lifeguard.dev/job".into(), name.into()),
        ("lifeguard.dev/job-uid".into(), job.uid().unwrap_or_default()),
        ("lifeguard.dev/stream".into(), stream.into()),
    ])
}

/// Cuts between characters where the stream is text.
fn chunks(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let mut end = CHUNK_BYTES.min(bytes.len());
        if end < bytes.len() {
            // A character of UTF-8 has at most three continuation bytes; in binary data any cut is as good.
            let back = (0..4).find(|back| bytes[end - back] & 0xC0 != 0x80).unwrap_or(0);
            end -= back;
        }
        let (chunk, rest) = bytes.split_at(end);
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_nothing_is_lost() {
        for text in [
            "é".repeat(CHUNK_BYTES),
            "a".repeat(CHUNK_BYTES * 2),
            "😀".repeat(CHUNK_BYTES),
            String::new(),
        ] {
            let chunks = chunks(text.as_bytes());
            assert!(
                chunks
                    .iter()
                    .all(|it| it.len() <= CHUNK_BYTES && std::str::from_utf8(it).is_ok())
            );
            assert_eq!(chunks.concat(), text.as_bytes());
        }
    }

    #[test]
    fn a_config_map_that_somebody_made_beforehand_is_not_taken_for_the_output() {
        let job: CommandJob = serde_json::from_value(serde_json::json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
            "metadata": {"name": "j", "namespace": "ns", "uid": "12345678-9"},
            "spec": {"target": {"sessionPoolRef": {"name": "shell"}}, "script": "true"},
        }))
        .unwrap();
        let made = config_map(&job, "stdout", 1, b"printed");
        assert!(is_the_same(&made, &made));
        let forged = |change: fn(&mut ConfigMap)| {
            let mut forged = made.clone();
            change(&mut forged);
            forged
        };
        for forged in [
            forged(|it| it.data = Some(BTreeMap::from([(KEY.into(), "forged".into())]))),
            forged(|it| it.immutable = None),
            forged(|it| it.metadata.owner_references = None),
            forged(|it| it.metadata.owner_references.as_mut().unwrap()[0].controller = None),
            forged(|it| it.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into()),
        ] {
            assert!(!is_the_same(&forged, &made), "{forged:?}");
        }
    }

    #[test]
    fn a_config_map_is_labelled_with_its_job_as_far_as_a_label_can_name_it() {
        let labels = |name: &str| {
            let job = serde_json::from_value(serde_json::json!({
                "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
                "metadata": {"name": name, "namespace": "ns", "uid": "12345678-9"},
                "spec": {"target": {"sessionPoolRef": {"name": "shell"}}, "script": "true"},
            }));
            let made = config_map(&job.expect("a job"), "stderr", 1, b"printed");
            made.metadata.labels.expect("labels")
        };
        for (name, expected) in [
            ("nightly.report-1".to_owned(), "nightly.report-1".to_owned()),
            ("x".repeat(253), "x".repeat(63)),
            (format!("{}-.-{}", "x".repeat(61), "y".repeat(30)), "x".repeat(61)),
        ] {
            let labels = labels(&name);
            assert_eq!(labels["lifeguard.dev/job"], expected);
            assert_eq!(
                (&*labels["lifeguard.dev/job-uid"], &*labels["lifeguard.dev/stream"]),
                ("12345678-9", "stderr")
            );
        }
    }

    #[test]
    fn binary_data_is_cut_too() {
        let bytes = vec![0x80; CHUNK_BYTES * 3];
        assert_eq!(chunks(&bytes).concat(), bytes);
        assert_eq!(chunks(&bytes).len(), 3);
    }
}
