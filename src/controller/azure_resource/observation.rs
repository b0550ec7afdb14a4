//! What a look at an Azure resource found.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::api::OWNER_TAG;
use crate::azure::comparison::{Shape, compare};
use crate::azure::overlay::{only, overlay};
use crate::azure::{ArmClient, Difference, ResourceId};
use crate::controller::operator_key::OperatorKey;
use crate::controller::ownership::{Marking, Origin, OriginOnRecord, Owner, OwnerMark, Presence};

use super::blocked::Blocked;
use super::history::History;
use super::overwritten::Deviation;
use crate::runtime::ObjectId;

/// What a pass observed of something in Azure.
#[derive(Debug)]
pub enum Observation<R = ResourceState> {
    /// Azure was not asked, because something that the object needs is not there.
    Blocked(Blocked),
    /// Azure was asked.
    Seen(Box<R>),
}

impl<R> AsRef<Self> for Observation<R> {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl<R> AsMut<Self> for Observation<R> {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// A resource and what it should be.
#[derive(Debug)]
pub struct ResourceState {
    /// The means to speak to Azure.
    pub arm: Option<ArmClient>,
    /// The resource's id.
    pub id: ResourceId,
    /// The version that is used for GET and for PUT.
    pub api_version: &'static str,
    /// What ARM takes and returns for the type.
    pub shape: &'static Shape,
    /// Members that Azure cannot change in an existing resource, in lower case.
    pub immutable: &'static [&'static str],
    /// Members that Azure takes in a merge patch, in lower case.
    pub patchable: &'static [&'static str],
    /// How the owner's mark is written without touching anything else.
    pub tagging: Tagging,
    /// Where the resource keeps who owns it.
    pub mark: OwnerMark,
    /// Who the object is, in such a mark.
    pub owner: Owner,
    /// How the resource came to the object, as the object's status says.
    pub on_record: Option<OriginOnRecord>,
    /// What the resource should be, without the owner's mark.
    pub desired: Body,
    /// What a new resource gets besides, where the spec does not say.
    pub defaults: Value,
    /// The resource as ARM answered it.
    pub actual: Option<Value>,
    /// The pause that ARM asked for before the next look.
    pub pause: Option<Duration>,
    /// A keyed digest of the secret values that the spec gives; `None` if it gives none.
    pub secrets_digest: Option<String>,
    /// The digest of those that Azure was last given.
    pub given_secrets_digest: Option<String>,
    /// Why a PUT would do harm; only what a merge patch can change is written then.
    pub unwritable: Option<String>,
    /// Whether the resource provider has to be registered.
    pub registration: Registration,
    /// What else is in the resource, so that it cannot be deleted yet.
    pub occupants: Occupants,
    /// Whether the AzureAccount is marked as in use, so that it outlives the resource.
    pub account_is_marked: bool,
    /// What the process remembers of this object.
    pub history: History,
    /// Digests what drift must not show, and seals the mark.
    pub key: OperatorKey,
}

/// How the owner's mark is written without touching anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagging {
    /// By a PUT of the resource as it is.
    Put,
    /// By a JSON merge patch of the tags: for types with values that ARM does not return and a PUT would lose.
    MergePatch,
}

/// How a resource is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As a whole.
    Put,
    /// What the body names, and nothing else (RFC 7396).
    Patch,
}

/// Whether a resource provider has to be registered for the subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// Nothing says so.
    NotNeeded,
    /// ARM named this provider as missing.
    Missing(String),
    /// It is being registered.
    UnderWay(String),
}

/// What else is in a resource that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupants {
    /// Nothing, or nobody asked.
    None,
    /// Resources of this cluster's objects: they will go by themselves.
    Ours(Vec<String>),
    /// Resources of others: somebody has to decide.
    Foreign(Vec<String>),
}

impl Occupants {
    /// Objects of this cluster that have to go first.
    pub fn objects(needing: &[ObjectId]) -> Self {
        if needing.is_empty() {
            return Self::None;
        }
        Self::Ours(
            needing
                .iter()
                .map(|it| format!("{} {}", it.kind, it.key.name))
                .collect(),
        )
    }
}

/// A body for ARM. It may hold secret values, so it is never shown.
#[derive(Clone, PartialEq)]
pub struct Body(pub Value);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(…)")
    }
}

impl ResourceState {
    /// Whether the resource is there and whose it is.
    pub fn presence(&self) -> Presence {
        self.marking().presence(self.actual.as_ref())
    }

