mod reuse;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::bill::hours_begun;
use super::ledger::{Applicant, Ledger};
use super::line::{QueuePosition, WaitsFor};
use super::places::Expected;
use super::telling::{A_SECOND, Allowance, Pacer, round};
use crate::runtime::Key;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

/// A job of a namespace, whose name is its uid.
pub fn job(namespace: &str, uid: &str) -> Applicant {
    Applicant {
        key: Key::new(namespace, uid),
        uid: uid.to_owned(),
        priority: 0,
        created: at(0),
        share: None,
        wish: None,
        told: None,
    }
}

fn expected(namespace: &str) -> Expected {
    Expected {
        namespace: namespace.to_owned(),
        tenancy: None,
    }
}

pub fn ledger(capacity: u32) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.set_capacity(Some(capacity));
    ledger
}

/// Gives back what was given, and returns who has a turn now.
fn next(ledger: &mut Ledger, number: u64) -> Vec<String> {
    ledger.give_back(number, at(1));
    ledger.advance(at(1)).into_iter().map(|it| it.name).collect()
}

/// The order in which those that wait are served, one after the other.
fn order(ledger: &mut Ledger, mut number: u64) -> Vec<String> {
    let mut order = Vec::new();
    loop {
        let woken = next(ledger, number);
        let [name] = &woken[..] else { return order };
        let namespace = if name.starts_with('a') { "a" } else { "b" };
        number = ledger.ask(&job(namespace, name), at(1)).0.expect("it is its turn");
        order.push(name.clone());
    }
}

#[test]
fn a_pool_is_given_away_to_its_last_session_and_a_freed_one_wakes_exactly_the_next() {
    let mut ledger = ledger(2);
    let first = ledger.ask(&job("a", "a1"), at(0)).0.expect("a session");
    assert!(ledger.ask(&job("a", "a2"), at(0)).0.is_some());
    assert!(ledger.ask(&job("a", "a3"), at(0)).0.is_none());
    assert!(ledger.ask(&job("a", "a4"), at(0)).0.is_none());
    assert_eq!(next(&mut ledger, first), ["a3"]);
    assert!(
        ledger.ask(&job("a", "a4"), at(1)).0.is_none(),
        "the turn is kept for whom it was given to"
    );
    assert!(ledger.ask(&job("a", "a3"), at(1)).0.is_some());
}

#[test]
fn a_higher_priority_goes_first_among_the_jobs_of_its_namespace_then_the_older_job() {
    let mut ledger = ledger(1);
    let first = ledger.ask(&job("a", "a"), at(0)).0.expect("a session");
    for (name, priority, created) in [("a1", 0, 5), ("a2", 0, 3), ("a3", 7, 9), ("a4", -1, 1), ("a5", 7, 8)] {
        let (created, priority) = (at(created), priority);
        ledger.ask(
            &Applicant {
                priority,
                created,
                ..job("a", name)
            },
            at(9),
        );
    }
    assert_eq!(order(&mut ledger, first), ["a5", "a3", "a2", "a1", "a4"]);
}

#[test]
fn a_changed_priority_counts_from_the_next_pass_on() {
    let mut ledger = ledger(1);
    let first = ledger.ask(&job("a", "a"), at(0)).0.expect("a session");
    ledger.ask(&job("a", "a1"), at(0));
    ledger.ask(&job("a", "a2"), at(0));
    ledger.ask(
        &Applicant {
            priority: 1,
            ..job("a", "a2")
        },
        at(0),
    );
    assert_eq!(ledger.queued(), 2);
    assert_eq!(order(&mut ledger, first), ["a2", "a1"]);
}

#[test]
fn namespaces_take_turns_whatever_the_number_and_the_priority_of_their_jobs() {
    let mut ledger = ledger(1);
    let first = ledger.ask(&job("a", "a"), at(0)).0.expect("a session");
    for name in ["a1", "a2", "a3"] {
        ledger.ask(
            &Applicant {
                priority: 1000,
                ..job("a", name)
            },
            at(0),
        );
    }
    ledger.ask(&job("b", "b1"), at(0));
    ledger.ask(&job("b", "b2"), at(0));
    assert_eq!(order(&mut ledger, first), ["b1", "a1", "b2", "a2", "a3"]);
}

