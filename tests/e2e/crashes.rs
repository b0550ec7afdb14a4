//! The operator dies at one certain effect after another: the command still runs once, and its outcome is right.

use std::time::Duration;

use kube::ResourceExt as _;
use lifeguard::api::command_job::{AttemptReason, Outcome, Phase};
use lifeguard::api::{CommandJob, SessionPool};
use serde_json::{Value, json};

use crate::jobs::{in_pool, result};
use crate::witness::Witness;
use crate::world::{World, script};

/// Where the operator is when it dies: what its request meets, so that it waits there.
struct Moment {
    /// Name of the moment, and of its job and pool: nothing that is left of another moment meets this one's fault.
    name: &'static str,
    method: &'static str,
    /// Below the pool's sessions.
    path: &'static str,
    action: Value,
    /// Whether the attempt is in the status by then; `None` where the operator may have gone on before it is killed.
    is_claimed: Option<bool>,
}

/// Longer than a moment takes: what is held goes on when the faults are cleared.
const HELD_FOR: Duration = Duration::from_mins(5);

fn moments() -> [Moment; 5] {
    let held = || json!({"delayMilliseconds": HELD_FOR.as_millis()});
    let files = r"files\?";
    [
        Moment {
            name: "while-it-uploads",
            method: "POST",
            path: files,
            action: held(),
            is_claimed: Some(false),
        },
        Moment {
            name: "before-the-claim",
            method: "POST",
            path: files,
            action: json!({"dropResponse": true}),
            is_claimed: None,
        },
        // The start arrives when its sender is dead and another one has been sent.
        Moment {
            name: "after-the-claim",
            method: "POST",
            path: r"executions\?",
            action: held(),
            is_claimed: Some(true),
        },
        Moment {
            name: "after-dispatch",
            method: "POST",
            path: r"executions\?",
            action: json!({"dropResponse": true}),
            is_claimed: Some(true),
        },
        Moment {
            name: "while-it-reads-the-output",
            method: "GET",
            path: r"files/[^/]+/content\?",
            action: held(),
            is_claimed: Some(true),
        },
    ]
}

/// Waits until a request has met the fault that was armed last.
async fn struck(world: &World, what: &str) {
    world
        .until(&format!("the operator is {what}"), || async {
            let faults = world.control(reqwest::Method::GET, "faults", None).await;
            (faults.as_array()?.last()?["times"] == 0).then_some(())
        })
        .await;
}

async fn running(world: &World, witness: &Witness, name: &str) {
    world
        .until(&format!("{name} runs"), || async {
            (witness.count(name) == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_operator_died_at_any_effect_runs_once() {
    let mut world = World::new("crashes").await;
    let witness = Witness::new().await;
    for moment in moments() {
        let Moment {
            name,
            method,
            path,
            action,
            is_claimed,
        } = moment;
        world.pool(name, 20).await;
        let path = format!("/sessionPools/{name}/{path}");
        let fault = json!({"match": {"method": method, "path": path}, "times": 1, "action": action});
        world.fault(&fault).await;
        let text = format!("{}; head -c 9000 /dev/zero | tr '\\0' y; exit 6", witness.told(name));
        world.job(name, &in_pool(name, &text)).await;
        struck(&world, name).await;
        world.kill_operator();
        let job: CommandJob = world.ours().get(name).await.expect("the job");
        let attempts = job.status.map_or(0, |it| it.attempts.len());
        if let Some(is_claimed) = is_claimed {
            assert_eq!(attempts, usize::from(is_claimed), "{name}");
        }
        world.start_operator().await;
        let job = world.ended(name).await;
        assert_eq!(result(&job), (6, vec![b'y'; 9000], Vec::new()), "{name}");
        assert_eq!(job.status.expect("a status").attempts.len(), 1, "{name}");
        // A request that was held goes on although its sender is dead and another operator has seen the job to its end.
        world.control(reqwest::Method::DELETE, "faults", None).await;
    }

    // Its end comes while nobody looks.
    world.pool("shell", 20).await;
    let name = "while-it-runs";
    let text = format!("{}; read -r line <&9; echo \"$line\"; exit 8", witness.held(name));
    world.job(name, &script(&text)).await;
    running(&world, &witness, name).await;
    world.kill_operator();
    witness.open();
    world
        .until("the command has ended", || async {
            (witness.connected() == 0).then_some(())
        })
        .await;
    world.start_operator().await;
    assert_eq!(result(&world.ended(name).await), (8, b"go\n".to_vec(), Vec::new()));

    let name = "while-it-releases-the-session";
    world.pool(name, 20).await;
    let path = format!(r"/sessionPools/{name}/session\?");
    let release = json!({"match": {"method": "DELETE", "path": path}, "times": 1, "action": {"reset": true}});
    world.fault(&release).await;
    let ended = world.run(name, &in_pool(name, &witness.told(name))).await;
    struck(&world, name).await;
    world.kill_operator();
    world.start_operator().await;
    // Another job has run, so that the operator has long seen everything.
    world.run("afterwards", &script(&witness.told("afterwards"))).await;
    let now: CommandJob = world.ours().get(name).await.expect("the job");
    assert_eq!(now.resource_version(), ended.resource_version());

    for name in
        moments()
            .map(|it| it.name)
            .into_iter()
            .chain(["while-it-runs", "while-it-releases-the-session", "afterwards"])
    {
        assert_eq!(witness.count(name), 1, "{name} ran so often");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_session_was_replaced_while_the_operator_was_dead_is_lost_and_not_repeated() {
    let mut world = World::new("replaced").await;
    let witness = Witness::new().await;
    world.pool("shell", 20).await;
    let name = "replaced";
    world
        .job(name, &script(&format!("{}; sleep 3600", witness.held(name))))
        .await;
    running(&world, &witness, name).await;
    world.kill_operator();
    let pool: SessionPool = world.ours().get("shell").await.expect("the pool");
    let pool_id = pool.status.and_then(|it| it.azure.id).expect("its id");
    world
        .control(reqwest::Method::DELETE, &format!("sessions?pool={pool_id}"), None)
        .await;
    world
        .until("the command has been killed", || async {
            (witness.connected() == 0).then_some(())
        })
        .await;
    world.start_operator().await;
    let status = world.ended(name).await.status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(status.result.expect("a result").outcome, Outcome::Lost);
    assert_eq!(status.attempts.len(), 1);
    assert_eq!(status.attempts[0].reason, Some(AttemptReason::SessionReplaced));
    // Another job has run, so that a second start would long have been seen.
    world.run("afterwards", &script(&witness.told("afterwards"))).await;
    assert_eq!(witness.count(name), 1, "it ran so often");
}
