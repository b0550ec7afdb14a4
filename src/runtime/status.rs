//! Writing of status: server-side apply over exactly the version that the decision was made on.

use std::{borrow::Cow, marker::PhantomData};

use axum::http;
use kube::{
    Client,
    api::{Patch, PatchParams},
    core::{PartialObjectMeta, Request},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    apply_body,
    error::{ApiError, Class, Classify},
    reconciler::Object,
    source::strip,
};

/// Asks the API server to answer with the metadata of the object only ("Resources over the API").
const METADATA_ONLY: http::HeaderValue =
    http::HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// Writes the status of one kind, as one field manager.
///
/// The only writer of status in this program. It always sends the whole status, so what it sent before and no longer
/// sends is removed by the server.
pub struct StatusWriter<K> {
    client: Client,
    field_manager: String,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> StatusWriter<K> {
    /// A writer that is known to the server as `field_manager`; no other code may use that name for this kind's status.
    pub fn new(client: Client, field_manager: impl Into<String>) -> Self {
        Self {
            client,
            field_manager: field_manager.into(),
            kind: PhantomData,
        }
    }

    /// Sends `status` as the status of `object`, whether it differs or not, and returns the object as it is then: its spec
    /// as it was, for nobody wrote in between.
    ///
    /// A compare-and-swap: it succeeds only over the version that `object` is ([`WriteError::Conflict`] otherwise), also
    /// when nothing changes. It never creates the object and never touches its spec.
    pub async fn write(&self, object: &K, status: &K::Status) -> Result<K, WriteError> {
        let request = self.request(object, status)?;
        let metadata: PartialObjectMeta<K> = send(&self.client, request).await?;
        let mut written = object.clone();
        *written.meta_mut() = metadata.metadata;
        *written.status_mut() = Some(status.clone());
        strip(&mut written);
        Ok(written)
    }

    fn request(&self, object: &K, status: &K::Status) -> Result<http::Request<Vec<u8>>, WriteError> {
        let meta = object.meta();
        let name = meta.name.as_deref().unwrap_or_default();
        let body = apply_body::to_vec(&StatusApply {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            metadata: ApplyMeta {
                name,
                namespace: meta.namespace.as_deref(),
                resource_version: meta.resource_version.as_deref().unwrap_or_default(),
            },
            status,
        })
        .map_err(WriteError::Unwritable)?;
        let parameters = PatchParams::apply(&self.field_manager).force();
        let mut request = Request::new(K::url_path(&(), meta.namespace.as_deref()))
            .patch_subresource("status", name, &parameters, &Patch::Apply(()))
            .map_err(|error| ApiError::from(kube::Error::BuildRequest(error)))?;
        // kube serialises without regard to YAML, so only its request line and headers are used.
        *request.body_mut() = body;
        // An object may be large, and all of it but the version is known.
        request.headers_mut().insert(http::header::ACCEPT, METADATA_ONLY);
        Ok(request)
    }

    /// Like [`write`](Self::write), but sends nothing and returns `None` if `object` already has this status.
    pub async fn write_if_changed(&self, object: &K, status: &K::Status) -> Result<Option<K>, WriteError> {
        if object.status() == Some(status) {
            return Ok(None);
        }
        self.write(object, status).await.map(Some)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote first; decide again on a fresh copy.
    #[error("the object was changed by somebody else in the meantime")]
    Conflict,
    /// The object no longer exists.
    #[error("the object no longer exists")]
    Gone,
    /// The object would be larger than the API server or etcd takes (about 1.5 MiB).
    #[error("the object would be larger than the API server takes")]
    TooLarge,
    /// The API server did not answer in time; the object may have been written.
    #[error("the API server did not answer in time")]
    TimedOut,
    /// Any other answer, or none.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The object was written, but the answer cannot be read as its kind.
    #[error("the API server's answer is not a valid object of the kind")]
    Unreadable(#[source] serde_json::Error),
    /// The object cannot be expressed as JSON.
    #[error("the object cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let error = ApiError::from(error);
        if error.is_too_large() {
            Self::TooLarge
        } else if error.is_conflict() {
            Self::Conflict
        } else if error.is_not_found() {
            Self::Gone
        } else {
            Self::Api(error)
        }
    }
}

impl Classify for WriteError {
    fn class(&self) -> Class {
        match self {
            // A write to what is gone is repeated on a fresh copy, of which there is none.
            Self::Conflict | Self::Gone => Class::Conflict,
            Self::TooLarge => Class::Terminal,
            Self::Api(error) => error.class(),
            Self::TimedOut | Self::Unreadable(_) => Class::Transient,
            Self::Unwritable(_) => Class::Bug,
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::Conflict => "Conflict".into(),
            Self::Gone => "Gone".into(),
            Self::TooLarge => "ObjectTooLarge".into(),
            Self::TimedOut => "KubernetesUnavailable".into(),
            Self::Api(error) => error.reason(),
            Self::Unreadable(_) | Self::Unwritable(_) => "InternalError".into(),
        }
    }
}

/// Sends a write and reads the answer.
///
/// `Client::request` is not used because it logs the whole answer when it cannot read it, and an object may hold what
/// logs must not.
pub(super) async fn send<T: DeserializeOwned>(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> Result<T, WriteError> {
    let answer = client.request_text(request).await?;
    serde_json::from_str(&answer).map_err(WriteError::Unreadable)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusApply<'a, S> {
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
    metadata: ApplyMeta<'a>,
    status: &'a S,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApplyMeta<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    resource_version: &'a str,
}
