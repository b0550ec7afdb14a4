//! What holds for every sequence of identity assignments that come and go, crashes and what others do meanwhile.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::api::azure_resource::{DeletionPolicy, ManagementPolicy, ManagementSpec};
use crate::controller::azure_resource::History;
use crate::controller::identity_assignment::record::Mark;
use crate::controller::identity_assignment::target::TargetKind;

use super::model::{Assignment, Reference, World, id};

const NAMES: [&str; 3] = ["one", "two", "three"];
const IDENTITIES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens to one of the identity assignments, or to all of them.
#[derive(Debug, Clone)]
enum Event {
    Apply(usize, bool, BTreeSet<usize>),
    Delete(usize),
    Pass(usize),
    PassAndCrash(usize),
    Crash,
    /// Somebody attaches an identity by hand.
    Attach(usize),
    Settle,
}

fn kinds() -> impl Strategy<Value = TargetKind> {
    prop_oneof![Just(TargetKind::App), Just(TargetKind::Group), Just(TargetKind::Pool)]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let some = || prop::collection::btree_set(0..IDENTITIES.len(), 0..4);
    let event = prop_oneof![
        3 => (0..NAMES.len(), any::<bool>(), some()).prop_map(|(who, system, ids)| Event::Apply(who, system, ids)),
        2 => (0..NAMES.len()).prop_map(Event::Delete),
        6 => (0..NAMES.len()).prop_map(Event::Pass),
        3 => (0..NAMES.len()).prop_map(Event::PassAndCrash),
        1 => Just(Event::Crash),
        1 => (0..IDENTITIES.len()).prop_map(Event::Attach),
        1 => Just(Event::Settle),
    ];
    prop::collection::vec(event, 1..40)
}

/// The identity assignments of a world, by name; one that is deleted and gone may be applied again.
struct Cluster {
    world: World,
    assignments: Vec<Option<Assignment>>,
    /// What others attached when nobody else had.
    foreign: BTreeSet<String>,
}

impl Cluster {
    fn new(kind: TargetKind, is_slow: bool, merges_tags: bool, foreign: &BTreeSet<usize>) -> Self {
        let names: Vec<&str> = foreign.iter().map(|it| IDENTITIES[*it]).collect();
        let mut world = World::new(kind, false, &names);
        (world.is_slow, world.merges_tags) = (is_slow, merges_tags);
        Self {
            world,
            assignments: vec![None; NAMES.len()],
            foreign: names.into_iter().map(str::to_owned).collect(),
        }
    }

    fn happen(&mut self, event: Event) {
        let kind = self.world.kind;
        match event {
            Event::Apply(who, system, ids) => {
                let names: Vec<&str> = ids.iter().map(|it| IDENTITIES[*it]).collect();
                let fresh = Assignment::new(kind, NAMES[who], system, &names);
                match &mut self.assignments[who] {
                    Some(known) if known.object.metadata.deletion_timestamp.is_some() => {}
                    Some(known) => {
                        known.references = fresh.references;
                        known.object.spec = fresh.object.spec;
                        known.object.metadata.generation = known.object.metadata.generation.map(|it| it + 1);
                    }
                    none => *none = Some(fresh),
                }
            }
            Event::Delete(who) => {
                if let Some(assignment) = &mut self.assignments[who] {
                    assignment.delete(self.world.now);
                }
            }
            Event::Pass(who) => {
                if let Some(assignment) = &mut self.assignments[who] {
                    assignment.pass(&mut self.world, false);
                }
            }
            Event::PassAndCrash(who) => {
                if let Some(assignment) = &mut self.assignments[who] {
                    assignment.pass(&mut self.world, true);
                }
                self.crash();
            }
            Event::Crash => self.crash(),
            Event::Attach(which) => {
                let name = IDENTITIES[which];
                if !self.world.attached().contains(&name.to_owned()) {
                    self.world.meddle(|block| block.attach(&id(name)));
                    // What an identity assignment records and somebody took away and gave again stays the assignment's.
                    let own = self.recorded();
                    if !own.contains(name) {
                        self.foreign.insert(name.to_owned());
                    }
                }
            }
            Event::Settle => self.settle(),
        }
        self.assignments
            .iter_mut()
            .filter(|it| it.as_ref().is_some_and(Assignment::is_gone))
            .for_each(|it| *it = None);
    }

    fn recorded(&self) -> BTreeSet<String> {
        let target = self.world.target.clone().unwrap_or_default();
        let records = Assignment::new(self.world.kind, "nobody", false, &[])
            .signature()
            .read(&target);
        let is_recorded = |name: &str| records.others.contains(&Mark::of(&id(name)));
        let names = IDENTITIES.iter().filter(|it| is_recorded(it));
        names.map(|it| (*it).to_owned()).collect()
    }

