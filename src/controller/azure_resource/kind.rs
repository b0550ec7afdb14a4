//! What is particular to a kind that owns an Azure resource. Everything else is written once, beside this file.

use std::fmt::Debug;
use std::future::Future;

use jiff::Timestamp;
use kube::core::object::HasStatus;
use serde_json::{Value, json};

use crate::api::azure_resource::{AzureResourceSpec, AzureResourceStatus};
use crate::api::reference::LocalReference;
use crate::azure::comparison::Shape;
use crate::azure::{Location, ResourceId};
use crate::controller::accounts::Account;
use crate::controller::context::Context;
use crate::controller::error::Error;

use super::children::{Child, ChildrenState};
use super::decision::Decision;
use super::dependency::Dependency;
use super::export::Exported;
use super::observation::{Body, ResourceState, Tagging};
use super::policy::Intent;
use super::subject::AzureObject;
use super::whole::KindStep;
use crate::controller::ownership::OwnerMark;

/// What Resource Manager does with a type of resource.
#[derive(Debug, Clone, Copy)]
pub struct ArmType {
    /// What the resource is called in messages, such as `session pool`.
    pub noun: &'static str,
    /// The type, such as `Microsoft.App/sessionPools`.
    pub resource_type: &'static str,
    /// What ARM takes and returns.
    pub shape: &'static Shape,
    /// Members that Azure cannot change in an existing resource, in lower case.
    pub immutable: &'static [&'static str],
    /// Members, in lower case, that Azure takes in a merge patch, each as a whole. A change of nothing else is written by one, so
    /// that what the spec does not speak of is not written back as it was read.
    pub patchable: &'static [&'static str],
    /// How the owner's mark is written without touching anything else.
    pub tagging: Tagging,
    /// Where the resource keeps who owns it.
    pub mark: OwnerMark,
    /// Whether each resource is in a region, which its spec or the account has to say.
    pub is_regional: bool,
}

/// What a resource should be.
#[derive(Debug)]
pub struct Desired {
    /// What the spec sets and nothing else, without the owner's mark.
    pub body: Body,
    /// What a new resource gets besides, where the spec does not say.
    pub defaults: Value,
    /// A keyed digest of the secret values in the body; `None` if it has none.
    pub secrets_digest: Option<String>,
}

/// A kind that owns an Azure resource.
///
/// The pure functions (`desired`, `children`, `complete`, `refine`, `exported`, `status`) take no clock and do no I/O. What is
/// read and written for them is read and written by the shared reconciler, or by the asynchronous functions here.
pub trait AzureKind: AzureObject {
    /// The type of the resource.
    const ARM: ArmType;
    /// How many plans one pass may make.
    const PLANS_PER_PASS: u32 = 10;
    /// What the process is told about this kind on its command line.
    type Settings: Send + Sync + 'static;
    /// What is read before the resource is: what its body depends on.
    type Facts: Debug + Send + Sync;
    /// What belongs to the resource and is written one by one, such as credentials of an identity.
    type Child: Child;

    /// Whether the status shows that the object never had anything in Azure, or no longer has: then it needs no token to go.
    fn has_nothing(&self) -> bool {
        false
    }

    /// The API version that the resource is read and written with.
    fn api_version(&self, desired: &Desired) -> &'static str;

    /// Reads where the resource is and what its body depends on, or what is waited for.
    fn gather(
        &self,
        gathering: Gathering<'_, Self::Settings>,
    ) -> impl Future<Output = Result<Dependency<(ResourceId, Self::Facts)>, Error>> + Send;

    /// What the resource should be.
    fn desired(&self, facts: &Self::Facts, account: &Account, context: &Context) -> Desired;

    /// Completes what should be by what depends on the resource as it is: members that a write must not lose, and why a
    /// write would do harm.
    fn complete(&self, _facts: &Self::Facts, _resource: &mut ResourceState) {}