#[test]
fn a_namespace_has_no_more_than_its_share_and_delays_nobody_by_waiting_for_it() {
    let mut ledger = ledger(4);
    let guest = |uid: &str| Applicant {
        share: Some(1),
        ..job("a", uid)
    };
    let first = ledger.ask(&guest("a1"), at(0)).0.expect("a session");
    assert!(ledger.ask(&guest("a2"), at(0)).0.is_none());
    let told = round(&ledger, &mut A_SECOND.clone(), at(5)).tell;
    assert_eq!(told[0].2.waits_for, WaitsFor::Share, "{told:?}");
    assert!(ledger.ask(&job("b", "b1"), at(0)).0.is_some());
    assert!(ledger.ask(&job("b", "b2"), at(0)).0.is_some());
    assert_eq!(next(&mut ledger, first), ["a2"]);
}

#[test]
fn sessions_of_others_and_of_jobs_that_are_not_come_to_yet_are_taken() {
    let mut ledger = ledger(3);
    ledger.set_foreign(1);
    ledger.expect("a0", expected("a"));
    assert!(ledger.ask(&job("a", "a1"), at(0)).0.is_some());
    assert!(ledger.ask(&job("a", "a2"), at(0)).0.is_none());
    // It counts for the share of its namespace.
    let guest = Applicant {
        share: Some(1),
        ..job("guest", "g1")
    };
    let mut shared = self::ledger(3);
    shared.expect("g0", expected("guest"));
    assert!(shared.ask(&guest, at(0)).0.is_none());
    assert!(shared.withdraw("g0", at(0)), "its job went before it was come to");
    assert!(!shared.withdraw("nobody", at(0)));
    assert_eq!(shared.advance(at(0)), [guest.key]);
    // One that is come to is what it was.
    let number = ledger.occupy("a", "a0", None, at(0), at(0));
    assert!(ledger.advance(at(0)).is_empty());
    assert_eq!(next(&mut ledger, number), ["a2"]);
}

#[test]
fn whoever_goes_leaves_its_turn_to_the_next() {
    let mut ledger = ledger(1);
    let first = ledger.ask(&job("a", "a1"), at(0)).0.expect("a session");
    ledger.ask(&job("a", "a2"), at(0));
    ledger.ask(&job("a", "a3"), at(0));
    assert_eq!(next(&mut ledger, first), ["a2"]);
    ledger.withdraw("a2", at(1));
    let woken: Vec<_> = ledger.advance(at(1)).into_iter().map(|it| it.name).collect();
    assert_eq!(woken, ["a3"]);
    ledger.withdraw("a3", at(1));
    assert!(ledger.is_idle());
}

#[test]
fn a_pool_that_refuses_is_tried_again_later_and_later_by_one_job_at_a_time() {
    let mut ledger = ledger(10);
    let mut numbers: Vec<u64> = (0..4)
        .map(|it| ledger.ask(&job("a", &format!("a{it}")), at(0)).0.expect("a session"))
        .collect();
    // All of them are refused together, which counts once.
    for number in numbers.drain(..) {
        ledger.on_refused(None, at(0));
        ledger.give_back(number, at(0));
    }
    let mut tries = Vec::new();
    let mut now = 0;
    for it in 0..4 {
        assert!(ledger.ask(&job("a", &format!("a{it}")), at(0)).0.is_none());
    }
    while tries.len() < 6 {
        let woken = ledger.advance(at(now));
        assert!(woken.len() <= 1, "at {now}: {woken:?}");
        for key in woken {
            let number = ledger.ask(&job("a", &key.name), at(now)).0.expect("it is its turn");
            tries.push(now);
            ledger.on_refused(None, at(now));
            ledger.give_back(number, at(now));
            assert!(ledger.ask(&job("a", &key.name), at(now)).0.is_none());
        }
        now += 1;
    }
    assert_eq!(tries, [1, 3, 7, 15, 31, 61]);
    assert!(ledger.is_refusing());
    // The first success ends that, by twice as many at a time.
    let key = ledger.advance(at(91)).remove(0);
    let number = ledger.ask(&job("a", &key.name), at(91)).0.expect("it is its turn");
    assert!(ledger.advance(at(91)).is_empty());
    ledger.on_allocated(number, at(91));
    assert!(!ledger.is_refusing());
    assert_eq!(ledger.advance(at(91)).len(), 2);
}

