//! Role assignments: `Microsoft.Authorization/roleAssignments`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::arm::ArmClient;
use super::comparison::Shape;
use super::error::AzureError;
use super::resource_id::{ResourceId, ResourceIdError};
use super::role_definition::{AUTHORIZATION_API_VERSION, NotAGuid, RoleId, guid};

/// The resource type.
pub const ROLE_ASSIGNMENT_TYPE: &str = "Microsoft.Authorization/roleAssignments";
/// The same, behind the scope that an assignment is at.
const PROVIDER_PATH: &str = "/providers/Microsoft.Authorization/roleAssignments";

/// The namespace of the names of assignments (RFC 9562, version 5). It must never change: every existing assignment would
/// have another name.
const NAMES: Uuid = Uuid::from_u128(0x6d8f_5c1e_29b4_4c0f_9a57_3e8b_d0f1_6a42);

/// Which members of an assignment a PUT may not carry (schema of 2022-04-01, and a recorded answer).
pub const SHAPE: Shape = Shape {
    read_only: &[
        "id",
        "name",
        "type",
        "systemdata",
        "properties.scope",
        "properties.createdon",
        "properties.updatedon",
        "properties.createdby",
        "properties.updatedby",
    ],
    write_only: &[],
    identifiers: &["properties.roledefinitionid"],
    case_insensitive: &["properties.principalid", "properties.principaltype"],
    added: &[],
};

/// What Azure cannot change in an existing assignment, in lower case.
pub const IMMUTABLE: &[&str] = &["properties.principalid", "properties.roledefinitionid"];

/// The object id of a principal in Microsoft Entra ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrincipalId(Uuid);

impl FromStr for PrincipalId {
    type Err = NotAGuid;

    fn from_str(text: &str) -> Result<Self, NotAGuid> {
        guid(text).map(Self)
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an assignment says: which principal has which role at which scope. Azure has one assignment for each, and can
/// change none of the three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple {
    /// The scope.
    pub scope: ResourceId,
    /// The role.
    pub role: RoleId,
    /// The principal.
    pub principal: PrincipalId,
}

impl Tuple {
    /// The name that the operator gives to this assignment: the same for every spelling of the scope, and another for a
    /// principal that was created again, since Azure would refuse to change the assignment of the old one.
    pub fn name(&self) -> Uuid {
        let text = format!("{}|{}|{}", self.scope.key(), self.principal, self.role);
        Uuid::new_v5(&NAMES, text.as_bytes())
    }

    /// The id of the assignment under that name.
    pub fn id(&self) -> Result<ResourceId, ResourceIdError> {
        format!("{}{PROVIDER_PATH}/{}", self.scope, self.name()).parse()
    }

    /// Reads what an assignment says, as ARM returned it; `None` if it is at no scope of a subscription.
    pub fn of(assignment: &Value) -> Option<Self> {
        let text = |name: &str| assignment.pointer(&format!("/properties/{name}"))?.as_str();
        let scope = match text("scope") {
            Some(scope) => scope.parse().ok()?,
            None => scope_of(&assignment.get("id")?.as_str()?.parse().ok()?)?,
        };
        Some(Self {
            scope,
            role: RoleId::of_definition(text("roleDefinitionId")?)?,
            principal: text("principalId")?.parse().ok()?,
        })
    }

    /// The part of a PUT's body that says this.
    pub fn body(&self) -> Value {
        json!({"properties": {
            "roleDefinitionId": self.role.definition_id(self.scope.subscription()),
            "principalId": self.principal.to_string(),
        }})
    }
}

/// The scope that an assignment is at, from its id; `None` if it is not the id of one.
pub fn scope_of(id: &ResourceId) -> Option<ResourceId> {
    let text = id.as_str();
    let (head, name) = text.rsplit_once('/')?;
    let at = head.len().checked_sub(PROVIDER_PATH.len())?;
    let is_assignment = head.get(at..)?.eq_ignore_ascii_case(PROVIDER_PATH) && !name.is_empty();
    is_assignment.then(|| head[..at].parse().ok()).flatten()
}

/// The assignments at exactly this scope. Azure's filter also returns those above it, which are left out.
pub async fn at_scope(arm: &ArmClient, scope: &ResourceId) -> Result<Vec<Value>, AzureError> {
    let path = format!("{scope}{PROVIDER_PATH}");
    let filter = [("$filter", "atScope()")];
    let found = arm.list(&path, AUTHORIZATION_API_VERSION, &filter).await?;
    Ok(found
        .into_iter()
        .filter(|it| Tuple::of(it).is_some_and(|tuple| tuple.scope == *scope))
        .collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POOL: &str = "/subscriptions/s-1/resourceGroups/Rg/providers/Microsoft.App/sessionPools/shell";
    const PRINCIPAL: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";

    fn tuple(scope: &str) -> Tuple {
        Tuple {
            scope: scope.parse().unwrap(),
            role: RoleId::SESSION_EXECUTOR,
            principal: PRINCIPAL.parse().unwrap(),
        }
    }

    #[test]
    fn the_name_of_an_assignment_is_the_same_in_every_release() {
        let name = tuple(POOL).name();
        assert_eq!(name.to_string(), "84aff7c5-ac4c-5c46-a04a-80ec4d8818f1");
        assert_eq!(name.get_version_num(), 5);
    }

    #[test]
    fn spelling_does_not_make_another_name_and_each_member_does() {
        let name = tuple(POOL).name();
        assert_eq!(tuple(&POOL.to_lowercase()).name(), name);
        assert_eq!(tuple(&POOL.to_uppercase()).name(), name);
        let other_principal = Tuple {
            principal: "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b6".parse().unwrap(),
            ..tuple(POOL)
        };
        let other_role = Tuple {
            role: RoleId::ACR_PULL,
            ..tuple(POOL)
        };
        for other in [other_principal, other_role, tuple("/subscriptions/s-1")] {
            assert_ne!(other.name(), name, "{other:?}");
        }
    }

    #[test]
    fn an_assignment_tells_what_it_says_and_where_it_is() {
        let id = tuple(POOL).id().unwrap();
        assert_eq!(scope_of(&id), Some(POOL.parse().unwrap()));
        assert_eq!(scope_of(&POOL.parse().unwrap()), None);
        let subscription = tuple("/subscriptions/s-1");
        assert_eq!(scope_of(&subscription.id().unwrap()), Some(subscription.scope.clone()));

        // As recorded: the role under the subscription, whatever it was sent under.
        let mut answered = tuple(POOL).body();
        answered["id"] = id.as_str().into();
        assert_eq!(Tuple::of(&answered), Some(tuple(POOL)));
        answered["properties"]["scope"] = POOL.to_uppercase().into();
        answered["properties"]["principalId"] = PRINCIPAL.to_uppercase().into();
        assert_eq!(Tuple::of(&answered), Some(tuple(POOL)));
        answered["properties"]["scope"] = "/".into();
        assert_eq!(Tuple::of(&answered), None);
    }

    proptest! {
        #[test]
        fn the_scope_is_read_back_from_every_id(group in "[A-Za-z0-9_.()-]{1,20}[A-Za-z0-9_]", pool in "[a-z0-9-]{1,20}") {
            let scope = format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.App/sessionPools/{pool}");
            let tuple = tuple(&scope);
            prop_assert_eq!(scope_of(&tuple.id().unwrap()), Some(tuple.scope));
        }
    }
}
