//! Sessions that are left for other jobs: who gets them, who makes room, and when they end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::kept::KeptSession;
use super::super::ledger::{Applicant, Ledger};
use super::super::line::{WaitsFor, Wish};
use super::super::places::Expected;
use super::super::telling::{A_SECOND, round};
use super::{at, job, ledger};
use crate::controller::command_job::attempt::{KeptFor, Tenancy};
use crate::controller::operator_key::OperatorKey;

fn tenancy(namespace: &str, kept_for: KeptFor, key: &str) -> Tenancy {
    Tenancy::derive(&OperatorKey::new([1; 32]), "p", namespace, ("a", "b"), kept_for, key)
}

fn wishing(namespace: &str, uid: &str, tenancy: Tenancy, most_jobs: Option<u32>) -> Applicant {
    Applicant {
        wish: Some(Wish {
            tenancy,
            idle_seconds: None,
            most_jobs,
        }),
        ..job(namespace, uid)
    }
}

/// A job whose session may be one that was left.
fn reusing(namespace: &str, uid: &str) -> Applicant {
    wishing(namespace, uid, tenancy(namespace, KeptFor::AnyCommand, ""), None)
}

/// A job in the session of a key.
fn sharing(namespace: &str, uid: &str, key: &str) -> Applicant {
    wishing(namespace, uid, tenancy(namespace, KeptFor::OneKey, key), None)
}

fn left(jobs: u32, idle: Option<u64>) -> KeptSession {
    KeptSession {
        baseline: None,
        earlier: None,
        jobs,
        most_jobs: None,
        idle: idle.map(Duration::from_secs),
    }
}

/// Gives the job a session, which it leaves at once.
fn left_by(ledger: &mut Ledger, applicant: &Applicant, idle: Option<u64>) -> u64 {
    let number = ledger.ask(applicant, at(0)).0.expect("a session");
    ledger.on_allocated(number, at(0));
    assert!(ledger.keep(number, &left(1, idle), at(0)));
    number
}

#[test]
fn the_next_job_of_the_same_tenancy_gets_the_session_that_was_left_and_no_other_job_does() {
    let mut ledger = ledger(2);
    let number = left_by(&mut ledger, &reusing("a", "a1"), None);
    assert_eq!((ledger.in_use(), ledger.kept()), (0, 1));
    let other = ledger.ask(&reusing("b", "b1"), at(0)).0.expect("a session");
    assert_ne!(other, number);
    assert_eq!(ledger.ask(&reusing("a", "a2"), at(0)).0, Some(number));
    assert_eq!((ledger.in_use(), ledger.kept()), (2, 0));
}

#[test]
fn a_session_that_is_kept_ends_for_a_job_that_waits_and_may_not_have_it() {
    let mut ledger = ledger(2);
    let first = left_by(&mut ledger, &reusing("a", "a1"), None);
    let held = ledger.ask(&job("a", "a2"), at(0)).0.expect("a session");
    assert!(ledger.ask(&job("b", "b1"), at(0)).0.is_none());
    assert_eq!(ledger.take_retired(), [first]);
    assert_eq!(ledger.take_retired(), [0; 0], "it is told once");
    assert!(
        ledger.ask(&reusing("a", "a3"), at(0)).0.is_none(),
        "it is nobody's any more"
    );
    ledger.give_back(first, at(1));
    assert_eq!(ledger.advance(at(1)), [job("b", "b1").key]);
    ledger.give_back(held, at(2));
    assert_eq!(ledger.advance(at(2)), [job("a", "a3").key]);
}

#[test]
fn no_more_sessions_end_than_jobs_wait_for_their_places() {
    let mut ledger = ledger(3);
    for uid in ["a1", "a2", "a3"] {
        let number = ledger.ask(&reusing("a", uid), at(0)).0.expect("a session");
        ledger.on_allocated(number, at(0));
    }
    for number in 1..=3 {
        assert!(ledger.keep(number, &left(1, None), at(0)));
    }
    assert!(ledger.ask(&job("b", "b1"), at(0)).0.is_none());
    for _ in 0..3 {
        ledger.advance(at(0));
    }
    assert_eq!(ledger.take_retired().len(), 1);
    // Those that are left are still given to whoever may have them.
    assert!(ledger.ask(&reusing("a", "a4"), at(0)).0.is_some());
    assert!(ledger.ask(&job("b", "b2"), at(0)).0.is_none());
    assert_eq!(ledger.take_retired().len(), 1);
}

