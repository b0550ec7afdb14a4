use std::fmt::Write;
use std::path::Path;

use super::*;
use crate::runtime::conditions::{Conditions, Truth};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn later(duration: Duration) -> Timestamp {
    NOW + duration
}

fn judged(verdict: Verdict, conditions: &[Condition], waited: &Waited, now: Timestamp) -> Verdict {
    let waiting = Waiting {
        conditions,
        generation: Some(1),
        waited,
        now,
    };
    waiting.judge(verdict)
}

#[test]
fn every_wait_ends_and_says_what_to_do() {
    for wait in WAITS {
        for reason in wait.reasons.iter().filter(|_| !wait.believed.is_zero()) {
            let verdict = Verdict::progressing(*reason, "m");
            let waited = Waited::since(reason.as_str(), NOW);
            let before = later(wait.believed) - Duration::from_secs(1);
            assert_eq!(judged(verdict.clone(), &[], &waited, before), verdict, "{reason}");
            let over = judged(verdict, &[], &waited, later(wait.believed));
            assert_eq!((over.standing, over.reason), (Standing::Stalled, *reason));
            assert!(
                over.message.contains(wait.advice) && !wait.advice.is_empty(),
                "{}",
                over.message
            );
        }
    }
}

#[test]
fn no_reason_to_wait_is_missing_from_the_table_and_none_is_there_twice() {
    let all: Vec<Reason> = WAITS.iter().flat_map(|wait| wait.reasons).copied().collect();
    for reason in &all {
        assert_eq!(all.iter().filter(|it| *it == reason).count(), 1, "{reason}");
    }
    // Whatever class a failure has, its verdict has an end, or is `Stalled` at once.
    for class in [
        Class::Waiting { after: None },
        Class::Transient,
        Class::Denied,
        Class::Terminal,
        Class::Bug,
    ] {
        for reason in Reason::ALL {
            let failure = Failure {
                class: class.clone(),
                reason: reason.as_str().to_owned(),
                message: "m".to_owned(),
                failures: 9,
                since: NOW,
            };
            let waited = Waited::since(reason.as_str(), NOW);
            let waiting = Waiting {
                conditions: &[],
                generation: None,
                waited: &waited,
                now: later(minutes(90)),
            };
            let verdict = waiting.of_failure(&failure).expect("a verdict");
            let is_answer =
                of(*reason).is_some_and(|wait| !wait.believed.is_zero()) || !matches!(class, Class::Waiting { .. });
            assert!(
                verdict.standing == Standing::Stalled || !is_answer,
                "{class:?} {reason}"
            );
        }
    }
}

#[test]
fn a_right_that_is_missing_is_waited_for_and_a_wrong_credential_is_not() {
    let waited = Waited::default();
    let verdict = |reason: Reason| {
        let failure = Failure {
            class: Class::Denied,
            reason: reason.as_str().to_owned(),
            message: "m".to_owned(),
            failures: 1,
            since: NOW,
        };
        let waiting = Waiting {
            conditions: &[],
            generation: None,
            waited: &waited,
            now: NOW,
        };
        waiting.of_failure(&failure).map(|it| it.standing)
    };
    assert_eq!(verdict(Reason::Unauthorized), Some(Standing::Progressing));
    assert_eq!(verdict(Reason::InvalidCredential), Some(Standing::Stalled));
    assert_eq!(verdict(Reason::HostIdentityNotAllowed), Some(Standing::Stalled));
}

#[test]
fn a_wait_that_was_over_is_not_begun_anew_by_a_restart_but_by_another_spec() {
    let verdict = Verdict::progressing(Reason::IdentityNotFound, "m");
    let stalled = |generation| {
        let mut conditions = Conditions::from_previous(&[], Some(generation), NOW);
        conditions.set(kind::STALLED, Truth::True, "IdentityNotFound", "m");
        conditions.into_vec()
    };
    let standing = |generation| judged(verdict.clone(), &stalled(generation), &Waited::default(), NOW).standing;
    assert_eq!(standing(1), Standing::Stalled);
    assert_eq!(standing(0), Standing::Progressing);
}

