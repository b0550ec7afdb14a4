//! Every way in which a job can go, for a few troubles: what the service does, what gets lost, when the operator dies.
//!
//! The job's plan, its status and the transitions of its attempts are the very code that runs in production. What is
//! modelled is what is not ours: the service, the network, the API server, and the death of the operator.

mod hostile;
mod kills;
mod service;
mod world;

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};

use self::world::World;

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
    let visited = explore(World::to_be_deleted(troubles() - 1));
    assert!(visited > 1000, "only {visited} worlds");
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
