//! The one table that says what an object may do to its Azure resource.
//!
//! Pure and total. The documentation's table is printed from it, so the two cannot disagree.

use crate::api::azure_resource::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, ManagementSpec};

use crate::controller::ownership::{Origin, Presence};

/// Whether the object is to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// It is.
    Wanted,
    /// It is being deleted.
    Deleted,
}

/// Whether the object may act at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It may.
    Active,
    /// `spec.suspend` is set.
    Suspended,
}

/// Everything that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Whether the object is to exist.
    pub lifecycle: Lifecycle,
    /// Whether it may act.
    pub activity: Activity,
    /// `spec.managementPolicy`.
    pub management: ManagementPolicy,
    /// `spec.adoptionPolicy`.
    pub adoption: AdoptionPolicy,
    /// `spec.deletionPolicy`.
    pub deletion: Option<DeletionPolicy>,
    /// Whether the resource is there and whose it is.
    pub presence: Presence,
}

impl Situation {
    /// The situation of an object with this spec.
    pub fn of(spec: &ManagementSpec, lifecycle: Lifecycle, presence: Presence) -> Self {
        Self {
            lifecycle,
            activity: if spec.suspend {
                Activity::Suspended
            } else {
                Activity::Active
            },
            management: spec.management_policy,
            adoption: spec.adoption_policy,
            deletion: spec.deletion_policy,
            presence,
        }
    }
}

/// What the object may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intent {
    /// Create the resource with the owner tag.
    Create,
    /// Take the resource over: write the spec and the owner tag.
    Adopt,
    /// Take the resource over without changing it: write the owner tag only.
    Claim,
    /// Put right what differs from the spec.
    Enforce,
    /// Compare and report.
    Observe,
    /// Wait until the object is no longer suspended; what it would do then is a write.
    AwaitResume,
    /// Wait until somebody else has created the resource.
    AwaitExisting,
    /// Leave the resource alone: it is not ours and may not be adopted.
    RefuseExisting,
    /// Leave the resource alone: it belongs to another object or cluster.
    RefuseOwned,
    /// Delete the resource and let the object go when it is gone.
    Delete,
    /// Remove the owner tag and let the object go.
    Disown,
    /// Let the object go and leave the resource as it is.
    LetGo,
}

impl Intent {
    /// What the policies make of a situation.
    pub fn of(situation: Situation) -> Self {
        match situation.lifecycle {
            Lifecycle::Wanted => match (situation.activity, wanted(situation)) {
                (Activity::Suspended, Self::Enforce) => Self::Observe,
                (Activity::Suspended, intent) if intent.writes() => Self::AwaitResume,
                (Activity::Active | Activity::Suspended, intent) => intent,
            },
            Lifecycle::Deleted => deleted(situation),
        }
    }

    /// Whether carrying it out may write to Azure.
    pub fn writes(self) -> bool {
        match self {
            Self::Create | Self::Adopt | Self::Claim | Self::Enforce | Self::Delete | Self::Disown => true,
            Self::Observe
            | Self::AwaitResume
            | Self::AwaitExisting
            | Self::RefuseExisting
            | Self::RefuseOwned
            | Self::LetGo => false,
        }
    }

    /// The words of the documentation.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Create => "create it",
            Self::Adopt => "adopt it: write the spec and the owner tag",
            Self::Claim => "adopt it: write the owner tag only",
            Self::Enforce => "correct what differs",
            Self::Observe => "report what differs",
            Self::AwaitResume => "wait (`Suspended`)",
            Self::AwaitExisting => "wait for it (`NotFound`)",
            Self::RefuseExisting => "leave it alone (`AlreadyExists`)",
            Self::RefuseOwned => "leave it alone (`OwnedByAnother`)",
            Self::Delete => "delete it",
            Self::Disown => "leave it, remove the owner tag",
            Self::LetGo => "leave it as it is",
        }
    }
}

