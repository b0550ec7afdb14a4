//! What a target should have, and the request that makes it so.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::azure::identity_block::{IdentityBlock, UserAssigned};
use crate::azure::overlay::overlay;
use crate::azure::{Difference, container_app, container_group};
use crate::controller::azure_resource::{Body, Method};
use crate::controller::operator_key::hex;

use super::observation::TargetState;
use super::record::{Mark, Records};
use super::target::TargetKind;

/// The identities that a target should have, and what this assignment attached of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// The identities.
    pub block: IdentityBlock,
    /// What this assignment attached.
    pub record: BTreeSet<Mark>,
    /// Ids of identities that were deleted and created again since they were attached: they are attached anew.
    pub anew: BTreeSet<String>,
}

impl Goal {
    /// As the target is.
    fn of(resource: &TargetState) -> (Self, Records) {
        let records = resource.records();
        let goal = Self {
            block: resource.block(),
            record: records.own.clone(),
            anew: BTreeSet::new(),
        };
        (goal, records)
    }

    /// The spec's identities attached, and what this assignment attached and the spec no longer has taken back.
    ///
    /// While a reference cannot be used nothing is attached; what is attached for one that goes is taken back.
    /// `holds` says whether this object is known to hold what its record says.
    pub fn wanted(resource: &TargetState, holds: bool) -> Self {
        let (mut goal, records) = Self::of(resource);
        let wanted = &resource.wanted;
        let marks: BTreeSet<Mark> = wanted_marks(resource).map(|(mark, _)| mark).collect();
        match &wanted.unmet {
            None => {
                for (mark, id) in wanted_marks(resource) {
                    goal.attach(mark, id, &records);
                }
                goal.take_back(|mark| !marks.contains(mark), &records);
                goal.anew = outlived(resource).map(|it| it.id).collect();
            }
            Some(unmet) if unmet.is_going => {
                let known: BTreeSet<Mark> = unmet.going_ids.iter().map(|id| Mark::of(id)).collect();
                // What is recorded and belongs to no reference that is known was attached for one that is gone.
                let is_gone =
                    |mark: &Mark| !marks.contains(mark) && (known.contains(mark) || (holds && !unmet.has_unknown));
                goal.take_back(is_gone, &records);
            }
            Some(_) => {}
        }
        goal
    }

    /// Everything that this assignment attached taken back.
    pub fn detached(resource: &TargetState) -> Self {
        let (mut goal, records) = Self::of(resource);
        goal.take_back(|_| true, &records);
        goal
    }

    /// Everything left as it is, and forgotten.
    pub fn forgotten(resource: &TargetState) -> Self {
        Self {
            block: resource.block(),
            record: BTreeSet::new(),
            anew: BTreeSet::new(),
        }
    }

    fn attach(&mut self, mark: Mark, id: Option<&str>, records: &Records) {
        if mark.is_attached(&self.block) {
            // What another assignment attached goes with the last that uses it; what nobody recorded is not ours to take.
            if records.others.contains(&mark) {
                self.record.insert(mark);
            }
            return;
        }
        match id {
            Some(id) => self.block.attach(id),
            None => self.block.attach_system(),
        }
        self.record.insert(mark);
    }

    fn take_back(&mut self, is_unwanted: impl Fn(&Mark) -> bool, records: &Records) {
        let unwanted: Vec<Mark> = self.record.iter().filter(|it| is_unwanted(it)).cloned().collect();
        for mark in unwanted {
            self.record.remove(&mark);
            if !records.others.contains(&mark) {
                mark.detach(&mut self.block);
            }
        }
    }

    /// Whether the target is so already.
    pub fn is_reached(&self, resource: &TargetState) -> bool {
        !self.changes_identities(resource) && self.is_recorded(resource)
    }

    /// Whether the target's identities are written.
    fn changes_identities(&self, resource: &TargetState) -> bool {
        self.block != resource.block() || !self.anew.is_empty()
    }

    fn is_recorded(&self, resource: &TargetState) -> bool {
        let records = resource.records();
        self.record == records.own && records.has_own != self.record.is_empty()
    }

    /// Whether the request is one that replaces the target as a whole.
    pub fn needs_put(&self, resource: &TargetState) -> bool {
        resource.kind == TargetKind::Group && self.changes_identities(resource)
    }

    /// The request that makes the target so: identities and record together, and nothing else.
    pub fn request(&self, resource: &TargetState) -> (Method, Body) {
        let actual = resource.actual.as_ref().unwrap_or(&Value::Null);
        let (before, spelling) = (resource.block(), resource.kind.spelling());
        let tags = resource.signature.tags(actual, &self.record);
        if self.needs_put(resource) {
            let identity = self.block.replacement(spelling);
            return (Method::Put, Body(container_group::replacement(actual, identity, tags)));
        }
        let identity = self.changes_identities(resource).then(|| {
            let mut before = before;
            self.anew.iter().for_each(|id| before.detach(id));
            self.block.merge_patch(&before, spelling)
        });
        let tags = (!self.is_recorded(resource)).then(|| with_nulls(resource, tags));
        (Method::Patch, Body(container_app::patch(identity, tags)))
    }

