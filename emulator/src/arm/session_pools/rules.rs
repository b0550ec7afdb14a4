//! Defaults, limits and what goes with what in a session pool.

use serde_json::{Map, Value, json};

use super::{ArmError, schema};
use crate::arm::identity_block;
use crate::behaviour::ArmBehaviour;
use crate::json::{get, get_str};

/// Fills in the service's defaults, drops what it drops, and refuses what it refuses.
pub fn complete_and_check(
    properties: &mut Value,
    identity: Option<&Value>,
    version: &str,
    behaviour: &ArmBehaviour,
) -> Result<(), ArmError> {
    default(properties, "containerType", json!("PythonLTS"));
    default(properties, "poolManagementType", json!("Dynamic"));
    let kind = get_str(properties, "containerType").unwrap_or_default().to_owned();
    let is_preview = matches!(kind.as_str(), "Shell" | "NodeLTS" | "GpuBase");
    let stable_takes_it = behaviour.stable_versions_take_previews && !schema::is_flat(version);
    if is_preview && !schema::has_previews(version) && !stable_takes_it {
        return refuse(
            "properties.containerType",
            format!("The container type '{kind}' is not supported by API version '{version}'; use a preview version."),
        );
    }
    let custom = kind == "CustomContainer";
    check_scale(properties, custom, behaviour)?;
    check_lifecycle(properties, custom, behaviour)?;
    check_network(properties);
    check_secrets(properties)?;
    if custom {
        check_custom(properties)?;
    } else {
        if get_str(properties, "environmentId").is_some_and(|id| !id.is_empty()) {
            return refuse(
                "properties.environmentId",
                format!("The environment must not be set for the container type '{kind}'."),
            );
        }
        if get(properties, "customContainerTemplate").is_some() {
            return refuse(
                "properties.customContainerTemplate",
                format!("The custom container template must not be set for the container type '{kind}'."),
            );
        }
    }
    check_identity_settings(properties, identity)
}

/// The name of a new pool. The specification allows letters and digits, the service evidently hyphens too.
pub fn check_name(name: &str) -> Result<(), ArmError> {
    let inner = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    let good = (3..=63).contains(&name.len())
        && name.starts_with(|one: char| one.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(inner);
    if good {
        return Ok(());
    }
    refuse(
        "name",
        format!(
            "Invalid session pool name '{name}'. A name must consist of lower case alphanumeric characters or '-', start with a letter, end with a letter or digit and have 3 to 63 characters."
        ),
    )
}

/// What cannot be changed once the pool is there.
pub fn check_immutable(before: &Value, after: &Value) -> Result<(), ArmError> {
    for name in ["containerType", "environmentId", "poolManagementType"] {
        let (old, new) = (
            get_str(before, name).unwrap_or_default(),
            get_str(after, name).unwrap_or_default(),
        );
        if !old.eq_ignore_ascii_case(new) {
            return refuse(
                &format!("properties.{name}"),
                format!("The property '{name}' of a session pool cannot be changed from '{old}' to '{new}'."),
            );
        }
    }
    Ok(())
}

fn refuse<T>(target: &str, message: String) -> Result<T, ArmError> {
    Err(ArmError::invalid_parameter(target, message))
}

fn default(value: &mut Value, name: &str, default: Value) {
    if let Value::Object(fields) = value {
        fields.entry(name).or_insert(default);
    }
}

/// The object member of a name, made if it is not there.
fn object<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    let Value::Object(fields) = value else { return value };
    fields.entry(name).or_insert_with(|| Value::Object(Map::new()))
}

