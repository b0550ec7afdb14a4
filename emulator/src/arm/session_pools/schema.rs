//! The property sets of the API versions, and how a body is read by them.
//!
//! What is stored has the shape of the newest version, whichever version it was written with.

use serde_json::{Map, Value, json};

use super::ArmError;
use crate::behaviour::{Behaviour, PoolsBehaviour, UnknownProperties};

/// The last version with `executionType` and `cooldownPeriodInSeconds` directly in `dynamicPoolConfiguration`.
const LAST_FLAT: &str = "2024-10-02-preview";
/// The first version with `managedIdentitySettings`.
const FIRST_WITH_IDENTITY_SETTINGS: &str = "2024-10-02-preview";
/// Versions whose containers have probes.
const WITH_PROBES: [&str; 5] = [
    "2025-02-02-preview",
    "2025-10-02-preview",
    "2026-03-02-preview",
    "2026-07-01",
    "2026-11-01-preview",
];

/// Whether a version has the flat lifecycle properties.
pub fn is_flat(version: &str) -> bool {
    version <= LAST_FLAT
}

/// Whether a version has `identity`.
pub fn has_identity(version: &str, pools: &PoolsBehaviour) -> bool {
    version >= pools.first_version_with_identity.as_str()
}

/// Whether a version has `managedIdentitySettings`.
pub fn has_identity_settings(version: &str) -> bool {
    version >= FIRST_WITH_IDENTITY_SETTINGS
}

/// Whether a version is a preview that has Shell pools and the MCP server.
pub fn has_previews(version: &str) -> bool {
    is_preview_since(version, "2025-02-02-preview")
}

/// Whether a version creates pools of a container type; those that a schema of every version lists are always created.
pub fn creates(version: &str, container_type: &str, behaviour: &Behaviour) -> bool {
    let in_preview = match container_type {
        "Shell" | "GpuBase" => has_previews(version),
        "NodeLTS" => is_preview_since(version, &behaviour.pools.first_version_with_node_lts),
        _ => return true,
    };
    in_preview || (behaviour.arm.stable_versions_take_previews && !is_flat(version))
}

fn is_preview_since(version: &str, first: &str) -> bool {
    version >= first && version.ends_with("-preview")
}

/// What a body is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Create or replace: null is absent.
    Put,
    /// Merge patch: null removes.
    Patch,
}

enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    OneOf(&'static [&'static str]),
    List(&'static Kind),
    Object(&'static [Field]),
}

type Has = fn(&str, &PoolsBehaviour) -> bool;

struct Field {
    name: &'static str,
    kind: Kind,
    /// Whether a version has it.
    has: Has,
    /// Accepted in a body, as clients send back what they read, but without effect.
    read_only: bool,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        has: always,
        read_only: false,
    }
}

const fn since(name: &'static str, kind: Kind, has: Has) -> Field {
    Field {
        name,
        kind,
        has,
        read_only: false,
    }
}

const fn read_only(name: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Text,
        has: always,
        read_only: true,
    }
}

fn always(_: &str, _: &PoolsBehaviour) -> bool {
    true
}

/// Whether containers have probes in a version.
pub fn has_probes(version: &str) -> bool {
    WITH_PROBES.contains(&version)
}

