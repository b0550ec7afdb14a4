//! Azure roles: `Microsoft.Authorization/roleDefinitions`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use uuid::Uuid;

use super::arm::ArmClient;
use super::error::AzureError;
use super::resource_id::ResourceId;

/// The version of role definitions and of role assignments.
pub const AUTHORIZATION_API_VERSION: &str = "2022-04-01";

/// The GUID of a role definition. It identifies a role independently of its name, because Azure renames roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleId(Uuid);

impl RoleId {
    /// Azure ContainerApps Session Executor.
    pub const SESSION_EXECUTOR: Self = Self(Uuid::from_u128(0x0fb8_eba5_a2bb_4abe_b1c1_49df_ad35_9bb0));
    /// Key Vault Secrets User.
    pub const KEY_VAULT_SECRETS_USER: Self = Self(Uuid::from_u128(0x4633_458b_17de_408a_b874_0445_c86b_69e6));
    /// `AcrPull`.
    pub const ACR_PULL: Self = Self(Uuid::from_u128(0x7f95_1dda_4ed3_4680_a7ca_43fe_172d_538d));

    /// The role that the id of a role definition names. Azure answers with another scope before it than it was sent, so
    /// only what is behind the last slash counts.
    pub fn of_definition(id: &str) -> Option<Self> {
        id.rsplit('/').next()?.parse().ok()
    }

    /// The id of the role definition, in the spelling that Azure answers with.
    pub fn definition_id(self, subscription: &str) -> String {
        format!("/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{self}")
    }
}

/// Why a text is not the GUID of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a GUID of 36 characters")]
pub struct NotAGuid;

impl FromStr for RoleId {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        guid(text).map(Self)
    }
}

impl fmt::Display for RoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a GUID as Azure writes it. The other forms that exist (braces, URNs, no hyphens) would be names to Azure.
pub(super) fn guid(text: &str) -> Result<Uuid, NotAGuid> {
    if text.len() == 36 {
        Uuid::try_parse(text).map_err(|_| NotAGuid)
    } else {
        Err(NotAGuid)
    }
}

/// Built-in roles by name. Their GUIDs are the same in every tenant ("Azure built-in roles"); a name that Azure has given
/// up stays, since what is written in YAML does not change with it.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "Azure ContainerApps Session Executor",
        "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
    ),
    (
        "Azure ContainerApps Session Creator",
        "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0",
    ),
    (
        "Container Apps SessionPools Contributor",
        "f7669afb-68b2-44b4-9c5f-6d2a47fddda0",
    ),
    (
        "Container Apps SessionPools Reader",
        "af61e8fc-2633-4b95-bed3-421ad6826515",
    ),
    ("Container Apps Contributor", "358470bc-b998-42bd-ab17-a7e34c199c0f"),
    ("Container Apps Operator", "f3bd1b5c-91fa-40e7-afe7-0c11d331232c"),
    ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("Key Vault Administrator", "00482a5a-887f-4fb3-b363-3b7fe8e74483"),
    ("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d"),
    ("Owner", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ("Contributor", "b24988ac-6180-42a0-ab88-20f7382dd24c"),
    ("Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
];

/// The built-in role with this name, in any letter case; `None` for names that only Azure knows.
pub fn built_in(name: &str) -> Option<RoleId> {
    let found = BUILT_IN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    found.1.parse().ok()
}

/// The roles with this name, in any letter case, that may be assigned at a scope. `name` must not contain a quote.
pub async fn find_by_name(arm: &ArmClient, scope: &ResourceId, name: &str) -> Result<Vec<RoleId>, AzureError> {
    let path = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions");
    let filter = format!("roleName eq '{name}'");
    let found = arm
        .list(&path, AUTHORIZATION_API_VERSION, &[("$filter", &filter)])
        .await?;
    let mut roles: Vec<RoleId> = found.iter().filter(|it| is_called(it, name)).filter_map(role).collect();
    roles.sort();
    roles.dedup();
    Ok(roles)
}

/// Azure may answer with more than was asked for.
fn is_called(definition: &Value, name: &str) -> bool {
    definition
        .pointer("/properties/roleName")
        .and_then(Value::as_str)
        .is_some_and(|it| it.eq_ignore_ascii_case(name))
}

fn role(definition: &Value) -> Option<RoleId> {
    RoleId::of_definition(definition.get("id")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_in_role_is_found_by_its_name_in_any_case_and_by_the_name_it_once_had() {
        for name in [
            "Azure ContainerApps Session Executor",
            "azure containerapps session executor",
            "Azure ContainerApps Session Creator",
        ] {
            assert_eq!(built_in(name), Some(RoleId::SESSION_EXECUTOR), "{name}");
        }
        assert_eq!(built_in("Key Vault Secrets User"), Some(RoleId::KEY_VAULT_SECRETS_USER));
        assert_eq!(built_in("acrpull"), Some(RoleId::ACR_PULL));
        assert_eq!(built_in("Session Executor"), None);
    }

    #[test]
    fn every_built_in_role_has_a_guid() {
        for (name, _) in BUILT_IN {
            assert!(built_in(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_role_is_the_same_under_every_scope_that_its_definition_is_named_by() {
        let guid = RoleId::SESSION_EXECUTOR.to_string();
        for id in [
            RoleId::SESSION_EXECUTOR.definition_id("s"),
            format!("/providers/Microsoft.Authorization/roleDefinitions/{guid}"),
            format!(
                "/subscriptions/s/resourceGroups/r/providers/microsoft.authorization/roledefinitions/{}",
                guid.to_uppercase()
            ),
        ] {
            assert_eq!(RoleId::of_definition(&id), Some(RoleId::SESSION_EXECUTOR), "{id}");
        }
        assert_eq!(RoleId::of_definition("/subscriptions/s"), None);
    }

    #[test]
    fn only_the_form_that_azure_writes_is_a_guid() {
        let plain = RoleId::SESSION_EXECUTOR.to_string();
        assert!(plain.parse::<RoleId>().is_ok());
        for text in [
            plain.replace('-', ""),
            format!("{{{plain}}}"),
            format!("urn:uuid:{plain}"),
            "Reader".to_owned(),
            String::new(),
        ] {
            assert_eq!(text.parse::<RoleId>(), Err(NotAGuid), "{text}");
        }
    }
}
