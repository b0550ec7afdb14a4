//! What an identity assignment attached, as the target itself remembers it: in tags that are written together with the
//! identities.
//!
//! Nothing else would do. The object's status is written after the target and can be lost; a tag is there if and only
//! if the identities are. Every assignment has tags of its own on the target, so that identity assignments of several
//! objects and clusters see what the others attached.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::azure::identity_block::{IdentityBlock, UserAssigned};
use crate::controller::operator_key::hex;
use crate::controller::ownership::ClusterId;

/// What the names of all tags of identity assignments begin with.
pub const TAG_PREFIX: &str = "lifeguard-assignment-";
/// Tag values may have 256 characters ("Use tags to organize your Azure resources and management hierarchy").
const MAX_VALUE: usize = 256;
/// Object names are cut to this length in a tag, where they are only for people.
const MAX_NAME: usize = 60;

/// An identity as tags name it: `system`, or eleven characters of a digest of a lower-cased resource id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(String);

impl Mark {
    /// The system-assigned identity.
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    /// A user-assigned identity.
    pub fn of(id: &str) -> Self {
        let digest = Sha256::digest(id.to_ascii_lowercase());
        Self(URL_SAFE_NO_PAD.encode(&digest[..8]))
    }

    /// Whether a resource with these identities has this one.
    pub fn is_attached(&self, block: &IdentityBlock) -> bool {
        if *self == Self::system() {
            block.system().is_some()
        } else {
            self.find(block).is_some()
        }
    }

    /// Takes this identity away from a resource with these identities.
    pub fn detach(&self, block: &mut IdentityBlock) {
        if *self == Self::system() {
            block.detach_system();
        } else if let Some(id) = self.find(block).map(|it| it.id.clone()) {
            block.detach(&id);
        }
    }

    fn find<'a>(&self, block: &'a IdentityBlock) -> Option<&'a UserAssigned> {
        block.user_assigned().find(|it| Self::of(&it.id) == *self)
    }
}

/// What the tags of a target say about who attached what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// What this assignment attached.
    pub own: BTreeSet<Mark>,
    /// Whether this assignment has tags, of whatever content.
    pub has_own: bool,
    /// What other identity assignments attached, of this cluster or of others.
    pub others: BTreeSet<Mark>,
}

/// An identity assignment as it signs tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Derived from cluster, namespace and name: an object that was restored from a backup has the same.
    tag: String,
    /// For people.
    text: String,
}

impl Signature {
    /// The signature of an object of this cluster.
    pub fn new(cluster: &ClusterId, namespace: &str, name: &str, uid: &str) -> Self {
        let cluster = cluster.as_str();
        let digest = Sha256::digest(format!("{cluster}/{namespace}/{name}"));
        let short: String = name.chars().take(MAX_NAME).collect();
        Self {
            tag: format!("{TAG_PREFIX}{}", hex(&digest[..16])),
            text: format!("{cluster}/{namespace}/{short}/{uid}"),
        }
    }

    /// Reads the tags of a resource as ARM answered it. Names of tags have no case.
    pub fn read(&self, resource: &Value) -> Records {
        let mut records = Records::default();
        for (name, value) in tags_of(resource) {
            let lower = name.to_ascii_lowercase();
            if !lower.starts_with(TAG_PREFIX) {
                continue;
            }
            let value = value.as_str().unwrap_or_default();
            let marks = value.rsplit(':').next().unwrap_or_default().split(',');
            let marks = marks.filter(|it| !it.is_empty()).map(|it| Mark(it.to_owned()));
            if self.is_own(&lower) {
                records.has_own = true;
                records.own.extend(marks);
            } else {
                records.others.extend(marks);
            }
        }
        records
    }

    /// The tags of a resource with the record of this assignment replaced by another one; an empty record has no tag.
    pub fn tags(&self, resource: &Value, record: &BTreeSet<Mark>) -> Map<String, Value> {
        let others = tags_of(resource).filter(|(name, _)| !self.is_own(&name.to_ascii_lowercase()));
        let others = others.map(|(name, value)| (name.clone(), value.clone()));
        others.chain(self.written(record)).collect()
    }

    /// The names of this assignment's tags on a resource, as they are spelled there.
    pub fn own_tags<'a>(&'a self, resource: &'a Value) -> impl Iterator<Item = &'a String> {
        tags_of(resource)
            .map(|(name, _)| name)
            .filter(|name| self.is_own(&name.to_ascii_lowercase()))
    }