const PROPERTIES: &[Field] = &[
    field("environmentId", Kind::Text),
    field(
        "containerType",
        Kind::OneOf(&["CustomContainer", "PythonLTS", "Shell", "NodeLTS", "GpuBase"]),
    ),
    // Which of them are taken is a rule with an error of its own.
    field("poolManagementType", Kind::Text),
    field("scaleConfiguration", Kind::Object(SCALE)),
    field("secrets", Kind::List(&Kind::Object(SECRET))),
    field("dynamicPoolConfiguration", Kind::Object(DYNAMIC)),
    field("customContainerTemplate", Kind::Object(TEMPLATE)),
    field("sessionNetworkConfiguration", Kind::Object(NETWORK)),
    since(
        "managedIdentitySettings",
        Kind::List(&Kind::Object(IDENTITY_SETTING)),
        |version, _| has_identity_settings(version),
    ),
    since("mcpServerSettings", Kind::Object(MCP), |version, _| {
        has_previews(version)
    }),
    read_only("nodeCount"),
    read_only("poolManagementEndpoint"),
    read_only("provisioningState"),
    read_only("templateUpdateStatus"),
];
const SCALE: &[Field] = &[
    field("maxConcurrentSessions", Kind::Integer),
    field("readySessionInstances", Kind::Integer),
];
const SECRET: &[Field] = &[field("name", Kind::Text), field("value", Kind::Text)];
const DYNAMIC: &[Field] = &[
    since("lifecycleConfiguration", Kind::Object(LIFECYCLE), |version, _| {
        !is_flat(version)
    }),
    since("executionType", Kind::OneOf(&["Timed"]), |version, _| is_flat(version)),
    since("cooldownPeriodInSeconds", Kind::Integer, |version, _| is_flat(version)),
];
const LIFECYCLE: &[Field] = &[
    field("lifecycleType", Kind::OneOf(&["Timed", "OnContainerExit"])),
    field("cooldownPeriodInSeconds", Kind::Integer),
    field("maxAlivePeriodInSeconds", Kind::Integer),
];
const TEMPLATE: &[Field] = &[
    field("registryCredentials", Kind::Object(REGISTRY)),
    field("containers", Kind::List(&Kind::Object(CONTAINER))),
    field("ingress", Kind::Object(&[field("targetPort", Kind::Integer)])),
];
const REGISTRY: &[Field] = &[
    field("server", Kind::Text),
    field("username", Kind::Text),
    field("passwordSecretRef", Kind::Text),
    since("identity", Kind::Text, has_identity),
];
const CONTAINER: &[Field] = &[
    field("name", Kind::Text),
    field("image", Kind::Text),
    field("command", Kind::List(&Kind::Text)),
    field("args", Kind::List(&Kind::Text)),
    field("env", Kind::List(&Kind::Object(ENVIRONMENT_VARIABLE))),
    field(
        "resources",
        Kind::Object(&[field("cpu", Kind::Number), field("memory", Kind::Text)]),
    ),
    since("probes", Kind::List(&Kind::Object(PROBE)), |version, _| {
        has_probes(version)
    }),
];
const ENVIRONMENT_VARIABLE: &[Field] = &[
    field("name", Kind::Text),
    field("value", Kind::Text),
    field("secretRef", Kind::Text),
];
const PROBE: &[Field] = &[
    field("type", Kind::OneOf(&["Liveness", "Startup"])),
    field("httpGet", Kind::Object(HTTP_GET)),
    field(
        "tcpSocket",
        Kind::Object(&[field("host", Kind::Text), field("port", Kind::Integer)]),
    ),
    field("failureThreshold", Kind::Integer),
    field("initialDelaySeconds", Kind::Integer),
    field("periodSeconds", Kind::Integer),
    field("successThreshold", Kind::Integer),
    field("timeoutSeconds", Kind::Integer),
    field("terminationGracePeriodSeconds", Kind::Integer),
];
const HTTP_GET: &[Field] = &[
    field("host", Kind::Text),
    field("path", Kind::Text),
    field("port", Kind::Integer),
    field("scheme", Kind::OneOf(&["HTTP", "HTTPS"])),
    field(
        "httpHeaders",
        Kind::List(&Kind::Object(&[field("name", Kind::Text), field("value", Kind::Text)])),
    ),
];
const NETWORK: &[Field] = &[field("status", Kind::OneOf(&["EgressEnabled", "EgressDisabled"]))];
const IDENTITY_SETTING: &[Field] = &[
    field("identity", Kind::Text),
    field("lifecycle", Kind::OneOf(&["None", "Main", "Init", "All"])),
];
const MCP: &[Field] = &[
    field("isMcpServerEnabled", Kind::Boolean),
    field("isMcpServerApiKeyDisabled", Kind::Boolean),
    read_only("mcpServerEndpoint"),
];

/// Refuses members beside `properties` that the version does not have.
pub fn check_top_level(body: &Value, version: &str, behaviour: &Behaviour) -> Result<(), ArmError> {
    const KNOWN: [&str; 7] = ["id", "name", "type", "location", "tags", "properties", "systemData"];
    for name in body.as_object().into_iter().flat_map(Map::keys) {
        let known = KNOWN.iter().any(|one| one.eq_ignore_ascii_case(name))
            || (name.eq_ignore_ascii_case("identity") && has_identity(version, &behaviour.pools));
        if !known {
            unknown(name, version, behaviour)?;
        }
    }
    Ok(())
}

/// Reads `properties`: names in any case, numbers also as strings, enumerations in any case.
pub fn read(given: &Value, version: &str, purpose: Use, behaviour: &Behaviour) -> Result<Value, ArmError> {
    let reader = Reader {
        version,
        purpose,
        behaviour,
    };
    let mut properties = reader.object(given, PROPERTIES, "properties")?;
    if let Some(Value::Object(dynamic)) = properties.get_mut("dynamicPoolConfiguration")
        && is_flat(version)
    {
        let mut lifecycle = Map::new();
        if let Some(kind) = dynamic.remove("executionType") {
            lifecycle.insert("lifecycleType".to_owned(), kind);
        }
        if let Some(cooldown) = dynamic.remove("cooldownPeriodInSeconds") {
            lifecycle.insert("cooldownPeriodInSeconds".to_owned(), cooldown);
        }
        dynamic.insert("lifecycleConfiguration".to_owned(), Value::Object(lifecycle));
    }
    Ok(Value::Object(properties))
}

