//! A service that answers anything for a while. Once it behaves, a claimed attempt comes to its end, soon, and nothing has
//! run twice.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::service::Service;
use crate::controller::command_job::attempt::fixtures::{at, claim, key, limits};
use crate::controller::command_job::attempt::{AfterClaim, AttemptState, Command, Ending, Event, Problem, Pursuit};
use crate::runtime::requeue::{self, Tries};
use crate::runtime::{Class, Pace};

/// What a service makes of a request.
#[derive(Clone, Debug)]
enum Hostility {
    /// It answers something that says nothing.
    NoFrame,
    /// Nothing arrives in time.
    Unanswered(Class),
    /// It refuses.
    Failed(Class),
    Full(Class),
    Denied,
    OutputMissing,
    /// What the pass was at ends with the pass.
    Dropped,
}

/// A hostility, and whether the request is carried out all the same.
type Answer = (Hostility, bool);

fn class() -> impl Strategy<Value = Class> {
    let long = || Duration::from_secs(1_000_000_000_000);
    prop_oneof![
        Just(Class::Transient),
        Just(Class::Terminal),
        Just(Class::Denied),
        Just(Class::Throttled { after: long() }),
        Just(Class::Waiting { after: Some(long()) }),
        Just(Class::Waiting { after: None }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let hostility = prop_oneof![
        Just(Hostility::NoFrame),
        class().prop_map(Hostility::Unanswered),
        class().prop_map(Hostility::Failed),
        class().prop_map(Hostility::Full),
        Just(Hostility::Denied),
        Just(Hostility::OutputMissing),
        Just(Hostility::Dropped),
    ];
    (hostility, any::<bool>())
}

struct Attempt {
    state: AttemptState,
    service: Service,
    now: Timestamp,
    failures: u32,
}

impl Attempt {
    fn claimed(state: AttemptState) -> Self {
        let mut service = Service::default();
        let (key, ticket) = (key(), claim().ticket);
        service.receive(&Command::Prepare { key, ticket }, at(0));
        let (now, failures) = (at(0), 0);
        Self {
            state,
            service,
            now,
            failures,
        }
    }

    /// One plan and what becomes of it: answered by the service as it is, or as `hostile` has it.
    fn step(&mut self, hostile: Option<&Answer>) -> Option<Ending> {
        let claim = claim();
        let around = Pursuit {
            claim: &claim,
            timeout: SignedDuration::from_secs(60),
            session: "s",
            secrets_digest: None,
            is_reachable: true,
            stop: None,
        };
        match self.state.pursue(around, &limits(), self.now) {
            AfterClaim::End(ending) => return Some(ending),
            AfterClaim::Wait(until) => self.now = until,
            AfterClaim::Blocked => panic!("it can be reached"),
            AfterClaim::Do(command) => self.carry_out(&command, hostile),
        }
        None
    }

    fn carry_out(&mut self, command: &Command, hostile: Option<&Answer>) {
        self.state.issue(command, "place", self.now);
        let event = match hostile {
            None => Some(self.service.receive(command, self.now)),
            Some((hostility, is_carried_out)) => {
                if *is_carried_out {
                    self.service.receive(command, self.now);
                }
                self.event(hostility)
            }
        };
        self.now += SignedDuration::from_secs(1);
        let failed = match event {
            Some(event) => self.state.on(command, event, &limits()).err().map(|it| it.class),
            None => Some(Class::Transient),
        };
        match failed {
            None => self.failures = 0,
            Some(class) => {
                self.failures += 1;
                let tries = Tries {
                    count: self.failures,
                    ..Tries::default()
                };
                let pause = requeue::after_failure(&class, tries, Pace::FULL, 1.0).expect("a pause");
                self.now += SignedDuration::try_from(pause.min(limits().longest_pause)).expect("a short one");
            }
        }
    }

    fn event(&self, hostility: &Hostility) -> Option<Event> {
        let problem = |class: &Class| Problem {
            class: class.clone(),
            reason: "Unavailable".into(),
            message: String::new(),
        };
        Some(match hostility {
            Hostility::NoFrame => Event::NoFrame,
            Hostility::Unanswered(class) => Event::Unanswered(problem(class)),
            Hostility::Failed(class) => Event::Failed(problem(class)),
            Hostility::Full(class) => Event::Full(problem(class)),
            Hostility::Denied => Event::Denied {
                at: self.now,
                problem: problem(&Class::Denied),
            },
            Hostility::OutputMissing => Event::OutputMissing(problem(&Class::Transient)),
            Hostility::Dropped => return None,
        })
    }
}

proptest! {
    #[test]
    fn an_attempt_ends_soon_once_the_service_behaves_and_never_runs_twice(
        answers in proptest::collection::vec(answer(), 0..40), is_of_another_process in any::<bool>(),
    ) {
        let state = if is_of_another_process { AttemptState::of_another_process() } else { AttemptState::default() };
        let mut attempt = Attempt::claimed(state);
        let mut ending = None;
        for answer in &answers {
            ending = ending.or_else(|| attempt.step(Some(answer)));
        }
        let (behaves_from, could_start) = (attempt.now, attempt.now < at(60));
        for _ in 0..12 {
            ending = ending.or_else(|| attempt.step(None));
        }
        let started = attempt.service.started.len();
        prop_assert!(started <= 1);
        match ending {
            Some(Ending::Known(_)) => prop_assert_eq!(started, 1),
            Some(Ending::Void) => prop_assert!(started == 0 && !could_start),
            other => prop_assert!(false, "{:?} from {:?}", other, attempt.state),
        }
        prop_assert!(attempt.now <= behaves_from + SignedDuration::from_mins(3));
    }
}