fn wanted(situation: Situation) -> Intent {
    let Situation {
        management,
        adoption,
        presence,
        ..
    } = situation;
    match (management, presence) {
        (ManagementPolicy::ObserveOnly, Presence::Absent) => Intent::AwaitExisting,
        (ManagementPolicy::ObserveOnly, Presence::Unowned | Presence::OwnedByAnother | Presence::Owned(_))
        | (ManagementPolicy::CreateOnly, Presence::Owned(_)) => Intent::Observe,
        (ManagementPolicy::Enforce, Presence::Owned(_)) => Intent::Enforce,
        (ManagementPolicy::Enforce | ManagementPolicy::CreateOnly, Presence::OwnedByAnother) => Intent::RefuseOwned,
        (ManagementPolicy::Enforce | ManagementPolicy::CreateOnly, Presence::Absent) => match adoption {
            AdoptionPolicy::Never | AdoptionPolicy::IfExists => Intent::Create,
            AdoptionPolicy::MustExist => Intent::AwaitExisting,
        },
        (ManagementPolicy::Enforce | ManagementPolicy::CreateOnly, Presence::Unowned) => match (adoption, management) {
            (AdoptionPolicy::Never, _) => Intent::RefuseExisting,
            (AdoptionPolicy::IfExists | AdoptionPolicy::MustExist, ManagementPolicy::CreateOnly) => Intent::Claim,
            (AdoptionPolicy::IfExists | AdoptionPolicy::MustExist, _) => Intent::Adopt,
        },
    }
}

