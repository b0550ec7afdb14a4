//! The operator is killed with SIGKILL, again and again: every command still runs exactly once, and its outcome is right.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::api::ListParams;
use lifeguard::api::CommandJob;

use crate::jobs::result;
use crate::witness::Witness;
use crate::world::{PATIENCE, World, sample_or_soak, script};

/// How many jobs are under way at the same time.
const UNFINISHED: usize = 16;

/// Kills for each job, after which the operator is let alone to finish.
const KILLS_PER_JOB: usize = 2;

/// A job with the outcome that it must have.
pub struct Sample {
    pub name: String,
    pub text: String,
    pub outcome: (i32, Vec<u8>, Vec<u8>),
}

impl Sample {
    /// A command that tells the witness that it runs, takes a while, prints and returns. Some print more than fits into
    /// the answer of an execution, some nothing.
    pub fn random(random: &mut fastrand::Rng, number: usize, longest: Duration, witness: &Witness) -> Self {
        let name = format!("job-{number}");
        let pause = random.u128(10..=longest.as_millis());
        let filling = match random.u8(0..4) {
            0 => 0,
            1 | 2 => random.usize(1..200),
            _ => random.usize(3_000..20_000),
        };
        let exit_code = *random.choice([0, 0, 0, 1, 7, 255].iter()).expect("not empty");
        let text = format!(
            "{}\nsleep {}.{:03}\nhead -c {filling} /dev/zero | tr '\\0' x\nprintf %s {name} >&2\nexit {exit_code}",
            witness.told(&name),
            pause / 1000,
            pause % 1000,
        );
        let outcome = (exit_code, vec![b'x'; filling], name.clone().into_bytes());
        Self { name, text, outcome }
    }
}

/// The test's jobs by name.
pub async fn all_jobs(world: &World) -> HashMap<String, CommandJob> {
    let jobs = world.ours::<CommandJob>().list(&ListParams::default()).await;
    let jobs = jobs.expect("jobs can be listed").items;
    jobs.into_iter()
        .map(|it| (it.metadata.name.clone().unwrap_or_default(), it))
        .collect()
}

/// Whether a job has ended.
pub fn has_ended(job: &CommandJob) -> bool {
    job.status
        .as_ref()
        .and_then(|it| it.phase)
        .is_some_and(|it| it.is_terminal())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_at_random_moments_runs_every_command_once_and_reports_it_rightly() {
    let total = sample_or_soak(40, 240);
    let mut random = fastrand::Rng::with_seed(0x11fe);
    let witness = Witness::new().await;
    let mut world = World::new("kills").await;
    // A session whose release died with the operator lives until its cooldown, so there are more than are needed.
    world.pool("shell", 400).await;
    let samples: Vec<_> = (0..total)
        .map(|number| Sample::random(&mut random, number, Duration::from_secs(3), &witness))
        .collect();

    let mut waiting = samples.iter();
    let mut created = 0;
    let mut kills = 0;
    let mut last_end = (0, Instant::now());
    loop {
        let ended = all_jobs(&world).await.values().filter(|it| has_ended(it)).count();
        if ended > last_end.0 {
            last_end = (ended, Instant::now());
        }
        if ended == total {
            break;
        }
        assert!(
            last_end.1.elapsed() < PATIENCE,
            "{ended} of {total} jobs ended and no more, after {kills} kills; the log is {}",
            world.operator_log()
        );
        for sample in waiting.by_ref().take(UNFINISHED.saturating_sub(created - ended)) {
            world.job(&sample.name, &script(&sample.text)).await;
            created += 1;
        }
        // Mostly while it starts and finds what it left behind, sometimes when everything is under way.
        let longest = if random.u8(0..4) == 0 { 4_000 } else { 1_000 };
        tokio::time::sleep(Duration::from_millis(random.u64(100..longest))).await;
        if kills < total * KILLS_PER_JOB {
            world.kill_operator();
            world.start_operator_at_once().await;
            kills += 1;
        }
    }
    assert!(kills >= total / 4, "only {kills} kills");
    eprintln!("{total} jobs ended under {kills} kills");

    let jobs = all_jobs(&world).await;
    for Sample { name, outcome, .. } in &samples {
        assert_eq!(&result(&jobs[name]), outcome, "{name}");
        assert_eq!(witness.count(name), 1, "{name} ran so often");
    }
}
