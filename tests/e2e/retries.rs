//! Commands that are run again, because their author says so.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{AttemptReason, CommandJobStatus, Outcome, Phase};
use serde_json::json;

use crate::data_plane::{crash_sessions, until_released};
use crate::jobs::{also, in_pool, message, reason, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions, script};

/// A script that says `name`, and ends with this exit code unless the gate is open.
fn failing(witness: &Witness, name: &str, code: u8) -> String {
    let text = witness.asked(name);
    let text = text.replace("read -r _ <&8", &format!("read -t 1 -r _ <&8 || exit {code}"));
    format!("{text}; echo done")
}

fn status(job: &CommandJob) -> &CommandJobStatus {
    job.status.as_ref().expect("a status")
}

async fn until_failed(world: &World, name: &str) -> CommandJob {
    world
        .until(&format!("an attempt of {name} has failed"), || async {
            let job: CommandJob = world.ours().get(name).await.expect("the job");
            let attempts = &job.status.as_ref()?.attempts;
            attempts.iter().any(|it| it.outcome.is_some()).then_some(job)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_tried_again_until_it_succeeds_even_if_the_operator_is_killed_between_attempts() {
    let mut world = World::new("retry").await;
    let witness = Witness::new().await;
    world.pool("shell", 10).await;
    let policy = json!({"failurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
    ]}});
    let counted = also(script(&failing(&witness, "counted", 7)), &json!({"backoffLimit": 1}));
    let ignored = also(script(&failing(&witness, "ignored", 75)), &policy);
    let forbidden = also(
        script(&failing(&witness, "forbidden", 42)),
        &also(policy, &json!({"backoffLimit": 5})),
    );
    for (name, spec) in [("counted", counted), ("ignored", ignored), ("forbidden", forbidden)] {
        world.job(name, &spec).await;
    }
    let job = world.ended("forbidden").await;
    assert_eq!(result(&job), (42, Vec::new(), Vec::new()));
    assert!(message(&job, "Failed").contains("spec.failurePolicy.rules[0]"));
    assert_eq!((status(&job).attempts.len(), status(&job).failed), (1, Some(1)));

    for (name, code, failed) in [("counted", 7, Some(1)), ("ignored", 75, None)] {
        let job = until_failed(&world, name).await;
        assert_eq!((status(&job).phase, status(&job).failed), (Some(Phase::Queued), failed));
        assert_eq!(reason(&job, "Ready").as_deref(), Some("BackingOff"));
        assert_eq!(result(&job).0, code);
    }
    until_released(&world, "shell").await;
    world.kill_operator();
    world.start_operator().await;
    witness.open();
    for (name, code, failed) in [("counted", 7, Some(1)), ("ignored", 75, None)] {
        let job = world.ended(name).await;
        assert_eq!(result(&job), (0, b"done\n".to_vec(), Vec::new()));
        let attempts = &status(&job).attempts;
        let ends: Vec<_> = attempts.iter().map(|it| (it.number, it.exit_code)).collect();
        assert_eq!(
            (ends, status(&job).failed),
            (vec![(1, Some(code)), (2, Some(0))], failed)
        );
        let ended = attempts[0].completion_time.as_ref().expect("an end").0;
        let pause = attempts[1].start_time.0.duration_since(ended).as_secs();
        assert!(pause >= 9, "{pause}");
        assert_eq!(witness.count(name), 2, "{name}");
    }
    assert_eq!(witness.count("forbidden"), 1);
    until_released(&world, "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_command_is_run_again_only_if_its_author_says_so() {
    let options = WorldOptions {
        arguments: vec!["--poll-window".to_owned(), "1".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with("lost-again", options).await;
    let witness = Witness::new().await;
    world.pool("shell", 10).await;
    let spec = |name: &str| in_pool("shell", &format!("{}; echo done", witness.asked(name)));
    world.job("once", &spec("once")).await;
    world
        .job("again", &also(spec("again"), &json!({"backoffLimit": 1})))
        .await;
    world
        .until("both run", || async {
            (witness.count("once") == 1 && witness.count("again") == 1).then_some(())
        })
        .await;
    crash_sessions(&world, "shell").await;
    let job = world.ended("once").await;
    assert_eq!(reason(&job, "Failed").as_deref(), Some("Lost"));
    witness.open();
    let job = world.ended("again").await;
    assert_eq!(result(&job), (0, b"done\n".to_vec(), Vec::new()));
    let attempts = &status(&job).attempts;
    let ends: Vec<_> = attempts.iter().map(|it| (it.outcome, it.reason)).collect();
    let lost = (Some(Outcome::Lost), Some(AttemptReason::SessionReplaced));
    assert_eq!(ends, [lost, (Some(Outcome::Exited), None)]);
    assert_eq!((witness.count("once"), witness.count("again")), (1, 2));
}
