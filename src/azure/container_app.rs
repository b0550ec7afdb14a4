//! Container apps as ARM knows them, as far as their identities go: `Microsoft.App/containerApps`.
//!
//! PATCH is an RFC 7396 merge patch (specification of `Microsoft.App`, `ContainerApps_Update`), so a change of identities
//! needs neither the rest of the app nor the values of its secrets, which GET never returns and a PUT would need from
//! `listSecrets`. They are therefore never read.

use serde_json::{Map, Value, json};

/// The resource type.
pub const CONTAINER_APP_TYPE: &str = "Microsoft.App/containerApps";
/// The newest stable version whose schema is published; azure-cli 2.91 uses it for apps.
pub const CONTAINER_APP_API_VERSION: &str = "2025-07-01";

/// The body of a PATCH that changes the identities, the tags or both, and nothing else.
pub fn patch(identity: Option<Value>, tags: Option<Map<String, Value>>) -> Value {
    let mut body = json!({});
    if let Some(identity) = identity {
        body["identity"] = identity;
    }
    if let Some(tags) = tags {
        body["tags"] = Value::Object(tags);
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CONTAINER_APP_TYPE, patch};
    use crate::azure::identity_block::{IdentityBlock, Spelling};
    use crate::azure::official_schema::violations;

    const ID: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";

    #[test]
    fn a_patch_has_nothing_but_what_changes() {
        assert_eq!(patch(None, None), json!({}));
        let identity = IdentityBlock::new(true, []).merge_patch(&IdentityBlock::default(), Spelling::Joined);
        assert_eq!(
            patch(Some(identity), None),
            json!({"identity": {"type": "SystemAssigned"}})
        );
    }

    #[test]
    fn patches_are_valid_by_the_official_schemas_once_merged_into_an_app() {
        let app = json!({"location": "westeurope", "properties": {
            "configuration": {"activeRevisionsMode": "Single", "secrets": [{"name": "a", "value": "b"}]},
            "template": {"containers": [{"name": "main", "image": "i", "resources": {"cpu": 0.5, "memory": "1Gi"}}]},
        }});
        for (system, ids) in [(false, vec![]), (true, vec![]), (false, vec![ID]), (true, vec![ID])] {
            let identity = IdentityBlock::new(system, ids).merge_patch(&IdentityBlock::default(), Spelling::Joined);
            let tags = json!({"lifeguard-assignment-0a": "c/ns/n/u:system"})
                .as_object()
                .cloned();
            let Value::Object(patch) = patch(Some(identity), tags) else {
                unreachable!("a patch is an object")
            };
            let mut merged = app.clone();
            merged.as_object_mut().expect("an object").extend(patch);
            for version in ["2025-07-01", "2025-02-02-preview"] {
                let pointer = "/resourceDefinitions/containerApps";
                let found = violations(version, CONTAINER_APP_TYPE, pointer, &merged).unwrap_or_default();
                assert_eq!(found, Vec::<String>::new(), "{version}: {merged:#}");
            }
        }
    }
}
