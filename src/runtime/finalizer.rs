//! Finalizers by JSON patch, guarded by `test`, so that neither another object of the same name nor another writer's
//! finalizers are ever touched.

use kube::{
    Client,
    api::{Patch, PatchParams},
    core::Request,
};
use serde_json::{Value, json};

use super::{
    error::ApiError,
    reconciler::Object,
    source::strip,
    status::{WriteError, send},
};

/// Whether the object, as seen, carries the finalizer. Create external things only when this is true: a finalizer that
/// was merely asked for may not have arrived.
pub fn has<K: Object>(object: &K, finalizer: &str) -> bool {
    position(object, finalizer).is_some()
}

/// Adds the finalizer; returns the object that carries it, or `None` if it did already.
///
/// An object that is being deleted takes no new finalizer: the answer is an error, never a loop. An object that is gone
/// is [`WriteError::Gone`].
pub async fn ensure<K: Object>(client: &Client, object: &K, finalizer: &str) -> Result<Option<K>, WriteError> {
    if has(object, finalizer) {
        return Ok(None);
    }
    patch(client, object, &added(object, finalizer)).await.map(Some)
}

/// Removes the finalizer; returns the object without it, or `None` if it had none or is gone.
pub async fn release<K: Object>(client: &Client, object: &K, finalizer: &str) -> Result<Option<K>, WriteError> {
    let Some(index) = position(object, finalizer) else {
        return Ok(None);
    };
    match patch(client, object, &removed(object, finalizer, index)).await {
        Ok(object) => Ok(Some(object)),
        Err(WriteError::Gone) => Ok(None),
        Err(error) => Err(error),
    }
}

fn position<K: Object>(object: &K, finalizer: &str) -> Option<usize> {
    object
        .meta()
        .finalizers
        .as_ref()?
        .iter()
        .position(|found| found == finalizer)
}

fn added<K: Object>(object: &K, finalizer: &str) -> Value {
    let seen = object.meta().finalizers.clone().unwrap_or_default();
    let mut wanted = seen.clone();
    wanted.push(finalizer.to_owned());
    json!([
        {"op": "test", "path": "/metadata/uid", "value": object.meta().uid},
        // A missing list equals null.
        {"op": "test", "path": "/metadata/finalizers", "value": if seen.is_empty() { Value::Null } else { json!(seen) }},
        {"op": "add", "path": "/metadata/finalizers", "value": wanted},
    ])
}

fn removed<K: Object>(object: &K, finalizer: &str, index: usize) -> Value {
    let path = format!("/metadata/finalizers/{index}");
    json!([
        {"op": "test", "path": "/metadata/uid", "value": object.meta().uid},
        {"op": "test", "path": path, "value": finalizer},
        {"op": "remove", "path": path},
    ])
}

async fn patch<K: Object>(client: &Client, object: &K, operations: &Value) -> Result<K, WriteError> {
    let meta = object.meta();
    let patch = serde_json::from_value(operations.clone()).map_err(WriteError::Unwritable)?;
    let request = Request::new(K::url_path(&(), meta.namespace.as_deref()))
        .patch(
            meta.name.as_deref().unwrap_or_default(),
            &PatchParams::default(),
            &Patch::<()>::Json(patch),
        )
        .map_err(|error| ApiError::from(kube::Error::BuildRequest(error)))?;
    let mut answer: K = send(client, request).await?;
    strip(&mut answer);
    Ok(answer)
}
