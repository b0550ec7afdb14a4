//! Reading Secrets.

use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::Request;
use kube::{Client, Resource};

use crate::runtime::ApiError;

/// Reads a Secret; `None` if it does not exist.
///
/// kube's typed calls log an answer that they cannot read, all of it. This one shows an answer to nobody.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Secret>, ApiError> {
    let request = Request::new(Secret::url_path(&(), Some(namespace)))
        .get(name, &GetParams::default())
        .map_err(|error| ApiError::from(kube::Error::BuildRequest(error)))?;
    match client.request_text(request).await {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| kube::Error::SerdeError(error).into()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
