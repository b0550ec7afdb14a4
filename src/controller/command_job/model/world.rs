//! The operator, its job and the service, and everything that can happen to them next.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::Text;
use super::service::Service;
use super::truth::assert_goes_on;
use crate::api::command_job::CommandJob;
use crate::controller::command_job::attempt::fixtures::{at, limits};
use crate::controller::command_job::attempt::{
    AfterEnd, AttemptClaim, AttemptKey, AttemptState, Command, Event, Farewell, KeptFor, Problem, Slot, Tenancy, Ticket,
};
use crate::controller::command_job::job::plan::next_key;
use crate::controller::command_job::job::{
    JobFacts, JobStep, JobVerdict, Lodging, attempts_that_matter, plan, status, untouched,
};
use crate::controller::command_job::output::Fit;
use crate::controller::command_job::runner::ReportedState;
use crate::controller::operator_key::OperatorKey;
use crate::runtime::{Class, Next};

const PLACE: &str = "place";
const SESSION: &str = "session";

/// An attempt that is left, in the background.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    key: AttemptKey,
    claim: Option<AttemptClaim>,
    state: AttemptState,
    farewell: Farewell,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) job: CommandJob,
    /// What the operator remembers; it goes when the operator dies.
    attempts: BTreeMap<AttemptKey, AttemptState>,
    pub(super) leaving: Vec<Leaving>,
    pub(super) service: Service,
    pub(super) now: Timestamp,
    /// Preparations so far: no two have the same ticket.
    tickets: u32,
    pub(super) troubles_left: u32,
    /// What may still be done to the job.
    pub(super) wishes: Vec<Wish>,
    /// Whether a session was replaced or released late, or a runner died.
    pub(super) was_disturbed: bool,
    /// Whether its sessions are for other jobs afterwards.
    is_reused: bool,
    /// How many of them were.
    pub(super) reused: u32,
    has_died: bool,
    /// Whether something may be left behind: the operator died, or a request may yet arrive.
    pub(super) may_leak: bool,
}

/// What somebody does to the job, once, at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Delete,
    Cancel,
    Suspend,
    Resume,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fortune {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is carried out, and the answer has no frame.
    NoFrame,
    /// It is not carried out, and that is said.
    Refused,
    /// It may arrive later. Its sender lives, and is told that there was no answer.
    Late,
    /// It may arrive later. Its sender lives, and gave up waiting.
    Dropped,
    /// It is carried out; its sender dies.
    Died,
    /// It may arrive later; its sender dies.
    DiedEarly,
}

impl World {
    /// A job of which so much goes wrong.
    pub fn new(troubles: u32) -> Self {
        Self::of(troubles, &json!({}))
    }

