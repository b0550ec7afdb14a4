//! Reading the data plane's answers.

use reqwest::Response;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::SessionError;
use crate::azure::http::read_body;

/// An execution's answer has two streams of 4096 bytes; this leaves room for escapes and for other limits.
pub(super) const MAX_ANSWER: usize = 4 << 20;

pub(super) async fn read_json(response: Response) -> Result<Value, SessionError> {
    let status = response.status().as_u16();
    let body = read_body(response, MAX_ANSWER).await?;
    serde_json::from_slice(&body).map_err(|_| SessionError::unreadable(status, "the answer is not JSON"))
}

pub(super) async fn read_list<T: DeserializeOwned>(response: Response, name: &str) -> Result<Vec<T>, SessionError> {
    let status = response.status().as_u16();
    let answer = read_json(response).await?;
    list_member(&answer, name, status)
}

pub(super) fn list_member<T: DeserializeOwned>(
    answer: &Value,
    name: &str,
    status: u16,
) -> Result<Vec<T>, SessionError> {
    let list = answer.get(name).cloned().unwrap_or_default();
    serde_json::from_value(list).map_err(|_| SessionError::unreadable(status, "the answer is no list"))
}
