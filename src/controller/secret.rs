//! Reading Secrets.

use std::collections::BTreeMap;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Resource};

use crate::controller::object_name::is_object_name;
use crate::runtime::{ApiError, is_missing};

/// Reads keys of a Secret and keeps nothing else of it. A key that does not exist is left out; `None` if the Secret does not.
pub async fn read_keys<'a>(
    client: &Client,
    namespace: &str,
    name: &str,
    wanted: impl IntoIterator<Item = &'a str>,
) -> Result<Option<BTreeMap<&'a str, Bytes>>, ApiError> {
    let Some(secret) = read(client, namespace, name).await? else {
        return Ok(None);
    };
    let mut data = secret.data.unwrap_or_default();
    let wanted = wanted.into_iter();
    let found = wanted.filter_map(|key| Some((key, Bytes::from(data.remove(key)?.0))));
    Ok(Some(found.collect()))
}

/// Reads a Secret; `None` if it does not exist.
///
/// kube's typed calls log an answer that they cannot read, all of it. This one shows an answer to nobody.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Secret>, ApiError> {
    if !is_object_name(name) {
        return Ok(None);
    }
    let request = Request::new(Secret::url_path(&(), Some(namespace)))
        .get(name, &GetParams::default())
        .map_err(|error| ApiError::from(kube::Error::BuildRequest(error)))?;
    match client.request_text(request).await {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| kube::Error::SerdeError(error).into()),
        Err(kube::Error::Api(status)) if is_missing(&status) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
