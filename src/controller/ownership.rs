//! The tag on an Azure resource that names the Kubernetes object it belongs to.
//!
//! The tag, and not the object's status, decides what may be changed or deleted: it survives the loss of the cluster, and
//! two clusters see each other's.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::OWNER_TAG;
use crate::azure::resource_group::tag;

use super::operator_key::hex;

/// Tag values may have 256 characters ("Use tags to organize your Azure resources and management hierarchy").
const MAX_TAG: usize = 256;
/// Longer names of clusters are replaced by a digest; a UID has 36 characters.
const MAX_CLUSTER: usize = 40;
/// Longer object names are cut and completed by a digest, so that the tag stays within [`MAX_TAG`].
const MAX_NAME: usize = 90;

/// Which cluster this operator serves: by default the UID of the namespace `kube-system`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterId(String);

impl ClusterId {
    /// Takes any text. What does not fit into a tag is replaced by its digest.
    pub fn new(text: &str) -> Self {
        let fits = !text.is_empty()
            && text.len() <= MAX_CLUSTER
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
        Self(if fits {
            text.to_owned()
        } else {
            format!("~{}", short_digest(text))
        })
    }

    /// The id as it is written in tags.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How the resource came to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The object created it.
    Created,
    /// It existed and was taken over.
    Adopted,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
        }
    }
}

/// Cluster, namespace and name of the object that a resource belongs to, its UID, and how it came to it.
///
/// As text: `cluster/namespace/name/uid/created`, at most 256 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    cluster: String,
    namespace: String,
    name: String,
    uid: String,
    origin: Origin,
}

impl Owner {
    /// The owner that an object of this cluster is.
    pub fn new(cluster: &ClusterId, namespace: &str, name: &str, uid: &str, origin: Origin) -> Self {
        let name = match name.char_indices().nth(MAX_NAME) {
            // `~` is in no Kubernetes name, so a cut name equals no whole one.
            Some(_) => format!(
                "{}~{}",
                &name[..name.floor_char_boundary(MAX_NAME - 33)],
                short_digest(name)
            ),
            None => name.to_owned(),
        };
        Self {
            cluster: cluster.0.clone(),
            namespace: namespace.to_owned(),
            name,
            uid: uid.to_owned(),
            origin,
        }
    }

    /// Reads a tag; `None` if it is not one of ours. Such a tag belongs to somebody else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (cluster, namespace, name, uid) = (next()?, next()?, next()?, next()?);
        let origin = match next()?.as_str() {
            "created" => Origin::Created,
            "adopted" => Origin::Adopted,
            _ => return None,
        };
        next().is_none().then_some(Self {
            cluster,
            namespace,
            name,
            uid,
            origin,
        })
    }

    /// The same owner with another origin.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// How the resource came to its owner.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether the owner is an object of this cluster.
    pub fn is_of(&self, cluster: &ClusterId) -> bool {
        self.cluster == cluster.0
    }

    /// The name of the owner, if it is an object of this namespace. A long one is cut.
    pub fn name_in(&self, namespace: &str) -> Option<&str> {
        (self.namespace == namespace).then_some(self.name.as_str())
    }

    /// Whether both are objects of the same namespace of the same cluster.
    pub fn is_of_namespace_of(&self, other: &Self) -> bool {
        self.is_of_cluster_of(other) && self.namespace == other.namespace
    }

    /// Whether both are objects of the same cluster.
    pub fn is_of_cluster_of(&self, other: &Self) -> bool {
        self.cluster == other.cluster
    }

    /// Whether both are the same object of the same cluster. The UID does not count: an object that was restored from a
    /// backup has another one and is still the owner.
    pub fn is_same_object(&self, other: &Self) -> bool {
        self.cluster == other.cluster && self.namespace == other.namespace && self.name == other.name
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            namespace,
            name,
            uid,
            origin,
        } = self;
        write!(f, "{cluster}/{namespace}/{name}/{uid}/{}", origin.as_str())
    }
}

/// Where a resource keeps who owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerMark {
    /// In a tag of its own.
    Tag,
    /// In `properties.description`, for types without tags, behind [`DESCRIPTION_PREFIX`]. Any other description is
    /// nobody's mark.
    Description,
}

/// What stands before the owner in a description.
pub const DESCRIPTION_PREFIX: &str = "lifeguard-owner: ";

impl OwnerMark {
    /// The mark of a resource as ARM answered it.
    pub fn read(self, resource: &Value) -> Option<&str> {
        match self {
            Self::Tag => tag(resource, OWNER_TAG),
            Self::Description => resource
                .pointer("/properties/description")
                .and_then(Value::as_str)
                .and_then(|it| it.strip_prefix(DESCRIPTION_PREFIX)),
        }
    }

    /// A body with nothing but the mark.
    pub fn body(self, owner: &Owner) -> Value {
        match self {
            Self::Tag => json!({"tags": {OWNER_TAG: owner.to_string()}}),
            Self::Description => json!({"properties": {"description": format!("{DESCRIPTION_PREFIX}{owner}")}}),
        }
    }

