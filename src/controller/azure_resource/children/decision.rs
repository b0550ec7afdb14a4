//! What happens next to the children of a resource.

use jiff::Timestamp;
use serde_json::Value;

use crate::api::azure_resource::{AdoptionPolicy, ManagementSpec};
use crate::api::condition::Reason;
use crate::azure::Difference;
use crate::controller::azure_resource::{Answer, SETTLING};
use crate::controller::readiness::Verdict;
use crate::runtime::requeue::REFUSED;

use super::{
    AnsweredWrite, Child, ChildStep, ChildWrite, ChildrenDecision, ChildrenState, contains, is_named, may_change,
    may_still_appear, may_write,
};
use crate::controller::azure_resource::age;

/// Decides for the children. `recorded` are the names that the status holds.
pub fn decide_children<C: Child>(
    spec: &ManagementSpec,
    recorded: &[String],
    children: &ChildrenState<C>,
    now: Timestamp,
) -> ChildrenDecision<C> {
    let Some(actual) = &children.actual else {
        return ChildrenDecision {
            problem: Some(Verdict::progressing(
                Reason::Creating,
                "Azure does not return the resource everywhere yet",
            )),
            is_settling: true,
            step: None,
            drift: Vec::new(),
        };
    };
    let mut found = Findings::default();
    if let Some(step) = found.check_removed(spec, recorded, children, actual, now) {
        return found.into_decision(Some(step), children);
    }
    let ready = found.check_wanted(spec, recorded, children, actual, now);
    let unrecorded: Vec<String> = ready
        .iter()
        .map(ChildWrite::name)
        .filter(|&name| !contains(recorded, name))
        .map(str::to_owned)
        .collect();
    let step = if unrecorded.is_empty() {
        first(ready, actual).map(ChildStep::Write)
    } else {
        Some(ChildStep::Record([recorded, &unrecorded].concat()))
    };
    found.into_decision(step, children)
}

#[derive(Default)]
struct Findings {
    foreign: Vec<String>,
    refused: Option<String>,
    is_settling: bool,
    drift: Vec<Difference>,
}

/// What an earlier answer says about a write.
enum Earlier {
    /// Nothing: it may be sent.
    Nothing,
    Refused(String),
    Settling,
    Ignored,
}

impl Findings {
    /// What the spec no longer names.
    fn check_removed<C: Child>(
        &mut self,
        spec: &ManagementSpec,
        recorded: &[String],
        children: &ChildrenState<C>,
        actual: &[C],
        now: Timestamp,
    ) -> Option<ChildStep<C>> {
        for name in recorded.iter().filter(|name| !contains(&children.named, name)) {
            let found = actual.iter().find(|it| is_named(*it, name));
            if !may_change(spec) {
                self.drift.extend(found.map(|it| Difference {
                    path: path::<C>(name),
                    desired: None,
                    actual: Some(it.properties()),
                }));
                continue;
            }
            if found.is_none() && !may_still_appear(children, name, now) {
                continue;
            }
            let delete = ChildWrite::Delete { name: name.clone() };
            match earlier(children, &delete, now) {
                Earlier::Nothing | Earlier::Settling | Earlier::Ignored => return Some(ChildStep::Write(delete)),
                Earlier::Refused(message) => self.refuse::<C>(name, &message),
            }
        }
        None
    }

    /// What the spec names; returns the writes that may be sent.
    fn check_wanted<C: Child>(
        &mut self,
        spec: &ManagementSpec,
        recorded: &[String],
        children: &ChildrenState<C>,
        actual: &[C],
        now: Timestamp,
    ) -> Vec<ChildWrite<C>> {
        let mut ready = Vec::new();
        for wanted in &children.wanted {
            let found = actual.iter().find(|it| is_named(*it, wanted.name()));
            let is_ours = contains(recorded, wanted.name()) || spec.adoption_policy != AdoptionPolicy::Never;
            match found {
                Some(found) if found.is_same(wanted) => continue,
                Some(_) if may_write(spec) && !is_ours => {
                    self.foreign.push(wanted.name().to_owned());
                    continue;
                }
                Some(_) if may_change(spec) => {}
                None if may_write(spec) => {}
                Some(_) | None => {
                    self.drift.extend(differences(wanted, found));
                    continue;
                }
            }
            let clash = actual
                .iter()
                .find(|it| !is_named(*it, wanted.name()) && it.clashes_with(wanted));
            let put = ChildWrite::Put {
                child: wanted.clone(),
                over: found.cloned(),
                clash: clash.map(|it| it.name().to_owned()),
            };
            match earlier(children, &put, now) {
                Earlier::Nothing => ready.push(put),
                Earlier::Refused(message) => self.refuse::<C>(wanted.name(), &message),
                Earlier::Settling => self.is_settling = true,
                Earlier::Ignored => self.drift.extend(differences(wanted, found)),
            }
        }
        ready
    }