    /// What of it the target is not, for drift.
    pub fn differences(&self, resource: &TargetState) -> Vec<Difference> {
        let actual = resource.block();
        let mut found = Vec::new();
        if self.block.system().is_some() != actual.system().is_some() {
            let kind = |block: &IdentityBlock| Some(block.replacement(resource.kind.spelling())["type"].clone());
            found.push(Difference {
                path: "identity.type".to_owned(),
                desired: kind(&self.block),
                actual: kind(&actual),
            });
        }
        let user_assigned = |id: &str, desired, actual| Difference {
            path: format!("identity.userAssignedIdentities[{id}]"),
            desired,
            actual,
        };
        let attached = || Some(json!({}));
        found.extend(beyond(&self.block, &actual).map(|id| user_assigned(id, attached(), None)));
        found.extend(beyond(&actual, &self.block).map(|id| user_assigned(id, None, attached())));
        found.extend(outlived(resource).filter(|it| self.anew.contains(&it.id)).map(|it| {
            Difference {
                path: format!("identity.userAssignedIdentities[{}].principalId", it.id),
                desired: resource
                    .wanted
                    .principals
                    .get(&it.id.to_ascii_lowercase())
                    .map(|it| json!(it)),
                actual: it.principal_id.map(Value::from),
            }
        }));
        found
    }

    /// What is attached and detached, for people.
    pub fn changes(&self, resource: &TargetState) -> String {
        let (before, after) = (resource.block(), &self.block);
        let told = |word: &str, has: &IdentityBlock, lacks: &IdentityBlock| {
            let is_system = has.system().is_some() && lacks.system().is_none();
            let system = is_system.then_some("its system-assigned identity");
            let ids: Vec<&str> = system.into_iter().chain(beyond(has, lacks)).collect();
            (!ids.is_empty()).then(|| format!("{word} {}", ids.join(", ")))
        };
        let anew: Vec<&str> = self.anew.iter().map(String::as_str).collect();
        let anew = (!anew.is_empty()).then(|| format!("attached again {}", anew.join(", ")));
        let parts = [told("attached", after, &before), anew, told("detached", &before, after)];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// The attached identities that were deleted and created again since: the target has a principal that nobody knows any more.
fn outlived(resource: &TargetState) -> impl Iterator<Item = UserAssigned> {
    let block = resource.block();
    let principals = &resource.wanted.principals;
    let outlived: Vec<UserAssigned> = block
        .user_assigned()
        .filter(|it| {
            let wanted = principals.get(&it.id.to_ascii_lowercase());
            matches!((wanted, &it.principal_id), (Some(wanted), Some(found)) if !wanted.eq_ignore_ascii_case(found))
        })
        .cloned()
        .collect();
    outlived.into_iter()
}

/// Ids of the user-assigned identities that one has and the other lacks.
fn beyond<'a>(has: &'a IdentityBlock, lacks: &IdentityBlock) -> impl Iterator<Item = &'a str> {
    let ids = has.user_assigned().map(|it| it.id.as_str());
    ids.filter(|id| lacks.get(id).is_none())
}

/// The identities of the spec that are known, each with its id where it is user-assigned.
pub fn wanted_marks(resource: &TargetState) -> impl Iterator<Item = (Mark, Option<&str>)> {
    let system = resource.wanted.system.then(|| (Mark::system(), None));
    let ids = resource.wanted.ids.iter().map(|id| (Mark::of(id), Some(id.as_str())));
    system.into_iter().chain(ids)
}

/// What a write was decided on: the identities, the tags, and whatever of the target decides about its success. Another
/// state is decided about anew.
pub fn basis(resource: &TargetState) -> String {
    let Some(actual) = &resource.actual else {
        return String::new();
    };
    let part = |pointer: &str| actual.pointer(pointer).cloned().unwrap_or_default();
    let settings = match resource.kind {
        TargetKind::Group => overlay(actual, &json!({}), &container_group::SHAPE),
        TargetKind::App => json!([part("/properties/configuration"), part("/properties/template")]),
        TargetKind::Pool => json!([
            part("/properties/managedIdentitySettings"),
            part("/properties/customContainerTemplate")
        ]),
    };
    digest(&json!([part("/identity"), part("/tags"), settings]))
}

/// A goal over a state of the target, and at whose request: the same again would be the same write again.
pub fn fingerprint(resource: &TargetState, goal: &Goal, request: Option<&str>) -> String {
    let record = resource.signature.tags(&Value::Null, &goal.record);
    let identity = goal.block.replacement(resource.kind.spelling());
    digest(&json!([basis(resource), identity, record, goal.anew, request]))
}

/// A merge patch removes a tag by null, which types that replace their tags as a whole take for an empty value.
/// Container apps are documented to merge; where the first way was in vain the other one is tried.
fn with_nulls(resource: &TargetState, mut tags: Map<String, Value>) -> Map<String, Value> {
    let merges = resource.kind == TargetKind::App;
    if merges == (resource.history.disowned == 0)
        && let Some(actual) = &resource.actual
    {
        for name in resource.signature.own_tags(actual) {
            tags.entry(name.clone()).or_insert(Value::Null);
        }
    }
    tags
}

fn digest(value: &Value) -> String {
    hex(&Sha256::digest(value.to_string())[..16])
}
