//! What goes with what in a container app.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::arm::identity_block;
use crate::arm::kinds::{self, Kind};
use crate::arm::managed_environments;
use crate::arm::target::Target;
use crate::arm::{ArmError, ArmRequest};
use crate::json::{get, get_str};
use crate::store::Store;

/// Members that have to be objects or lists for the body to be read.
const KINDS: &[(&str, Kind)] = &[
    ("configuration", Kind::Object),
    ("configuration.dapr", Kind::Object),
    ("configuration.activeRevisionsMode", Kind::Text),
    ("configuration.identitySettings", Kind::Objects),
    ("configuration.identitySettings.lifecycle", Kind::Text),
    ("configuration.ingress", Kind::Object),
    ("configuration.ingress.targetPort", Kind::Number),
    ("configuration.registries", Kind::Objects),
    ("configuration.runtime", Kind::Object),
    ("configuration.secrets", Kind::Objects),
    ("template", Kind::Object),
    ("template.containers", Kind::Objects),
    ("template.containers.args", Kind::Texts),
    ("template.containers.command", Kind::Texts),
    ("template.containers.env", Kind::Objects),
    ("template.containers.env.name", Kind::Text),
    ("template.containers.env.secretRef", Kind::Text),
    ("template.containers.probes", Kind::Objects),
    ("template.containers.resources", Kind::Object),
    ("template.containers.resources.cpu", Kind::Number),
    ("template.containers.resources.memory", Kind::Text),
    ("template.containers.volumeMounts", Kind::Objects),
    ("template.initContainers", Kind::Objects),
    ("template.initContainers.env", Kind::Objects),
    ("template.scale", Kind::Object),
    ("template.scale.rules", Kind::Objects),
    ("template.scale.rules.custom", Kind::Object),
    ("template.scale.rules.custom.auth", Kind::Objects),
    ("template.volumes", Kind::Objects),
];

/// The name of a new app.
pub fn check_name(name: &str) -> Result<(), ArmError> {
    let inner = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    let good = (2..=32).contains(&name.len())
        && name.starts_with(|one: char| one.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.chars().all(inner);
    if good {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "ContainerAppInvalidName",
        format!(
            "Invalid ContainerApp name '{name}'. A name must consist of lower case alphanumeric characters or '-', start with a letter, end with an alphanumeric character, cannot have '--' and has 2 to 32 characters."
        ),
    ))
}

/// Fills in the service's defaults and refuses what does not fit together. Nulls have been taken away.
pub fn complete_and_check(properties: &mut Value, identity: Option<&Value>) -> Result<(), ArmError> {
    kinds::check(properties, KINDS)?;
    let Value::Object(members) = &mut *properties else {
        return Err(ArmError::invalid_parameter(
            "properties",
            "properties must be an object.",
        ));
    };
    let configuration = members.entry("configuration").or_insert_with(|| json!({}));
    if let Value::Object(configuration) = configuration {
        configuration
            .entry("activeRevisionsMode")
            .or_insert_with(|| json!("Single"));
    }
    let configuration = &members["configuration"];
    let secrets = check_secrets(configuration, identity)?;
    check_registries(configuration, identity, &secrets)?;
    check_identity_settings(configuration, identity)?;
    let containers = list(members.get("template"), "containers");
    if containers.is_empty() {
        return Err(ArmError::invalid_parameter(
            "properties.template.containers",
            "A container app needs a template with at least one container.",
        ));
    }
    let init = list(members.get("template"), "initContainers");
    for container in containers.iter().chain(init) {
        check_container(container, &secrets)?;
    }
    check_scale_rules(members.get("template"), identity, &secrets)?;
    check_one_environment(properties)
}

/// The environment is there, is ready and may be joined.
pub fn check_environment(
    request: &ArmRequest<'_>,
    store: &Store,
    app: &Target,
    properties: &Value,
) -> Result<(), ArmError> {
    let Some(id) = environment_id(properties) else {
        return Err(ArmError::invalid_parameter(
            "properties.managedEnvironmentId",
            "A container app needs the id of a managed environment.",
        ));
    };
    managed_environments::require(request, store, ("Microsoft.App/containerApps/write", &app.id()), id)
}

