//! What goes with what in a container group.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::arm::kinds::{self, Kind};
use crate::arm::{ArmError, identity_block};
use crate::json::{get, get_str};

/// Members that answers have and bodies may repeat without effect.
const READ_ONLY: [&str; 3] = ["provisioningState", "instanceView", "isCreatedFromStandbyPool"];

/// What a PUT may not change, with the path to it in a container or in the group.
const IMMUTABLE: [&str; 6] = ["osType", "restartPolicy", "sku", "priority", "subnetIds", "volumes"];

/// Members that have to be objects or lists for the body to be read.
const KINDS: &[(&str, Kind)] = &[
    ("containers", Kind::Objects),
    ("containers.properties", Kind::Object),
    ("containers.properties.command", Kind::Texts),
    ("containers.properties.environmentVariables", Kind::Objects),
    ("containers.properties.ports", Kind::Objects),
    ("containers.properties.ports.port", Kind::Number),
    ("containers.properties.resources", Kind::Object),
    ("containers.properties.resources.requests", Kind::Object),
    ("containers.properties.volumeMounts", Kind::Objects),
    ("diagnostics", Kind::Object),
    ("diagnostics.logAnalytics", Kind::Object),
    ("extensions", Kind::Objects),
    ("extensions.properties", Kind::Object),
    ("identityAcls", Kind::Object),
    ("identityAcls.acls", Kind::Objects),
    ("imageRegistryCredentials", Kind::Objects),
    ("initContainers", Kind::Objects),
    ("initContainers.properties", Kind::Object),
    ("initContainers.properties.environmentVariables", Kind::Objects),
    ("ipAddress", Kind::Object),
    ("ipAddress.dnsNameLabel", Kind::Text),
    ("ipAddress.ports", Kind::Objects),
    ("secretReferences", Kind::Objects),
    ("subnetIds", Kind::Objects),
    ("volumes", Kind::Objects),
    ("volumes.azureFile", Kind::Object),
    ("volumes.secret", Kind::Object),
];

/// Members with few values, and those (`ContainerGroupSku`, `ContainerGroupPriority` of the API's schema).
const ENUMS: [(&str, &[&str]); 2] = [
    ("sku", &["NotSpecified", "Standard", "Dedicated", "Confidential"]),
    ("priority", &["Regular", "Spot"]),
];

/// The name of a new group.
pub fn check_name(name: &str) -> Result<(), ArmError> {
    if is_label(name) && !name.contains("--") {
        return Ok(());
    }
    refuse(
        "InvalidContainerGroupName",
        format!(
            "The container group name '{name}' is invalid. It has 1 to 63 lower case letters, digits and single '-', and neither starts nor ends with '-'."
        ),
    )
}

/// `properties` with the service's defaults, after what is read-only was left out, or why they are refused.
pub fn read(given: &Value, name: &str, identity: Option<&Value>) -> Result<Value, ArmError> {
    let Value::Object(members) = given else {
        return Err(ArmError::invalid_content(
            "The request content was invalid and could not be deserialized: 'properties must be an object'.",
        ));
    };
    kinds::check(given, KINDS)?;
    let mut properties: Map<String, Value> = members
        .iter()
        .filter(|(member, value)| !value.is_null() && !READ_ONLY.iter().any(|one| one.eq_ignore_ascii_case(member)))
        .map(|(member, value)| (member.clone(), value.clone()))
        .collect();
    let os = get_str(given, "osType").unwrap_or_default();
    let Some(os) = ["Linux", "Windows"].iter().find(|one| one.eq_ignore_ascii_case(os)) else {
        return refuse(
            "InvalidOsType",
            format!("The 'osType' for container group '{name}' is invalid. The value must be one of 'Windows,Linux'."),
        );
    };
    properties.retain(|member, _| !member.eq_ignore_ascii_case("osType"));
    properties.insert("osType".to_owned(), json!(os));
    for (member, default) in [
        ("restartPolicy", "Always"),
        ("sku", "Standard"),
        ("priority", "Regular"),
    ] {
        if get(given, member).is_none_or(Value::is_null) {
            properties.insert(member.to_owned(), json!(default));
        }
    }
    let properties = Value::Object(properties);
    let policy = get_str(&properties, "restartPolicy").unwrap_or_default();
    if !["Always", "OnFailure", "Never"].contains(&policy) {
        return refuse(
            "InvalidRestartPolicy",
            format!(
                "The restart policy '{policy}' for container group '{name}' is invalid. The value must be one of 'Always,OnFailure,Never'."
            ),
        );
    }
    for (member, values) in ENUMS {
        let value = get_str(&properties, member).unwrap_or_default();
        if !values.contains(&value) {
            return Err(ArmError::invalid_content(format!(
                "The request content was invalid and could not be deserialized: 'properties.{member} must be one of {}'.",
                values.join(", ")
            )));
        }
    }
    check_containers(&properties, name)?;
    check_identities(&properties, identity)?;
    Ok(properties)
}