    fn refuse<C: Child>(&mut self, name: &str, message: &str) {
        if self.refused.is_none() {
            self.refused = Some(format!("{} {name}: {message}", C::NOUN));
        }
    }

    fn into_decision<C: Child>(self, step: Option<ChildStep<C>>, children: &ChildrenState<C>) -> ChildrenDecision<C> {
        let problem = match (&step, &self.foreign[..]) {
            (Some(ChildStep::Record(_)), _) => Some(Verdict::progressing(
                Reason::Updating,
                format!("{}s are being written", C::NOUN),
            )),
            (Some(ChildStep::Write(ChildWrite::Put { child, .. })), _) => Some(Verdict::progressing(
                Reason::Updating,
                format!("{} {} is being written", C::NOUN, child.name()),
            )),
            (Some(ChildStep::Write(ChildWrite::Delete { name })), _) => Some(Verdict::progressing(
                Reason::Updating,
                format!("{} {name} is being removed", C::NOUN),
            )),
            (None, []) => None,
            (None, foreign) => Some(Verdict::stalled(
                Reason::AlreadyExists,
                format!(
                    "{}s of these names exist with other values and were not created by this object: {}. Set spec.adoptionPolicy to IfExists to overwrite them, or choose other names",
                    C::NOUN,
                    foreign.join(", ")
                ),
            )),
        };
        let refused = || Some(Verdict::stalled(Reason::Rejected, self.refused.clone()?));
        let withheld = || children.withheld.clone();
        let settling = || {
            let message = format!("Azure accepted {}s but does not return them yet", C::NOUN);
            self.is_settling
                .then(|| Verdict::progressing(Reason::Updating, message))
        };
        ChildrenDecision {
            problem: problem.or_else(refused).or_else(withheld).or_else(settling),
            step,
            is_settling: self.is_settling,
            drift: self.drift,
        }
    }
}

/// The write to begin with: one that no other child clashes with. Where all wait for each other, as when
/// two are exchanged, one that is about to be replaced is removed first.
fn first<C: Child>(ready: Vec<ChildWrite<C>>, actual: &[C]) -> Option<ChildWrite<C>> {
    let clash_of = |write: &ChildWrite<C>| match write {
        ChildWrite::Put { clash, .. } => clash.clone(),
        ChildWrite::Delete { .. } => None,
    };
    if let Some(free) = ready.iter().position(|it| clash_of(it).is_none()) {
        return ready.into_iter().nth(free);
    }
    let in_the_way = ready
        .iter()
        .filter_map(clash_of)
        .find(|name| ready.iter().any(|it| it.name().eq_ignore_ascii_case(name)));
    match in_the_way {
        Some(name) if actual.iter().any(|it| is_named(it, &name)) => Some(ChildWrite::Delete { name }),
        // Azure says what is wrong.
        Some(_) | None => ready.into_iter().next(),
    }
}

fn earlier<C: Child>(children: &ChildrenState<C>, write: &ChildWrite<C>, now: Timestamp) -> Earlier {
    let key = write.name().to_ascii_lowercase();
    let is_this = |last: &&AnsweredWrite<C>| last.write == *write && last.request == children.request;
    let Some(last) = children.history.get(&key).filter(is_this) else {
        return Earlier::Nothing;
    };
    let age = age(last.at, now);
    match &last.answer {
        Answer::Refused { message, .. } if children.pace.at_full(age) < REFUSED.pause(last.refusals) => {
            Earlier::Refused(message.clone())
        }
        Answer::Accepted if last.has_shown => Earlier::Nothing,
        Answer::Accepted if age < SETTLING => Earlier::Settling,
        // What Azure keeps its own way would be written again and again for nothing.
        Answer::Accepted if age < REFUSED.most => match write {
            ChildWrite::Put { over: Some(_), .. } => Earlier::Ignored,
            ChildWrite::Put { over: None, .. } | ChildWrite::Delete { .. } => Earlier::Nothing,
        },
        Answer::Refused { .. } | Answer::Accepted => Earlier::Nothing,
    }
}

fn differences<C: Child>(wanted: &C, found: Option<&C>) -> Vec<Difference> {
    let Some(found) = found else {
        return vec![Difference {
            path: path::<C>(wanted.name()),
            desired: Some(wanted.properties()),
            actual: None,
        }];
    };
    let (desired, actual) = (wanted.properties(), found.properties());
    let members: Vec<String> = desired
        .as_object()
        .into_iter()
        .flat_map(|it| it.keys().cloned())
        .collect();
    members
        .iter()
        .map(String::as_str)
        .filter(|&member| desired[member] != actual[member])
        .map(|member| Difference {
            path: format!("{}.{member}", path::<C>(wanted.name())),
            desired: Some(desired[member].clone()),
            actual: Some(actual[member].clone()).filter(|it| *it != Value::Null),
        })
        .collect()
}

fn path<C: Child>(name: &str) -> String {
    format!("{}[{name}]", C::PATH)
}