    fn is_own(&self, lower: &str) -> bool {
        lower
            .strip_prefix(&self.tag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// `cluster/namespace/name/uid:mark,mark,…`; what does not fit continues in further tags without the signature.
    fn written(&self, record: &BTreeSet<Mark>) -> Vec<(String, Value)> {
        let mut values: Vec<String> = Vec::new();
        let mut value = format!("{}:", self.text);
        let mut is_first = true;
        for Mark(mark) in record {
            if !is_first && value.len() + 1 + mark.len() > MAX_VALUE {
                values.push(std::mem::take(&mut value));
                is_first = true;
            }
            if !is_first {
                value.push(',');
            }
            value.push_str(mark);
            is_first = false;
        }
        if !record.is_empty() {
            values.push(value);
        }
        let named = values.into_iter().enumerate().map(|(index, value)| {
            let name = match index {
                0 => self.tag.clone(),
                more => format!("{}-{}", self.tag, more + 1),
            };
            (name, Value::from(value))
        });
        named.collect()
    }
}

/// The tags of a resource, if it has any.
fn tags_of(resource: &Value) -> impl Iterator<Item = (&String, &Value)> {
    resource.get("tags").and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn signature(name: &str) -> Signature {
        let uid = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";
        Signature::new(
            &ClusterId::new("7d3f1c9e-8c55-4c38-9b6c-7f8b9a0c1d2e"),
            "team-a",
            name,
            uid,
        )
    }

    fn marks(ids: impl IntoIterator<Item = usize>) -> BTreeSet<Mark> {
        ids.into_iter().map(|it| Mark::of(&format!("/id/{it}"))).collect()
    }

    #[test]
    fn a_record_says_who_attached_what() {
        let tags = signature("web").tags(&json!({}), &BTreeSet::from([Mark::system(), Mark::of("/A")]));
        let (name, value) = tags.iter().next().unwrap();
        assert!(
            name.starts_with(TAG_PREFIX) && name.len() == TAG_PREFIX.len() + 32,
            "{name}"
        );
        let value = value.as_str().unwrap();
        assert!(
            value.starts_with("7d3f1c9e-8c55-4c38-9b6c-7f8b9a0c1d2e/team-a/web/0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5:"),
            "{value}"
        );
        assert!(value.contains("system"), "{value}");
    }

    #[test]
    fn identity_assignments_see_the_records_of_one_another_and_keep_them() {
        let (a, b) = (signature("a"), signature("b"));
        let mut resource = json!({"tags": {"team": "x"}});
        resource["tags"] = a.tags(&resource, &marks([1, 2])).into();
        resource["tags"] = b.tags(&resource, &marks([2, 3])).into();
        let seen = a.read(&resource);
        assert_eq!((seen.own, seen.others), (marks([1, 2]), marks([2, 3])));
        resource["tags"] = a.tags(&resource, &BTreeSet::new()).into();
        assert_eq!(b.read(&resource).own, marks([2, 3]));
        assert!(!a.read(&resource).has_own);
        assert_eq!(resource["tags"]["team"], "x");
    }

    #[test]
    fn an_id_is_the_same_in_any_case_and_so_is_the_name_of_a_tag() {
        assert_eq!(
            Mark::of("/subscriptions/S/resourceGroups/a"),
            Mark::of("/subscriptions/s/resourcegroups/A")
        );
        let own = signature("a");
        let tags = own.tags(&json!({}), &marks([1]));
        let shouted: Map<String, Value> = tags.into_iter().map(|(k, v)| (k.to_ascii_uppercase(), v)).collect();
        assert_eq!(own.read(&json!({"tags": shouted})).own, marks([1]));
    }

    #[test]
    fn a_tag_that_somebody_emptied_records_nothing() {
        let own = signature("a");
        let mut tags = own.tags(&json!({}), &marks([1]));
        tags.values_mut().for_each(|it| *it = "".into());
        let found = own.read(&json!({"tags": tags}));
        assert!(found.own.is_empty() && found.has_own);
    }

    proptest! {
        #[test]
        fn every_record_fits_into_tags_and_is_read_again(count in 0_usize..=51, name in "[a-z]{1,253}") {
            let own = signature(&name);
            let record = marks(0..count);
            let tags = own.tags(&json!({}), &record);
            prop_assert!(tags.len() <= 4);
            for (name, value) in &tags {
                prop_assert!(name.len() <= 512 && !name.contains('/'));
                prop_assert!(value.as_str().unwrap().len() <= MAX_VALUE);
            }
            prop_assert_eq!(own.read(&json!({"tags": tags})).own, record);
        }
    }
}
