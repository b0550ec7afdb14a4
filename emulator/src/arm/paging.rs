//! Lists in pages.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ArmReply, ArmRequest};
use crate::query;

/// The page of `items` that the request asks for, with `nextLink` if more follow.
pub fn page(request: &ArmRequest<'_>, items: Vec<Value>) -> ArmReply {
    let size = request.state.behaviour().arm.page_size.max(1);
    let size = request
        .arrived
        .parameter("$top")
        .and_then(|top| top.parse().ok())
        .map_or(size, |top: usize| top.clamp(1, size));
    let skip: usize = request
        .arrived
        .parameter("$skiptoken")
        .and_then(|token| token.parse().ok())
        .unwrap_or_default();
    let total = items.len();
    let value: Vec<Value> = items.into_iter().skip(skip).take(size).collect();
    let mut body = json!({ "value": value });
    let next = skip.saturating_add(size);
    if next < total {
        let mut link = format!("{}{}?", request.state.root(), request.arrived.path);
        for (name, value) in &request.arrived.query {
            if !name.eq_ignore_ascii_case("$skiptoken") {
                let _ = write!(link, "{}={}&", query::encode(name), query::encode(value));
            }
        }
        let _ = write!(link, "%24skiptoken={next}");
        body["nextLink"] = json!(link);
    }
    ArmReply::ok(body)
}
