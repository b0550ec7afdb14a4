//! Who goes next where not everybody can go at once.
//!
//! Pure: the time is an argument. Nobody waits in here: who cannot go is sent away and told when to come back, and while
//! its turn is kept, those who had theirs since do not go before it. So of everybody else each has at most one turn before
//! its own, however many requests they have.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// The turns of those who share something. Names are remembered only while somebody waits.
#[derive(Debug, Default)]
pub struct GateTurns {
    places: HashMap<Arc<str>, Place>,
    served: u64,
}

/// What is known of one of them.
#[derive(Debug, Default)]
struct Place {
    /// Until when its turn is kept; `None` while it does not wait.
    kept_until: Option<Instant>,
    /// The number of its last turn; 0 if it had none since somebody began to wait.
    last: u64,
    /// How many of its requests were sent away and are about to come back, about.
    sent_away: u32,
}

impl Place {
    fn waits(&self, now: Instant) -> bool {
        self.kept_until.is_some_and(|until| until > now)
    }
}

impl GateTurns {
    /// How many others have their turn before `who`: they wait, and had their last one earlier.
    pub fn ahead(&mut self, who: &str, now: Instant) -> usize {
        let mut waiting = self.places.iter().filter(|(_, place)| place.waits(now)).peekable();
        if waiting.peek().is_none() {
            self.places.clear();
            return 0;
        }
        let own = self.places.get(who).map_or(0, |place| place.last);
        waiting
            .filter(|(name, place)| &***name != who && place.last < own)
            .count()
    }

    /// How many requests of `who` were sent away and are about to come back.
    pub fn sent_away(&self, who: &str) -> u32 {
        self.places.get(who).map_or(0, |place| place.sent_away)
    }

    /// Turns a request of `who` away and keeps its turn until then.
    pub fn send_away(&mut self, who: &Arc<str>, kept_until: Instant) {
        let place = self.places.entry(Arc::clone(who)).or_default();
        place.kept_until = place.kept_until.max(Some(kept_until));
        place.sent_away = place.sent_away.saturating_add(1);
    }

    /// A request of `who` goes and has had its turn. `who` still waits while more of its requests are about to come back.
    pub fn serve(&mut self, who: &Arc<str>) {
        if self.places.is_empty() {
            return;
        }
        self.served += 1;
        let place = self.places.entry(Arc::clone(who)).or_default();
        place.last = self.served;
        place.sent_away = place.sent_away.saturating_sub(1);
        place.kept_until = place.kept_until.filter(|_| place.sent_away > 0);
    }

    /// Starts counting again how many are turned away, because the time to come back has changed.
    pub fn count_anew(&mut self) {
        for place in self.places.values_mut() {
            place.sent_away = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> Arc<str> {
        format!("namespace-{number}").into()
    }

    #[test]
    fn nobody_is_remembered_once_nobody_waits() {
        let (mut turns, now) = (GateTurns::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        turns.send_away(&name(1), later);
        turns.serve(&name(2));
        assert_eq!(turns.ahead("namespace-2", now), 1);
        assert_eq!(turns.ahead("namespace-2", later), 0);
        turns.serve(&name(2));
        assert!(turns.places.is_empty());
    }

    #[test]
    fn a_turn_is_not_kept_for_ever_for_who_does_not_come() {
        let (mut turns, now) = (GateTurns::default(), Instant::now());
        turns.send_away(&name(1), now + Duration::from_secs(1));
        turns.send_away(&name(2), now + Duration::from_secs(9));
        turns.serve(&name(2));
        assert_eq!(turns.ahead("namespace-2", now), 1);
        assert_eq!(turns.ahead("namespace-2", now + Duration::from_secs(1)), 0);
    }

    proptest! {
        #[test]
        fn before_ones_own_turn_everybody_else_has_at_most_one(
            asks in prop::collection::vec((0_usize..6, any::<bool>()), 1..300),
        ) {
            let now = Instant::now();
            let kept = now + Duration::from_mins(1);
            let mut turns = GateTurns::default();
            // How many wait of each, and how many turns each other one had since its last.
            let mut waiting = [0_u32; 6];
            let mut since = [[0_u32; 6]; 6];
            for (who, is_scarce) in asks {
                if turns.ahead(&name(who), now) > 0 || is_scarce {
                    turns.send_away(&name(who), kept);
                    if waiting[who] == 0 {
                        since[who] = [0; 6];
                    }
                    waiting[who] += 1;
                    continue;
                }
                turns.serve(&name(who));
                waiting[who] = waiting[who].saturating_sub(1);
                since[who] = [0; 6];
                for other in (0..6).filter(|other| *other != who && waiting[*other] > 0) {
                    since[other][who] += 1;
                    prop_assert!(since[other][who] <= 1, "{other} waits: {since:?}");
                }
            }
            // Whoever waits longest may go.
            let mut may_go = (0..6).filter(|who| waiting[*who] > 0).map(|who| turns.ahead(&name(who), now) == 0);
            prop_assert!(waiting == [0; 6] || may_go.any(|it| it));
        }
    }
}
