//! Commands that empty, move or close the directory that they run in, as cleaning up does, and those that go further.

use lifeguard::api::CommandJob;
use lifeguard::api::command_job::{AttemptReason, Outcome};

use crate::data_plane::until_released;
use crate::jobs::{in_pool, reason, result};
use crate::witness::Witness;
use crate::world::{World, WorldOptions};

/// Short polls, so that a command is looked at while it runs, and after.
async fn world(name: &str) -> World {
    let options = WorldOptions {
        arguments: vec!["--poll-window".to_owned(), "1".to_owned()],
        ..WorldOptions::default()
    };
    let world = World::with(name, options).await;
    world.pool("shell", 30).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cleans_up_runs_once_and_its_end_is_exact() {
    let world = world("removal").await;
    let witness = Witness::new().await;
    let deeds = [
        ("files", "rm -rf *"),
        ("directories", "rm -rf /mnt/data/*/"),
        ("build", "mkdir build; rm -rf */"),
        ("everything", "find /mnt/data -mindepth 1 -delete"),
        ("moved", "touch a; mkdir /tmp/o; mv /mnt/data/* /tmp/o/"),
        ("closed", "chmod 000 /mnt/data"),
        ("root", "rm -rf /mnt/data 2>/dev/null"),
        ("temporary", "rm -rf /tmp/* /var/tmp/* /dev/shm/* 2>/dev/null"),
        ("hidden", "rm -rf /tmp/.lg-* /mnt/data/*"),
        ("all", "find /tmp /dev/shm /mnt/data -mindepth 1 -delete"),
        ("permissions", "chmod 000 /tmp/.lg-*/* /tmp/.lg-* /mnt/data"),
        ("replaced", "d=$(echo /tmp/.lg-*); rm -rf $d; touch $d"),
        ("git", "git init -q . && git clean -fdxq"),
        ("stopped", "kill -STOP $PPID"),
    ];
    let name = |deed: &str, pause: &str| format!("{deed}-{pause}");
    // At once; and so late that it was seen to run before, and is looked at several times afterwards.
    let pauses = ["0", "4"];
    let cases = || {
        let all = deeds
            .iter()
            .flat_map(|(name, deed)| pauses.map(|it| (*name, *deed, it)));
        all.map(|(it, deed, pause)| (name(it, pause), deed, pause))
    };
    for (name, deed, pause) in cases() {
        let text = format!(
            "{}; sleep {pause}; {deed}; head -c 9000 /dev/zero | tr '\\0' y; sleep {pause}; echo err >&2; exit 7",
            witness.told(&name)
        );
        world.job(&name, &in_pool("shell", &text)).await;
    }
    for (name, deed, _) in cases() {
        let job = world.ended(&name).await;
        assert_eq!(result(&job), (7, vec![b'y'; 9000], b"err\n".to_vec()), "{name}: {deed}");
        assert_eq!(job.status.expect("a status").attempts.len(), 1, "{name}");
        assert_eq!(witness.count(&name), 1, "{name}");
    }
    until_released(&world, "shell").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_destroys_what_watches_over_it_is_lost_truthfully_and_never_started_again() {
    let world = world("destruction").await;
    let witness = Witness::new().await;
    let everything = "rm -rf /tmp/.lg-* /mnt/data/*";
    let deeds = [
        ("runner", "kill -9 $PPID; sleep 600".to_owned()),
        (
            "everything",
            format!("kill -9 -1; {everything}; kill -9 -1; {everything}; sleep 600"),
        ),
        // It puts back what it was started from.
        (
            "forger",
            format!("cp /tmp/.lg-*/sh /tmp/s; kill -9 -1; {everything}; cp /tmp/s /mnt/data/lg-$LG_ID.sh; sleep 600"),
        ),
    ];
    for (name, deed) in &deeds {
        world.pool(name, 2).await;
        let text = format!("{}; {deed}", witness.asked(name));
        world.job(name, &in_pool(name, &text)).await;
    }
    for (name, _) in &deeds {
        let path = format!("/{name}");
        world
            .until(&format!("{name} has been seen to run"), || async {
                let executions = world.executions().await;
                let of = |it: &&serde_json::Value| it["pool"].as_str().is_some_and(|it| it.ends_with(&path));
                // The third is sent once the second, which only looked, was answered.
                (witness.count(name) == 1 && executions.iter().filter(of).count() >= 3).then_some(())
            })
            .await;
    }
    witness.open();
    for (name, deed) in &deeds {
        let job: CommandJob = world.ended(name).await;
        assert_eq!(reason(&job, "Failed").as_deref(), Some("Lost"), "{name}: {deed}");
        let status = job.status.expect("a status");
        assert_eq!(status.result.map(|it| it.outcome), Some(Outcome::Lost), "{name}");
        assert_eq!(status.attempts.len(), 1, "{name}");
        // Which of them depends on the moment of the look.
        let why = [
            AttemptReason::RunnerDied,
            AttemptReason::SessionReplaced,
            AttemptReason::FilesRemoved,
        ];
        assert!(status.attempts[0].reason.is_some_and(|it| why.contains(&it)), "{name}");
        until_released(&world, name).await;
        assert_eq!(witness.count(name), 1, "{name}");
    }
}
