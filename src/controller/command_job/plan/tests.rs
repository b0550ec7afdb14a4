//! The plan of a job, as tables and as properties in a model of the world.

use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

use super::*;
use crate::api::command_job::{CapturedStream, CommandJobStatus, Outcome};
use crate::api::condition::Reason;
use crate::controller::command_job::conversation::Prepared;
use crate::controller::command_job::runner::{Look, Payload, State, Stream};
use crate::controller::command_job::status;

const SESSION: &str = "0123456789abcdef";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ended_look(exit_code: u8) -> Look {
    let empty = || Stream {
        length: 0,
        payload: Payload::Absent,
    };
    let state = State::Ended {
        exit_code,
        elapsed: Duration::from_millis(10),
        killed: None,
    };
    Look {
        state,
        stdout: empty(),
        stderr: empty(),
        missing: Vec::new(),
    }
}

fn new_job() -> CommandJob {
    serde_json::from_value(json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
        "metadata": {"name": "j", "namespace": "n", "uid": "u", "generation": 1},
        "spec": {"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "timeoutSeconds": 60},
    }))
    .expect("a valid job")
}

fn claimed_job() -> CommandJob {
    let mut job = new_job();
    job.status = Some(status::claimed(&job, 1, SESSION, None, at(0)));
    job
}

fn result() -> CommandResult {
    CommandResult {
        outcome: Outcome::Exited,
        exit_code: Some(0),
        execution_time_in_milliseconds: Some(10),
        masked_count: None,
        withheld: false,
        stdout: CapturedStream::default(),
        stderr: CapturedStream::default(),
    }
}

fn observed(heard: Option<(i32, Heard)>) -> Observed {
    Observed {
        ready: Ok(()),
        reachable: Ok(()),
        digest: Some(SESSION.into()),
        fingerprint: Some("f".into()),
        conversation: Conversation {
            heard,
            ..Conversation::default()
        },
        target: None,
        inputs: None,
    }
}

fn prepared(mut observed: Observed, attempt: i32, second: i64) -> Observed {
    observed.conversation.prepared = Some(Prepared {
        attempt,
        at: at(second),
        fingerprint: "f".into(),
    });
    observed
}

fn not_ready() -> NotReady {
    NotReady::waiting(Reason::ReferenceNotReady, "the pool is not ready")
}

fn step(job: &CommandJob, observed: &Observed, second: i64) -> Option<Step> {
    plan(job, observed, at(second)).step
}

fn lost(reason: AttemptReason) -> Option<Step> {
    Some(Step::Finish(Verdict::Lost(reason)))
}

#[test]
fn a_new_job_is_prepared_before_it_is_claimed() {
    assert_eq!(step(&new_job(), &observed(None), 0), Some(Step::Prepare { attempt: 1 }));
    assert_eq!(
        step(&new_job(), &prepared(observed(None), 1, 0), 1),
        Some(Step::Claim { attempt: 1 })
    );
}

#[test]
fn an_old_preparation_is_made_again_because_its_session_may_have_ended() {
    assert_eq!(
        step(&new_job(), &prepared(observed(None), 1, 0), 61),
        Some(Step::Prepare { attempt: 1 })
    );
}

#[test]
fn a_job_whose_pool_is_not_ready_waits() {
    let mut observed = observed(None);
    observed.ready = Err(not_ready());
    assert_eq!(
        plan(&new_job(), &observed, at(0)),
        Plan::rest(Next::Poll { after: None })
    );
}

#[test]
fn a_claimed_job_is_called_with_a_latest_start_that_follows_from_its_claim() {
    let call = Some(Step::Call {
        attempt: 1,
        start_by: at(120),
    });
    assert_eq!(step(&claimed_job(), &observed(None), 1), call);
    assert_eq!(
        step(&claimed_job(), &observed(None), 500),
        call,
        "a restarted operator sends the very same start"
    );
    assert_eq!(step(&claimed_job(), &observed(Some((1, Heard::Running))), 500), call);
}

#[test]
fn a_claimed_job_is_never_prepared_again_unless_it_is_proven_that_nothing_ran() {
    let void = observed(Some((1, Heard::Void)));
    assert_eq!(step(&claimed_job(), &void, 200), Some(Step::Prepare { attempt: 2 }));
    let void = prepared(observed(Some((1, Heard::Void))), 2, 200);
    assert_eq!(step(&claimed_job(), &void, 201), Some(Step::Claim { attempt: 2 }));
}

#[test]
fn what_is_heard_of_an_attempt_decides() {
    let look = ended_look(0);
    for (heard, expected) in [
        (Heard::Ended(Box::new(look)), Some(Step::Collect { attempt: 1 })),
        (
            Heard::Collected(Box::new(result())),
            Some(Step::Finish(Verdict::Known(Box::new(result())))),
        ),
        (Heard::Replaced, lost(AttemptReason::SessionReplaced)),
        (Heard::Died, lost(AttemptReason::RunnerDied)),
        (Heard::PoolGone, lost(AttemptReason::Unreachable)),
        (Heard::Unprepared, Some(Step::Finish(Verdict::Unprepared))),
    ] {
        assert_eq!(
            step(&claimed_job(), &observed(Some((1, heard.clone()))), 1),
            expected,
            "{heard:?}"
        );
    }
}

