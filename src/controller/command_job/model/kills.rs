//! An operator that is killed again and again, between any two of its effects.

use std::collections::HashSet;

use serde_json::json;

use super::STEPS_TO_REST;
use super::world::{Wish, World};

/// Kills in the life of one job, at most.
const KILLS_PER_JOB: u32 = 12;

/// So many steps make every job end.
const STEPS: usize = 400;

/// Kills of all jobs together.
fn kills() -> u32 {
    if std::env::var_os("LIFEGUARD_SOAK").is_some() {
        500_000
    } else {
        10_000
    }
}

/// One job, with other troubles than kills too: what it says holds after each step. Returns how often its operator was killed.
fn live(random: &mut fastrand::Rng) -> u32 {
    let spec = random.choice([
        json!({}),
        json!({"backoffLimit": 1}),
        json!({"activeDeadlineSeconds": 100}),
    ]);
    let wishes: &[&[Wish]] = &[
        &[],
        &[],
        &[Wish::Suspend, Wish::Resume],
        &[Wish::Cancel],
        &[Wish::Delete],
    ];
    let mut world = World::of(random.u32(0..3), &spec.expect("not empty"))
        .failing(random.u32(0..2))
        .with(random.choice(wishes).expect("not empty"));
    if random.bool() {
        world = world.reusing();
    }
    let mut killed = 0;
    for _ in 0..STEPS {
        if killed < KILLS_PER_JOB && random.u8(0..3) == 0 {
            world.die();
            killed += 1;
        }
        let Some(next) = random.choice(world.successors()) else {
            break;
        };
        world = next;
        world.check();
    }
    world.comes_to_rest(STEPS_TO_REST, &mut HashSet::new());
    killed
}

#[test]
fn operators_that_are_killed_between_any_two_effects_start_nothing_twice_and_every_job_ends_in_truth() {
    let mut random = fastrand::Rng::with_seed(0xdead);
    let (mut killed, mut jobs) = (0, 0);
    while killed < kills() {
        killed += live(&mut random);
        jobs += 1;
    }
    assert!(jobs < killed, "{jobs} jobs and only {killed} kills");
}
