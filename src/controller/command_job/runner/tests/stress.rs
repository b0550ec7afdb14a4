//! Many attempts, their callers killed at random.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::*;
use super::session::*;

/// SplitMix64: what is random here is the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Default)]
struct Figures {
    calls: AtomicUsize,
    killed: AtomicUsize,
    two_callers: AtomicUsize,
    long: AtomicUsize,
    unregistered: AtomicUsize,
    lost_writes: AtomicUsize,
}

/// Executes a call, kills its group now and then, and loses its last write or all of its answer now and then.
fn unreliable(
    session: &Session,
    calls: &[Call<'_>],
    random: &mut Random,
    chance: u64,
    figures: &Figures,
) -> Option<Report> {
    let plans: Vec<_> = calls
        .iter()
        .map(|_| {
            // On a busy machine everything takes longer: half of the kills come later.
            let latest = [29_500, 149_500][usize::from(random.percent(50))];
            (random.percent(chance), 500 + random.below(latest))
        })
        .collect();
    let children: Vec<_> = calls.iter().map(|call| session.spawn(call, "")).collect();
    let mut found = None;
    std::thread::scope(|scope| {
        for (child, (kill, after)) in children.iter().zip(&plans) {
            let pid = child.id();
            if *kill {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(*after));
                    signal("KILL", &format!("-{pid}"));
                });
            }
        }
    });
    for (call, child) in calls.iter().zip(children) {
        let output = child.wait_with_output().expect("an answer");
        figures.calls.fetch_add(1, Ordering::Relaxed);
        let mut stdout = output.stdout;
        match random.below(100) {
            0..10 if stdout.ends_with(b"\n") => {
                stdout.pop();
                figures.lost_writes.fetch_add(1, Ordering::Relaxed);
            }
            10..13 => {
                stdout.clear();
                figures.lost_writes.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        match call.parse(&stdout, &output.stderr) {
            Ok(look) => found = Some(look),
            Err(error) => assert_ne!(error, FrameError::Malformed),
        }
        if output.status.code().is_none() {
            figures.killed.fetch_add(1, Ordering::Relaxed);
        }
    }
    found
}

fn one(seed: u64, figures: &Figures) {
    let random = &mut Random(seed);
    let kinds = Shell::installed();
    let index = usize::try_from(random.below(kinds.len() as u64)).expect("small");
    let session = Session::new(kinds[index]);
    let code = u8::try_from(random.below(256)).expect("a byte");
    let long = random.percent(10);
    let milliseconds = if long {
        900 + random.below(400)
    } else {
        random.below(30)
    };
    let size = [0, 5, 2700, 9000][usize::try_from(random.below(4)).expect("small")];
    let mut work = shell(&format!(
        "echo started >>count; echo $A; head -c {size} /dev/zero; sleep {}.{:03}; echo \"err $A\" >&2; exit {code}",
        milliseconds / 1000,
        milliseconds % 1000
    ));
    let value = format!("value '{seed}'");
    work.env = Some(vec![variable("A", &value)]);
    session.upload(&work);
    let window = if long { 1 } else { 20 };
    let start = || {
        let mut call = session.start(&work);
        call.window_seconds = window;
        call
    };
    let look = || {
        let mut call = session.look();
        call.window_seconds = window;
        call
    };
    figures.long.fetch_add(usize::from(long), Ordering::Relaxed);
    let two = random.percent(30);
    figures.two_callers.fetch_add(usize::from(two), Ordering::Relaxed);
    let first: Vec<_> = (0..=usize::from(two)).map(|_| start()).collect();
    let mut seen = unreliable(&session, &first, random, 80, figures);
    if !session.inner("").exists() {
        figures.unregistered.fetch_add(1, Ordering::Relaxed);
    }
    let ended = loop {
        match seen.take() {
            Some(look) => match look.state {
                ReportedState::Ended { .. } => break look,
                ReportedState::Running { .. } => {}
                ReportedState::Absent | ReportedState::Registered => {
                    seen = unreliable(&session, &[start()], random, 40, figures);
                    continue;
                }
                other => panic!("seed {seed}: {other:?} in {:?}", kinds[index]),
            },
            // The answer was lost: the same start again, unchanged.
            None if random.percent(50) => {
                seen = unreliable(&session, &[start()], random, 40, figures);
                continue;
            }
            None => {}
        }
        seen = unreliable(&session, &[look()], random, 40, figures);
    };
    let mut expected = format!("{value}\n").into_bytes();
    expected.resize(expected.len() + size, 0);
    let starts = fs::read_to_string(session.file("count"))
        .expect("a start")
        .lines()
        .count();
    assert_eq!((starts, exit_code(&ended)), (1, Some(code)), "seed {seed}");
    assert!(fs::read(session.inner("out")).expect("out") == expected, "seed {seed}");
    assert_eq!(ended.stdout.length, expected.len() as u64, "seed {seed}");
    match ended.stdout.payload {
        Payload::Bytes(bytes) => assert!(bytes == expected, "seed {seed}"),
        Payload::Sha256(_) => assert!(expected.len() > 2700),
        Payload::Absent => panic!("seed {seed}: no payload"),
    }
    assert_eq!(
        bytes(&ended.stderr),
        format!("err {value}\n").into_bytes(),
        "seed {seed}"
    );
    assert!(
        !session.file(&format!("{}.env", session.attempt.directory())).exists(),
        "seed {seed}"
    );
    assert!(session.comes_to_rest(), "seed {seed}");
}

#[test]
fn killed_callers_lost_answers_and_rivals_never_cost_a_start_or_a_result() {
    let attempts = if std::env::var_os("LIFEGUARD_SOAK").is_some() {
        2000
    } else {
        60
    };
    let figures = Figures::default();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && n < attempts
                {
                    one(n as u64, &figures);
                }
            });
        }
    });
    let figure = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    eprintln!(
        "{attempts} attempts, {} calls, {} killed, {} with two callers, {} longer than the window, {} killed before \
         registration, {} answers damaged; each started once",
        figure(&figures.calls),
        figure(&figures.killed),
        figure(&figures.two_callers),
        figure(&figures.long),
        figure(&figures.unregistered),
        figure(&figures.lost_writes),
    );
    assert!(figure(&figures.killed) > attempts / 4, "the callers were really killed");
}