    /// Reads what else counts, now that the resource was read: what is in one that is about to be deleted (`intent`), or
    /// what stands in its place.
    fn inspect(
        &self,
        _context: &Context,
        _intent: Intent,
        _facts: &mut Self::Facts,
        _resource: &mut ResourceState,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// What only this kind knows about a decision.
    fn refine(
        &self,
        _facts: &Self::Facts,
        _resource: &ResourceState,
        _now: Timestamp,
        _decision: &mut Decision<KindStep<Self::Child>>,
    ) {
    }

    /// The digest of the secret values that Azure was given last, as the status says it.
    fn given_secrets_digest(&self) -> Option<String> {
        None
    }

    /// What should belong to the resource: its names in the spec, and as far as it is known, what Azure should have.
    fn children(&self, _facts: &Self::Facts) -> ChildrenState<Self::Child> {
        ChildrenState::default()
    }

    /// The names that the status holds: what was written, or is about to be.
    fn recorded_children(&self) -> &[String] {
        &[]
    }

    /// The ConfigMap that ids are exported to.
    fn export(&self) -> Option<&LocalReference> {
        None
    }

    /// What is exported; `None` while Azure has not told all of it.
    fn exported(&self, _resource: &ResourceState) -> Option<Exported> {
        Some(Exported::new())
    }

    /// The status: the common part, the names of children, and what is particular to the kind. `resource` is `None` where
    /// nothing was read, and what is known is kept.
    fn status_of(
        &self,
        azure: AzureResourceStatus,
        children: Vec<String>,
        facts: Option<&Self::Facts>,
        resource: Option<&ResourceState>,
    ) -> StatusOf<Self>;

    /// The common part of a status.
    fn common(status: &StatusOf<Self>) -> &AzureResourceStatus;

    /// The status as it is, with what is about to be written.
    fn recording(&self, record: Record, facts: Option<&Self::Facts>) -> StatusOf<Self> {
        let before = self.reported().clone();
        let azure = AzureResourceStatus {
            observed_generation: before.observed_generation.or(Some(-1)),
            ..before
        };
        match record {
            Record::Parts { children, config_map } => {
                let azure = AzureResourceStatus {
                    exported_config_map: config_map,
                    ..azure
                };
                self.status_of(azure, children, None, None)
            }
            Record::Resource(id) => {
                let azure = AzureResourceStatus {
                    id: id.map(|id| id.to_string()),
                    ownership: None,
                    drift: Vec::new(),
                    ..azure
                };
                self.status_of(azure, self.recorded_children().to_vec(), facts, None)
            }
        }
    }
}

/// What a kind reads by.
#[derive(Debug)]
pub struct Gathering<'a, S> {
    /// Everything that the controllers share.
    pub context: &'a Context,
    /// The object's account.
    pub account: &'a Account,
    /// What the process is told about the kind.
    pub settings: &'a S,
    /// Where this process knows the object's resource to be, whatever the status says yet.
    pub placed: Option<&'a ResourceId>,
    /// Whether Azure was given secret values before.
    pub given_secrets: bool,
}

/// What a status says before something is written, so that it is found again whatever happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// What belongs to the resource: the names of children, and that of the ConfigMap.
    Parts {
        /// The names of children.
        children: Vec<String>,
        /// The name of the ConfigMap.
        config_map: Option<String>,
    },
    /// The resource itself; `None` removes it from the status, because it is gone for good.
    Resource(Option<ResourceId>),
}

/// The status of a kind.
pub type StatusOf<K> = <K as HasStatus>::Status;

/// The part of a body that every tracked resource has: tags, and where the spec says so the location.
pub fn body_of(spec: &AzureResourceSpec) -> Value {
    let mut body = json!({"tags": spec.tags});
    if let Some(location) = &spec.location {
        body["location"] = Location::new(location).as_str().into();
    }
    body
}

/// What a new resource gets where its spec does not say: the account's location.
pub fn location_of(account: &Account) -> Value {
    json!({"location": account.spec().location.as_deref().map(|it| Location::new(it).to_string())})
}
