//! Where a resource keeps the mark of its owner.

use std::fmt;

use serde_json::{Value, json};

use crate::api::OWNER_TAG;
use crate::azure::resource_group::tag;

use super::Owner;

/// Where a resource keeps who owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerMark {
    /// In a tag of its own.
    Tag,
    /// In `properties.description`, for types without tags, behind [`DESCRIPTION_PREFIX`]. Any other description is
    /// nobody's mark.
    Description,
}

/// What stands before the owner in a description.
pub const DESCRIPTION_PREFIX: &str = "lifeguard-owner: ";

impl OwnerMark {
    /// The mark of a resource as ARM answered it.
    pub fn read(self, resource: &Value) -> Option<&str> {
        match self {
            Self::Tag => tag(resource, OWNER_TAG),
            Self::Description => resource
                .pointer("/properties/description")
                .and_then(Value::as_str)
                .and_then(|it| it.strip_prefix(DESCRIPTION_PREFIX)),
        }
    }

    /// Whether the mark of a resource names this object.
    pub fn names(self, owner: &Owner, resource: &Value) -> bool {
        let found = self.read(resource).and_then(Owner::parse);
        found.is_some_and(|found| found.is_same_object(owner))
    }

    /// A body with nothing but this mark.
    pub(super) fn body(self, mark: &str) -> Value {
        match self {
            Self::Tag => json!({"tags": {OWNER_TAG: mark}}),
            Self::Description => json!({"properties": {"description": format!("{DESCRIPTION_PREFIX}{mark}")}}),
        }
    }

    /// Writes a mark into a body, or removes it.
    pub fn write(self, body: &mut Value, mark: Option<&str>) {
        match self {
            Self::Tag => {
                if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
                    tags.retain(|name, _| !name.eq_ignore_ascii_case(OWNER_TAG));
                }
                if let Some(mark) = mark {
                    body["tags"][OWNER_TAG] = mark.into();
                }
            }
            Self::Description => {
                let description = mark.map(|mark| format!("{DESCRIPTION_PREFIX}{mark}"));
                body["properties"]["description"] = description.unwrap_or_default().into();
            }
        }
    }
}

impl fmt::Display for OwnerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => write!(f, "tag {OWNER_TAG}"),
            Self::Description => f.write_str("description"),
        }
    }
}