fn check_scale(properties: &mut Value, custom: bool, behaviour: &ArmBehaviour) -> Result<(), ArmError> {
    let scale = object(properties, "scaleConfiguration");
    default(scale, "maxConcurrentSessions", json!(10));
    let most = i64::from(behaviour.maximum_concurrent_sessions);
    let sessions = get(scale, "maxConcurrentSessions")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if !(1..=most).contains(&sessions) {
        return refuse(
            "properties.scaleConfiguration.maxConcurrentSessions",
            format!("maxConcurrentSessions must be between 1 and {most}, not {sessions}."),
        );
    }
    if !custom {
        // The service drops it without a word for its own container types (recorded, 2024-10-02-preview).
        if let Value::Object(fields) = scale {
            fields.remove("readySessionInstances");
        }
        return Ok(());
    }
    default(scale, "readySessionInstances", json!(sessions.min(5)));
    let ready = get(scale, "readySessionInstances")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    if !(0..=sessions).contains(&ready) {
        return refuse(
            "properties.scaleConfiguration.readySessionInstances",
            format!("readySessionInstances must be between 0 and maxConcurrentSessions ({sessions}), not {ready}."),
        );
    }
    Ok(())
}

fn check_lifecycle(properties: &mut Value, custom: bool, behaviour: &ArmBehaviour) -> Result<(), ArmError> {
    const PATH: &str = "properties.dynamicPoolConfiguration.lifecycleConfiguration";
    let lifecycle = object(object(properties, "dynamicPoolConfiguration"), "lifecycleConfiguration");
    default(lifecycle, "lifecycleType", json!("Timed"));
    let (shortest, longest) = (behaviour.minimum_cooldown_seconds, behaviour.maximum_cooldown_seconds);
    let range = i64::from(shortest)..=i64::from(longest);
    let number = |value: &Value, name: &str| get(value, name).and_then(Value::as_i64);
    let (cooldown, alive) = (
        number(lifecycle, "cooldownPeriodInSeconds"),
        number(lifecycle, "maxAlivePeriodInSeconds"),
    );
    if get_str(lifecycle, "lifecycleType") == Some("OnContainerExit") {
        if !custom {
            return refuse(
                PATH,
                "Only the lifecycle type 'Timed' is supported for built-in container types.".to_owned(),
            );
        }
        if cooldown.is_some() {
            return refuse(
                PATH,
                "cooldownPeriodInSeconds cannot be set with the lifecycle type 'OnContainerExit'.".to_owned(),
            );
        }
        default(lifecycle, "maxAlivePeriodInSeconds", json!(3600));
        if alive.is_some_and(|alive| alive < 1) {
            return refuse(PATH, "maxAlivePeriodInSeconds must be positive.".to_owned());
        }
        return Ok(());
    }
    if alive.is_some() {
        return refuse(
            PATH,
            "maxAlivePeriodInSeconds can only be set with the lifecycle type 'OnContainerExit'.".to_owned(),
        );
    }
    default(
        lifecycle,
        "cooldownPeriodInSeconds",
        json!(300.max(shortest).min(longest)),
    );
    let cooldown = number(lifecycle, "cooldownPeriodInSeconds").unwrap_or_default();
    if !range.contains(&cooldown) {
        return refuse(
            &format!("{PATH}.cooldownPeriodInSeconds"),
            format!("cooldownPeriodInSeconds must be between {shortest} and {longest}, not {cooldown}."),
        );
    }
    Ok(())
}

fn check_network(properties: &mut Value) {
    default(
        object(properties, "sessionNetworkConfiguration"),
        "status",
        json!("EgressDisabled"),
    );
}

fn check_secrets(properties: &Value) -> Result<(), ArmError> {
    let mut names: Vec<String> = Vec::new();
    for (index, secret) in list(get(properties, "secrets")).iter().enumerate() {
        let path = format!("properties.secrets[{index}]");
        let name = get_str(secret, "name").unwrap_or_default();
        if name.is_empty() {
            return refuse(&path, "A secret must have a name.".to_owned());
        }
        if get_str(secret, "value").is_none_or(str::is_empty) {
            return refuse(&path, format!("The secret '{name}' must have a value."));
        }
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return refuse(&path, format!("The secret '{name}' occurs more than once."));
        }
        names.push(name.to_owned());
    }
    Ok(())
}

