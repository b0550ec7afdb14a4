//! Whose an Azure resource is: the mark on it names the Kubernetes object that it belongs to.
//!
//! The mark, and not the object's status, decides what may be changed or deleted: it survives the loss of the cluster, and
//! two clusters see each other's. Whoever may write tags in Azure can write one. So whose a resource is can be said by anybody,
//! but that an object *created* it, of which rights follow, only by the operator: the mark is sealed under its key.

mod mark;
mod presence;
mod seal;

pub use mark::{DESCRIPTION_PREFIX, OwnerMark};
pub use presence::{Marking, OriginOnRecord, Presence};

use std::fmt;

use sha2::{Digest, Sha256};

use super::operator_key::hex;
use seal::SEAL_LENGTH;

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
/// As text: `cluster/namespace/name/uid/created`. With its seal behind it a mark has at most 256 characters.
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

    /// Reads a mark, whatever its seal; `None` if it is not one of ours. Such a mark belongs to somebody else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (cluster, namespace, name, uid) = (next()?, next()?, next()?, next()?);
        let origin = match next()?.as_str() {
            "created" => Origin::Created,
            "adopted" => Origin::Adopted,
            _ => return None,
        };
        Some(Self {
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

    /// How the resource came to its owner, as the mark says. Whether that is so, [`Marking::presence`] knows.
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

fn short_digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..16])
}

const _: () = assert!(MAX_CLUSTER + 63 + MAX_NAME + 36 + "adopted".len() + 4 + 1 + SEAL_LENGTH <= MAX_TAG);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";

    proptest! {
        #[test]
        fn every_owner_fits_into_a_tag_and_is_read_back(
            cluster in ".{0,80}", namespace in "[a-z0-9-]{1,63}", name in "[a-z0-9.-]{1,253}", adopted in any::<bool>(),
        ) {
            let origin = if adopted { Origin::Adopted } else { Origin::Created };
            let id = ClusterId::new(&cluster);
            let owner = Owner::new(&id, &namespace, &name, UID, origin);
            let text = owner.to_string();
            prop_assert!(text.chars().count() + 1 + SEAL_LENGTH <= MAX_TAG, "{text}");
            prop_assert_eq!(Owner::parse(&text), Some(owner.clone()));
            prop_assert_eq!(Owner::parse(&format!("{text}/seal")), Some(owner.clone()));
            prop_assert!(owner.is_of(&id));
        }

        #[test]
        fn no_text_is_taken_for_an_owner_that_it_does_not_spell(text in ".{0,60}") {
            if let Some(owner) = Owner::parse(&text) {
                let spelled = owner.to_string();
                let is_sealed = text.starts_with(&format!("{spelled}/"));
                prop_assert!(text == spelled || is_sealed);
            }
        }
    }
}
