//! Permits for what may go on at the same time, given to namespaces in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::turns::NamespaceTurns;

/// Permits, and who waits for one. A namespace with many waiting requests delays another namespace by one turn only.
#[derive(Debug, Clone)]
pub struct Permits {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: NamespaceTurns<oneshot::Sender<PassPermit>>,
}

/// A permit, given back when dropped.
#[derive(Debug)]
pub struct PassPermit {
    /// `None` once it was given back.
    permits: Option<Permits>,
}

impl Permits {
    /// Creates `count` permits; at least one.
    pub fn new(count: usize) -> Self {
        let state = State {
            free: count.max(1),
            waiting: NamespaceTurns::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Waits for a permit. A caller that stops waiting leaves nothing behind.
    pub async fn acquire(&self, namespace: &str) -> PassPermit {
        let turn = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return self.permit();
            }
            let (sender, turn) = oneshot::channel();
            state.waiting.wait(namespace, sender);
            turn
        };
        turn.await
            .expect("invariant: who waits is given a permit and never forgotten")
    }

    fn permit(&self) -> PassPermit {
        PassPermit {
            permits: Some(self.clone()),
        }
    }

    fn give_back(&self) {
        let mut state = self.state();
        while let Some(next) = state.waiting.take_next() {
            match next.send(self.permit()) {
                Ok(()) => return,
                // It does not wait any more. What it was sent must not give itself back.
                Err(mut unwanted) => unwanted.permits = None,
            }
        }
        state.free += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PassPermit {
    fn drop(&mut self) {
        if let Some(permits) = self.permits.take() {
            permits.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_permit_goes_to_the_namespace_whose_turn_it_is() {
        let permits = Permits::new(1);
        let held = permits.acquire("many").await;
        let mut many: Vec<_> = (0..100).map(|_| Box::pin(permits.acquire("many"))).collect();
        for waiting in &mut many {
            assert!(waiting.now_or_never().is_none());
        }
        let mut few = Box::pin(permits.acquire("few"));
        assert!((&mut few).now_or_never().is_none());
        drop(held);
        drop((&mut many[0]).now_or_never().expect("it came first"));
        let turn = tokio::time::timeout(Duration::from_mins(1), few).await;
        assert!(turn.is_ok(), "it waited for one other");
    }

    #[tokio::test]
    async fn who_stops_waiting_takes_no_permit_along() {
        let permits = Permits::new(1);
        let held = permits.acquire("a").await;
        // One stops before it has its turn, and one after.
        let mut first = Box::pin(permits.acquire("b"));
        let mut second = Box::pin(permits.acquire("c"));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        drop(first);
        drop(held);
        drop(second);
        assert!(permits.acquire("d").now_or_never().is_some());
    }
}