#[test]
fn the_session_that_was_used_the_most_is_used_on_and_not_by_more_jobs_than_may() {
    let mut ledger = ledger(3);
    let numbers = ["a1", "a2"].map(|uid| {
        let number = ledger.ask(&reusing("a", uid), at(0)).0.expect("a session");
        ledger.on_allocated(number, at(0));
        number
    });
    assert!(ledger.keep(numbers[0], &left(5, None), at(0)));
    assert!(ledger.keep(numbers[1], &left(2, None), at(0)));
    let most = |uid: &str, most| wishing("a", uid, tenancy("a", KeptFor::AnyCommand, ""), Some(most));
    assert_eq!(
        ledger.ask(&most("a3", 5), at(0)).0,
        Some(numbers[1]),
        "five have had the other one"
    );
    assert_eq!(ledger.ask(&most("a4", 6), at(0)).0, Some(numbers[0]));
}

#[test]
fn a_session_that_is_kept_ends_before_its_next_hour_or_when_it_was_idle_for_long_enough() {
    let mut ledger = ledger(3);
    let paid = left_by(&mut ledger, &reusing("a", "a1"), None);
    let idle = left_by(&mut ledger, &sharing("a", "a2", "k"), Some(60));
    assert_eq!(ledger.opens_at(at(0)), Some(at(60)));
    ledger.advance(at(59));
    assert_eq!(ledger.take_retired(), [0; 0]);
    ledger.advance(at(60));
    assert_eq!(ledger.take_retired(), [idle]);
    assert_eq!(ledger.opens_at(at(60)), Some(at(3570)));
    ledger.advance(at(3570));
    assert_eq!(ledger.take_retired(), [paid]);
    assert_eq!(
        (ledger.in_use(), ledger.kept()),
        (2, 0),
        "they hold their places until they are gone"
    );
}

#[test]
fn the_session_of_a_key_is_one_for_all_and_its_files_end_for_nobody() {
    let mut ledger = ledger(2);
    let first = ledger.ask(&sharing("a", "a1", "k"), at(0)).0.expect("a session");
    ledger.on_allocated(first, at(0));
    assert!(ledger.ask(&sharing("a", "a2", "k"), at(0)).0.is_none(), "one at a time");
    let told = round(&ledger, &mut A_SECOND.clone(), at(5)).tell;
    assert_eq!(told[0].2.waits_for, WaitsFor::Session, "{told:?}");
    assert!(
        ledger.ask(&sharing("a", "a3", "other"), at(0)).0.is_some(),
        "that is another one"
    );
    assert!(ledger.keep(first, &left(1, Some(300)), at(1)));
    assert_eq!(ledger.advance(at(1)), [job("a", "a2").key]);
    assert_eq!(ledger.ask(&sharing("a", "a2", "k"), at(1)).0, Some(first));
    assert!(ledger.keep(first, &left(2, Some(300)), at(2)));
    assert!(ledger.ask(&job("b", "b1"), at(2)).0.is_none());
    assert_eq!(ledger.take_retired(), [0; 0]);
}

#[test]
fn a_namespace_at_its_share_goes_on_in_the_session_that_it_shares() {
    let mut ledger = ledger(5);
    let guest = |uid: &str| Applicant {
        share: Some(1),
        ..sharing("a", uid, "k")
    };
    let number = left_by(&mut ledger, &guest("a1"), Some(300));
    let another = Applicant {
        share: Some(1),
        ..job("a", "a2")
    };
    assert!(ledger.ask(&another, at(1)).0.is_none(), "it has its share");
    assert_eq!(ledger.ask(&guest("a3"), at(1)).0, Some(number));
}

#[test]
fn a_job_that_does_not_come_for_the_session_that_was_left_leaves_it_to_the_next() {
    let mut ledger = ledger(1);
    let number = ledger.ask(&reusing("a", "a1"), at(0)).0.expect("a session");
    ledger.on_allocated(number, at(0));
    for uid in ["a2", "a3"] {
        assert!(ledger.ask(&reusing("a", uid), at(0)).0.is_none());
    }
    assert!(ledger.keep(number, &left(1, None), at(1)));
    assert_eq!(ledger.advance(at(1)), [job("a", "a2").key]);
    assert!(ledger.withdraw("a2", at(1)));
    assert_eq!(ledger.advance(at(1)), [job("a", "a3").key]);
    assert_eq!(ledger.ask(&reusing("a", "a3"), at(1)).0, Some(number));
}