#[test]
fn what_was_heard_of_another_attempt_does_not_count() {
    assert!(matches!(
        step(&claimed_job(), &observed(Some((2, Heard::Died))), 1),
        Some(Step::Call { .. })
    ));
}

#[test]
fn an_attempt_whose_session_can_no_longer_be_derived_is_lost_and_not_started() {
    let mut observed = observed(None);
    observed.digest = Some("another".into());
    assert_eq!(step(&claimed_job(), &observed, 1), lost(AttemptReason::SessionReplaced));
}

#[test]
fn an_unreachable_session_is_asked_for_until_nothing_can_be_left_of_it() {
    let mut observed = observed(Some((1, Heard::Running)));
    observed.reachable = Err(not_ready());
    let last = 120 + 60 + 10 + 3600;
    assert_eq!(step(&claimed_job(), &observed, last), None);
    assert_eq!(
        step(&claimed_job(), &observed, last + 1),
        lost(AttemptReason::Unreachable)
    );
}

#[test]
fn a_job_that_is_being_deleted_is_discarded_once_and_never_started() {
    let deleting = |mut job: CommandJob| {
        job.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        job
    };
    assert_eq!(step(&deleting(new_job()), &observed(None), 0), None);
    assert_eq!(
        step(&deleting(claimed_job()), &observed(None), 0),
        Some(Step::Discard { attempt: 1 })
    );
    let mut discarded = observed(None);
    discarded.conversation.discarded = true;
    assert_eq!(step(&deleting(claimed_job()), &discarded, 0), None);
}

#[test]
fn a_preparation_for_another_spec_or_secret_is_made_again() {
    let mut observed = prepared(observed(None), 1, 0);
    observed.fingerprint = Some("another".into());
    assert_eq!(step(&new_job(), &observed, 1), Some(Step::Prepare { attempt: 1 }));
}

#[test]
fn an_attempt_whose_upload_may_still_arrive_is_not_claimed() {
    let mut observed = prepared(observed(None), 1, 0);
    observed.conversation.spoilt = 1;
    assert_eq!(step(&new_job(), &observed, 1), Some(Step::Prepare { attempt: 2 }));
}

#[test]
fn after_two_answers_without_a_frame_the_files_are_asked() {
    let mut observed = observed(None);
    observed.conversation.unreadable = 1;
    assert!(matches!(step(&claimed_job(), &observed, 1), Some(Step::Call { .. })));
    observed.conversation.unreadable = 2;
    assert_eq!(step(&claimed_job(), &observed, 1), Some(Step::ReadEnd { attempt: 1 }));
}

#[test]
fn output_that_cannot_be_found_does_not_keep_a_job_from_ending_with_its_exit_code() {
    let mut observed = observed(Some((1, Heard::Ended(Box::new(ended_look(7))))));
    observed.conversation.missing_output = 3;
    let Some(Step::Finish(verdict)) = step(&claimed_job(), &observed, 1) else {
        panic!("it ends")
    };
    let Verdict::Known(result) = verdict else {
        panic!("it is known")
    };
    assert_eq!(result.exit_code, Some(7));
}

#[test]
fn starts_that_keep_coming_too_late_are_tried_more_and_more_seldom_and_not_for_ever() {
    let mut job = new_job();
    let mut waits = Vec::new();
    for number in 1..=9 {
        let now = i64::from(number) * 10_000;
        job.status = Some(status::claimed(&job, number, SESSION, None, at(now)));
        let void = observed(Some((number, Heard::Void)));
        let wait = (0..4000)
            .find(|wait| step(&job, &void, now + wait).is_some())
            .expect("it goes on");
        waits.push(wait);
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 640, 1280]);
    job.status = Some(status::claimed(&job, 10, SESSION, None, at(100_000)));
    let end = step(&job, &observed(Some((10, Heard::Void))), 100_001);
    assert_eq!(end, Some(Step::Finish(Verdict::Unprepared)));
}

#[test]
fn a_finished_job_is_left_alone() {
    let mut job = claimed_job();
    job.status = Some(status::finished(&job, &Verdict::Known(Box::new(result())), at(5)));
    assert_eq!(
        plan(&job, &observed(Some((1, Heard::Running))), at(9)),
        Plan::rest(Next::AwaitChange)
    );
}

/// A session as the runner keeps it: the ticket, and how often its command was started.
#[derive(Clone, Debug, Default)]
struct ModelSession {
    ticket: bool,
    begun: bool,
    sealed: bool,
}

/// The world outside the operator: what is stored in the status and in the sessions, by attempt.
#[derive(Debug)]
struct World {
    job: CommandJob,
    sessions: Vec<ModelSession>,
    starts: u32,
    now: i64,
}