#[test]
fn what_is_given_back_may_be_asked_for_at_once_although_the_pool_refused() {
    let mut ledger = ledger(10);
    let had = ledger.ask(&job("a", "a1"), at(0)).0.expect("a session");
    ledger.on_allocated(had, at(0));
    let refused = ledger.ask(&job("a", "a2"), at(0)).0.expect("a turn");
    ledger.on_refused(Some(Duration::from_mins(1)), at(0));
    ledger.give_back(refused, at(0));
    assert!(ledger.ask(&job("a", "a2"), at(0)).0.is_none());
    assert!(ledger.ask(&job("a", "a3"), at(0)).0.is_none());
    assert_eq!(ledger.opens_at(at(0)), Some(at(60)));
    assert_eq!(next(&mut ledger, had), ["a2"]);
}

#[test]
fn positions_are_told_when_they_are_near_or_have_halved_and_not_too_often() {
    let mut ledger = ledger(1);
    let mut number = ledger.ask(&job("a", "a"), at(0)).0.expect("a session");
    let names: Vec<String> = (0..40).map(|it| format!("a{it:02}")).collect();
    for name in &names {
        ledger.ask(&job("a", name), at(0));
    }
    let tell = |ledger: &mut Ledger, seconds: i64| {
        let mut allowance = A_SECOND;
        let round = round(ledger, &mut allowance, at(seconds));
        for (uid, _, told) in &round.tell {
            ledger.tell(uid, *told, at(seconds));
        }
        let told: Vec<_> = round
            .tell
            .iter()
            .map(|(uid, _, told)| (uid.clone(), told.position))
            .collect();
        (told, round.is_more)
    };
    assert_eq!(tell(&mut ledger, 0), (vec![], true), "it may be over in a second");
    let (told, is_more) = tell(&mut ledger, 1);
    assert_eq!(
        (told.len(), told[0].clone(), is_more),
        (A_SECOND.first, ("a00".to_owned(), 1), true)
    );
    assert_eq!(tell(&mut ledger, 2).0.len(), names.len() - A_SECOND.first);
    assert_eq!(tell(&mut ledger, 3), (vec![], false), "there is nothing new");
    for _ in 0..2 {
        let woken = next(&mut ledger, number);
        number = ledger.ask(&job("a", &woken[0]), at(3)).0.expect("it is its turn");
    }
    assert_eq!(tell(&mut ledger, 4), (vec![], true), "not so soon");
    let (told, is_more) = tell(&mut ledger, 40);
    let near: Vec<_> = (2..12).map(|it| (format!("a{it:02}"), it - 1)).collect();
    assert_eq!((told, is_more), (near, false));
}

#[test]
fn all_jobs_together_are_told_so_much_a_second_however_many_rounds_there_are() {
    let mut ledger = ledger(0);
    for it in 0..A_SECOND.first * 3 {
        ledger.ask(&job("a", &format!("a{it:02}")), at(0));
    }
    let mut pacer = Pacer::default();
    let mut told_by = |milliseconds: i64| {
        let now = at(5) + SignedDuration::from_millis(milliseconds);
        let round = round(&ledger, &mut pacer.allowance(now), now);
        assert!(round.is_more, "the others have to be told later");
        for (uid, _, told) in &round.tell {
            ledger.tell(uid, *told, now);
        }
        round.tell.len()
    };
    let told: Vec<_> = [0, 50, 999, 1000, 1001].map(&mut told_by).into();
    assert_eq!(told, [A_SECOND.first, 0, 0, A_SECOND.first, 0]);
}

#[test]
fn whoever_was_told_before_the_operator_was_started_anew_is_told_again_only_of_news() {
    let told = |position| QueuePosition {
        position,
        of: 30,
        estimate: None,
        waits_for: WaitsFor::Place,
    };
    let mut ledger = ledger(0);
    for (number, position) in [(1, 1), (2, 4), (3, 20)] {
        let known = Applicant {
            told: Some(told(position)),
            ..job("a", &format!("a{number}"))
        };
        ledger.ask(&known, at(0));
    }
    ledger.ask(&job("a", "a4"), at(0));
    let told_at = |seconds| {
        let round = round(&ledger, &mut A_SECOND.clone(), at(seconds));
        let uids = round.tell.into_iter().map(|(uid, ..)| uid);
        uids.collect::<Vec<_>>()
    };
    assert_eq!(told_at(2), ["a4"]);
    assert_eq!(told_at(40), ["a2", "a3", "a4"]);
}

