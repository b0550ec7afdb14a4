//! `systemData`: who created and changed a resource.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::store::Resource;

/// `systemData` of a resource. `Microsoft.App` shows times without a zone in answers to GET (recorded): `zoned` is false
/// then.
pub fn render(resource: &Resource, zoned: bool) -> Value {
    let time = |at: Timestamp| {
        let text = at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        if zoned { format!("{text}Z") } else { text }
    };
    json!({
        "createdBy": resource.created_by,
        "createdByType": "Application",
        "createdAt": time(resource.created_at),
        "lastModifiedBy": resource.modified_by,
        "lastModifiedByType": "Application",
        "lastModifiedAt": time(resource.modified_at),
    })
}