#[test]
fn until_it_is_known_which_sessions_were_left_only_jobs_that_may_have_none_of_them_get_one() {
    let mut ledger = ledger(3);
    ledger.hold_wishes(true);
    assert!(ledger.ask(&reusing("a", "a1"), at(0)).0.is_none());
    assert!(ledger.ask(&job("a", "a2"), at(0)).0.is_some());
    ledger.hold_wishes(false);
    assert_eq!(ledger.advance(at(0)), [job("a", "a1").key]);
}

#[test]
fn a_key_is_busy_while_a_job_has_its_session_that_is_not_come_to_yet() {
    let mut ledger = ledger(3);
    let tenancy = tenancy("a", KeptFor::OneKey, "k");
    let expected = Expected {
        namespace: "a".to_owned(),
        tenancy: Some(tenancy.clone()),
    };
    ledger.expect("a1", expected);
    assert!(ledger.ask(&sharing("a", "a2", "k"), at(0)).0.is_none());
    let number = ledger.occupy("a", "a1", Some(tenancy), at(0), at(0));
    assert!(ledger.advance(at(0)).is_empty());
    assert!(ledger.keep(number, &left(1, Some(300)), at(1)));
    assert_eq!(ledger.advance(at(1)), [job("a", "a2").key]);
}

#[test]
fn the_hours_of_a_session_are_those_of_the_namespace_that_has_it() {
    let mut ledger = ledger(2);
    let number = left_by(&mut ledger, &reusing("a", "a1"), None);
    let hours = |ledger: &Ledger, now| {
        ledger
            .bill(at(now))
            .hours()
            .map(|(it, hours)| (it.to_owned(), hours))
            .collect::<Vec<_>>()
    };
    assert_eq!(hours(&ledger, 3000), [("a".to_owned(), 1)]);
    ledger.on_replaced(number, at(3000));
    assert_eq!(hours(&ledger, 3001), [("a".to_owned(), 2)]);
    ledger.give_back(number, at(3001));
    assert_eq!(hours(&ledger, 90_000), [("a".to_owned(), 2)]);
}

/// Something that happens to a pool.
#[derive(Clone, Debug)]
enum Move {
    Ask {
        namespace: usize,
        wish: usize,
    },
    /// A job ends, and leaves its session or not.
    End(prop::sample::Index, bool),
    Withdraw(prop::sample::Index),
    /// A session that was to end has ended.
    Gone(prop::sample::Index),
    Pass(i64),
}

fn a_move() -> impl Strategy<Value = Move> {
    let any_index = || any::<prop::sample::Index>();
    prop_oneof![
        5 => (0_usize..3, 0_usize..4).prop_map(|(namespace, wish)| Move::Ask { namespace, wish }),
        4 => (any_index(), any::<bool>()).prop_map(|(index, keeps)| Move::End(index, keeps)),
        1 => any_index().prop_map(Move::Withdraw),
        2 => any_index().prop_map(Move::Gone),
        1 => (1_i64..400).prop_map(Move::Pass),
    ]
}

fn applicant(uid: usize, (namespace, wish): (usize, usize)) -> Applicant {
    let (namespace, uid) = (namespace.to_string(), format!("{uid:04}"));
    match wish {
        0 => job(&namespace, &uid),
        1 => reusing(&namespace, &uid),
        key => sharing(&namespace, &uid, &key.to_string()),
    }
}

/// What is known of the pool by watching it.
#[derive(Default)]
struct Watched {
    jobs: Vec<(usize, usize)>,
    /// Who has which place.
    has: BTreeMap<u64, usize>,
    kept: BTreeMap<u64, Tenancy>,
    ending: BTreeSet<u64>,
    waiting: BTreeSet<usize>,
    now: i64,
}

impl Watched {
    fn wish(&self, uid: usize) -> Option<Wish> {
        applicant(uid, self.jobs[uid]).wish
    }

    /// A job comes for what it was given.
    fn gets(&mut self, uid: usize, number: u64) {
        self.waiting.remove(&uid);
        let tenancy = self.wish(uid).map(|it| it.tenancy);
        if let Some(kept) = self.kept.remove(&number) {
            assert_eq!(Some(kept), tenancy, "it is another's session");
        }
        assert!(!self.ending.contains(&number), "it is being ended");
        assert!(self.has.insert(number, uid).is_none(), "somebody has it");
        let exclusive = tenancy.filter(|it| it.kept_for == KeptFor::OneKey);
        let same = |it: &&usize| exclusive.is_some() && self.wish(**it).map(|it| it.tenancy) == exclusive;
        assert!(self.has.values().filter(same).count() <= 1, "two jobs have one session");
    }

