//! Properties that public ARM and Terraform files spell otherwise, or have at another place, than the definitions do, or
//! that the definitions do not have.
//!
//! ARM takes names in any letter case, and former versions of its own. The API server drops a property that it does not
//! know, and says so only to appliers that ask it to validate. So the known other spellings are declared, and refused with
//! the right one. All of them are of optional properties: where a required one is missing, the API server says so.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};

struct Spelling {
    kind: &'static str,
    /// The property of `spec` that it is in; nothing is `spec` itself, and `[]` the items of a list.
    within: &'static [&'static str],
    /// The other spelling.
    other: &'static str,
    instead: Instead,
}

enum Instead {
    /// The right one, as a path from there.
    Write(&'static [&'static str]),
    /// There is none, and without it the object would mean something else. It is a text.
    Nothing(&'static str),
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
        instead: Instead::Write(right),
    }
}

const fn unsupported(kind: &'static str, other: &'static str, words: &'static str) -> Spelling {
    Spelling {
        kind,
        within: &[],
        other,
        instead: Instead::Nothing(words),
    }
}

const DYNAMIC: &[&str] = &["dynamicPoolConfiguration"];
const LIFECYCLE: &[&str] = &["dynamicPoolConfiguration", "lifecycleConfiguration"];
const COOLDOWN: &[&str] = &["lifecycleConfiguration", "cooldownPeriodInSeconds"];
const MCP: &[&str] = &["mcpServerSettings"];

const SPELLINGS: &[Spelling] = &[
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
    spelling(
        "SessionPool",
        MCP,
        "isMCPServerAPIKeyDisabled",
        &["isMcpServerApiKeyDisabled"],
    ),
    spelling(
        "SessionPool",
        MCP,
        "isMcpServerAPIKeyDisabled",
        &["isMcpServerApiKeyDisabled"],
    ),
    // The example of the specification of 2025-10-02-preview.
    spelling("SessionPool", &[], "mcPServerSettings", &["mcpServerSettings"]),
    spelling("SessionPool", &[], "MCPServerSettings", &["mcpServerSettings"]),
    // Versions up to 2024-10-02-preview.
    spelling("SessionPool", DYNAMIC, "cooldownPeriodInSeconds", COOLDOWN),
    spelling("SessionPool", DYNAMIC, "coolDownPeriodInSeconds", COOLDOWN),
    spelling(
        "SessionPool",
        DYNAMIC,
        "executionType",
        &["lifecycleConfiguration", "lifecycleType"],
    ),
    // Where `cooldownPeriodInSeconds` was, public files put what came later too.
    spelling(
        "SessionPool",
        DYNAMIC,
        "maxAlivePeriodInSeconds",
        &["lifecycleConfiguration", "maxAlivePeriodInSeconds"],
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
    // Terraform's resource.
    spelling(
        "ManagedIdentity",
        &["federatedCredentials", "[]"],
        "audience",
        &["audiences"],
    ),
    // Azure's executions.
    spelling("CommandJob", &[], "timeoutInSeconds", &["timeoutSeconds"]),
    // ARM's, without which the role would be given for more.
    unsupported(
        "RoleAssignment",
        "condition",
        "conditions are not supported: without it the role would apply to all of the scope",
    ),
    unsupported(
        "RoleAssignment",
        "conditionVersion",
        "conditions are not supported: without it the role would apply to all of the scope",
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
        let refused = match spelling.instead {
            Instead::Write(path) => misspelt(find(parent, path), path),
            Instead::Nothing(words) => refused("Not a field of this kind.".to_owned(), words.to_owned(), "string"),
        };
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
        let inner = match (*name, it.items.as_mut()) {
            ("[]", Some(JSONSchemaPropsOrArray::Schema(items))) => Some(&mut **items),
            _ => it.properties.as_mut().and_then(|it| it.get_mut(*name)),
        };
        inner.unwrap_or_else(|| panic!("invariant: the table of spellings names properties; {name} is none"))
    })
}

/// A property of the type of the right one.
fn misspelt(right: &JSONSchemaProps, path: &[&str]) -> JSONSchemaProps {
    let path = path.join(".");
    let type_of = |schema: &JSONSchemaProps| schema.type_.clone().unwrap_or_default();
    let items = match &right.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(anything(&type_of(items))),
        _ => None,
    };
    JSONSchemaProps {
        items: items.map(|it| JSONSchemaPropsOrArray::Schema(Box::new(it))),
        ..refused(
            format!("Not a field of this kind: write `{path}`."),
            format!("write {path}"),
            &type_of(right),
        )
    }
}

/// A property of this type that no object may have.
fn refused(text: String, message: String, type_: &str) -> JSONSchemaProps {
    JSONSchemaProps {
        description: Some(text),
        x_kubernetes_validations: Some(vec![ValidationRule {
            rule: "false".to_owned(),
            message: Some(message),
            ..ValidationRule::default()
        }]),
        ..anything(type_)
    }
}

/// Any value of this type.
fn anything(type_: &str) -> JSONSchemaProps {
    JSONSchemaProps {
        type_: Some(type_.to_owned()),
        x_kubernetes_preserve_unknown_fields: (type_ == "object").then_some(true),
        ..JSONSchemaProps::default()
    }
}
