//! What an identity assignment attaches identities to.

use kube::Resource;

use crate::api::IdentityAssignment;
use crate::api::identity_assignment::{AssignmentTarget, TargetResource};
use crate::azure::container_app::{CONTAINER_APP_API_VERSION, CONTAINER_APP_TYPE};
use crate::azure::container_group::{CONTAINER_GROUP_API_VERSION, CONTAINER_GROUP_TYPE};
use crate::azure::identity_block::Spelling;
use crate::azure::session_pool::{PoolApiVersion, SESSION_POOL_TYPE};
use crate::azure::{ResourceId, resource_id::ResourceIdError};
use crate::controller::accounts::Account;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::azure_resource::{Blocked, Placement, known_place, moved};
use crate::controller::context::Context;

/// Which type of resource the target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A container app.
    App,
    /// A container group.
    Group,
    /// A session pool.
    Pool,
}

impl TargetKind {
    /// The kind of the target that a spec names.
    pub fn of(target: &AssignmentTarget) -> Self {
        match (&target.container_app, &target.container_group) {
            (Some(_), _) => Self::App,
            (None, Some(_)) => Self::Group,
            (None, None) => Self::Pool,
        }
    }

    /// The type of the resource.
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::App => CONTAINER_APP_TYPE,
            Self::Group => CONTAINER_GROUP_TYPE,
            Self::Pool => SESSION_POOL_TYPE,
        }
    }

    /// The version that the resource is read and written with.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::App => CONTAINER_APP_API_VERSION,
            Self::Group => CONTAINER_GROUP_API_VERSION,
            Self::Pool => PoolApiVersion::for_reading().as_str(),
        }
    }

    /// How the service spells the type of both kinds of identity.
    pub fn spelling(self) -> Spelling {
        match self {
            Self::App | Self::Pool => Spelling::Joined,
            Self::Group => Spelling::Spaced,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::App => "container app",
            Self::Group => "container group",
            Self::Pool => "session pool",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::App => "spec.target.containerApp",
            Self::Group => "spec.target.containerGroup",
            Self::Pool => "spec.target.sessionPool",
        }
    }
}

/// The target in short, for a column: `app/NAME`.
pub fn short_name(target: &AssignmentTarget) -> String {
    let word = match TargetKind::of(target) {
        TargetKind::App => "app",
        TargetKind::Group => "group",
        TargetKind::Pool => "pool",
    };
    let name = match resource(target) {
        Some(TargetResource { name: Some(name), .. }) => Some(name.as_str()),
        _ => resource_id(target).and_then(|id| id.rsplit('/').next()),
    };
    format!("{word}/{}", name.unwrap_or_default())
}

/// The id of the target, or why it cannot be told yet.
pub async fn locate(
    context: &Context,
    object: &IdentityAssignment,
    account: &Account,
    lifecycle: Lifecycle,
) -> Result<ResourceId, Blocked> {
    let target = &object.spec.target;
    let kind = TargetKind::of(target);
    let known = known_place(object, None);
    if let Some(id) = resource_id(target) {
        return given(kind, id, lifecycle, known);
    }
    let named = resource(target);
    let placement = Placement {
        namespace: object.meta().namespace.as_deref().unwrap_or_default(),
        noun: kind.noun(),
        path: kind.path(),
        resource_type: kind.resource_type(),
        name: named.and_then(|it| it.name.as_deref()).unwrap_or_default(),
        resource_group: named.and_then(|it| it.resource_group.as_deref()),
        resource_group_ref: named.and_then(|it| it.resource_group_ref.as_ref()),
    };
    placement.locate(context, account, lifecycle, known).await
}

/// A target that is given by its id. As any, it stays the one that the status says.
fn given(kind: TargetKind, text: &str, lifecycle: Lifecycle, known: Option<ResourceId>) -> Result<ResourceId, Blocked> {
    let parsed: Result<ResourceId, ResourceIdError> = text.parse();
    let why = match (parsed, known, lifecycle) {
        (_, Some(known), Lifecycle::Deleted) => return Ok(known),
        (Ok(id), known, _) if id.is_type(kind.resource_type()) => {
            let Some(known) = known.filter(|known| *known != id) else {
                return Ok(id);
            };
            let field = format!("{}.resourceId", kind.path());
            let remedy = format!("set it back to {known}");
            return Err(moved(kind.noun(), &known, &id, &field, &remedy));
        }
        (Ok(id), ..) => format!("it is the id of a {}", id.resource_type()),
        (Err(error), ..) => error.to_string(),
    };
    let (path, noun) = (kind.path(), kind.noun());
    Err(Blocked::Invalid(format!(
        "{path}.resourceId `{text}` is not that of a {noun}: {why}"
    )))
}

fn resource(target: &AssignmentTarget) -> Option<&TargetResource> {
    target.container_app.as_ref().or(target.container_group.as_ref())
}

fn resource_id(target: &AssignmentTarget) -> Option<&str> {
    match &target.session_pool {
        Some(pool) => Some(&pool.resource_id),
        None => resource(target)?.resource_id.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::Reason;

    fn target(value: serde_json::Value) -> AssignmentTarget {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_target_has_a_short_name() {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/sessionPools/shell";
        for (given, expected) in [
            (serde_json::json!({"containerApp": {"name": "web"}}), "app/web"),
            (serde_json::json!({"containerGroup": {"name": "batch"}}), "group/batch"),
            (serde_json::json!({"sessionPool": {"resourceId": id}}), "pool/shell"),
        ] {
            assert_eq!(short_name(&target(given)), expected);
        }
    }

    #[test]
    fn an_id_of_another_type_is_refused() {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/containerApps/web";
        let wanted = |kind, known| given(kind, id, Lifecycle::Wanted, known);
        assert_eq!(wanted(TargetKind::App, None).unwrap().as_str(), id);
        let blocked = wanted(TargetKind::Group, None).unwrap_err();
        assert_eq!(blocked.verdict().reason, Reason::InvalidSpec);
    }

    #[test]
    fn a_target_stays_the_one_that_it_was_in_any_spelling() {
        let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/containerApps/web";
        let known: ResourceId = id.to_uppercase().parse().unwrap();
        let other: ResourceId = id.replace("rg", "other").parse().unwrap();
        let locate = |lifecycle, known: &ResourceId| given(TargetKind::App, id, lifecycle, Some(known.clone()));
        assert_eq!(locate(Lifecycle::Wanted, &known).unwrap(), known);
        let blocked = locate(Lifecycle::Wanted, &other).unwrap_err();
        assert_eq!(blocked.verdict().reason, Reason::ImmutableChange);
        let message = blocked.to_string();
        assert!(message.contains("spec.target.containerApp.resourceId"), "{message}");
        assert!(message.contains(other.as_str()), "{message}");
        assert_eq!(locate(Lifecycle::Deleted, &other).unwrap(), other);
    }
}
