//! Jobs that are ended before they are done, and jobs that are held back.

use kube::Api;
use kube::api::{Patch, PatchParams};
use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{CommandJobStatus, Outcome, Phase};
use serde_json::{Value, json};

use crate::data_plane::{live_sessions, until_released};
use crate::jobs::{also, bytes, in_pool, message, reason, result};
use crate::witness::Witness;
use crate::world::{World, script};

async fn change(world: &World, name: &str, spec: &Value) {
    let jobs: Api<CommandJob> = world.ours();
    jobs.patch(name, &PatchParams::default(), &Patch::Merge(&json!({"spec": spec})))
        .await
        .expect("the change is accepted");
}

async fn until_phase(world: &World, name: &str, phase: Phase) -> CommandJob {
    world
        .until(&format!("{name} is {phase:?}"), || async {
            let job: CommandJob = world.ours().get(name).await.expect("the job");
            (job.status.as_ref()?.phase == Some(phase)).then_some(job)
        })
        .await
}

async fn until_told(world: &World, witness: &Witness, name: &str) {
    world
        .until(&format!("{name} runs"), || async {
            (witness.count(name) > 0).then_some(())
        })
        .await;
}

fn status(job: &CommandJob) -> &CommandJobStatus {
    job.status.as_ref().expect("a status")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_keeps_what_it_printed_and_one_that_waits_never_starts() {
    let world = World::new("cancel").await;
    let witness = Witness::new().await;
    world.pool("shell", 1).await;
    let text = format!("echo begun; echo trouble >&2; {}; echo done", witness.asked("running"));
    world.job("running", &script(&text)).await;
    until_told(&world, &witness, "running").await;
    // The pool is full, and another pool does not exist.
    world.job("full", &script(&witness.told("full"))).await;
    world
        .job("nowhere", &in_pool("nowhere", &witness.told("nowhere")))
        .await;
    for name in ["full", "nowhere"] {
        until_phase(&world, name, Phase::Queued).await;
        change(&world, name, &json!({"cancel": true})).await;
        let job = world.ended(name).await;
        assert_eq!(status(&job).phase, Some(Phase::Cancelled));
        assert_eq!((status(&job).attempts.len(), &status(&job).result), (0, &None));
        assert_eq!(reason(&job, "Failed").as_deref(), Some("Cancelled"));
        assert!(message(&job, "Failed").contains("was not started"));
    }
    // Its session does not take the message at first.
    let refused = json!({
        "match": {"method": "POST", "path": "sessionPools/shell/files"}, "times": 1, "action": {"status": 503, "body": {}},
    });
    world.fault(&refused).await;
    change(&world, "running", &json!({"cancel": true})).await;
    let job = world.ended("running").await;
    assert_eq!(status(&job).phase, Some(Phase::Cancelled));
    assert_eq!(reason(&job, "Failed").as_deref(), Some("Cancelled"));
    let result = status(&job).result.as_ref().expect("a result");
    assert_eq!((result.outcome, result.exit_code), (Outcome::Cancelled, Some(143)));
    assert_eq!(
        (bytes(&result.stdout), bytes(&result.stderr)),
        (b"begun\n".to_vec(), b"trouble\n".to_vec())
    );
    assert_eq!(status(&job).attempts[0].outcome, Some(Outcome::Cancelled));
    until_released(&world, "shell").await;

    // The place is free, and nothing that was cancelled takes it.
    let job = world.run("next", &script(&witness.told("next"))).await;
    assert_eq!(status(&job).phase, Some(Phase::Succeeded));
    for (name, times) in [("running", 1), ("full", 0), ("nowhere", 0), ("next", 1)] {
        assert_eq!(witness.count(name), times, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_with_its_deadline_whether_its_command_runs_or_the_next_attempt_is_waited_for() {
    let world = World::new("deadline").await;
    let witness = Witness::new().await;
    world.pool("shell", 10).await;
    let deadline = |text: &str| also(script(text), &json!({"activeDeadlineSeconds": 5, "backoffLimit": 3}));
    world
        .job(
            "running",
            &deadline(&format!("echo begun; {}", witness.asked("running"))),
        )
        .await;
    world
        .job(
            "pausing",
            &deadline(&format!("{}; echo failed; exit 3", witness.told("pausing"))),
        )
        .await;
    let job = world.ended("running").await;
    assert_eq!(status(&job).phase, Some(Phase::Failed));
    let kept = status(&job).result.as_ref().expect("a result");
    assert_eq!(
        (kept.outcome, bytes(&kept.stdout)),
        (Outcome::TimedOut, b"begun\n".to_vec())
    );
    let other = world.ended("pausing").await;
    assert_eq!(result(&other), (3, b"failed\n".to_vec(), Vec::new()));
    for (name, job) in [("running", &job), ("pausing", &other)] {
        assert_eq!(reason(job, "Failed").as_deref(), Some("DeadlineExceeded"));
        assert!(message(job, "Failed").contains("5 seconds of spec.activeDeadlineSeconds"));
        assert_eq!((status(job).attempts.len(), witness.count(name)), (1, 1), "{name}");
    }
    until_released(&world, "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_job_holds_nothing_until_it_is_resumed_and_one_that_runs_goes_on() {
    let world = World::new("suspend").await;
    let witness = Witness::new().await;
    world.pool("shell", 10).await;
    let suspended = |text: &str| also(script(text), &json!({"suspend": true}));
    world.job("held", &suspended(&witness.told("held"))).await;
    let job = until_phase(&world, "held", Phase::Suspended).await;
    assert_eq!(reason(&job, "Suspended").as_deref(), Some("JobSuspended"));
    assert_eq!(reason(&job, "Ready").as_deref(), Some("Suspended"));
    // A job that has ended meanwhile shows that there was time enough.
    world.run("other", &script("true")).await;
    until_released(&world, "shell").await;
    assert_eq!(witness.count("held"), 0);
    change(&world, "held", &json!({"suspend": false})).await;
    let job = world.ended("held").await;
    assert_eq!((status(&job).phase, witness.count("held")), (Some(Phase::Succeeded), 1));
    let conditions = &status(&job).conditions;
    let resumed = conditions
        .iter()
        .find(|it| it.type_ == "Suspended")
        .expect("the condition");
    assert_eq!(
        (resumed.status.as_str(), resumed.reason.as_str()),
        ("False", "JobResumed")
    );

    world
        .job("running", &script(&format!("{}; echo done", witness.asked("running"))))
        .await;
    until_told(&world, &witness, "running").await;
    change(&world, "running", &json!({"suspend": true})).await;
    world
        .until("the job says that it goes on", || async {
            let job: CommandJob = world.ours().get("running").await.expect("the job");
            let conditions = &job.status.as_ref()?.conditions;
            let says = conditions
                .iter()
                .any(|it| it.message.contains("although spec.suspend is true"));
            says.then_some(())
        })
        .await;
    assert_eq!(live_sessions(&world, "shell").await.len(), 1);
    witness.open();
    assert_eq!(
        result(&world.ended("running").await),
        (0, b"done\n".to_vec(), Vec::new())
    );
    assert_eq!(witness.count("running"), 1);
}
