//! `Microsoft.Authorization`: role definitions and role assignments.

pub mod assignments;
pub mod definitions;
mod filter;

/// Where a role assignment or definition is asked for: the part of the path before `/providers/Microsoft.Authorization`.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The scope's id, with the subscription's id as it is stored; `/` for the tenant.
    pub id: String,
    /// The subscription that it is in.
    pub subscription: Option<String>,
    /// The resource group that it is in.
    pub group: Option<String>,
}

/// Ids of role definitions are those of the subscription, whatever the scope they were asked for.
fn definition_id(scope: &Scope, guid: &str) -> String {
    let prefix = scope
        .subscription
        .as_ref()
        .map(|id| format!("/subscriptions/{id}"))
        .unwrap_or_default();
    format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{guid}")
}