    /// Writes the mark into a body, or removes it.
    pub fn write(self, body: &mut Value, owner: Option<&Owner>) {
        match self {
            Self::Tag => {
                if let Some(tags) = body.get_mut("tags").and_then(Value::as_object_mut) {
                    tags.retain(|name, _| !name.eq_ignore_ascii_case(OWNER_TAG));
                }
                if let Some(owner) = owner {
                    body["tags"][OWNER_TAG] = owner.to_string().into();
                }
            }
            Self::Description => {
                let description = owner.map(|owner| format!("{DESCRIPTION_PREFIX}{owner}"));
                body["properties"]["description"] = description.unwrap_or_default().into();
            }
        }
    }
}

impl fmt::Display for OwnerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => write!(f, "tag {OWNER_TAG}"),
            Self::Description => f.write_str("description"),
        }
    }
}

/// Whether a resource is there, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// There is no such resource.
    Absent,
    /// It has no owner tag.
    Unowned,
    /// Its owner tag names another object or cluster, or cannot be read.
    OwnedByAnother,
    /// It belongs to this object.
    Owned(Origin),
}

impl Presence {
    /// Every case, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Absent,
        Self::Unowned,
        Self::OwnedByAnother,
        Self::Owned(Origin::Created),
        Self::Owned(Origin::Adopted),
    ];

    /// Reads the owner of a resource as ARM answered it.
    pub fn of(resource: Option<&Value>, owner: &Owner, mark: OwnerMark) -> Self {
        let Some(resource) = resource else { return Self::Absent };
        match mark.read(resource) {
            None => Self::Unowned,
            Some(text) => match Owner::parse(text) {
                Some(found) if found.is_same_object(owner) => Self::Owned(found.origin),
                _ => Self::OwnedByAnother,
            },
        }
    }
}

fn short_digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

const _: () = assert!(MAX_CLUSTER + 63 + MAX_NAME + 36 + "adopted".len() + 4 <= MAX_TAG);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";

    fn owner(cluster: &str, namespace: &str, name: &str) -> Owner {
        Owner::new(&ClusterId::new(cluster), namespace, name, UID, Origin::Created)
    }

    fn tagged(text: &str) -> Value {
        json!({"tags": {"Lifeguard-Owner": text}})
    }

    #[test]
    fn a_resource_belongs_to_the_object_that_its_tag_names() {
        let mine = owner("c1", "ns", "pool");
        for (resource, presence) in [
            (None, Presence::Absent),
            (Some(json!({"tags": null})), Presence::Unowned),
            (Some(json!({"tags": {"team": "a"}})), Presence::Unowned),
            (Some(tagged(&mine.to_string())), Presence::Owned(Origin::Created)),
            (
                Some(tagged(&mine.clone().with_origin(Origin::Adopted).to_string())),
                Presence::Owned(Origin::Adopted),
            ),
            (
                Some(tagged(&owner("c2", "ns", "pool").to_string())),
                Presence::OwnedByAnother,
            ),
            (
                Some(tagged(&owner("c1", "other", "pool").to_string())),
                Presence::OwnedByAnother,
            ),
            (
                Some(tagged(&owner("c1", "ns", "other").to_string())),
                Presence::OwnedByAnother,
            ),
            (Some(tagged("somebody")), Presence::OwnedByAnother),
            (Some(tagged("")), Presence::OwnedByAnother),
        ] {
            assert_eq!(
                Presence::of(resource.as_ref(), &mine, OwnerMark::Tag),
                presence,
                "{resource:?}"
            );
        }
    }

    #[test]
    fn an_object_that_was_restored_with_another_uid_is_still_the_owner() {
        let restored = Owner::new(&ClusterId::new("c1"), "ns", "pool", "another-uid", Origin::Created);
        let resource = tagged(&owner("c1", "ns", "pool").to_string());
        assert_eq!(
            Presence::of(Some(&resource), &restored, OwnerMark::Tag),
            Presence::Owned(Origin::Created)
        );
    }

    #[test]
    fn two_long_names_with_the_same_beginning_are_two_owners() {
        let (one, two) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        let resource = tagged(&owner("c1", "ns", &one).to_string());
        assert_eq!(
            Presence::of(Some(&resource), &owner("c1", "ns", &one), OwnerMark::Tag),
            Presence::Owned(Origin::Created)
        );
        assert_eq!(
            Presence::of(Some(&resource), &owner("c1", "ns", &two), OwnerMark::Tag),
            Presence::OwnedByAnother
        );
    }

    proptest! {
        #[test]
        fn every_owner_fits_into_a_tag_and_is_read_back(
            cluster in ".{0,80}", namespace in "[a-z0-9-]{1,63}", name in "[a-z0-9.-]{1,253}", adopted in any::<bool>(),
        ) {
            let origin = if adopted { Origin::Adopted } else { Origin::Created };
            let owner = owner(&cluster, &namespace, &name).with_origin(origin);
            let text = owner.to_string();
            prop_assert!(text.chars().count() <= MAX_TAG, "{text}");
            prop_assert_eq!(Owner::parse(&text), Some(owner.clone()));
            prop_assert!(owner.is_of(&ClusterId::new(&cluster)));
        }

        #[test]
        fn no_text_is_taken_for_an_owner_that_it_does_not_spell(text in ".{0,60}") {
            if let Some(owner) = Owner::parse(&text) {
                prop_assert_eq!(owner.to_string(), text);
            }
        }
    }
}