fn check_custom(properties: &Value) -> Result<(), ArmError> {
    let environment = get_str(properties, "environmentId")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let segments: Vec<&str> = environment.split('/').collect();
    let well_formed = matches!(
        segments.as_slice(),
        ["", "subscriptions", _, "resourcegroups", _, "providers", "microsoft.app", "managedenvironments", name]
            if !name.is_empty()
    );
    if !well_formed {
        return refuse(
            "properties.environmentId",
            "The environment of a pool of custom containers must be the id of a Microsoft.App/managedEnvironments."
                .to_owned(),
        );
    }
    let template = get(properties, "customContainerTemplate")
        .cloned()
        .unwrap_or(Value::Null);
    let containers = list(get(&template, "containers"));
    if containers.is_empty() {
        return refuse(
            "properties.customContainerTemplate.containers",
            "A pool of custom containers must have a container.".to_owned(),
        );
    }
    let secrets = list(get(properties, "secrets"));
    let known = |name: &str| secrets.iter().any(|secret| get_str(secret, "name") == Some(name));
    let missing = |path: &str, name: &str| refuse(path, format!("There is no secret '{name}'."));
    for (index, container) in containers.iter().enumerate() {
        let path = format!("properties.customContainerTemplate.containers[{index}]");
        if get_str(container, "image").is_none_or(str::is_empty) {
            return refuse(&format!("{path}.image"), "A container must have an image.".to_owned());
        }
        for variable in list(get(container, "env")) {
            if let Some(name) = get_str(variable, "secretRef").filter(|name| !name.is_empty() && !known(name)) {
                return missing(&format!("{path}.env"), name);
            }
        }
        for probe in list(get(container, "probes")) {
            check_probe(probe, &format!("{path}.probes"))?;
        }
    }
    let registry = get(&template, "registryCredentials");
    match registry.and_then(|registry| get_str(registry, "passwordSecretRef")) {
        Some(name) if !name.is_empty() && !known(name) => missing(
            "properties.customContainerTemplate.registryCredentials.passwordSecretRef",
            name,
        ),
        _ => Ok(()),
    }
}

fn check_probe(probe: &Value, path: &str) -> Result<(), ArmError> {
    let handlers = usize::from(get(probe, "httpGet").is_some()) + usize::from(get(probe, "tcpSocket").is_some());
    if handlers != 1 {
        return refuse(
            path,
            "A probe must have exactly one of httpGet and tcpSocket.".to_owned(),
        );
    }
    let ranges = [
        ("failureThreshold", 1..=10),
        ("initialDelaySeconds", 0..=60),
        ("periodSeconds", 1..=240),
        ("successThreshold", 1..=1),
        ("timeoutSeconds", 1..=240),
        ("terminationGracePeriodSeconds", 0..=3600),
    ];
    for (name, range) in ranges {
        if let Some(number) = get(probe, name).and_then(Value::as_i64)
            && !range.contains(&number)
        {
            let message = format!(
                "{name} must be between {} and {}, not {number}.",
                range.start(),
                range.end()
            );
            return refuse(&format!("{path}.{name}"), message);
        }
    }
    Ok(())
}

fn check_identity_settings(properties: &Value, identity: Option<&Value>) -> Result<(), ArmError> {
    let registry = get(properties, "customContainerTemplate").and_then(|template| get(template, "registryCredentials"));
    if let Some(wanted) = registry.and_then(|registry| get_str(registry, "identity"))
        && !wanted.is_empty()
        && !identity_block::contains(identity, wanted)
    {
        return refuse(
            "properties.customContainerTemplate.registryCredentials.identity",
            format!("The identity '{wanted}' is not assigned to the session pool."),
        );
    }
    for setting in list(get(properties, "managedIdentitySettings")) {
        let wanted = get_str(setting, "identity").unwrap_or_default();
        if !identity_block::contains(identity, wanted) {
            return refuse(
                "properties.managedIdentitySettings",
                format!("The identity '{wanted}' is not assigned to the session pool."),
            );
        }
    }
    Ok(())
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
