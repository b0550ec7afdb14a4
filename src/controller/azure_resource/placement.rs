//! Where a resource is: its resource group, and so its id.

use crate::api::ResourceGroup;

use crate::api::azure_resource::AzureResourceSpec;
use crate::api::reference::LocalReference;
use crate::azure::ResourceId;
use crate::controller::accounts::Account;
use crate::controller::azure_resource::policy::Lifecycle;
use crate::controller::context::Context;

use crate::controller::reference::{Unresolved, resolve};
use crate::runtime::{Key, Snapshot};

use super::blocked::Blocked;
use super::kind::{AzureKind, Gathering};
use super::subject::{Reports, Subject};

/// Where a spec says that a resource is. What it leaves open is taken from the AzureAccount.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// Namespace of the object.
    pub namespace: &'a str,
    /// What the resource is called in messages, such as `session pool`.
    pub noun: &'static str,
    /// Where in the object `resourceGroup` and `resourceGroupRef` are, such as `spec`.
    pub path: &'static str,
    /// Type of the resource, such as `Microsoft.App/sessionPools`.
    pub resource_type: &'static str,
    /// Name of the resource in Azure.
    pub name: &'a str,
    /// `resourceGroup`.
    pub resource_group: Option<&'a str>,
    /// `resourceGroupRef`.
    pub resource_group_ref: Option<&'a LocalReference>,
}

impl Placement<'_> {
    /// The id of the resource, or why it cannot be told or used yet.
    ///
    /// `known` is where the object's status says that it is, or this process knows it to be. There it stays, whatever the spec, its group or its account say
    /// now: the definitions let everything through that may be another way to say the same.
    /// An object that is being deleted does not wait for the readiness of its group.
    pub async fn locate(
        &self,
        context: &Context,
        account: &Account,
        lifecycle: Lifecycle,
        known: Option<ResourceId>,
    ) -> Result<ResourceId, Blocked> {
        match (lifecycle, known) {
            (Lifecycle::Deleted, Some(known)) => Ok(known),
            (Lifecycle::Deleted, None) => self.id(account, &self.group_to_delete_from(context, account)?),
            (Lifecycle::Wanted, known) => {
                let wanted = self.id(account, &self.group(context, account).await?)?;
                match known {
                    Some(known) if known != wanted => Err(self.moved(&known, &wanted)),
                    Some(_) | None => Ok(wanted),
                }
            }
        }
    }

    async fn group(&self, context: &Context, account: &Account) -> Result<String, Blocked> {
        match (self.resource_group_ref, self.resource_group) {
            (Some(reference), _) => self.referenced(context, account, &reference.name).await,
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => self.default_group(account),
        }
    }

    async fn referenced(&self, context: &Context, account: &Account, name: &str) -> Result<String, Blocked> {
        let group = resolve::<ResourceGroup>(context, self.namespace, name).await?;
        let group_id: Option<ResourceId> = group.reported().id.as_deref().and_then(|id| id.parse().ok());
        match group_id {
            Some(id) if id.subscription().eq_ignore_ascii_case(account.subscription()) => Ok(id.name().to_owned()),
            Some(id) => {
                let message = format!(
                    "ResourceGroup {name} is in subscription {} and the AzureAccount of the {} in {}: use the same account for both",
                    id.subscription(),
                    self.noun,
                    account.subscription()
                );
                Err(Blocked::Invalid(message))
            }
            None => Err(Unresolved::not_ready::<ResourceGroup>(name, ": it has no id yet").into()),
        }
    }

    /// The group of what is to be deleted and whose id was lost with the object's status.
    fn group_to_delete_from(&self, context: &Context, account: &Account) -> Result<String, Blocked> {
        match (self.resource_group_ref, self.resource_group) {
            (Some(reference), _) => Ok(self.group_object(context, &reference.name).map_or_else(
                || reference.name.clone(),
                |group| group.spec.azure.name(&group.metadata).to_owned(),
            )),
            (None, Some(name)) => Ok(name.to_owned()),
            (None, None) => self.default_group(account),
        }
    }

    fn group_object(&self, context: &Context, name: &str) -> Option<Snapshot<ResourceGroup>> {
        context.resource_groups.get(&Key::new(self.namespace, name))
    }

    fn default_group(&self, account: &Account) -> Result<String, Blocked> {
        account.spec().resource_group.clone().ok_or_else(|| {
            let Self { noun, path, .. } = self;
            let message = format!(
                "the {noun} has no resource group: set {path}.resourceGroupRef or {path}.resourceGroup, or spec.resourceGroup of the AzureAccount"
            );
            Blocked::Invalid(message)
        })
    }

    fn id(&self, account: &Account, group: &str) -> Result<ResourceId, Blocked> {
        ResourceId::resource(account.subscription(), group, self.resource_type, self.name).map_err(|error| {
            let message = format!("the resource group `{group}` has no valid name: {error}");
            Blocked::Invalid(message)
        })
    }

    fn moved(&self, known: &ResourceId, wanted: &ResourceId) -> Blocked {
        let Self { noun, path, .. } = *self;
        if !known.subscription().eq_ignore_ascii_case(wanted.subscription()) {
            return of_another_subscription(noun, known, wanted);
        }
        let by = match (self.resource_group_ref, self.resource_group) {
            (Some(_), _) => format!("{path}.resourceGroupRef"),
            (None, Some(_)) => format!("{path}.resourceGroup"),
            (None, None) => "spec.resourceGroup of the AzureAccount".to_owned(),
        };
        let group = known.resource_group().unwrap_or_default();
        moved(
            noun,
            known,
            wanted,
            &by,
            &format!("set {path}.resourceGroup to {group}"),
        )
    }
}

