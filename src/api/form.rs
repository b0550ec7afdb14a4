//! The forms that texts must have: as patterns, which the API server checks, and in words, which users read when one is
//! broken.

/// A GUID.
pub(super) const GUID: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
/// A Microsoft Entra tenant.
pub(super) const TENANT: &str = "^[A-Za-z0-9.-]+$";
/// The resource id of a user-assigned identity.
pub(super) const IDENTITY_ID: &str = "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[mM]anaged[iI]dentity/[uU]ser[aA]ssigned[iI]dentities/[^/]+$";
/// The resource id of a user-assigned identity, or the word that stands for the system-assigned one.
pub(super) const IDENTITY_ID_OR_SYSTEM: &str = "^([sS]ystem|/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[mM]anaged[iI]dentity/[uU]ser[aA]ssigned[iI]dentities/[^/]+)$";
/// The resource id of a session pool.
pub(super) const POOL_ID: &str =
    "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[aA]pp/[sS]ession[pP]ools/[^/]+$";
/// The resource id of a session pool whose subscription is a GUID, as Azure has it.
pub(super) const GUID_POOL_ID: &str = "^/[sS]ubscriptions/[0-9a-fA-F-]{36}/[rR]esource[gG]roups/[^/]+/providers/[mM]icrosoft\\.[aA]pp/[sS]ession[pP]ools/[^/]+$";
/// The resource id of any resource in a resource group.
pub(super) const RESOURCE_ID: &str = "^/[sS]ubscriptions/[^/]+/[rR]esource[gG]roups/[^/]+/providers/[^/]+/[^/]+/[^/]+$";
/// The id of a subscription or of anything in one.
pub(super) const SCOPE_ID: &str = "^/[sS]ubscriptions/[^/]+(/[^/]+)*$";
/// The name of a container app or container group.
pub(super) const RESOURCE_NAME: &str = "^[A-Za-z0-9-]+$";
/// The name or GUID of a role.
pub(super) const ROLE: &str = "^[\\p{L}\\p{N}][^'/]*$";
/// The name of a federated credential.
pub(super) const CREDENTIAL_NAME: &str = "^[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}$";
/// The issuer of tokens.
pub(super) const ISSUER: &str = "^https://";
/// The name of a secret of a session pool.
pub(super) const POOL_SECRET_NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// The name of an environment variable.
pub(super) const VARIABLE_NAME: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// A field of an object that a variable may have as its value, as Pods write it.
pub(super) const FIELD_PATH: &str = "^metadata\\.(name|namespace|uid|(labels|annotations)\\['([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?'\\])$";

/// The name of an object in Kubernetes: a DNS subdomain (RFC 1123).
pub(super) const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The name of a namespace: a DNS label (RFC 1123).
pub(super) const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// The key of a shared session.
pub(super) const SESSION_KEY: &str = "^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$";
/// A key of a Secret or ConfigMap.
pub(super) const DATA_KEY: &str = "^[-._a-zA-Z0-9]+$";

const IN_WORDS: [(&str, &str); 19] = [
    (
        OBJECT_NAME,
        "must be the name of an object: lower-case letters, digits, hyphens and dots, with a letter or digit at its start, its end and beside each dot",
    ),
    (
        NAMESPACE,
        "must be the name of a namespace: lower-case letters, digits and hyphens, starting and ending with a letter or digit",
    ),
    (
        SESSION_KEY,
        "must be letters, digits, hyphens, dots and underscores, starting and ending with a letter or digit",
    ),
    (
        DATA_KEY,
        "must be a key: letters, digits, hyphens, underscores and dots",
    ),
    (
        GUID,
        "must be a GUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12",
    ),
    (
        TENANT,
        "must be a GUID or the name of a domain: letters, digits, dots and hyphens",
    ),
    (
        IDENTITY_ID,
        "must be the Azure resource id of a user-assigned identity: /subscriptions/…/resourceGroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/…",
    ),
    (
        IDENTITY_ID_OR_SYSTEM,
        "must be system, or the Azure resource id of a user-assigned identity: /subscriptions/…/resourceGroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/…",
    ),
    (
        POOL_ID,
        "must be the Azure resource id of a session pool: /subscriptions/…/resourceGroups/…/providers/Microsoft.App/sessionPools/…",
    ),
    (
        GUID_POOL_ID,
        "must be the Azure resource id of a session pool: /subscriptions/GUID/resourceGroups/…/providers/Microsoft.App/sessionPools/…",
    ),
    (
        RESOURCE_ID,
        "must be the Azure resource id of a resource: /subscriptions/…/resourceGroups/…/providers/…/…/…",
    ),
    (
        SCOPE_ID,
        "must be the Azure resource id of a subscription, resource group or resource: /subscriptions/…",
    ),
    (RESOURCE_NAME, "must be letters, digits and hyphens"),
    (
        ROLE,
        "must be the name or GUID of a role: it starts with a letter or digit and has no slash and no apostrophe",
    ),
    (
        CREDENTIAL_NAME,
        "must be 3 to 120 letters, digits, hyphens and underscores, starting with a letter or digit",
    ),
    (ISSUER, "must start with https://"),
    (
        POOL_SECRET_NAME,
        "must be lower-case letters, digits, hyphens and dots, starting and ending with a letter or digit",
    ),
    (
        VARIABLE_NAME,
        "must be letters, digits and underscores, not starting with a digit",
    ),
    (
        FIELD_PATH,
        "must be metadata.name, metadata.namespace or metadata.uid, or metadata.labels or metadata.annotations with a key in quotes and brackets",
    ),
];

/// What a text of this pattern must be, in words; `None` for a pattern that no field has.
pub(super) fn in_words(pattern: &str) -> Option<&'static str> {
    let (_, words) = IN_WORDS.iter().find(|(it, _)| *it == pattern)?;
    Some(words)
}
