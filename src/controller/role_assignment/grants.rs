//! What the installation lets RoleAssignments grant.
//!
//! Whoever may create a RoleAssignment acts with the rights of its AzureAccount, which are the right to give rights away.
//! This list is what bounds that, and it is the administrator's alone: it comes from the operator's command line.

use std::fmt;
use std::str::FromStr;

use crate::azure::resource_id::ResourceIdError;
use crate::azure::role_definition::NotAGuid;
use crate::azure::{ResourceId, RoleId};

/// One line of the list: which role may be assigned where.
///
/// As text `ROLE[@SCOPE]`: ROLE is the GUID of a role or `*`; SCOPE is an Azure resource id, for itself and everything
/// below it, or `*` for every scope. Without SCOPE the role may be assigned on what Lifeguard objects of the same
/// namespace manage. `none` grants nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    role: GrantedRole,
    scope: GrantedScope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GrantedRole {
    None,
    Any,
    One(RoleId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum GrantedScope {
    Managed,
    Any,
    Within(ResourceId),
}

/// Why a line of the list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The role is not named by its GUID.
    #[error("the role must be `*` or a GUID: names of roles change, and other roles may take them")]
    Role(#[from] NotAGuid),
    /// The scope is no resource id.
    #[error("the scope must be `*` or an Azure resource id: {0}")]
    Scope(#[from] ResourceIdError),
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (role, scope) = match text.trim().split_once('@') {
            Some((role, scope)) => (role.trim(), Some(scope.trim())),
            None => (text.trim(), None),
        };
        Ok(Self {
            role: match role {
                "none" if scope.is_none() => GrantedRole::None,
                "*" => GrantedRole::Any,
                guid => GrantedRole::One(guid.parse()?),
            },
            scope: match scope {
                None => GrantedScope::Managed,
                Some("*") => GrantedScope::Any,
                Some(id) => GrantedScope::Within(id.parse()?),
            },
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            GrantedRole::None => return f.write_str("none"),
            GrantedRole::Any => f.write_str("*")?,
            GrantedRole::One(role) => role.fmt(f)?,
        }
        match &self.scope {
            GrantedScope::Managed => Ok(()),
            GrantedScope::Any => f.write_str("@*"),
            GrantedScope::Within(id) => write!(f, "@{id}"),
        }
    }
}

/// Whether a role may be assigned at a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// It may if the scope is what a Lifeguard object of the same namespace manages.
    IfManaged,
    /// It may not.
    Refused,
}

/// The whole list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// The list that the command line gives. Without any, what pods, pools and jobs need, on what Lifeguard objects
    /// manage: to execute in pools, to read secrets of vaults, to pull images.
    pub fn new(given: &[Grant]) -> Self {
        if !given.is_empty() {
            return Self(given.to_vec());
        }
        let on_what_is_managed = |role| Grant {
            role: GrantedRole::One(role),
            scope: GrantedScope::Managed,
        };
        let roles = [
            RoleId::SESSION_EXECUTOR,
            RoleId::KEY_VAULT_SECRETS_USER,
            RoleId::ACR_PULL,
        ];
        Self(roles.map(on_what_is_managed).to_vec())
    }

    /// Whether a role may be assigned at a scope.
    pub fn permission(&self, role: RoleId, scope: &ResourceId) -> Permission {
        let mut permission = Permission::Refused;
        for grant in &self.0 {
            let is_of_role = match grant.role {
                GrantedRole::None => false,
                GrantedRole::Any => true,
                GrantedRole::One(granted) => granted == role,
            };
            match &grant.scope {
                _ if !is_of_role => {}
                GrantedScope::Any => return Permission::Granted,
                GrantedScope::Within(granted) if scope.is_within(granted) => return Permission::Granted,
                GrantedScope::Within(_) => {}
                GrantedScope::Managed => permission = Permission::IfManaged,
            }
        }
        permission
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXECUTOR: &str = "0fb8eba5-a2bb-4abe-b1c1-49dfad359bb0";
    const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    const POOL: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/sessionPools/p";

    fn grants(lines: &[&str]) -> Grants {
        Grants::new(&lines.iter().map(|it| it.parse().unwrap()).collect::<Vec<_>>())
    }

    fn permission(lines: &[&str], role: &str, scope: &str) -> Permission {
        grants(lines).permission(role.parse().unwrap(), &scope.parse().unwrap())
    }

    #[test]
    fn without_a_list_three_roles_are_granted_on_what_is_managed_and_no_other() {
        for (role, expected) in [
            (EXECUTOR, Permission::IfManaged),
            ("4633458b-17de-408a-b874-0445c86b69e6", Permission::IfManaged),
            ("7f951dda-4ed3-4680-a7ca-43fe172d538d", Permission::IfManaged),
            (OWNER, Permission::Refused),
            ("b24988ac-6180-42a0-ab88-20f7382dd24c", Permission::Refused),
        ] {
            assert_eq!(permission(&[], role, POOL), expected, "{role}");
        }
    }

    #[test]
    fn a_list_replaces_the_default() {
        let line = format!("{OWNER}@/subscriptions/s");
        assert_eq!(permission(&[&line], EXECUTOR, POOL), Permission::Refused);
        assert_eq!(permission(&["none"], EXECUTOR, POOL), Permission::Refused);
    }

    #[test]
    fn a_scope_reaches_what_is_below_it_and_nothing_beside_it() {
        use Permission::{Granted, Refused};
        for (granted, scope, expected) in [
            ("/subscriptions/s", POOL, Granted),
            ("/subscriptions/s/", POOL, Granted),
            ("/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG", POOL, Granted),
            (POOL, POOL, Granted),
            (POOL, "/subscriptions/s/resourceGroups/rg", Refused),
            ("/subscriptions/s/resourceGroups/rg", "/subscriptions/s", Refused),
            ("/subscriptions/s/resourceGroups/r", POOL, Refused),
            (
                "/subscriptions/s/resourceGroups/rg",
                "/subscriptions/s/resourceGroups/rg2",
                Refused,
            ),
            (
                "/subscriptions/s/resourceGroups/rg",
                "/subscriptions/s/resourceGroups/rg.x",
                Refused,
            ),
            (
                "/subscriptions/s/resourceGroups/rg",
                "/subscriptions/s2/resourceGroups/rg",
                Refused,
            ),
            (POOL, &format!("{POOL}2"), Refused),
        ] {
            let line = format!("{OWNER}@{granted}");
            assert_eq!(permission(&[&line], OWNER, scope), expected, "{granted} {scope}");
            assert_eq!(permission(&[&line], EXECUTOR, scope), Refused, "another role");
        }
    }

    #[test]
    fn a_scope_that_climbs_or_is_altered_by_a_url_is_no_scope() {
        for text in [
            "/subscriptions/s/resourceGroups/rg/../other",
            "/subscriptions/s/resourceGroups/./rg",
            "/subscriptions/s/resourceGroups/rg%2f..%2fother",
            "/subscriptions/s//resourceGroups/rg",
            "/subscriptions/s/resourceGroups/rg?x",
            "/subscriptions/s/resourceGroups/rg#x",
            "/subscriptions/s\\resourceGroups/rg",
            "/",
            "subscriptions/s",
            "",
        ] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
            assert!(
                matches!(format!("{OWNER}@{text}").parse::<Grant>(), Err(GrantError::Scope(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_star_stands_for_every_role_or_every_scope_and_only_alone() {
        use Permission::{Granted, IfManaged, Refused};
        for (line, role, expected) in [
            ("*@*", OWNER, Granted),
            ("*", OWNER, IfManaged),
            (&format!("{EXECUTOR}@*"), EXECUTOR, Granted),
            (&format!("{EXECUTOR}@*"), OWNER, Refused),
            ("*@/subscriptions/other", OWNER, Refused),
        ] {
            assert_eq!(permission(&[line], role, POOL), expected, "{line}");
        }
        assert!("0fb8*".parse::<Grant>().is_err());
        assert!(format!("{OWNER}@/subscriptions/*").parse::<Grant>().is_err());
    }

    #[test]
    fn a_role_is_granted_by_its_guid_and_never_by_a_name_that_another_role_may_take() {
        for text in ["Owner", "Azure ContainerApps Session Executor", "", "none@*", "@*"] {
            assert!(matches!(text.parse::<Grant>(), Err(GrantError::Role(_))), "{text}");
        }
    }

    #[test]
    fn the_widest_line_counts_in_any_order() {
        let lines = [EXECUTOR, "*@/subscriptions/s"];
        assert_eq!(permission(&lines, EXECUTOR, POOL), Permission::Granted);
        assert_eq!(permission(&[lines[1], lines[0]], EXECUTOR, POOL), Permission::Granted);
        assert_eq!(permission(&lines, EXECUTOR, "/subscriptions/t"), Permission::IfManaged);
    }

    proptest! {
        #[test]
        fn every_line_is_read_back(
            role in prop_oneof![Just(EXECUTOR), Just("*")], scope in prop_oneof![Just(""), Just("@*"), Just("@/subscriptions/s")],
        ) {
            let line = format!("{role}{scope}");
            prop_assert_eq!(line.parse::<Grant>().unwrap().to_string(), line);
        }

        /// Whatever the names: a scope is granted exactly if its segments begin with those of the granted one.
        #[test]
        fn segments_decide_and_not_characters(
            granted in "[a-cA-C]{1,2}(/x/[a-cA-C]{1,2}){0,2}", asked in "[a-cA-C]{1,2}(/x/[a-cA-C]{1,2}){0,3}",
        ) {
            let id = |text: &str| format!("/subscriptions/s/resourceGroups/g/providers/A.B/t/{text}");
            let lower = |text: &str| text.to_lowercase().split('/').map(str::to_owned).collect::<Vec<_>>();
            let expected = lower(&asked).starts_with(&lower(&granted));
            let line = format!("{OWNER}@{}", id(&granted));
            let found = permission(&[&line], OWNER, &id(&asked)) == Permission::Granted;
            prop_assert_eq!(found, expected);
        }
    }
}