/// What goes wrong around one step.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    None,
    /// The operator dies before the step, losing its memory.
    CrashBefore,
    /// The operator dies after the step's effect, before it learns of it.
    CrashAfter,
    /// The answer is lost, the operator lives on.
    AnswerLost,
    /// The session is replaced by an empty one.
    Replaced,
    /// Much time passes.
    Late,
}

fn troubles() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        4 => Just(Trouble::None),
        1 => Just(Trouble::CrashBefore),
        2 => Just(Trouble::CrashAfter),
        2 => Just(Trouble::AnswerLost),
        1 => Just(Trouble::Replaced),
        1 => Just(Trouble::Late),
    ]
}

impl World {
    fn new() -> Self {
        Self {
            job: new_job(),
            sessions: vec![ModelSession::default(); 60],
            starts: 0,
            now: 0,
        }
    }

    /// What the runner does with a start: see its own tests, which hold it to this.
    fn call(&mut self, attempt: i32, start_by: Timestamp) -> Heard {
        let now = at(self.now);
        let session = &mut self.sessions[usize::try_from(attempt).unwrap()];
        if session.sealed {
            return Heard::Void;
        }
        if session.begun {
            return Heard::Ended(Box::new(ended_look(0)));
        }
        if !session.ticket {
            return Heard::Replaced;
        }
        if now > start_by {
            session.sealed = true;
            return Heard::Void;
        }
        session.begun = true;
        self.starts += 1;
        Heard::Running
    }

    /// Carries a step out in the world, and tells what the operator would learn of it.
    fn carry_out(&mut self, step: Step) -> Box<dyn FnOnce(&mut Conversation)> {
        match step {
            Step::Prepare { attempt } => {
                self.sessions[usize::try_from(attempt).unwrap()].ticket = true;
                let at = at(self.now);
                Box::new(move |it| {
                    it.prepared = Some(Prepared {
                        attempt,
                        at,
                        fingerprint: "f".into(),
                    });
                })
            }
            Step::Claim { attempt } => {
                self.job.status = Some(status::claimed(&self.job, attempt, SESSION, None, at(self.now)));
                Box::new(|it| it.heard = None)
            }
            Step::Call { attempt, start_by } => {
                let heard = self.call(attempt, start_by);
                Box::new(move |it| it.heard = Some((attempt, heard)))
            }
            Step::Collect { attempt } => {
                Box::new(move |it| it.heard = Some((attempt, Heard::Collected(Box::new(result())))))
            }
            Step::Finish(verdict) => {
                self.job.status = Some(status::finished(&self.job, &verdict, at(self.now)));
                Box::new(|_| {})
            }
            Step::ReadEnd { .. } => Box::new(|it| it.unreadable = 0),
            Step::Discard { .. } => Box::new(|it| it.discarded = true),
        }
    }

    fn phase(&self) -> Option<crate::api::command_job::Phase> {
        self.job.status.as_ref().and_then(|it: &CommandJobStatus| it.phase)
    }
}

proptest! {
    #[test]
    fn whatever_crashes_when_a_command_is_started_at_most_once_and_its_job_ends(
        troubles in proptest::collection::vec(troubles(), 0..25),
    ) {
        let mut world = World::new();
        let mut conversation = Conversation::default();
        let mut troubles = troubles.into_iter();
        for _ in 0..200 {
            let trouble = troubles.next().unwrap_or(Trouble::None);
            world.now += if matches!(trouble, Trouble::Late) { 200 } else { 20 };
            if matches!(trouble, Trouble::CrashBefore) {
                conversation = Conversation::default();
            }
            if matches!(trouble, Trouble::Replaced) {
                for session in &mut world.sessions {
                    *session = ModelSession::default();
                }
            }
            let mut seen = observed(None);
            seen.conversation = conversation.clone();
            let plan = plan(&world.job, &seen, at(world.now));
            if let Some(step) = plan.step {
                if let Step::Prepare { attempt } = step {
                    let claimed = world.job.status.iter().flat_map(|it| &it.attempts).any(|it| it.number == attempt);
                    prop_assert!(!claimed, "a ticket was placed after the claim");
                }
                if let Step::Call { attempt, .. } = step {
                    let live = world.job.status.as_ref().and_then(|it| live_attempt(&it.attempts));
                    prop_assert_eq!(live.map(|it| it.number), Some(attempt), "a start without a claim");
                }
                let learn = world.carry_out(step);
                match trouble {
                    Trouble::CrashAfter => conversation = Conversation::default(),
                    Trouble::AnswerLost => {}
                    Trouble::None | Trouble::CrashBefore | Trouble::Replaced | Trouble::Late => learn(&mut conversation),
                }
            }
            prop_assert!(world.starts <= 1, "started {} times", world.starts);
        }
        prop_assert!(world.phase().is_some_and(|it| it.is_terminal()), "{:?}", world.job.status);
        let succeeded = world.phase() == Some(crate::api::command_job::Phase::Succeeded);
        prop_assert!(!succeeded || world.starts == 1);
        // At rest: another pass plans nothing and writes nothing.
        let again = plan(&world.job, &observed(None), at(world.now + 1));
        prop_assert_eq!(again, Plan::rest(Next::AwaitChange));
    }
}