/// An app stays in its environment.
pub fn check_immutable(before: &Value, after: &Value) -> Result<(), ArmError> {
    let (old, new) = (environment_id(before), environment_id(after));
    if old.unwrap_or_default().eq_ignore_ascii_case(new.unwrap_or_default()) {
        return Ok(());
    }
    Err(ArmError::invalid_parameter(
        "properties.managedEnvironmentId",
        "The environment of a container app cannot be changed.",
    ))
}

/// `environmentId` took the place of `managedEnvironmentId`; each is taken for the other.
pub fn environment_id(properties: &Value) -> Option<&str> {
    get_str(properties, "environmentId").or_else(|| get_str(properties, "managedEnvironmentId"))
}

/// Two names for the environment, but one environment.
fn check_one_environment(properties: &Value) -> Result<(), ArmError> {
    let old = get_str(properties, "managedEnvironmentId");
    if old.is_none_or(|old| environment_id(properties).is_some_and(|new| new.eq_ignore_ascii_case(old))) {
        return Ok(());
    }
    Err(ArmError::invalid_parameter(
        "properties.managedEnvironmentId",
        "managedEnvironmentId and environmentId name different environments.",
    ))
}

fn list<'a>(value: Option<&'a Value>, name: &str) -> &'a [Value] {
    value
        .and_then(|value| get(value, name))
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The message under which the service gathers what is wrong in a template or configuration (reported by clients).
fn invalid(field: &str, details: &str) -> ArmError {
    ArmError::new(
        StatusCode::BAD_REQUEST,
        "InvalidParameterValueInContainerTemplate",
        format!(
            "The following field(s) are either invalid or missing. Field '{field}' is invalid with details: '{details}';."
        ),
    )
}

fn check_attached(identity: Option<&Value>, wanted: &str, field: &str) -> Result<(), ArmError> {
    if identity_block::contains(identity, wanted) {
        return Ok(());
    }
    Err(invalid(
        field,
        &format!("Invalid value: \"{wanted}\": The identity is not assigned to the container app."),
    ))
}

/// The names of the secrets, each of which has a value or a reference to a key vault.
fn check_secrets(configuration: &Value, identity: Option<&Value>) -> Result<Vec<String>, ArmError> {
    const FIELD: &str = "configuration.secrets";
    let (mut names, mut without) = (Vec::new(), Vec::new());
    for secret in list(Some(configuration), "secrets") {
        let name = get_str(secret, "name").unwrap_or_default();
        let good = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || matches!(one, '-' | '.');
        if name.is_empty() || !name.chars().all(good) || names.iter().any(|known| known == name) {
            return Err(invalid(
                FIELD,
                &format!(
                    "Invalid value: \"{name}\": names are unique and consist of lower case alphanumeric characters, '-' and '.'."
                ),
            ));
        }
        names.push(name.to_owned());
        // The Azure CLI sends the members that it has no value for as empty strings.
        let given = |name: &str| get_str(secret, name).filter(|value| !value.is_empty());
        let value = given("value");
        let reference = given("keyVaultUrl").zip(given("identity"));
        match (value, reference) {
            (_, Some((_, wanted))) => check_attached(identity, wanted, FIELD)?,
            (Some(_), None) => {}
            (None, None) => without.push(name),
        }
    }
    if without.is_empty() {
        return Ok(names);
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "ContainerAppSecretInvalid",
        format!(
            "Invalid Request: Container app secret(s) with name(s) '{}' are invalid: value or keyVaultUrl and identity should be provided.",
            without.join(", ")
        ),
    ))
}

fn check_reference(secrets: &[String], wanted: &str, user: &str) -> Result<(), ArmError> {
    if secrets.iter().any(|secret| secret == wanted) {
        return Ok(());
    }
    Err(ArmError::new(
        StatusCode::BAD_REQUEST,
        "ContainerAppSecretRefNotFound",
        format!("SecretRef '{wanted}' defined for {user} not found."),
    ))
}

