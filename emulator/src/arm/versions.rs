//! API versions of the emulated types.

use axum::http::StatusCode;

use super::ArmError;

/// Versions of `Microsoft.App/sessionPools`, newest first (the provider's metadata, SDKs and specification).
pub const SESSION_POOLS: &[&str] = &[
    "2026-11-01-preview",
    "2026-07-01",
    "2026-03-02-preview",
    "2026-01-01",
    "2025-10-02-preview",
    "2025-07-01",
    "2025-02-02-preview",
    "2025-01-01",
    "2024-10-02-preview",
    "2024-08-02-preview",
    "2024-02-02-preview",
    "2023-11-02-preview",
    "2023-08-01-preview",
];

/// Versions of `Microsoft.App/containerApps` and `managedEnvironments`, newest first.
pub const CONTAINER_APPS: &[&str] = &[
    "2026-07-01",
    "2026-03-02-preview",
    "2026-01-01",
    "2025-10-02-preview",
    "2025-07-01",
    "2025-02-02-preview",
    "2025-01-01",
    "2024-10-02-preview",
    "2024-08-02-preview",
    "2024-03-01",
    "2024-02-02-preview",
    "2023-11-02-preview",
    "2023-08-01-preview",
    "2023-05-02-preview",
    "2023-05-01",
    "2023-04-01-preview",
    "2022-11-01-preview",
    "2022-10-01",
    "2022-06-01-preview",
    "2022-03-01",
    "2022-01-01-preview",
];

/// Versions of `Microsoft.ContainerInstance/containerGroups`, newest first.
pub const CONTAINER_GROUPS: &[&str] = &[
    "2026-06-01-preview",
    "2025-09-01",
    "2024-11-01-preview",
    "2024-10-01-preview",
    "2024-09-01-preview",
    "2024-05-01-preview",
    "2023-05-01",
    "2023-02-01-preview",
    "2022-10-01-preview",
    "2022-09-01",
    "2021-10-01",
    "2021-09-01",
    "2021-07-01",
    "2021-03-01",
    "2020-11-01",
    "2019-12-01",
    "2018-10-01",
];

/// Versions of `Microsoft.Resources` and of subscriptions.
pub const RESOURCES: &[&str] = &[
    "2026-06-01",
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2021-10-01",
    "2021-04-01",
    "2021-01-01",
    "2020-10-01",
    "2020-08-01",
    "2020-06-01",
    "2020-01-01",
    "2019-11-01",
    "2019-10-01",
    "2019-08-01",
    "2019-07-01",
    "2019-06-01",
    "2019-05-10",
    "2019-05-01",
    "2019-03-01",
    "2018-06-01",
    "2018-05-01",
    "2018-02-01",
    "2017-05-10",
    "2016-09-01",
    "2016-06-01",
    "2016-02-01",
];

/// Versions of `Microsoft.Authorization` role assignments and definitions.
pub const AUTHORIZATION: &[&str] = &[
    "2022-05-01-preview",
    "2022-04-01",
    "2020-10-01-preview",
    "2020-08-01-preview",
    "2020-04-01-preview",
    "2020-03-01-preview",
    "2018-09-01-preview",
    "2018-07-01",
    "2018-01-01-preview",
    "2015-07-01",
];

/// Versions of `Microsoft.ManagedIdentity`, newest first (azure-mgmt-msi 7.1.0 and 8.0.0b2, and the stable one of 2023).
pub const MANAGED_IDENTITIES: &[&str] = &[
    "2025-05-31-preview",
    "2025-01-31-preview",
    "2024-11-30",
    "2023-01-31",
    "2022-01-31-preview",
    "2021-09-30-preview",
    "2018-11-30",
];

/// How many of them, from the newest, have federated credentials (azure-mgmt-msi: since 2022-01-31-preview).
pub const MANAGED_IDENTITIES_WITH_CREDENTIALS: usize = 5;

/// Refuses a version that a type does not have.
///
/// One that no type has is `InvalidApiVersionParameter`; one that other types have is `NoRegisteredProviderFound`.
pub fn check(version: &str, supported: &[&str], resource_type: &str) -> Result<(), ArmError> {
    let has = |versions: &[&str]| versions.iter().any(|known| known.eq_ignore_ascii_case(version));
    if has(supported) {
        return Ok(());
    }
    let list = supported.join(",");
    if [
        SESSION_POOLS,
        CONTAINER_APPS,
        CONTAINER_GROUPS,
        RESOURCES,
        AUTHORIZATION,
        MANAGED_IDENTITIES,
    ]
    .into_iter()
    .any(has)
    {
        let name = resource_type.rsplit('/').next().unwrap_or_default();
        return Err(ArmError::gateway(
            StatusCode::BAD_REQUEST,
            "NoRegisteredProviderFound",
            format!(
                "No registered resource provider found for API version '{version}' for type '{name}'. The supported api-versions are '{list}'."
            ),
        ));
    }
    Err(ArmError::gateway(
        StatusCode::BAD_REQUEST,
        "InvalidApiVersionParameter",
        format!("The api-version '{version}' is invalid. The supported versions are '{list}'."),
    ))
}