/// The id of the resource of an object whose group is in `spec`.
pub async fn locate<K: AzureKind>(
    object: &K,
    gathering: &Gathering<'_, K::Settings>,
    azure: &AzureResourceSpec,
    resource_group: Option<&str>,
    resource_group_ref: Option<&LocalReference>,
) -> Result<ResourceId, Blocked> {
    let placement = Placement {
        namespace: object.meta().namespace.as_deref().unwrap_or_default(),
        noun: K::ARM.noun,
        path: "spec",
        resource_type: K::ARM.resource_type,
        name: azure.name(object.meta()),
        resource_group,
        resource_group_ref,
    };
    let (lifecycle, known) = (Subject::of(object).lifecycle, known_place(object, gathering.placed));
    placement
        .locate(gathering.context, gathering.account, lifecycle, known)
        .await
}

/// Where an object's resource is: as its status says, or where this process wrote it before the status could say so.
pub fn known_place<K: Reports>(object: &K, placed: Option<&ResourceId>) -> Option<ResourceId> {
    let reported = object.reported().id.as_deref().and_then(|id| id.parse().ok());
    reported.or_else(|| placed.cloned())
}

/// By the account, a resource would be in another subscription than it is.
pub fn of_another_subscription(noun: &str, known: &ResourceId, wanted: &ResourceId) -> Blocked {
    let remedy = format!("name an AzureAccount of the subscription {}", known.subscription());
    moved(noun, known, wanted, "spec.accountRef", &remedy)
}

/// By a field, a resource would be another one than the object's status says that it is. Nothing is written to either.
pub fn moved(noun: &str, known: &ResourceId, wanted: &ResourceId, field: &str, remedy: &str) -> Blocked {
    let message = format!(
        "the {noun} is {known}, and by {field} it would be {wanted}: Lifeguard cannot move it; {remedy}, or create \
         another object"
    );
    Blocked::Moved {
        known: Box::new(known.clone()),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(subscription: &str, group: &str) -> ResourceId {
        ResourceId::resource(subscription, group, "Microsoft.App/sessionPools", "shell").unwrap()
    }

    #[test]
    fn who_would_move_a_resource_reads_by_which_field_and_how_to_keep_it() {
        let reference = LocalReference { name: "new".to_owned() };
        let by = |name: Option<&str>, reference: Option<&LocalReference>, known: &ResourceId| {
            let placement = Placement {
                namespace: "ns",
                noun: "session pool",
                path: "spec",
                resource_type: "Microsoft.App/sessionPools",
                name: "shell",
                resource_group: name,
                resource_group_ref: reference,
            };
            let blocked = placement.moved(known, &id("s", "new"));
            assert!(matches!(blocked, Blocked::Moved { .. }), "{blocked:?}");
            blocked.to_string()
        };
        let old = id("s", "old");
        for (message, field) in [
            (by(Some("new"), None, &old), "by spec.resourceGroup it"),
            (by(None, Some(&reference), &old), "by spec.resourceGroupRef it"),
            (by(None, None, &old), "by spec.resourceGroup of the AzureAccount it"),
        ] {
            assert!(message.contains(field), "{message}");
            assert!(message.contains("set spec.resourceGroup to old"), "{message}");
        }
        let message = by(Some("new"), None, &id("other", "new"));
        assert!(message.contains("by spec.accountRef it"), "{message}");
        assert!(message.contains("subscription other"), "{message}");
    }
}