    fn crash(&mut self) {
        for assignment in self.assignments.iter_mut().flatten() {
            assignment.history = History::default();
        }
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            for assignment in self.assignments.iter_mut().flatten() {
                assignment.settle(&mut self.world);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_others_attached_stays_and_nothing_else_does(
        kind in kinds(), is_slow: bool, merges_tags: bool,
        foreign in prop::collection::btree_set(0..IDENTITIES.len(), 0..3), events in events(),
    ) {
        let mut cluster = Cluster::new(kind, is_slow, merges_tags, &foreign);
        for event in events {
            cluster.happen(event.clone());
            let attached: BTreeSet<String> = cluster.world.attached().into_iter().collect();
            prop_assert!(cluster.foreign.is_subset(&attached), "{event:?} took {:?} of {attached:?}", cluster.foreign);
        }
        cluster.settle();
        for assignment in cluster.assignments.iter().flatten() {
            if assignment.object.metadata.deletion_timestamp.is_none() && !assignment.references.is_empty() {
                prop_assert!(assignment.is_ready(), "{:?}", assignment.object.status);
                let attached = cluster.world.attached();
                prop_assert!(assignment.references.keys().all(|it| attached.contains(it)));
            }
        }
        let writes = |cluster: &Cluster| -> usize { cluster.assignments.iter().flatten().map(Assignment::writes).sum() };
        let before = (writes(&cluster), cluster.world.target.clone());
        cluster.settle();
        prop_assert_eq!((writes(&cluster), cluster.world.target.clone()), before, "not at rest");
        for assignment in cluster.assignments.iter_mut().flatten() {
            assignment.delete(cluster.world.now);
        }
        cluster.settle();
        let attached: BTreeSet<String> = cluster.world.attached().into_iter().collect();
        prop_assert_eq!(&attached, &cluster.foreign);
        prop_assert_eq!(cluster.world.tag_names(), ["team"]);
        prop_assert!(cluster.assignments.iter().flatten().all(Assignment::is_gone));
    }

    #[test]
    fn nothing_is_written_that_a_policy_forbids(
        kind in kinds(), bits: [bool; 5], management in 0..3_usize, deletion in 0..3_usize,
        foreign in prop::collection::btree_set(0..IDENTITIES.len(), 0..3), ids in prop::collection::btree_set(0..IDENTITIES.len(), 1..4),
    ) {
        let [system, suspend, is_deleted, was_attached, drifts] = bits;
        let names = |set: &BTreeSet<usize>| set.iter().map(|it| IDENTITIES[*it]).collect::<Vec<_>>();
        let mut world = World::new(kind, false, &names(&foreign));
        let mut assignment = Assignment::new(kind, "one", system, &names(&ids));
        if was_attached {
            assignment.settle(&mut world);
        }
        if drifts {
            world.meddle(|block| block.detach(&id(IDENTITIES[0])));
        }
        let spec = ManagementSpec {
            management_policy: [ManagementPolicy::Enforce, ManagementPolicy::CreateOnly, ManagementPolicy::ObserveOnly][management],
            deletion_policy: [None, Some(DeletionPolicy::Delete), Some(DeletionPolicy::Retain)][deletion],
            suspend,
            ..ManagementSpec::default()
        };
        let mut assignment = assignment.ruled(spec.clone());
        if is_deleted {
            assignment.delete(world.now);
        }
        let (writes, before) = (assignment.writes(), world.attached());
        assignment.settle(&mut world);
        if suspend || spec.management_policy == ManagementPolicy::ObserveOnly {
            prop_assert_eq!(assignment.writes(), writes);
        }
        if is_deleted {
            prop_assert!(assignment.is_gone());
            if spec.deletion_policy == Some(DeletionPolicy::Retain) {
                prop_assert_eq!(world.attached(), before);
            }
        }
        if is_deleted && was_attached && !suspend && spec.management_policy != ManagementPolicy::ObserveOnly {
            prop_assert_eq!(world.tag_names(), ["team"]);
        }
        let (writes, status) = (assignment.writes(), assignment.object.status.clone());
        assignment.settle(&mut world);
        prop_assert_eq!((assignment.writes(), assignment.object.status.clone()), (writes, status), "not at rest");
    }

    #[test]
    fn nothing_is_written_before_the_finalizer_is_there(kind in kinds(), system: bool, is_slow: bool) {
        let mut world = World::new(kind, false, &["d"]);
        world.is_slow = is_slow;
        let mut assignment = Assignment::new(kind, "one", system, &["a"]);
        assignment.settle(&mut world);
        prop_assert_eq!(assignment.log[0], "finalizer");
        prop_assert_eq!(assignment.writes(), 1, "{:?}", assignment.log);
        prop_assert!(assignment.is_ready());
    }

    #[test]
    fn what_goes_is_taken_back_whatever_becomes_of_the_rest(
        kind in kinds(), states in prop::array::uniform3(0..4_usize),
    ) {
        let mut world = World::new(kind, false, &["d"]);
        let mut assignment = Assignment::new(kind, "one", false, &["a", "b", "c"]);
        assignment.settle(&mut world);
        let all = [Reference::Usable, Reference::Going, Reference::Missing, Reference::Unknown];
        for (name, state) in ["a", "b", "c"].iter().zip(states) {
            assignment.references.insert((*name).to_owned(), all[state]);
        }
        assignment.settle(&mut world);
        let attached = world.attached();
        for (name, reference) in &assignment.references {
            match reference {
                Reference::Usable | Reference::Unknown => prop_assert!(attached.contains(name), "{name} was taken"),
                Reference::Going => prop_assert!(!attached.contains(name), "{name} is held"),
                // Which of those that are attached it was cannot be told while another has no id.
                Reference::Missing if states.contains(&3) => {}
                Reference::Missing => prop_assert!(!attached.contains(name), "{name} is held"),
            }
        }
        let goes = states.iter().any(|it| matches!(it, 1 | 2));
        prop_assert_eq!(assignment.status_id().is_none(), goes);
        prop_assert!(attached.contains(&"d".to_owned()));
    }
}