    /// The object's mark on the resource.
    fn marking(&self) -> Marking<'_> {
        Marking {
            place: self.mark,
            id: &self.id,
            owner: &self.owner,
            key: &self.key,
            on_record: self.on_record.as_ref(),
        }
    }

    /// Whom the mark on the resource names, without its seal; as it stands if it is none of ours.
    pub fn marked_owner(&self) -> Option<String> {
        let mark = self.mark.read(self.actual.as_ref()?)?;
        Some(Owner::parse(mark).map_or_else(|| mark.to_owned(), |owner| owner.to_string()))
    }

    /// Whether the owner's mark names an object of this cluster.
    pub fn is_of_this_cluster(&self) -> bool {
        let mark = self.actual.as_ref().and_then(|actual| self.mark.read(actual));
        mark.and_then(Owner::parse)
            .is_some_and(|owner| owner.is_of_cluster_of(&self.owner))
    }

    /// What differs from the spec, the owner tag left out.
    pub fn differences(&self) -> Vec<Difference> {
        self.actual.as_ref().map_or_else(Vec::new, |actual| {
            compare(&self.desired.0, actual, self.shape).differences
        })
    }

    /// Whether the owner's mark is not what it should be, as after a restore.
    pub fn mark_differs(&self, origin: Origin) -> bool {
        let mark = self.marking().body(origin);
        self.actual
            .as_ref()
            .is_some_and(|actual| !compare(&mark, actual, self.shape).is_equal())
    }

    /// Whether the resource is the object's own and all that can be seen of it is as it should be.
    pub fn is_as_specified(&self) -> bool {
        match self.presence() {
            Presence::Owned(origin) => self.differences().is_empty() && !self.mark_differs(origin),
            Presence::Absent | Presence::Unowned | Presence::OwnedByAnother => false,
        }
    }

    /// What the resource should be and what it is instead; `None` where it is not there.
    pub fn found(&self, origin: Origin, request: Option<&str>) -> Option<Deviation> {
        let actual = self.actual.as_ref()?;
        let mark = self.owner.clone().with_origin(origin).to_string();
        let wish = [
            self.desired.0.to_string(),
            mark,
            self.secrets_digest.clone().unwrap_or_default(),
            request.unwrap_or_default().to_owned(),
        ];
        let mut state = vec![self.mark.read(actual).unwrap_or_default().to_owned()];
        for difference in self.differences() {
            state.push(difference.path);
            state.push(difference.actual.map(|it| it.to_string()).unwrap_or_default());
        }
        Some(Deviation::new(
            wish.iter().map(String::as_str),
            state.iter().map(String::as_str),
        ))
    }

    /// Whether Azure was last given other secret values than the spec gives.
    pub fn secrets_differ(&self) -> bool {
        self.secrets_digest.is_some() && self.secrets_digest != self.given_secrets_digest
    }

    /// The body that makes the resource what it should be, with the owner's mark.
    pub fn body(&self, origin: Origin) -> Body {
        let mut desired = self.desired.0.clone();
        self.marking().write(&mut desired, Some(origin));
        let base = match &self.actual {
            Some(actual) => actual,
            None => &self.defaults,
        };
        Body(overlay(base, &desired, self.shape))
    }

    /// The request that makes a resource which is there what it should be: a merge patch of what differs where Azure takes
    /// one, else a PUT.
    pub fn update(&self, origin: Origin, differences: &[Difference]) -> (Method, Body) {
        let body = self.body(origin);
        match self.patch(&body.0, origin, differences) {
            Some(patch) => (Method::Patch, Body(patch)),
            None => (Method::Put, body),
        }
    }

    fn patch(&self, body: &Value, origin: Origin, differences: &[Difference]) -> Option<Value> {
        if self.patchable.is_empty() {
            return None;
        }
        let mut members: BTreeSet<&str> = BTreeSet::new();
        for Difference { path, .. } in differences {
            let path = path.to_ascii_lowercase();
            let holds = |member: &&&str| {
                let rest = path.strip_prefix(**member);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            members.insert(self.patchable.iter().find(holds)?);
        }
        if self.mark_differs(origin) {
            members.insert("tags");
        }
        if self.secrets_differ() {
            members.insert("properties.secrets");
        }
        only(body, members)
    }

    /// The body that sets or removes the owner's mark and changes nothing else.
    pub fn mark_body(&self, origin: Option<Origin>) -> Body {
        match self.tagging {
            Tagging::MergePatch => {
                let actual = self.actual.as_ref().and_then(|actual| actual.get("tags")?.as_object());
                let mut tags: Map<String, Value> = actual.cloned().unwrap_or_default();
                tags.retain(|name, _| !name.eq_ignore_ascii_case(OWNER_TAG));
                if let Some(origin) = origin {
                    tags.insert(OWNER_TAG.to_owned(), self.marking().text(origin).into());
                } else if self.history.disowned > 0 {
                    // Most providers replace `tags` as a whole. One that merges them needs the null, which others
                    // take for an empty value, so it is sent only when the first way was in vain.
                    tags.insert(OWNER_TAG.to_owned(), Value::Null);
                }
                Body(json!({"tags": tags}))
            }
            Tagging::Put => {
                let mut body = overlay(self.actual.as_ref().unwrap_or(&Value::Null), &json!({}), self.shape);
                self.marking().write(&mut body, origin);
                Body(body)
            }
        }
    }
}
