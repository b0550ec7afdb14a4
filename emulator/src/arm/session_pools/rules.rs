//! Defaults, limits and what goes with what in a session pool.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{ArmError, schema, template};
use crate::arm::identity_block;
use crate::behaviour::{ArmBehaviour, Behaviour, ReadySessions};
use crate::json::{get, get_str};

/// A write of a pool's properties.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The identities that the pool has afterwards.
    pub identity: Option<&'a Value>,
    /// Its properties before; `None` for a new pool.
    pub before: Option<&'a Value>,
    /// Whether the request says what the container type is, by itself or by what a PUT leaves out.
    pub names_type: bool,
    /// The API version.
    pub version: &'a str,
    /// The switches.
    pub behaviour: &'a Behaviour,
}

impl Write<'_> {
    /// Fills in the service's defaults, drops what it drops, and refuses what it refuses.
    pub fn complete_and_check(self, properties: &mut Value) -> Result<(), ArmError> {
        default(properties, "containerType", json!("PythonLTS"));
        let kind = get_str(properties, "containerType").unwrap_or_default().to_owned();
        // A version may change a pool of a type that it cannot create, as it shows one.
        if self.names_type && !schema::creates(self.version, &kind, self.behaviour) {
            return refuse(
                "properties.containerType",
                format!(
                    "The container type '{kind}' is not supported by API version '{}'; use a preview version.",
                    self.version
                ),
            );
        }
        let custom = kind == "CustomContainer";
        self.check_management(properties)?;
        self.check_scale(properties, custom)?;
        check_lifecycle(properties, custom, &self.behaviour.arm)?;
        check_network(properties);
        check_secrets(properties)?;
        self.check_environment(properties, &kind)?;
        if custom {
            // Seen live: they are taken and not kept.
            remove(properties, "mcpServerSettings");
            template::check(properties)?;
        } else if get(properties, "customContainerTemplate").is_some() {
            return refuse(
                "properties.customContainerTemplate",
                format!("The custom container template must not be set for the container type '{kind}'."),
            );
        }
        self.check_identity(properties, &kind)
    }

    fn check_management(self, properties: &mut Value) -> Result<(), ArmError> {
        default(properties, "poolManagementType", json!("Dynamic"));
        let given = get_str(properties, "poolManagementType").unwrap_or_default().to_owned();
        let taken: &[&str] = if self.behaviour.pools.manual_management {
            &["Dynamic", "Manual"]
        } else {
            &["Dynamic"]
        };
        let Some(known) = taken.iter().find(|known| known.eq_ignore_ascii_case(&given)) else {
            return Err(ArmError::new(
                StatusCode::BAD_REQUEST,
                "SessionPoolInvalidPoolManagementType",
                format!(
                    "The pool management type '{given}' is not supported. Supported values: {}.",
                    taken.join(", ")
                ),
            ));
        };
        properties["poolManagementType"] = json!(known);
        Ok(())
    }

    fn check_scale(self, properties: &mut Value, custom: bool) -> Result<(), ArmError> {
        let scale = object(properties, "scaleConfiguration");
        default(scale, "maxConcurrentSessions", json!(10));
        let most = i64::from(self.behaviour.arm.maximum_concurrent_sessions);
        let number = |scale: &Value, name: &str| get(scale, name).and_then(Value::as_i64);
        let sessions = number(scale, "maxConcurrentSessions").unwrap_or_default();
        if !(1..=most).contains(&sessions) {
            return refuse(
                "properties.scaleConfiguration.maxConcurrentSessions",
                format!("maxConcurrentSessions must be between 1 and {most}, not {sessions}."),
            );
        }
        if !custom {
            // The service drops it without a word for its own container types (recorded, 2024-10-02-preview).
            remove(scale, "readySessionInstances");
            return Ok(());
        }
        let (least, most) = match self.behaviour.pools.ready_session_instances {
            ReadySessions::BelowMaximum => (1, sessions - 1),
            ReadySessions::UpToMaximum => (0, sessions),
        };
        default(scale, "readySessionInstances", json!(most.min(5)));
        let ready = number(scale, "readySessionInstances").unwrap_or_default();
        let before = self.before.and_then(|before| get(before, "scaleConfiguration"));
        let is_as_before = before.is_some_and(|before| before == scale);
        if is_as_before || (least..=most).contains(&ready) {
            return Ok(());
        }
        let supported = match self.behaviour.pools.ready_session_instances {
            // The service's own words.
            ReadySessions::BelowMaximum => "greater than 0 and smaller than maxConcurrentSessions",
            ReadySessions::UpToMaximum => "0 to maxConcurrentSessions",
        };
        Err(ArmError::new(
            StatusCode::BAD_REQUEST,
            "SessionPoolInvalidReadySessionInstances",
            format!("Invalid readySessionInstances '{ready}'. Supported values should be {supported}."),
        ))
    }

    fn check_environment(self, properties: &Value, kind: &str) -> Result<(), ArmError> {
        const PATH: &str = "properties.environmentId";
        let environment = get_str(properties, "environmentId")
            .unwrap_or_default()
            .to_ascii_lowercase();
        let custom = kind == "CustomContainer";
        if !custom && environment.is_empty() {
            return Ok(());
        }
        if !custom && !self.behaviour.pools.environment_of_built_in_types {
            return refuse(
                PATH,
                format!("The environment must not be set for the container type '{kind}'."),
            );
        }
        let segments: Vec<&str> = environment.split('/').collect();
        let well_formed = matches!(
            segments.as_slice(),
            ["", "subscriptions", _, "resourcegroups", _, "providers", "microsoft.app", "managedenvironments", name]
                if !name.is_empty()
        );
        if well_formed {
            return Ok(());
        }
        refuse(
            PATH,
            format!(
                "The environment of a pool of the container type '{kind}' must be the id of a Microsoft.App/managedEnvironments."
            ),
        )
    }

    fn check_identity(self, properties: &mut Value, kind: &str) -> Result<(), ArmError> {
        let pools = &self.behaviour.pools;
        let without = &pools.container_types_without_identity;
        if self.identity.is_some() && without.iter().any(|one| one.eq_ignore_ascii_case(kind)) {
            return Err(ArmError::new(
                StatusCode::BAD_REQUEST,
                "SessionPoolManagedIdentityCreationError",
                format!("A session pool of the container type '{kind}' cannot have a managed identity."),
            ));
        }
        let not_assigned = |path: &str, wanted: &str| {
            refuse(
                path,
                format!("The identity '{wanted}' is not assigned to the session pool."),
            )
        };
        let registry =
            get(properties, "customContainerTemplate").and_then(|template| get(template, "registryCredentials"));
        if let Some(wanted) = registry.and_then(|registry| get_str(registry, "identity"))
            && !wanted.is_empty()
            && !identity_block::contains(self.identity, wanted)
        {
            return not_assigned(
                "properties.customContainerTemplate.registryCredentials.identity",
                wanted,
            );
        }
        let may_be_others = self.identity.is_none() && pools.settings_without_identity;
        let mut settings = list(get(properties, "managedIdentitySettings")).to_vec();
        for setting in &settings {
            let wanted = get_str(setting, "identity").unwrap_or_default();
            if !may_be_others && !identity_block::contains(self.identity, wanted) {
                return not_assigned("properties.managedIdentitySettings", wanted);
            }
        }
        // The service adds those that are missing (known to the authors of Terraform's resource).
        for name in identity_block::names(self.identity) {
            let has = |setting: &Value| get_str(setting, "identity").is_some_and(|it| it.eq_ignore_ascii_case(&name));
            if !settings.iter().any(has) {
                settings.push(json!({ "identity": name, "lifecycle": "None" }));
            }
        }
        set_settings(properties, settings);
        Ok(())
    }
}

/// Takes away the settings of identities that a pool does not have.
pub fn drop_settings_of_others(properties: &mut Value, identity: Option<&Value>) {
    let mut settings = list(get(properties, "managedIdentitySettings")).to_vec();
    settings.retain(|setting| identity_block::contains(identity, get_str(setting, "identity").unwrap_or_default()));
    set_settings(properties, settings);
}

fn set_settings(properties: &mut Value, settings: Vec<Value>) {
    if settings.is_empty() {
        remove(properties, "managedIdentitySettings");
    } else {
        properties["managedIdentitySettings"] = Value::Array(settings);
    }
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

pub(super) fn refuse<T>(target: &str, message: String) -> Result<T, ArmError> {
    Err(ArmError::invalid_parameter(target, message))
}

fn remove(value: &mut Value, name: &str) {
    if let Value::Object(fields) = value {
        fields.remove(name);
    }
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

pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