fn deleted(situation: Situation) -> Intent {
    let Situation {
        activity,
        management,
        deletion,
        presence,
        ..
    } = situation;
    match (activity, management) {
        (Activity::Suspended, _) | (Activity::Active, ManagementPolicy::ObserveOnly) => return Intent::LetGo,
        (Activity::Active, ManagementPolicy::Enforce | ManagementPolicy::CreateOnly) => {}
    }
    match (presence, deletion) {
        (Presence::Absent | Presence::Unowned | Presence::OwnedByAnother, _) => Intent::LetGo,
        (Presence::Owned(_), Some(DeletionPolicy::Delete)) | (Presence::Owned(Origin::Created), None) => Intent::Delete,
        (Presence::Owned(_), Some(DeletionPolicy::Retain)) | (Presence::Owned(Origin::Adopted), None) => Intent::Disown,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use super::*;

    const MANAGEMENT: [ManagementPolicy; 3] = [
        ManagementPolicy::Enforce,
        ManagementPolicy::CreateOnly,
        ManagementPolicy::ObserveOnly,
    ];
    const ADOPTION: [AdoptionPolicy; 3] = [
        AdoptionPolicy::Never,
        AdoptionPolicy::IfExists,
        AdoptionPolicy::MustExist,
    ];
    const DELETION: [Option<DeletionPolicy>; 3] = [None, Some(DeletionPolicy::Delete), Some(DeletionPolicy::Retain)];

    fn every_situation() -> Vec<Situation> {
        let mut all = Vec::new();
        for lifecycle in [Lifecycle::Wanted, Lifecycle::Deleted] {
            for activity in [Activity::Active, Activity::Suspended] {
                for management in MANAGEMENT {
                    for adoption in ADOPTION {
                        for deletion in DELETION {
                            for presence in Presence::ALL {
                                all.push(Situation {
                                    lifecycle,
                                    activity,
                                    management,
                                    adoption,
                                    deletion,
                                    presence,
                                });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn is_owned(presence: Presence) -> bool {
        matches!(presence, Presence::Owned(_))
    }

    #[test]
    fn suspended_and_observing_objects_never_write() {
        for situation in every_situation() {
            if situation.activity == Activity::Suspended || situation.management == ManagementPolicy::ObserveOnly {
                assert!(!Intent::of(situation).writes(), "{situation:?}");
            }
        }
    }

    #[test]
    fn what_belongs_to_another_is_never_written() {
        for situation in every_situation() {
            if situation.presence == Presence::OwnedByAnother {
                assert!(!Intent::of(situation).writes(), "{situation:?}");
            }
        }
    }

    #[test]
    fn only_what_is_owned_is_deleted_and_never_under_retain() {
        for situation in every_situation() {
            if Intent::of(situation) == Intent::Delete {
                assert!(is_owned(situation.presence), "{situation:?}");
                assert_ne!(situation.deletion, Some(DeletionPolicy::Retain), "{situation:?}");
                assert_eq!(situation.lifecycle, Lifecycle::Deleted, "{situation:?}");
            }
        }
    }

    #[test]
    fn what_was_adopted_is_deleted_only_on_demand() {
        for situation in every_situation() {
            if situation.presence == Presence::Owned(Origin::Adopted) && situation.deletion.is_none() {
                assert_ne!(Intent::of(situation), Intent::Delete, "{situation:?}");
            }
        }
    }

    #[test]
    fn what_is_not_ours_is_taken_over_only_by_an_adoption_policy() {
        for situation in every_situation() {
            if matches!(Intent::of(situation), Intent::Adopt | Intent::Claim) {
                assert_eq!(situation.presence, Presence::Unowned, "{situation:?}");
                assert_ne!(situation.adoption, AdoptionPolicy::Never, "{situation:?}");
            }
        }
    }

    #[test]
    fn create_only_changes_no_property_of_an_existing_resource() {
        for situation in every_situation() {
            if situation.management == ManagementPolicy::CreateOnly {
                assert!(
                    !matches!(Intent::of(situation), Intent::Enforce | Intent::Adopt),
                    "{situation:?}"
                );
            }
        }
    }

    #[test]
    fn an_object_that_is_wanted_is_never_let_go_and_one_that_is_deleted_always_ends() {
        for situation in every_situation() {
            let ends = matches!(Intent::of(situation), Intent::Delete | Intent::Disown | Intent::LetGo);
            assert_eq!(ends, situation.lifecycle == Lifecycle::Deleted, "{situation:?}");
        }
    }

    fn presence_in_words(presence: Presence) -> &'static str {
        match presence {
            Presence::Absent => "does not exist",
            Presence::Unowned => "has no owner tag",
            Presence::OwnedByAnother => "has the owner tag of another object",
            Presence::Owned(Origin::Created) => "was created by the object",
            Presence::Owned(Origin::Adopted) => "was adopted by the object",
        }
    }

    fn situation(lifecycle: Lifecycle, management: ManagementPolicy, presence: Presence) -> Situation {
        Situation {
            lifecycle,
            activity: Activity::Active,
            management,
            adoption: AdoptionPolicy::Never,
            deletion: None,
            presence,
        }
    }

    fn printed() -> String {
        let mut text = String::from(
            "# Policies: what an object does to its Azure resource\n\n\
             Printed from the operator's own decision table by `UPDATE_DOCS=1 cargo test -p lifeguard --lib policy`. The\n\
             defaults are `managementPolicy: Enforce`, `adoptionPolicy: Never`, and no `deletionPolicy`.\n\n\
             ## While the object exists\n\n\
             | managementPolicy | the resource | adoptionPolicy `Never` | `IfExists` | `MustExist` |\n\
             |---|---|---|---|---|\n",
        );
        for management in MANAGEMENT {
            for presence in Presence::ALL {
                let cells = ADOPTION.map(|adoption| {
                    let situation = Situation {
                        adoption,
                        ..situation(Lifecycle::Wanted, management, presence)
                    };
                    Intent::of(situation).explanation()
                });
                writeln!(
                    text,
                    "| `{management:?}` | {} | {} |",
                    presence_in_words(presence),
                    cells.join(" | ")
                )
                .unwrap();
            }
        }
        text.push_str(
            "\nWith `suspend: true` nothing is written: \"correct\" becomes \"report\", and what would be created or\n\
             adopted waits with the reason `Suspended`.\n\n\
             ## When the object is deleted\n\n\
             | managementPolicy | the resource | no deletionPolicy | `Delete` | `Retain` |\n|---|---|---|---|---|\n",
        );
        for management in MANAGEMENT {
            for presence in Presence::ALL {
                let cells = DELETION.map(|deletion| {
                    let situation = Situation {
                        deletion,
                        ..situation(Lifecycle::Deleted, management, presence)
                    };
                    Intent::of(situation).explanation()
                });
                writeln!(
                    text,
                    "| `{management:?}` | {} | {} |",
                    presence_in_words(presence),
                    cells.join(" | ")
                )
                .unwrap();
            }
        }
        text.push_str(
            "\nAn object that is deleted while `suspend` is true leaves the resource as it is, with its owner tag.\n",
        );
        text
    }

    #[test]
    fn the_documented_table_is_the_one_that_decides() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md");
        let expected = printed();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == expected,
            "docs/policies.md is out of date: run with UPDATE_DOCS=1"
        );
    }
}