#[test]
fn an_estimate_is_made_from_how_often_turns_come() {
    let mut ledger = ledger(1);
    let mut number = ledger.ask(&job("a", "a"), at(0)).0.expect("a session");
    for it in 0..20 {
        ledger.ask(&job("a", &format!("a{it:02}")), at(0));
    }
    let estimate = |ledger: &Ledger, now: i64| {
        let mut allowance = Allowance { first: 100, again: 100 };
        let round = round(ledger, &mut allowance, at(now));
        round.tell.last().and_then(|(_, _, told)| told.estimate)
    };
    assert_eq!(estimate(&ledger, 10), None);
    for seconds in (10..).step_by(10).take(6) {
        ledger.give_back(number, at(seconds));
        let key = ledger.advance(at(seconds)).remove(0);
        number = ledger.ask(&job("a", &key.name), at(seconds)).0.expect("it is its turn");
    }
    // Fourteen are left, and one has its turn every ten seconds.
    assert_eq!(estimate(&ledger, 60), Some(at(60 + 140)));
}

#[test]
fn each_session_costs_every_hour_that_was_begun() {
    for (seconds, hours) in [(0, 1), (1, 1), (3599, 1), (3600, 2), (7199, 2), (-5, 1)] {
        assert_eq!(hours_begun(at(0), at(seconds)), hours, "{seconds}");
    }
    let mut ledger = ledger(5);
    let short = ledger.ask(&job("a", "a1"), at(0)).0.expect("a session");
    let long = ledger.ask(&job("b", "b1"), at(0)).0.expect("a session");
    let never = ledger.ask(&job("b", "b2"), at(0)).0.expect("a session");
    // It had been there for an hour and a half, which the bill that was found has.
    let old = ledger.occupy("b", "b3", None, at(-5400), at(0));
    for number in [short, long] {
        ledger.on_allocated(number, at(0));
    }
    ledger.give_back(short, at(2));
    ledger.give_back(never, at(2));
    ledger.give_back(old, at(1801));
    let bill = ledger.bill(at(3700));
    assert_eq!(bill.hours().collect::<Vec<_>>(), [("a", 1), ("b", 2 + 1)]);
}

/// What a ledger is held to: the same, said as simply as can be.
#[derive(Default)]
struct Reference {
    capacity: usize,
    share: Option<usize>,
    /// By namespace, the jobs that wait, in order.
    waiting: BTreeMap<usize, BTreeSet<(i32, usize)>>,
    /// Numbers and namespaces of what is held.
    held: BTreeMap<u64, usize>,
    served: BTreeMap<usize, u64>,
}

impl Reference {
    fn has(&self, namespace: usize) -> usize {
        self.held.values().filter(|it| **it == namespace).count()
    }

    /// Who is next, if anybody can be.
    fn next(&self) -> Option<(usize, usize)> {
        if self.held.len() >= self.capacity {
            return None;
        }
        let may = |namespace: &usize| self.share.is_none_or(|it| self.has(*namespace) < it);
        let waiting = self
            .waiting
            .iter()
            .filter(|(namespace, it)| !it.is_empty() && may(namespace));
        let (namespace, line) =
            waiting.min_by_key(|(it, _)| (self.has(**it), self.served.get(it).copied().unwrap_or(0), **it))?;
        Some((*namespace, line.first().expect("somebody waits").1))
    }
}

#[derive(Debug, Clone)]
enum Move {
    Ask {
        namespace: usize,
        priority: i32,
    },
    GiveBack(prop::sample::Index),
    Withdraw(prop::sample::Index),
    /// Gives back what is held for the longest.
    Drain,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (0_usize..4, -2_i32..3).prop_map(|(namespace, priority)| Move::Ask { namespace, priority }),
        2 => any::<prop::sample::Index>().prop_map(Move::GiveBack),
        1 => any::<prop::sample::Index>().prop_map(Move::Withdraw),
    ];
    prop::collection::vec(one, 0..120)
}

fn name(uid: usize) -> String {
    format!("{uid:04}")
}

