//! Properties that public ARM files spell otherwise, or have at another place, than the definitions do.
//!
//! ARM takes names in any letter case, and former versions of its own. The API server drops a property that it does not
//! know, and says so only to appliers that ask it to validate. So the known other spellings are declared, and refused with
//! the right one. All of them are of optional properties: where a required one is missing, the API server says so.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};

struct Spelling {
    kind: &'static str,
    /// The property of `spec` that it is in; nothing is `spec` itself.
    within: &'static [&'static str],
    /// The other spelling.
    other: &'static str,
    /// The right one, as a path from there.
    right: &'static [&'static str],
}

const fn spelling(
    kind: &'static str,
    within: &'static [&'static str],
    other: &'static str,
    right: &'static [&'static str],
) -> Spelling {
    Spelling {
        kind,
        within,
        other,
        right,
    }
}

const DYNAMIC: &[&str] = &["dynamicPoolConfiguration"];
const LIFECYCLE: &[&str] = &["dynamicPoolConfiguration", "lifecycleConfiguration"];
const COOLDOWN: &[&str] = &["lifecycleConfiguration", "cooldownPeriodInSeconds"];
const MCP: &[&str] = &["mcpServerSettings"];

const SPELLINGS: [Spelling; 11] = [
    // Microsoft's tutorials of shell and Python pools.
    spelling(
        "SessionPool",
        LIFECYCLE,
        "coolDownPeriodInSeconds",
        &["cooldownPeriodInSeconds"],
    ),
    spelling("SessionPool", MCP, "isMCPServerEnabled", &["isMcpServerEnabled"]),
    spelling(
        "SessionPool",
        MCP,
        "isMCPServerApiKeyDisabled",
        &["isMcpServerApiKeyDisabled"],
    ),
    // The example of the specification of 2025-10-02-preview.
    spelling("SessionPool", &[], "mcPServerSettings", &["mcpServerSettings"]),
    // Versions up to 2024-10-02-preview.
    spelling("SessionPool", DYNAMIC, "cooldownPeriodInSeconds", COOLDOWN),
    spelling("SessionPool", DYNAMIC, "coolDownPeriodInSeconds", COOLDOWN),
    spelling(
        "SessionPool",
        DYNAMIC,
        "executionType",
        &["lifecycleConfiguration", "lifecycleType"],
    ),
    // Version 2023-08-01-preview.
    spelling("SessionPool", &[], "managedEnvironmentId", &["environmentId"]),
    // The resource type below an identity; a list of Azure's own modules.
    spelling(
        "ManagedIdentity",
        &[],
        "federatedIdentityCredentials",
        &["federatedCredentials"],
    ),
    // ARM has it beside the principal.
    spelling("RoleAssignment", &[], "principalType", &["principal", "principalType"]),
    // Configuration files of Azure's cloud provider.
    spelling(
        "AzureAccount",
        &["credential", "hostIdentity"],
        "clientID",
        &["clientId"],
    ),
];

/// Declares the known other spellings in the schema of a kind's spec, to refuse them.
///
/// Panics if the table names a property that does not exist.
pub(super) fn refuse_others(kind: &str, spec: &mut JSONSchemaProps) {
    for spelling in SPELLINGS.iter().filter(|it| it.kind == kind) {
        let parent = find(spec, spelling.within);
        let refused = refused(find(parent, spelling.right), spelling);
        let properties = parent.properties.get_or_insert_default();
        let former = properties.insert(spelling.other.to_owned(), refused);
        assert!(
            former.is_none(),
            "invariant: {} is no property of {kind}",
            spelling.other
        );
    }
}

fn find<'a>(schema: &'a mut JSONSchemaProps, path: &[&str]) -> &'a mut JSONSchemaProps {
    path.iter().fold(schema, |it, name| {
        let property = it.properties.as_mut().and_then(|it| it.get_mut(*name));
        property.unwrap_or_else(|| panic!("invariant: the table of spellings names properties; {name} is none"))
    })
}

fn refused(right: &JSONSchemaProps, spelling: &Spelling) -> JSONSchemaProps {
    let path = spelling.right.join(".");
    let anything = || JSONSchemaProps {
        type_: Some("object".to_owned()),
        x_kubernetes_preserve_unknown_fields: Some(true),
        ..JSONSchemaProps::default()
    };
    let is = |name: &str| right.type_.as_deref() == Some(name);
    JSONSchemaProps {
        description: Some(format!("Not a field of this kind: write `{path}`.")),
        type_: right.type_.clone(),
        x_kubernetes_preserve_unknown_fields: is("object").then_some(true),
        items: is("array").then(|| JSONSchemaPropsOrArray::Schema(Box::new(anything()))),
        x_kubernetes_validations: Some(vec![ValidationRule {
            rule: "false".to_owned(),
            message: Some(format!("write {path}")),
            ..ValidationRule::default()
        }]),
        ..JSONSchemaProps::default()
    }
}
