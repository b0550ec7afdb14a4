//! What a pool should be, in ARM's words. The spec's names are ARM's own, so they are taken as they are.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::SessionPoolSpec;
use crate::azure::Location;
use crate::controller::azure_resource::Body;

use super::identities::Identities;
use super::secrets::SecretValue;

/// The desired part of a pool: what the spec sets and nothing else.
///
/// `secrets` and `identities` are `None` where they are not needed. An empty list removes the secrets that the pool has.
pub fn desired(spec: &SessionPoolSpec, secrets: Option<&[SecretValue]>, identities: Option<&Identities>) -> Body {
    let mut properties = Map::new();
    properties.insert("containerType".into(), value(&spec.container_type));
    set(
        &mut properties,
        "poolManagementType",
        spec.pool_management_type.as_ref(),
    );
    set(&mut properties, "environmentId", spec.environment_id.as_ref());
    set(&mut properties, "scaleConfiguration", spec.scale_configuration.as_ref());
    set(
        &mut properties,
        "dynamicPoolConfiguration",
        spec.dynamic_pool_configuration.as_ref(),
    );
    set(
        &mut properties,
        "customContainerTemplate",
        spec.custom_container_template.as_ref(),
    );
    set(
        &mut properties,
        "sessionNetworkConfiguration",
        spec.session_network_configuration.as_ref(),
    );
    set(&mut properties, "mcpServerSettings", spec.mcp_server_settings.as_ref());
    if let Some(secrets) = secrets {
        let secrets = secrets
            .iter()
            .map(|secret| json!({"name": secret.name, "value": secret.value}));
        properties.insert("secrets".into(), secrets.collect());
    }
    let credentials = properties
        .get_mut("customContainerTemplate")
        .and_then(|template| template.get_mut("registryCredentials")?.as_object_mut());
    if let Some(credentials) = credentials
        && credentials.remove("managedIdentityRef").is_some()
    {
        let identity = identities.and_then(|it| it.of_registry(spec));
        credentials.extend(identity.map(|identity| ("identity".to_owned(), identity.into())));
    }
    let settings = identities.and_then(|it| it.settings(spec));
    properties.extend(settings.map(|settings| ("managedIdentitySettings".to_owned(), settings)));
    let mut body = json!({"properties": properties, "tags": spec.azure.tags});
    if let Some(block) = identities.and_then(|it| it.block(spec)) {
        body["identity"] = block;
    }
    if let Some(location) = &spec.azure.location {
        body["location"] = Location::new(location).as_str().into();
    }
    Body(body)
}

/// What a new pool gets where the spec does not say: the account's region, and dynamic management, which is the only one
/// that Microsoft's pages and command line use.
pub fn defaults(location: Option<&str>) -> Value {
    json!({
        "location": location.map(|it| Location::new(it).to_string()),
        "properties": {"poolManagementType": "Dynamic"},
    })
}

fn set<T: Serialize>(properties: &mut Map<String, Value>, name: &str, member: Option<&T>) {
    if let Some(member) = member {
        properties.insert(name.into(), value(member));
    }
}

fn value<T: Serialize>(member: &T) -> Value {
    serde_json::to_value(member).expect("invariant: a spec is plain data")
}