fn check_registries(configuration: &Value, identity: Option<&Value>, secrets: &[String]) -> Result<(), ArmError> {
    const FIELD: &str = "configuration.registries";
    for registry in list(Some(configuration), "registries") {
        let text = |name: &str| get_str(registry, name).filter(|text| !text.is_empty());
        let server = text("server").ok_or_else(|| invalid(FIELD, "server is missing"))?;
        match (text("identity"), text("username").zip(text("passwordSecretRef"))) {
            (Some(_), Some(_)) | (None, None) => {
                let message = format!("Invalid value: \"{server}\": either identity or username and passwordSecretRef");
                return Err(invalid(FIELD, &message));
            }
            (Some(wanted), None) => check_attached(identity, wanted, FIELD)?,
            (None, Some((_, wanted))) => check_reference(secrets, wanted, &format!("registry server '{server}'"))?,
        }
    }
    Ok(())
}

fn check_identity_settings(configuration: &Value, identity: Option<&Value>) -> Result<(), ArmError> {
    const FIELD: &str = "configuration.identitySettings";
    let mut seen: Vec<String> = Vec::new();
    for setting in list(Some(configuration), "identitySettings") {
        let wanted = get_str(setting, "identity").unwrap_or_default();
        check_attached(identity, wanted, FIELD)?;
        let lower = wanted.to_ascii_lowercase();
        if seen.contains(&lower) {
            return Err(invalid(FIELD, &format!("Duplicate value: \"{wanted}\"")));
        }
        seen.push(lower);
        let lifecycle = get_str(setting, "lifecycle").unwrap_or("All");
        if !["Init", "Main", "None", "All"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(lifecycle))
        {
            return Err(invalid(FIELD, &format!("Invalid value: \"{lifecycle}\"")));
        }
    }
    Ok(())
}

fn check_container(container: &Value, secrets: &[String]) -> Result<(), ArmError> {
    let name = get_str(container, "name").unwrap_or_default();
    if name.is_empty() || get_str(container, "image").is_none_or(str::is_empty) {
        return Err(invalid("template.containers", "name and image are needed"));
    }
    for variable in list(Some(container), "env") {
        if get_str(variable, "name").is_none_or(str::is_empty) {
            return Err(invalid("template.containers.env", "a name is needed"));
        }
        if let Some(wanted) = get_str(variable, "secretRef").filter(|wanted| !wanted.is_empty()) {
            check_reference(secrets, wanted, &format!("container '{name}'"))?;
        }
    }
    check_probes(name, container)
}

/// How often a probe may fail depends on its type (seen live, and in Terraform's resource).
fn check_probes(container_name: &str, container: &Value) -> Result<(), ArmError> {
    for probe in list(Some(container), "probes") {
        let kind = get_str(probe, "type").unwrap_or("Liveness");
        let most = match kind.to_ascii_lowercase().as_str() {
            "readiness" => 48,
            "startup" => 240,
            _ => 30,
        };
        let failures = get(probe, "failureThreshold").and_then(Value::as_i64);
        if failures.is_some_and(|failures| !(1..=most).contains(&failures)) {
            return Err(ArmError::new(
                StatusCode::BAD_REQUEST,
                "ContainerAppProbeFailureThresholdOutOfRange",
                format!(
                    "Container '{container_name}' '{kind}' probe's FailureThreshold must be in the range of ['1', '{most}']."
                ),
            ));
        }
    }
    Ok(())
}

fn check_scale_rules(template: Option<&Value>, identity: Option<&Value>, secrets: &[String]) -> Result<(), ArmError> {
    let scale = template.and_then(|template| get(template, "scale"));
    for rule in list(scale, "rules") {
        let name = get_str(rule, "name").unwrap_or_default();
        for kind in ["azureQueue", "custom", "http", "tcp"] {
            let Some(rule) = get(rule, kind) else { continue };
            if let Some(wanted) = get_str(rule, "identity") {
                check_attached(identity, wanted, "template.scale.rules")?;
            }
            for one in list(Some(rule), "auth") {
                if let Some(wanted) = get_str(one, "secretRef") {
                    check_reference(secrets, wanted, &format!("scale rule '{name}'"))?;
                }
            }
        }
    }
    Ok(())
}