/// What has to be deleted and created again to be changed.
pub fn check_immutable(name: &str, before: &Value, after: &Value) -> Result<(), ArmError> {
    let same = IMMUTABLE.iter().all(|member| get(before, member) == get(after, member));
    if same && resources(before) == resources(after) {
        return Ok(());
    }
    refuse(
        "InvalidContainerGroupUpdate",
        format!(
            "The updates on container group '{name}' are invalid. If you are going to update the os type, restart policy, network profile, CPU, memory or GPU resources for a container group, you must delete it first and then create a new one."
        ),
    )
}

/// The form of names: a DNS label (RFC 1123).
fn is_label(name: &str) -> bool {
    let inner = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-') && name.chars().all(inner)
}

fn refuse<T>(code: &'static str, message: String) -> Result<T, ArmError> {
    Err(ArmError::new(StatusCode::BAD_REQUEST, code, message))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    get(value, name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn resources(properties: &Value) -> Vec<(Option<&str>, Option<&Value>)> {
    list(properties, "containers")
        .iter()
        .map(|container| {
            let resources = get(container, "properties").and_then(|inner| get(inner, "resources"));
            (get_str(container, "name"), resources)
        })
        .collect()
}

fn check_containers(properties: &Value, group: &str) -> Result<(), ArmError> {
    let containers = list(properties, "containers");
    if containers.is_empty() {
        return refuse(
            "MissingContainers",
            format!("The container group '{group}' needs at least one container."),
        );
    }
    let mut names: Vec<&str> = Vec::new();
    for container in containers.iter().chain(list(properties, "initContainers")) {
        let name = get_str(container, "name").unwrap_or_default();
        if !is_label(name) || names.contains(&name) {
            return refuse(
                "InvalidContainerName",
                format!("The container name '{name}' in container group '{group}' is invalid or not unique."),
            );
        }
        names.push(name);
        if get(container, "properties")
            .and_then(|inner| get_str(inner, "image"))
            .is_none_or(str::is_empty)
        {
            return refuse(
                "MissingImageName",
                format!("The image of container '{name}' of container group '{group}' is missing."),
            );
        }
    }
    for container in containers {
        let name = get_str(container, "name").unwrap_or_default();
        let requests = get(container, "properties")
            .and_then(|inner| get(inner, "resources"))
            .and_then(|resources| get(resources, "requests"));
        let has = |member: &str| {
            let amount = requests.and_then(|one| get(one, member)).and_then(Value::as_f64);
            amount.is_some_and(|amount| amount > 0.0)
        };
        if !has("cpu") || !has("memoryInGB") {
            return refuse(
                "ResourceRequestsNotSpecified",
                format!(
                    "The resource requests are not specified in container '{name}' of contain group '{group}'. Both memory and CPU requests are required since API version '2017-07-01-preview'."
                ),
            );
        }
    }
    Ok(())
}

/// Identities that pull images, read secrets or are let into containers have to be in the identity block.
fn check_identities(properties: &Value, identity: Option<&Value>) -> Result<(), ArmError> {
    let acls = get(properties, "identityAcls").map_or(&[][..], |acls| list(acls, "acls"));
    let users = [
        ("imageRegistryCredentials", list(properties, "imageRegistryCredentials")),
        ("secretReferences", list(properties, "secretReferences")),
        ("identityAcls", acls),
    ];
    for (member, items) in users {
        for wanted in items.iter().filter_map(|item| get_str(item, "identity")) {
            if !identity_block::contains(identity, wanted) {
                return refuse(
                    "InvalidIdentity",
                    format!("The identity '{wanted}' of '{member}' is not assigned to the container group."),
                );
            }
        }
    }
    Ok(())
}
