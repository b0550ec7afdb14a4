//! What the mark on a resource says to one object: whether the resource is its own, and how it came to it.

use serde_json::Value;

use crate::api::azure_resource::{AzureResourceStatus, Ownership};
use crate::azure::ResourceId;
use crate::controller::operator_key::OperatorKey;

use super::seal::{is_sealed, seal};
use super::{Origin, Owner, OwnerMark};

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
}

/// How a resource came to its object, as the object's status says it. Only the operator writes it there, so nobody who may
/// write tags in Azure, or objects in Kubernetes, can make it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginOnRecord {
    id: ResourceId,
    origin: Origin,
}

impl OriginOnRecord {
    /// What a status says, if anything.
    pub fn of(status: &AzureResourceStatus) -> Option<Self> {
        Some(Self {
            id: status.id.as_deref()?.parse().ok()?,
            origin: match status.ownership? {
                Ownership::Created => Origin::Created,
                Ownership::Adopted => Origin::Adopted,
            },
        })
    }
}

/// The mark of one object on one resource: how it is written, and what one that is found means.
#[derive(Debug, Clone, Copy)]
pub struct Marking<'a> {
    /// Where the resource keeps it.
    pub place: OwnerMark,
    /// The resource.
    pub id: &'a ResourceId,
    /// The object.
    pub owner: &'a Owner,
    /// What seals the mark.
    pub key: &'a OperatorKey,
    /// What the object's status says.
    pub on_record: Option<&'a OriginOnRecord>,
}