    fn settle(&mut self, ledger: &mut Ledger, capacity: usize) {
        loop {
            let woken = ledger.advance(at(self.now));
            for number in ledger.take_retired() {
                assert!(
                    self.kept.remove(&number).is_some() && self.ending.insert(number),
                    "it was kept"
                );
            }
            if woken.is_empty() {
                break;
            }
            for key in woken {
                let uid: usize = key.name.parse().expect("a number");
                let number = ledger
                    .ask(&applicant(uid, self.jobs[uid]), at(self.now))
                    .0
                    .expect("it is its turn");
                ledger.on_allocated(number, at(self.now));
                self.gets(uid, number);
            }
        }
        assert!(self.has.len() + self.kept.len() + self.ending.len() <= capacity);
        assert_eq!(ledger.in_use(), self.has.len() + self.ending.len());
        assert_eq!((ledger.kept(), ledger.queued()), (self.kept.len(), self.waiting.len()));
    }

    fn end(&mut self, ledger: &mut Ledger, number: u64, keeps: bool) {
        let uid = self.has.remove(&number).expect("somebody has it");
        let tenancy = self.wish(uid).map(|it| it.tenancy).filter(|_| keeps);
        let idle = tenancy
            .as_ref()
            .is_some_and(|it| it.kept_for == KeptFor::OneKey)
            .then_some(100);
        match tenancy.filter(|_| ledger.keep(number, &left(1, idle), at(self.now))) {
            Some(tenancy) => _ = self.kept.insert(number, tenancy),
            None => ledger.give_back(number, at(self.now)),
        }
    }
}

proptest! {
    #[test]
    fn sessions_that_are_left_are_only_their_own_jobs_and_never_keep_anybody_waiting_for_good(
        moves in prop::collection::vec(a_move(), 0..150), capacity in 1_usize..5,
    ) {
        let mut ledger = ledger(u32::try_from(capacity).unwrap());
        let mut watched = Watched::default();
        for step in moves {
            match step {
                Move::Ask { namespace, wish } => {
                    let uid = watched.jobs.len();
                    watched.jobs.push((namespace, wish));
                    watched.waiting.insert(uid);
                    let number = ledger.ask(&applicant(uid, (namespace, wish)), at(watched.now)).0;
                    if let Some(number) = number {
                        ledger.on_allocated(number, at(watched.now));
                        watched.gets(uid, number);
                    }
                }
                Move::End(index, keeps) if !watched.has.is_empty() => {
                    let number = *watched.has.keys().nth(index.index(watched.has.len())).unwrap();
                    watched.end(&mut ledger, number, keeps);
                }
                Move::Withdraw(index) if !watched.waiting.is_empty() => {
                    let uid = *watched.waiting.iter().nth(index.index(watched.waiting.len())).unwrap();
                    watched.waiting.remove(&uid);
                    let is_known = ledger.withdraw(&format!("{uid:04}"), at(watched.now));
                    prop_assert!(is_known);
                }
                Move::Gone(index) if !watched.ending.is_empty() => {
                    let number = *watched.ending.iter().nth(index.index(watched.ending.len())).unwrap();
                    watched.ending.remove(&number);
                    ledger.give_back(number, at(watched.now));
                }
                Move::Pass(seconds) => watched.now += seconds,
                Move::End(..) | Move::Withdraw(_) | Move::Gone(_) => {}
            }
            watched.settle(&mut ledger, capacity);
        }
        // Everybody ends, and whatever is left is idle for long enough: then nobody waits, and nothing is held.
        for _ in 0..1000 {
            if let Some(number) = watched.has.keys().next().copied() {
                watched.end(&mut ledger, number, true);
            }
            if let Some(number) = watched.ending.pop_first() {
                ledger.give_back(number, at(watched.now));
            }
            watched.now += 20;
            watched.settle(&mut ledger, capacity);
        }
        prop_assert!(watched.waiting.is_empty(), "{ledger:?}");
        watched.now += 3600;
        watched.settle(&mut ledger, capacity);
        prop_assert!(watched.kept.is_empty(), "{ledger:?}");
        for number in std::mem::take(&mut watched.ending) {
            ledger.give_back(number, at(watched.now));
        }
        prop_assert!(ledger.is_idle(), "{ledger:?}");
    }
}
