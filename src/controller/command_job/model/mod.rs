//! Every way in which a job can go, for a few troubles: what the service does, what gets lost, when the operator dies.
//!
//! The job's plan, its status and the transitions of its attempts are the very code that runs in production. What is
//! modelled is what is not ours: the service, the network, the API server, and the death of the operator.

mod hostile;
mod kills;
mod service;
mod truth;
mod world;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

use serde_json::json;

use self::world::{Wish, World};

/// What every preparation consists of.
const CONTENTS: &str = "contents";

/// How many things go wrong, at most: every world of two troubles is visited in seconds, of three in minutes.
fn troubles() -> u32 {
    if std::env::var_os("LIFEGUARD_SOAK").is_some() {
        3
    } else {
        2
    }
}

/// The steps after which a job that nothing disturbs any more has long come to rest.
const STEPS_TO_REST: usize = 60;

/// Visits every world that can follow from `first`, and checks each.
fn explore(first: World) -> usize {
    let mut seen = HashSet::from([first.key()]);
    let mut resting = HashSet::new();
    let mut open = VecDeque::from([first]);
    let mut visited = 0;
    while let Some(world) = open.pop_front() {
        visited += 1;
        world.check();
        world.clone().comes_to_rest(STEPS_TO_REST, &mut resting);
        for next in world.successors() {
            if seen.insert(next.key()) {
                open.push_back(next);
            }
        }
    }
    visited
}

#[test]
fn whatever_gets_lost_and_whoever_dies_a_command_is_started_at_most_once_and_its_job_ends_in_truth() {
    let visited = explore(World::new(troubles()));
    assert!(visited > 1000, "only {visited} worlds");
}

#[test]
fn a_job_that_is_deleted_at_any_moment_leaves_nothing_behind_that_runs() {
    let visited = explore(World::new(troubles() - 1).with(&[Wish::Delete]));
    assert!(visited > 1000, "only {visited} worlds");
}

#[test]
fn a_job_that_is_cancelled_at_any_moment_ends_soon_and_says_so_unless_it_had_ended_before() {
    let spec = json!({"backoffLimit": 1});
    for failing in [0, 2] {
        let visited = explore(World::of(troubles() - 1, &spec).failing(failing).with(&[Wish::Cancel]));
        assert!(visited > 1000, "only {visited} worlds");
    }
}

#[test]
fn a_job_that_is_suspended_at_any_moment_begins_nothing_and_goes_on_when_it_is_resumed() {
    let wishes = [Wish::Suspend, Wish::Resume];
    let visited = explore(World::new(troubles() - 1).with(&wishes));
    assert!(visited > 1000, "only {visited} worlds");
    let spec = json!({"backoffLimit": 1});
    let visited = explore(World::of(troubles() - 2, &spec).failing(1).with(&wishes));
    assert!(visited > 100, "only {visited} worlds");
}

#[test]
fn a_job_that_fails_is_tried_as_often_as_its_author_says_and_each_attempt_once() {
    let spec = json!({"backoffLimit": 1});
    for failing in [1, 2] {
        let visited = explore(World::of(troubles() - 1, &spec).failing(failing));
        assert!(visited > 500, "only {visited} worlds");
    }
}

#[test]
fn a_job_with_a_deadline_ends_with_it_whatever_it_is_at() {
    for deadline in [1, 12, 100] {
        let spec = json!({"activeDeadlineSeconds": deadline, "backoffLimit": 1});
        let visited = explore(World::of(troubles() - 1, &spec).failing(2));
        assert!(visited > 200, "only {visited} worlds");
    }
}

#[test]
fn a_job_that_is_suspended_cancelled_and_deleted_in_any_order_leaves_nothing_behind() {
    let wishes = [Wish::Suspend, Wish::Resume, Wish::Cancel, Wish::Delete];
    let spec = json!({"activeDeadlineSeconds": 100, "backoffLimit": 1});
    let visited = explore(World::of(troubles() - 2, &spec).failing(1).with(&wishes));
    assert!(visited > 100, "only {visited} worlds");
}

#[test]
fn a_session_is_for_another_job_only_if_it_is_clean_and_nothing_is_on_its_way_to_it_any_more() {
    let visited = explore(World::new(troubles()).reusing());
    assert!(visited > 1000, "only {visited} worlds");
    for wish in [Wish::Cancel, Wish::Delete] {
        let visited = explore(World::new(troubles() - 1).reusing().with(&[wish]));
        assert!(visited > 500, "only {visited} worlds");
    }
    let spec = json!({"backoffLimit": 1});
    let visited = explore(World::of(troubles() - 1, &spec).failing(1).reusing());
    assert!(visited > 500, "only {visited} worlds");
}

#[test]
fn a_session_that_nothing_disturbs_is_for_another_job() {
    for (spec, failing, reused) in [(json!({}), 0, 1), (json!({"backoffLimit": 1}), 1, 2)] {
        let mut world = World::of(0, &spec).failing(failing).reusing();
        while let Some(next) = world.successors().into_iter().next() {
            world = next;
        }
        assert_eq!(world.reused, reused);
    }
}

/// Hashes what is written.
#[derive(Default)]
struct Text(DefaultHasher);

impl Text {
    fn hash(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