impl Marking<'_> {
    /// The mark as it is written: the owner and the seal.
    pub fn text(&self, origin: Origin) -> String {
        let owner = self.owner.clone().with_origin(origin).to_string();
        let seal = seal(self.key, self.id, &owner);
        format!("{owner}/{seal}")
    }

    /// A body with nothing but the mark.
    pub fn body(&self, origin: Origin) -> Value {
        self.place.body(&self.text(origin))
    }

    /// Writes the mark into a body, or removes it.
    pub fn write(&self, body: &mut Value, origin: Option<Origin>) {
        let text = origin.map(|origin| self.text(origin));
        self.place.write(body, text.as_deref());
    }

    /// Reads the owner of a resource as ARM answered it.
    ///
    /// That the object created it counts only if the seal says so, or the object's own status: of a mark that an earlier version
    /// wrote, or under a key that was lost. Else it counts as adopted, of which less follows. A seal never makes a resource
    /// another's.
    pub fn presence(&self, resource: Option<&Value>) -> Presence {
        let Some(resource) = resource else {
            return Presence::Absent;
        };
        let Some(text) = self.place.read(resource) else {
            return Presence::Unowned;
        };
        match Owner::parse(text) {
            Some(found) if found.is_same_object(self.owner) => Presence::Owned(match found.origin() {
                Origin::Created if is_sealed(self.key, self.id, text) || self.created_by_record() => Origin::Created,
                Origin::Created | Origin::Adopted => Origin::Adopted,
            }),
            _ => Presence::OwnedByAnother,
        }
    }

    fn created_by_record(&self) -> bool {
        self.on_record
            .is_some_and(|it| it.id == *self.id && it.origin == Origin::Created)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::controller::ownership::ClusterId;

    const UID: &str = "0b9ff1d3-5f3e-4d0c-9c55-2f0f7a1de6b5";
    const GROUP: &str = "/subscriptions/s/resourceGroups/rg";

    fn owner(cluster: &str, namespace: &str, name: &str) -> Owner {
        Owner::new(&ClusterId::new(cluster), namespace, name, UID, Origin::Created)
    }

    fn tagged(text: &str) -> Value {
        json!({"tags": {"Lifeguard-Owner": text}})
    }

    fn key(byte: u8) -> OperatorKey {
        OperatorKey::new([byte; 32])
    }

    fn id(text: &str) -> ResourceId {
        text.parse().unwrap()
    }

    /// What `owner` writes on the group under the first key.
    fn written(owner: &Owner, origin: Origin) -> String {
        let (id, key) = (id(GROUP), key(1));
        let marking = Marking {
            place: OwnerMark::Tag,
            id: &id,
            owner,
            key: &key,
            on_record: None,
        };
        marking.text(origin)
    }

    fn seen(
        text: &str,
        by: &Owner,
        id: &ResourceId,
        key: &OperatorKey,
        on_record: Option<&OriginOnRecord>,
    ) -> Presence {
        let marking = Marking {
            place: OwnerMark::Tag,
            id,
            owner: by,
            key,
            on_record,
        };
        marking.presence(Some(&tagged(text)))
    }

    /// What is read on the group under the first key, where no status says anything.
    fn plainly(text: &str, by: &Owner) -> Presence {
        seen(text, by, &id(GROUP), &key(1), None)
    }

    fn on_record(id: &str, ownership: &str) -> OriginOnRecord {
        let status = serde_json::from_value(json!({"id": id, "ownership": ownership})).expect("a status");
        OriginOnRecord::of(&status).expect("both are there")
    }

    #[test]
    fn a_resource_belongs_to_the_object_that_its_tag_names() {
        let mine = owner("c1", "ns", "pool");
        let of = |cluster, namespace, name| written(&owner(cluster, namespace, name), Origin::Created);
        for (text, presence) in [
            (written(&mine, Origin::Created), Presence::Owned(Origin::Created)),
            (written(&mine, Origin::Adopted), Presence::Owned(Origin::Adopted)),
            (of("c2", "ns", "pool"), Presence::OwnedByAnother),
            (of("c1", "other", "pool"), Presence::OwnedByAnother),
            (of("c1", "ns", "other"), Presence::OwnedByAnother),
            ("somebody".to_owned(), Presence::OwnedByAnother),
            (String::new(), Presence::OwnedByAnother),
        ] {
            assert_eq!(plainly(&text, &mine), presence, "{text}");
        }
        let (id, key) = (id(GROUP), key(1));
        let marking = Marking {
            place: OwnerMark::Tag,
            id: &id,
            owner: &mine,
            key: &key,
            on_record: None,
        };
        assert_eq!(marking.presence(None), Presence::Absent);
        for resource in [json!({"tags": null}), json!({"tags": {"team": "a"}})] {
            assert_eq!(marking.presence(Some(&resource)), Presence::Unowned, "{resource}");
        }
    }

    #[test]
    fn whoever_may_write_tags_makes_no_object_the_one_that_created_a_resource() {
        let mine = owner("c1", "ns", "group");
        let (created, adopted) = (written(&mine, Origin::Created), written(&mine, Origin::Adopted));
        let adopted_on_record = on_record(GROUP, "Adopted");
        let elsewhere = "/subscriptions/s/resourceGroups/other";
        let unsealed = mine.to_string();
        for (text, place) in [
            // Another word before the seal of what was adopted, or no seal, or one that was made up.
            (adopted.replace("/adopted/", "/created/"), GROUP),
            (unsealed.clone(), GROUP),
            (format!("{unsealed}/"), GROUP),
            (format!("{unsealed}/000000000000000"), GROUP),
            (format!("{created}/x"), GROUP),
            // The seal of another resource.
            (created.clone(), elsewhere),
        ] {
            for on_record in [None, Some(&adopted_on_record)] {
                let found = seen(&text, &mine, &id(place), &key(1), on_record);
                assert_eq!(found, Presence::Owned(Origin::Adopted), "{text}");
            }
        }
        assert_eq!(plainly(&created, &mine), Presence::Owned(Origin::Created));
        let in_other_case = id("/SUBSCRIPTIONS/s/resourcegroups/RG");
        assert_eq!(
            seen(&created, &mine, &in_other_case, &key(1), None),
            Presence::Owned(Origin::Created)
        );
    }

    #[test]
    fn an_object_whose_status_says_that_it_created_the_resource_is_believed_without_a_seal() {
        let mine = owner("c1", "ns", "group");
        let lost = key(2);
        let here = on_record(GROUP, "Created");
        for text in [mine.to_string(), written(&mine, Origin::Created)] {
            let by = |on_record| seen(&text, &mine, &id(GROUP), &lost, on_record);
            assert_eq!(by(Some(&here)), Presence::Owned(Origin::Created));
            assert_eq!(by(None), Presence::Owned(Origin::Adopted));
            let of_another = on_record("/subscriptions/s/resourceGroups/other", "Created");
            assert_eq!(by(Some(&of_another)), Presence::Owned(Origin::Adopted));
        }
        // The mark says less than the status: the lesser counts.
        let adopted = written(&mine, Origin::Adopted);
        assert_eq!(
            seen(&adopted, &mine, &id(GROUP), &key(1), Some(&here)),
            Presence::Owned(Origin::Adopted)
        );
        // A status makes nothing an object's own.
        let theirs = written(&owner("c1", "ns", "other"), Origin::Created);
        assert_eq!(
            seen(&theirs, &mine, &id(GROUP), &key(1), Some(&here)),
            Presence::OwnedByAnother
        );
    }

    #[test]
    fn an_object_that_was_restored_with_another_uid_is_still_the_owner() {
        let restored = Owner::new(&ClusterId::new("c1"), "ns", "pool", "another-uid", Origin::Created);
        let text = written(&owner("c1", "ns", "pool"), Origin::Created);
        assert_eq!(plainly(&text, &restored), Presence::Owned(Origin::Created));
    }

    #[test]
    fn two_long_names_with_the_same_beginning_are_two_owners() {
        let (one, two) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        let text = written(&owner("c1", "ns", &one), Origin::Created);
        assert_eq!(
            plainly(&text, &owner("c1", "ns", &one)),
            Presence::Owned(Origin::Created)
        );
        assert_eq!(plainly(&text, &owner("c1", "ns", &two)), Presence::OwnedByAnother);
    }

    proptest! {
        #[test]
        fn whatever_stands_behind_an_owner_its_resource_is_not_anothers(rest in ".{0,40}") {
            let mine = owner("c1", "ns", "pool");
            let found = plainly(&format!("{mine}/{rest}"), &mine);
            let created = format!("{mine}/{rest}") == written(&mine, Origin::Created);
            prop_assert_eq!(found, Presence::Owned(if created { Origin::Created } else { Origin::Adopted }));
        }

        #[test]
        fn every_mark_fits_into_a_tag(
            cluster in ".{0,80}", namespace in "[a-z0-9-]{1,63}", name in "[a-z0-9.-]{1,253}", adopted in any::<bool>(),
        ) {
            let origin = if adopted { Origin::Adopted } else { Origin::Created };
            let owner = owner(&cluster, &namespace, &name);
            let text = written(&owner, origin);
            prop_assert!(text.chars().count() <= 256, "{}", text);
            prop_assert_eq!(plainly(&text, &owner), Presence::Owned(origin));
        }
    }
}
