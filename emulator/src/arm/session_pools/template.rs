//! What the containers of a pool of custom containers must have.

use serde_json::Value;

use super::ArmError;
use super::rules::{list, refuse};
use crate::json::{get, get_str};

/// Checks the template of a pool of custom containers, and the secrets that it names.
pub fn check(properties: &Value) -> Result<(), ArmError> {
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
    // The schema says 10. Container Apps have taken more since 2024, by type.
    let failures = if get_str(probe, "type") == Some("Startup") {
        1..=240
    } else {
        1..=30
    };
    let ranges = [
        ("failureThreshold", failures),
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
