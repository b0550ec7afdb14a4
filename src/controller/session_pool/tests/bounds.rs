//! The bounds of the definition against those of the official schemas: what Azure takes, the definition takes, but for what
//! is named here with its reason.

use std::collections::BTreeSet;

use crate::api::spec_schema;
use crate::azure::official_schema::narrower;

/// Of the versions that bodies are sent with.
const FILES: [&str; 2] = ["2025-10-02-preview/Microsoft.App.json", "2025-07-01/Microsoft.App.json"];

/// Without them a property says nothing, or nothing could be said of it.
const NEEDED: &[&str] = &[
    "containerType: required",
    "customContainerTemplate.containers: required",
    "customContainerTemplate.containers: minItems 1",
    "customContainerTemplate.containers[].env[].name: required",
    "customContainerTemplate.containers[].env[].name: minLength 1",
    "customContainerTemplate.containers[].image: required",
    "customContainerTemplate.containers[].image: minLength 1",
    "customContainerTemplate.containers[].name: required",
    "customContainerTemplate.containers[].name: minLength 1",
    "customContainerTemplate.containers[].probes[].httpGet.httpHeaders[].name: minLength 1",
    "customContainerTemplate.containers[].probes[].type: required",
    "customContainerTemplate.ingress.targetPort: required",
    "customContainerTemplate.registryCredentials.identity: minLength 1",
    "customContainerTemplate.registryCredentials.server: required",
    "customContainerTemplate.registryCredentials.server: minLength 1",
    "environmentId: minLength 1",
    "managedIdentitySettings[].identity: minLength 1",
    "secrets[].name: required",
    "secrets[].name: minLength 1",
    "sessionNetworkConfiguration.status: required",
    "location: minLength 1",
];

/// What the texts of the schema, Azure's pages or the clients of the live service say.
const KNOWN: &[&str] = &[
    // "Must be 1 for liveness and startup."
    "customContainerTemplate.containers[].probes[].successThreshold: at most 1",
    // Of each type one.
    "customContainerTemplate.containers[].probes: maxItems 2",
    // Ports.
    "customContainerTemplate.containers[].probes[].httpGet.port: at least 1",
    "customContainerTemplate.containers[].probes[].httpGet.port: at most 65535",
    "customContainerTemplate.containers[].probes[].tcpSocket.port: at least 1",
    "customContainerTemplate.containers[].probes[].tcpSocket.port: at most 65535",
    "customContainerTemplate.ingress.targetPort: at least 1",
    "customContainerTemplate.ingress.targetPort: at most 65535",
    "dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds: at least 300",
    "dynamicPoolConfiguration.lifecycleConfiguration.cooldownPeriodInSeconds: at most 3600",
    "dynamicPoolConfiguration.lifecycleConfiguration.maxAlivePeriodInSeconds: at least 1",
    "scaleConfiguration.maxConcurrentSessions: at least 1",
    "scaleConfiguration.readySessionInstances: at least 0",
    // A resource id, or `system`.
    "customContainerTemplate.registryCredentials.identity: of a form",
    "managedIdentitySettings[].identity: of a form",
    // Names of secrets, as Container Apps have them.
    "secrets[].name: maxLength 253",
    "secrets[].name: of a form",
    "customContainerTemplate.containers[].env[].secretRef: maxLength 253",
    "customContainerTemplate.registryCredentials.passwordSecretRef: maxLength 253",
    // Names of hosts.
    "customContainerTemplate.containers[].probes[].httpGet.host: maxLength 253",
    "customContainerTemplate.containers[].probes[].tcpSocket.host: maxLength 253",
    "customContainerTemplate.registryCredentials.server: maxLength 253",
    // A type without identities is no `identity` at all.
    "identity.type: not None",
    // 50, of which the owner's mark is one.
    "tags: maxProperties 49",
];

/// Integers are of 32 bits.
const INTEGERS: &[&str] = &[
    "dynamicPoolConfiguration.lifecycleConfiguration.maxAlivePeriodInSeconds: at most 2147483647",
    "scaleConfiguration.maxConcurrentSessions: at most 2147483647",
    "scaleConfiguration.readySessionInstances: at most 2147483647",
];

/// The API server wants to know how large a value can be that rules look at, and an object has its limit. Azure says none of
/// them; they are far beyond what is used.
const SIZES: &[&str] = &[
    "customContainerTemplate.containers: maxItems 20",
    "customContainerTemplate.containers[].args: maxItems 100",
    "customContainerTemplate.containers[].command: maxItems 100",
    "customContainerTemplate.containers[].env: maxItems 200",
    "customContainerTemplate.containers[].env[].name: maxLength 256",
    "customContainerTemplate.containers[].env[].value: maxLength 32768",
    "customContainerTemplate.containers[].image: maxLength 1024",
    "customContainerTemplate.containers[].name: maxLength 63",
    "customContainerTemplate.containers[].probes[].httpGet.httpHeaders: maxItems 50",
    "customContainerTemplate.containers[].probes[].httpGet.httpHeaders[].name: maxLength 256",
    "customContainerTemplate.containers[].probes[].httpGet.httpHeaders[].value: maxLength 4096",
    "customContainerTemplate.containers[].probes[].httpGet.path: maxLength 2048",
    "customContainerTemplate.containers[].resources.memory: maxLength 32",
    "customContainerTemplate.registryCredentials.identity: maxLength 1024",
    "customContainerTemplate.registryCredentials.username: maxLength 253",
    "environmentId: maxLength 1024",
    "identity.userAssignedIdentities: maxItems 50",
    "location: maxLength 90",
    "managedIdentitySettings: maxItems 50",
    "managedIdentitySettings[].identity: maxLength 1024",
    "secrets: maxItems 50",
];

#[test]
fn what_azure_takes_of_a_pool_its_definition_takes() {
    let ours = spec_schema("SessionPool");
    let mut found = BTreeSet::new();
    for file in FILES {
        for pointer in [
            "/definitions/SessionPoolProperties",
            "/resourceDefinitions/sessionPools",
        ] {
            let Some(bounds) = narrower(file, pointer, &ours) else {
                return;
            };
            found.extend(bounds);
        }
    }
    let reasons = [NEEDED, KNOWN, INTEGERS, SIZES].concat();
    let reasons: BTreeSet<String> = reasons.into_iter().map(str::to_owned).collect();
    let without_reason: Vec<_> = found.difference(&reasons).collect();
    assert!(without_reason.is_empty(), "{without_reason:#?}");
    let gone: Vec<_> = reasons.difference(&found).collect();
    assert!(gone.is_empty(), "{gone:#?}");
}