fn unknown(path: &str, version: &str, behaviour: &Behaviour) -> Result<(), ArmError> {
    match behaviour.arm.unknown_properties {
        UnknownProperties::Drop => Ok(()),
        UnknownProperties::Refuse => {
            let name = path.rsplit('.').next().unwrap_or(path);
            Err(ArmError::invalid_content(format!(
                "Unknown properties {name} in Microsoft.ContainerApps.WebApi.Views.Version{}.SessionPool are not supported",
                version.replace('-', "").replace("preview", "Preview")
            )))
        }
    }
}

struct Reader<'a> {
    version: &'a str,
    purpose: Use,
    behaviour: &'a Behaviour,
}

impl Reader<'_> {
    fn object(&self, given: &Value, fields: &[Field], path: &str) -> Result<Map<String, Value>, ArmError> {
        let Value::Object(members) = given else {
            return Err(self.mismatch(path, "an object"));
        };
        let mut read = Map::new();
        for (name, value) in members {
            let at = format!("{path}.{name}");
            let known = fields.iter().find(|field| {
                field.name.eq_ignore_ascii_case(name) && (field.has)(self.version, &self.behaviour.pools)
            });
            let Some(field) = known else {
                unknown(&at, self.version, self.behaviour)?;
                continue;
            };
            if field.read_only {
                continue;
            }
            if value.is_null() {
                if self.purpose == Use::Patch {
                    read.insert(field.name.to_owned(), Value::Null);
                }
                continue;
            }
            read.insert(field.name.to_owned(), self.value(value, &field.kind, &at)?);
        }
        Ok(read)
    }

    fn value(&self, given: &Value, kind: &Kind, path: &str) -> Result<Value, ArmError> {
        match kind {
            Kind::Text => match given {
                Value::String(_) => Ok(given.clone()),
                _ => Err(self.mismatch(path, "a string")),
            },
            Kind::Integer => {
                let number = given
                    .as_i64()
                    .or_else(|| given.as_str().and_then(|text| text.trim().parse().ok()));
                let number = number.filter(|number| i32::try_from(*number).is_ok());
                number
                    .map(|number| json!(number))
                    .ok_or_else(|| self.mismatch(path, "a 32-bit integer"))
            }
            Kind::Number => {
                let number = given
                    .as_f64()
                    .or_else(|| given.as_str().and_then(|text| text.trim().parse().ok()));
                number
                    .map(|number| json!(number))
                    .ok_or_else(|| self.mismatch(path, "a number"))
            }
            Kind::Boolean => {
                let flag = given
                    .as_bool()
                    .or_else(|| given.as_str().and_then(|text| text.to_ascii_lowercase().parse().ok()));
                flag.map(Value::Bool).ok_or_else(|| self.mismatch(path, "a boolean"))
            }
            Kind::OneOf(values) => {
                let text = given.as_str().ok_or_else(|| self.mismatch(path, "a string"))?;
                let known = values.iter().find(|known| known.eq_ignore_ascii_case(text));
                known.map(|known| json!(known)).ok_or_else(|| {
                    let message = format!(
                        "The value '{text}' of '{path}' is not allowed; it must be one of {}.",
                        values.join(", ")
                    );
                    ArmError::invalid_parameter(path, message)
                })
            }
            Kind::List(item) => {
                let Value::Array(items) = given else {
                    return Err(self.mismatch(path, "an array"));
                };
                let read: Result<Vec<Value>, ArmError> = items
                    .iter()
                    .enumerate()
                    .map(|(index, one)| {
                        // Nothing is merged inside arrays, so null means nothing there.
                        let reader = Reader {
                            purpose: Use::Put,
                            ..*self
                        };
                        reader.value(one, item, &format!("{path}[{index}]"))
                    })
                    .collect();
                Ok(Value::Array(read?))
            }
            Kind::Object(fields) => Ok(Value::Object(self.object(given, fields, path)?)),
        }
    }

    fn mismatch(&self, path: &str, wanted: &str) -> ArmError {
        ArmError::invalid_content(format!(
            "The request content was invalid and could not be deserialized: 'Error converting the value at path '{path}' of API version {}: {wanted} was expected.'",
            self.version
        ))
    }
}
