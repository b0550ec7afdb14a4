//! Built-in role definitions. Their GUIDs are the same in every tenant (Azure built-in roles documentation).

use super::Permission;

/// GUID of Owner.
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
/// GUID of Azure ContainerApps Session Executor.
pub const SESSION_EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";

/// A built-in role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its GUID.
    pub guid: &'static str,
    /// Its display name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Control actions it allows, with `*` as wildcard.
    pub actions: &'static [&'static str],
    /// Control actions it leaves out of those.
    pub not_actions: &'static [&'static str],
    /// Data actions it allows.
    pub data_actions: &'static [&'static str],
}

/// The built-in roles that the emulated services know.
pub const BUILT_IN: &[RoleDefinition] = &[
    RoleDefinition {
        guid: OWNER,
        name: "Owner",
        description: "Grants full access to manage all resources, including the ability to assign roles in Azure RBAC.",
        actions: &["*"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "b24988ac-6180-42a0-ab88-20f7382dd24c",
        name: "Contributor",
        description: "Grants full access to manage all resources, but does not allow you to assign roles in Azure RBAC, manage assignments in Azure Blueprints, or share image galleries.",
        actions: &["*"],
        not_actions: &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
        ],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        name: "Reader",
        description: "View all resources, but does not allow you to make any changes.",
        actions: &["*/read"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        name: "User Access Administrator",
        description: "Lets you manage user access to Azure resources.",
        actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        name: "Role Based Access Control Administrator",
        description: "Manage access to Azure resources by assigning roles using Azure RBAC.",
        actions: &[
            "Microsoft.Authorization/roleAssignments/write",
            "Microsoft.Authorization/roleAssignments/delete",
            "*/read",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: SESSION_EXECUTOR,
        name: "Azure ContainerApps Session Executor",
        description: "Create and execute sessions in a session pool.",
        actions: &[],
        not_actions: &[],
        data_actions: &["Microsoft.App/sessionPools/*"],
    },
    RoleDefinition {
        guid: "f7669afb-68b2-44b4-9c5f-6d2a47fddda0",
        name: "Container Apps SessionPools Contributor",
        description: "Full management of Container Apps SessionPools, including creation, deletion, and updates.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.App/sessionPools/*",
            "Microsoft.App/managedEnvironments/read",
            "Microsoft.App/managedEnvironments/join/action",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "af61e8fc-2633-4b95-bed3-421ad6826515",
        name: "Container Apps SessionPools Reader",
        description: "Read access to ContainerApps sessionpools.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.App/sessionPools/*/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "358470bc-b998-42bd-ab17-a7e34c199c0f",
        name: "Container Apps Contributor",
        description: "Full management of Container Apps, including creation, deletion, and updates.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.App/containerApps/*",
            "Microsoft.App/managedEnvironments/read",
            "Microsoft.App/managedEnvironments/join/action",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/subscriptions/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "f3bd1b5c-91fa-40e7-afe7-0c11d331232c",
        name: "Container Apps Operator",
        description: "Read, logstream and exec into Container Apps.",
        actions: &[
            "Microsoft.Authorization/*/read",
            "Microsoft.App/containerApps/*/read",
            "Microsoft.App/containerApps/*/action",
        ],
        not_actions: &[],
        data_actions: &[
            "Microsoft.App/containerApps/exec/action",
            "Microsoft.App/containerApps/logstream/action",
            "Microsoft.App/containerApps/debug/action",
        ],
    },
    RoleDefinition {
        guid: "5d977122-f97e-4b4d-a52f-6b43003ddb4d",
        name: "Azure Container Instances Contributor Role",
        description: "Grants read/write access to container groups provided by Azure Container Instances",
        actions: &[
            "Microsoft.ContainerInstance/containerGroups/*",
            "Microsoft.Authorization/*/read",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "4633458b-17de-408a-b874-0445c86b69e6",
        name: "Key Vault Secrets User",
        description: "Read secret contents. Only works for key vaults that use the 'Azure role-based access control' permission model.",
        actions: &[],
        not_actions: &[],
        data_actions: &[
            "Microsoft.KeyVault/vaults/secrets/getSecret/action",
            "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
        ],
    },
    RoleDefinition {
        guid: "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        name: "Key Vault Administrator",
        description: "Perform all data plane operations on a key vault and all objects in it, including certificates, keys, and secrets.",
        actions: &[
            "Microsoft.KeyVault/checkNameAvailability/read",
            "Microsoft.KeyVault/vaults/*/read",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/*"],
    },
    RoleDefinition {
        guid: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        name: "Key Vault Secrets Officer",
        description: "Perform any action on the secrets of a key vault, except manage permissions.",
        actions: &[
            "Microsoft.KeyVault/checkNameAvailability/read",
            "Microsoft.KeyVault/vaults/*/read",
        ],
        not_actions: &[],
        data_actions: &["Microsoft.KeyVault/vaults/secrets/*"],
    },
    RoleDefinition {
        guid: "f1a07417-d97a-45cb-824c-7a7467783830",
        name: "Managed Identity Operator",
        description: "Read and Assign User Assigned Identity",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
        name: "Managed Identity Contributor",
        description: "Create, Read, Update, and Delete User Assigned Identity",
        actions: &[
            "Microsoft.ManagedIdentity/userAssignedIdentities/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
            "Microsoft.ManagedIdentity/userAssignedIdentities/revokeTokens/action",
            "Microsoft.Authorization/*/read",
            "Microsoft.Insights/alertRules/*",
            "Microsoft.Resources/subscriptions/resourceGroups/read",
            "Microsoft.Resources/deployments/*",
            "Microsoft.Support/*",
        ],
        not_actions: &[],
        data_actions: &[],
    },
    RoleDefinition {
        guid: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        name: "AcrPull",
        description: "acr pull",
        actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
        not_actions: &[],
        data_actions: &[],
    },
];

/// The built-in role of a GUID.
pub fn by_guid(guid: &str) -> Option<&'static RoleDefinition> {
    BUILT_IN.iter().find(|role| role.guid.eq_ignore_ascii_case(guid))
}

impl RoleDefinition {
    /// Whether the role allows this.
    pub fn allows(&self, permission: Permission<'_>) -> bool {
        let any = |patterns: &[&str], action: &str| patterns.iter().any(|pattern| matches(pattern, action));
        match permission {
            Permission::Action(action) => any(self.actions, action) && !any(self.not_actions, action),
            Permission::DataAction(action) => any(self.data_actions, action),
        }
    }
}

/// Whether an action matches a pattern with `*` for any number of characters, whatever the case. A `*` between slashes
/// stands for no segment too: built-in roles have `…/sessionPools/*/read` as their only right to read a pool itself.
fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    matches_exactly(&pattern, &action) || matches_exactly(&pattern.replace("/*/", "/"), &action)
}

fn matches_exactly(pattern: &str, action: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