    /// The same of a job with further members of its spec.
    pub fn of(troubles: u32, spec: &Value) -> Self {
        let mut all = json!({"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "timeoutSeconds": 60});
        for (name, value) in spec.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let job = serde_json::from_value(json!({
            "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob",
            "metadata": {"name": "j", "namespace": "n", "uid": "u", "generation": 1}, "spec": all,
        }));
        Self {
            job: job.expect("a valid job"),
            attempts: BTreeMap::new(),
            leaving: Vec::new(),
            service: Service::default(),
            now: at(0),
            tickets: 0,
            troubles_left: troubles,
            wishes: Vec::new(),
            was_disturbed: false,
            is_reused: false,
            reused: 0,
            has_died: false,
            may_leak: false,
        }
    }

    /// Whose sessions are for other jobs afterwards.
    #[must_use]
    pub fn reusing(self) -> Self {
        let is_reused = true;
        Self { is_reused, ..self }
    }

    /// Names the session of an attempt.
    fn slot(&self, key: AttemptKey) -> Option<Slot> {
        let tenancy = || {
            let key = OperatorKey::new([1; 32]);
            Tenancy::derive(&key, "pool", "n", ("a", "b"), KeptFor::AnyCommand, "")
        };
        self.is_reused
            .then(|| Slot::new(tenancy(), None, &format!("{:016x}", key.number)))
    }

    /// Of which so many commands fail.
    #[must_use]
    pub fn failing(mut self, times: u32) -> Self {
        self.service.failures_left = times;
        self
    }

    /// To which this is done, in any order that makes sense.
    #[must_use]
    pub fn with(self, wishes: &[Wish]) -> Self {
        let wishes = wishes.to_vec();
        Self { wishes, ..self }
    }

    /// Equal for worlds in which the same can happen.
    pub fn key(&self) -> u64 {
        let mut hasher = Text::default();
        let spec = (self.job.spec.cancel, self.job.spec.suspend);
        let job = (&self.job.status, &self.job.metadata.deletion_timestamp, spec);
        let operator = (&self.attempts, &self.leaving, self.now, self.tickets);
        let rest = (self.troubles_left, &self.wishes, self.was_disturbed, self.may_leak);
        let rest = (rest, self.reused, self.has_died);
        write!(hasher, "{job:?} {operator:?} {:?} {rest:?}", self.service).expect("a hasher takes every text");
        hasher.hash()
    }

    fn facts(&self) -> JobFacts {
        let sessions = attempts_that_matter(&self.job, &self.attempts).map(|key| (key, SESSION.to_owned()));
        let lodging = Lodging {
            slot: self.slot(next_key(&self.job, &self.attempts)),
            ..Lodging::default()
        };
        JobFacts {
            lodging,
            limits: limits(),
            place: Ok(PLACE.into()),
            contents: Ok(super::CONTENTS.into()),
            secrets_digest: None,
            lent_account: None,
            guest_of: None,
            sessions: sessions.collect(),
            fresh: Ticket(self.tickets.to_string()),
            attempts: self.attempts.clone(),
            fit: Fit::AsItIs,
        }
    }

    /// Everything that can happen next.
    pub fn successors(&self) -> Vec<Self> {
        let mut next = self.steps();
        for index in 0..self.leaving.len() {
            next.extend(self.farewells(index));
        }
        for index in 0..self.service.on_their_way.len() {
            let mut world = self.clone();
            let command = world.service.on_their_way.remove(index);
            // Of an operator that died while it left what it had prepared; the next one may have prepared it again.
            world.was_disturbed |= matches!(command, Command::Release { .. });
            world.service.receive(&command, world.now);
            next.push(world);
        }
        for index in 0..self.wishes.len() {
            next.extend(self.wished(index));
        }
        if self.troubles_left > 0 {
            next.extend(self.disturbances());
        }
        next
    }

    fn wished(&self, index: usize) -> Option<Self> {
        let mut world = self.clone();
        match world.wishes.remove(index) {
            Wish::Delete => world.job.metadata.deletion_timestamp = Some(Time(world.now)),
            Wish::Cancel => world.job.spec.cancel = true,
            Wish::Suspend => world.job.spec.suspend = true,
            Wish::Resume if world.job.spec.suspend => world.job.spec.suspend = false,
            Wish::Resume => return None,
        }
        Some(world)
    }

    fn disturbances(&self) -> Vec<Self> {
        let mut next = Vec::new();
        let mut trouble = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            world.troubles_left -= 1;
            change(&mut world);
            next.push(world);
        };
        trouble(&Self::die);
        trouble(&|world| world.now += SignedDuration::from_secs(130));
        for key in self.service.sessions.keys() {
            trouble(&|world| {
                world.was_disturbed = true;
                world
                    .service
                    .sessions
                    .insert(*key, super::service::Container::default());
            });
            trouble(&|world| world.was_disturbed |= world.service.kill_runner(*key));
            trouble(&|world| world.was_disturbed |= world.service.remove_files(*key));
            trouble(&|world| world.was_disturbed |= world.service.deafen(*key));
        }
        next
    }

    /// The operator dies, and what it remembers with it.
    pub fn die(&mut self) {
        self.attempts.clear();
        self.leaving.clear();
        self.has_died = true;
        self.may_leak = true;
    }

    /// What a pass does next, with every fortune.
    pub(super) fn steps(&self) -> Vec<Self> {
        let mut world = self.clone();
        let plan = plan(&world.job, &world.facts(), world.now);
        match plan.step {
            None => {
                match plan.next {
                    Next::At(then) => world.now = world.now.max(then),
                    Next::AwaitChange => return Vec::new(),
                    Next::Resync(_) | Next::Poll { .. } | Next::After(_) | Next::Again => {
                        panic!("it waits for nothing: {plan:?}")
                    }
                }
                vec![world]
            }
            Some(JobStep::Run(key, command)) => {
                if let Command::Prepare { ticket, .. } = &command {
                    let claimed = world.job.status.iter().flat_map(|it| &it.attempts);
                    let mut claimed = claimed.map(|it| (it.number, &it.ticket));
                    assert!(
                        !claimed.any(|(number, of)| number == key.number || *of == ticket.0),
                        "what was claimed is prepared again"
                    );
                    assert!(
                        !world.job.spec.suspend && !world.job.spec.cancel,
                        "something begins that nobody wants: {self:#?}"
                    );
                    world.tickets += 1;
                }
                world.update(key, |state, now| state.issue(&command, PLACE, now));
                let sent = |world: &mut Self, event| {
                    world.update(key, |state, _| state.on(&command, event, &limits()).map(drop))
                };
                world.fortunes(&command, sent)
            }
            Some(JobStep::Write(verdict)) => {
                let mut stored = world.clone();
                stored.store(&verdict);
                let mut next = vec![stored.clone()];
                if world.troubles_left > 0 {
                    // Stored or not, its writer dies.
                    for mut world in [stored, world] {
                        world.troubles_left -= 1;
                        world.die();
                        next.push(world);
                    }
                }
                next
            }
            Some(JobStep::Leave(key, claim, farewell)) => {
                let state = world.attempts.get(&key).cloned();
                world.leaving.push(Leaving {
                    key,
                    claim,
                    state: state.unwrap_or_else(AttemptState::of_another_process),
                    farewell,
                });
                world.update(key, |state, _| state.has_left = true);
                vec![world]
            }
        }
    }

    fn update<T>(&mut self, key: AttemptKey, change: impl FnOnce(&mut AttemptState, Timestamp) -> T) -> T {
        let state = self.attempts.entry(key).or_insert_with(|| untouched(&self.job));
        change(state, self.now)
    }

    /// A command is carried out, or not; `sent` tells whoever sent it.
    fn fortunes<T>(&self, command: &Command, sent: impl Fn(&mut Self, Event) -> T) -> Vec<Self> {
        let asks = matches!(
            command,
            Command::Start { .. } | Command::Poll { .. } | Command::ReadEnd { .. }
        );
        let changes = !matches!(command, Command::ReadEnd { .. } | Command::Collect { .. });
        let mut next = Vec::new();
        for fortune in [
            Fortune::Answered,
            Fortune::AnswerLost,
            Fortune::NoFrame,
            Fortune::Refused,
            Fortune::Late,
            Fortune::Dropped,
            Fortune::Died,
            Fortune::DiedEarly,
        ] {
            let is_late = matches!(fortune, Fortune::Late | Fortune::Dropped | Fortune::DiedEarly);
            let is_possible = match fortune {
                Fortune::Answered => true,
                Fortune::NoFrame => asks && self.troubles_left > 0,
                _ if is_late => changes && self.troubles_left > 0,
                _ => self.troubles_left > 0,
            };
            if !is_possible {
                continue;
            }
            let mut world = self.clone();
            if fortune != Fortune::Answered {
                world.troubles_left -= 1;
            }
            if is_late {
                world.may_leak = true;
                world.service.on_their_way.push(command.clone());
            }
            let arrives = matches!(
                fortune,
                Fortune::Answered | Fortune::AnswerLost | Fortune::NoFrame | Fortune::Died
            );
            let answer = arrives.then(|| world.service.receive(command, world.now));
            if let (Command::Poll { window, .. }, Some(Event::Frame(report))) = (command, &answer)
                && matches!(report.state, ReportedState::Running { .. })
            {
                world.now += SignedDuration::try_from(*window).expect("a short time");
            }
            match (fortune, answer) {
                (Fortune::Answered, Some(answer)) => _ = sent(&mut world, answer),
                (Fortune::NoFrame, _) => _ = sent(&mut world, Event::NoFrame),
                (Fortune::AnswerLost | Fortune::Late, _) => _ = sent(&mut world, Event::Unanswered(problem())),
                (Fortune::Refused, _) => _ = sent(&mut world, Event::Failed(problem())),
                (Fortune::Died | Fortune::DiedEarly, _) => world.die(),
                (Fortune::Dropped | Fortune::Answered, _) => {}
            }
            next.push(world);
        }
        next
    }

    /// What becomes of an attempt that is left.
    pub(super) fn farewells(&self, index: usize) -> Vec<Self> {
        let mut world = self.clone();
        let Leaving {
            key,
            claim,
            state,
            farewell,
        } = &mut world.leaving[index];
        let slot = self.slot(*key);
        match state.leave(*key, claim.as_ref(), slot.as_ref(), *farewell, &limits(), world.now) {
            AfterEnd::Keep(_) => {
                world.service.leave(*key, world.has_died);
                world.reused += 1;
                world.leaving.remove(index);
                vec![world]
            }
            AfterEnd::Rest => {
                world.leaving.remove(index);
                vec![world]
            }
            AfterEnd::Wait(until) => {
                world.now = world.now.max(until);
                vec![world]
            }
            AfterEnd::Do(command) => {
                state.issue(&command, PLACE, world.now);
                world.fortunes(&command, |world, event| {
                    let leaving = world.leaving.get_mut(index);
                    leaving.map(|it| it.state.on(&command, event, &limits()).is_ok())
                })
            }
        }
    }

    fn store(&mut self, verdict: &JobVerdict) {
        if let Some(status) = status::status(&self.job, verdict, self.now) {
            assert_goes_on(self.job.status.as_ref(), &status);
            self.job.status = Some(status);
        }
    }
}

fn problem() -> Problem {
    Problem {
        class: Class::Transient,
        reason: "Unavailable".into(),
        message: String::new(),
    }
}