proptest! {
    #[test]
    fn a_ledger_does_what_the_reference_does_is_never_above_the_maximum_and_leaves_nobody_waiting(
        moves in moves(), capacity in 1_usize..6, share in prop::option::of(1_usize..4),
    ) {
        let mut ledger = ledger(u32::try_from(capacity).unwrap());
        let mut reference = Reference { capacity, share, ..Reference::default() };
        let mut jobs: Vec<(usize, i32)> = Vec::new();
        let applicant = |uid: usize, (namespace, priority): (usize, i32)| Applicant {
            priority,
            share: share.and_then(|it| u32::try_from(it).ok()),
            ..job(&namespace.to_string(), &name(uid))
        };
        let mut woken: Vec<Key> = Vec::new();
        for step in moves.into_iter().chain(std::iter::repeat_n(Move::Drain, 200)) {
            match step {
                Move::Ask { namespace, priority } => {
                    jobs.push((namespace, priority));
                    let uid = jobs.len() - 1;
                    reference.waiting.entry(namespace).or_default().insert((-priority, uid));
                    let (number, others) = ledger.ask(&applicant(uid, jobs[uid]), at(0));
                    prop_assert!(others.is_empty(), "whoever could go has gone");
                    let expected = reference.next();
                    prop_assert_eq!(number.is_some(), expected.is_some_and(|(_, it)| it == uid));
                    if let Some(number) = number {
                        reference.waiting.get_mut(&namespace).unwrap().remove(&(-priority, uid));
                        reference.held.insert(number, namespace);
                        reference.served.insert(namespace, number);
                    }
                }
                Move::GiveBack(_) | Move::Drain if !reference.held.is_empty() => {
                    let index = if let Move::GiveBack(it) = step { it.index(reference.held.len()) } else { 0 };
                    let number = *reference.held.keys().nth(index).unwrap();
                    reference.held.remove(&number);
                    ledger.give_back(number, at(0));
                    woken.extend(ledger.advance(at(0)));
                }
                Move::Withdraw(index) if ledger.queued() > 0 => {
                    let all: Vec<_> = reference.waiting.iter().flat_map(|(it, line)| line.iter().map(move |job| (*it, *job))).collect();
                    let (namespace, rank) = all[index.index(all.len())];
                    reference.waiting.get_mut(&namespace).unwrap().remove(&rank);
                    ledger.withdraw(&name(rank.1), at(0));
                    woken.extend(ledger.advance(at(0)));
                }
                Move::GiveBack(_) | Move::Withdraw(_) | Move::Drain => {}
            }
            for key in woken.drain(..) {
                let (namespace, uid) = reference.next().expect("somebody can go");
                prop_assert_eq!(&key.name, &name(uid));
                let number = ledger.ask(&applicant(uid, jobs[uid]), at(0)).0.expect("it is its turn");
                reference.waiting.get_mut(&namespace).unwrap().remove(&(-jobs[uid].1, uid));
                reference.held.insert(number, namespace);
                reference.served.insert(namespace, number);
            }
            prop_assert_eq!(reference.next(), None, "whoever can go goes");
            prop_assert!(ledger.in_use() <= capacity);
            prop_assert_eq!(ledger.in_use(), reference.held.len());
            prop_assert_eq!(ledger.queued(), reference.waiting.values().map(BTreeSet::len).sum::<usize>());
        }
        prop_assert!(ledger.is_idle(), "{ledger:?}");
    }

    /// What is told of a position is how many turns are given until it has its own, if nobody else comes and what is held stays held.
    #[test]
    fn a_position_is_the_number_of_turns_until_the_own_one(
        jobs in prop::collection::vec((0_usize..4, -2_i32..3), 1..40), held in prop::collection::vec(0_usize..4, 0..12),
    ) {
        let mut ledger = ledger(0);
        for namespace in &held {
            ledger.occupy(&namespace.to_string(), "x", None, at(0), at(0));
        }
        for (uid, (namespace, priority)) in jobs.iter().enumerate() {
            let asked = Applicant { priority: *priority, ..job(&namespace.to_string(), &name(uid)) };
            prop_assert!(ledger.ask(&asked, at(0)).0.is_none());
        }
        let mut told = round(&ledger, &mut Allowance { first: 1000, again: 0 }, at(0) + SignedDuration::from_secs(5)).tell;
        told.sort_by_key(|(_, _, told)| told.position);
        let told: Vec<_> = told.into_iter().map(|(uid, ..)| uid).collect();
        ledger.set_capacity(Some(u32::MAX));
        let served: Vec<_> = ledger.advance(at(5)).into_iter().map(|it| it.name).collect();
        prop_assert_eq!(told, served);
    }
}
