//! The members of a container app, and how a body is read.
//!
//! Names are checked where a client that mixes up API versions would notice: beside `properties`, in it and in
//! `configuration`. What is below is kept as it is given.

use serde_json::{Value, json};

use crate::arm::ArmError;
use crate::arm::app_shape::Members;
use crate::behaviour::ArmBehaviour;

const TOP: Members<'static> = Members {
    writable: &[
        "location",
        "tags",
        "identity",
        "kind",
        "managedBy",
        "extendedLocation",
        "properties",
    ],
    preview: &[],
    read_only: &["id", "name", "type", "systemData"],
    view: "ContainerApp",
};
const PROPERTIES: Members<'static> = Members {
    writable: &[
        "managedEnvironmentId",
        "environmentId",
        "workloadProfileName",
        "configuration",
        "template",
    ],
    preview: &["patchingConfiguration"],
    read_only: &[
        "customDomainVerificationId",
        "delegatedIdentities",
        "deploymentErrors",
        "eventStreamEndpoint",
        "latestReadyRevisionName",
        "latestRevisionFqdn",
        "latestRevisionName",
        "outboundIpAddresses",
        "patchingMode",
        "provisioningState",
        "runningStatus",
    ],
    view: "ContainerApp",
};
/// Members of `configuration` that only previews have.
pub const PREVIEW_CONFIGURATION: &[&str] = &["revisionTransitionThreshold", "targetLabel"];
const CONFIGURATION: Members<'static> = Members {
    writable: &[
        "activeRevisionsMode",
        "dapr",
        "identitySettings",
        "ingress",
        "maxInactiveRevisions",
        "registries",
        "runtime",
        "secrets",
        "service",
    ],
    preview: PREVIEW_CONFIGURATION,
    read_only: &[],
    view: "Configuration",
};
/// The same before there were identity settings.
const EARLY_CONFIGURATION: Members<'static> = Members {
    writable: &[
        "activeRevisionsMode",
        "dapr",
        "ingress",
        "maxInactiveRevisions",
        "registries",
        "runtime",
        "secrets",
        "service",
    ],
    preview: PREVIEW_CONFIGURATION,
    read_only: &[],
    view: "Configuration",
};

/// Whether a version has `configuration.identitySettings`: previews since 2024-02-02, stable ones since 2025-01-01.
pub fn has_identity_settings(version: &str) -> bool {
    let first = if version.ends_with("-preview") {
        "2024-02-02-preview"
    } else {
        "2025-01-01"
    };
    version >= first
}

/// The body with its own members under ARM's names.
pub fn read_top(body: &Value, version: &str, behaviour: &ArmBehaviour) -> Result<Value, ArmError> {
    TOP.read(body, version, behaviour).map(Value::Object)
}

/// `properties` with the names of the first two levels as ARM spells them and without read-only members. Nulls stay:
/// PUT means absence by them, PATCH removal.
pub fn read(given: &Value, version: &str, behaviour: &ArmBehaviour) -> Result<Value, ArmError> {
    let mut properties = PROPERTIES.read(given, version, behaviour)?;
    if let Some(configuration) = properties.get_mut("configuration")
        && !configuration.is_null()
    {
        let members = if has_identity_settings(version) {
            CONFIGURATION
        } else {
            EARLY_CONFIGURATION
        };
        *configuration = Value::Object(members.read(configuration, version, behaviour)?);
    }
    Ok(json!(properties))
}

/// Takes away what is null, as absence is stored.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