#[test]
fn throttling_is_told_only_when_it_lasts() {
    let waited = Waited::since("Throttled", NOW);
    let told = |after| {
        let failure = Failure {
            class: Class::Throttled {
                after: Duration::from_secs(9),
            },
            reason: "Throttled".to_owned(),
            message: "for another 9 s".to_owned(),
            failures: 0,
            since: NOW,
        };
        let waiting = Waiting {
            conditions: &[],
            generation: None,
            waited: &waited,
            now: later(after),
        };
        waiting.of_failure(&failure).map(|it| it.standing)
    };
    assert_eq!(told(minutes(4)), None);
    assert_eq!(told(minutes(5)), Some(Standing::Progressing));
    assert_eq!(told(minutes(60)), Some(Standing::Stalled));
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "at once".to_owned(),
        seconds if seconds < 60 => format!("{seconds} s"),
        3600 => "1 h".to_owned(),
        seconds => format!("{} min", seconds / 60),
    }
}

fn printed() -> String {
    let mut text = String::from(
        "# Waiting and refusals\n\n\
         For every class of answer: what the condition says, for how long it is believed to pass by itself, how soon it is\n\
         tried again, and what is said when that time is over. Printed from the operator's own table\n\
         (`src/controller/waiting.rs`) by `UPDATE_DOCS=1 cargo test -p lifeguard --lib waiting`.\n\n\
         While something is believed to pass, the object is `Reconciling` (or, where Azure does not answer, `Ready` is\n\
         `Unknown`). When the time is over it is `Stalled`, with the same reason and one sentence more, for people and for\n\
         GitOps tools. **It is still tried**: nothing is given up, and what passes later is noticed. A time is counted from\n\
         the first such answer in a row, and anew for another spec.\n\n\
         | What is answered | Reason | believed to pass for | tried again, at first | at most after | then it says |\n\
         |---|---|---|---|---|---|\n",
    );
    for wait in WAITS {
        let reasons: Vec<String> = wait.reasons.iter().map(|it| format!("`{it}`")).collect();
        let reasons = if reasons.is_empty() {
            "`Rejected`".to_owned()
        } else {
            reasons.join(", ")
        };
        let believed = if wait.believed.is_zero() {
            "not at all: `Stalled` at once".to_owned()
        } else {
            in_words(wait.believed)
        };
        let (first, most) = match wait.again {
            Again::Ladder(ladder) => (in_words(ladder.first), in_words(ladder.most)),
            Again::AsAsked(ladder) => (
                format!("when Azure says, else {}", in_words(ladder.first)),
                in_words(ladder.most),
            ),
            Again::OnChange(every) => ("when it changes".to_owned(), in_words(every)),
        };
        let advice = if wait.advice.is_empty() {
            "Azure's own words"
        } else {
            wait.advice
        };
        writeln!(
            text,
            "| {} | {reasons} | {believed} | {first} | {most} | {advice} |",
            wait.answer
        )
        .unwrap();
    }
    text.push_str(
        "\n`kubectl annotate KIND NAME lifeguard.dev/reconcile-requested-at=\"$(date +%s)\" --overwrite` tries at once what an object\n\
         waits for in Azure, whatever the table says. A CommandJob has no such annotation.\n\n\
         **What works goes on.** The condition `Provisioned` says whether Azure has the resource and it can be used. Whoever\n\
         refers to it goes by that condition, jobs of a pool included: a change that Azure does not take, an identity that is\n\
         missing, or the secret of the managing account that has expired, stops the change and nothing else.\n\n\
         **Jobs** wait by the same table before they have started. A free session of the pool (`PoolExhausted`) and room in the\n\
         operator (`OperatorBusy`) are waited for as long as it takes, and asked for after 5 to 30 seconds. Once a command may be\n\
         running nothing makes its operator look away for longer than a minute: see [promises](promises.md).\n\n\
         **An object that cannot go says how it can.** While an object is being deleted and its resource cannot be, its\n\
         condition names the ways out: to correct what the message says, to leave the resource in Azure\n\
         (`spec.deletionPolicy: Retain`), or to let the object go whatever happens (the annotation `lifeguard.dev/abandon` with\n\
         the object's uid). An event says what was left.\n",
    );
    text
}

#[test]
fn the_documented_table_is_the_one_that_decides() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/waiting.md");
    let expected = printed();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == expected,
        "docs/waiting.md is out of date: run with UPDATE_DOCS=1"
    );
}
