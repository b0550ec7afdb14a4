//! Resource groups.

use serde_json::Value;

use super::arm::ArmClient;
use super::comparison::Shape;
use super::error::AzureError;
use super::resource_id::ResourceId;

/// The stable version whose schema `Microsoft.Resources` publishes and azure-mgmt-resource 26 uses.
pub const RESOURCE_GROUP_API_VERSION: &str = "2025-04-01";

/// Which members of a group a PUT may not carry.
pub const SHAPE: Shape = Shape {
    read_only: &["id", "name", "type", "systemdata", "properties"],
    write_only: &[],
    identifiers: &["managedby"],
    case_insensitive: &[],
    added: &[],
};

/// A resource in the list of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainedResource {
    /// Its id.
    pub id: String,
    /// The value of its owner tag, if it has one.
    pub owner_tag: Option<String>,
}

/// Lists the resources of a group, each with the value of its tag `owner_tag`.
pub async fn resources(
    arm: &ArmClient,
    id: &ResourceId,
    owner_tag: &str,
) -> Result<Vec<ContainedResource>, AzureError> {
    let items = arm
        .list(&format!("{id}/resources"), RESOURCE_GROUP_API_VERSION, &[])
        .await?;
    Ok(items.iter().filter_map(|item| contained(item, owner_tag)).collect())
}

fn contained(item: &Value, owner_tag: &str) -> Option<ContainedResource> {
    Some(ContainedResource {
        id: item.get("id")?.as_str()?.to_owned(),
        owner_tag: tag(item, owner_tag).map(str::to_owned),
    })
}

/// The value of a resource's tag; tag names are case-insensitive ("Use tags to organize your Azure resources").
pub fn tag<'a>(resource: &'a Value, name: &str) -> Option<&'a str> {
    let tags = resource.get("tags")?.as_object()?;
    tags.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{contained, tag};

    #[test]
    fn a_tag_is_found_in_any_case() {
        let resource = json!({"id": "/x", "tags": {"Lifeguard-Owner": "me"}});
        assert_eq!(tag(&resource, "lifeguard-owner"), Some("me"));
        assert_eq!(
            contained(&resource, "lifeguard-owner").unwrap().owner_tag.as_deref(),
            Some("me")
        );
        assert_eq!(tag(&json!({"tags": null}), "x"), None);
    }
}
