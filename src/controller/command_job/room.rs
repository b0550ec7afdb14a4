//! Something of which there is only so much, such as memory, shared fairly between namespaces.
//!
//! No namespace holds more than its share, and those that wait take turns, so that whatever the jobs of one namespace do with
//! theirs, those of another find room.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What is shared, in units of the owner's choice, such as bytes.
#[derive(Debug)]
pub struct SharedRoom {
    total: u64,
    share: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: u64,
    next: u64,
    namespaces: HashMap<String, Tenant>,
    /// The namespaces that wait, the one whose turn it is first.
    turns: VecDeque<String>,
}

/// What one namespace holds and waits for, in the order of arrival.
#[derive(Debug, Default)]
struct Tenant {
    held: u64,
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    size: u64,
    granted: oneshot::Sender<()>,
}

/// Room of some size: asked for first, and then held until it is dropped.
#[derive(Debug)]
pub struct Room {
    shared: Arc<SharedRoom>,
    namespace: String,
    number: u64,
    size: u64,
    granted: oneshot::Receiver<()>,
}

impl SharedRoom {
    /// `total` units, of which no namespace holds more than `share`.
    pub fn new(total: u64, share: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            share: share.min(total),
            state: Mutex::default(),
        })
    }

    /// Asks for room for something of a namespace. What is larger than a share gets one.
    pub fn ask(self: &Arc<Self>, namespace: &str, size: u64) -> Room {
        let mut state = self.lock();
        let (room, granted) = self.room(&mut state, namespace, size);
        let (number, size) = (room.number, room.size);
        let tenant = state.namespaces.entry(namespace.to_owned()).or_default();
        tenant.queue.push_back(Waiter { number, size, granted });
        if tenant.queue.len() == 1 {
            state.turns.push_back(namespace.to_owned());
        }
        self.grant(&mut state);
        room
    }

    /// Takes room at once, whatever others hold: for what is in memory anyway.
    pub fn take(self: &Arc<Self>, namespace: &str, size: u64) -> Room {
        let mut state = self.lock();
        let (room, granted) = self.room(&mut state, namespace, size);
        // The other end is here.
        let _ = granted.send(());
        state.held += room.size;
        state.namespaces.entry(namespace.to_owned()).or_default().held += room.size;
        room
    }

    /// Room of at most a share that nothing is held of yet, and the means to tell that it is.
    fn room(self: &Arc<Self>, state: &mut State, namespace: &str, size: u64) -> (Room, oneshot::Sender<()>) {
        let (granted, is_granted) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        let room = Room {
            shared: Arc::clone(self),
            namespace: namespace.to_owned(),
            number,
            size: size.min(self.share),
            granted: is_granted,
        };
        (room, granted)
    }

    /// Gives room to whoever has a turn. Who has its share is passed over, for it waits for itself; who waits for the others
    /// is not, or something large would wait for ever.
    fn grant(&self, state: &mut State) {
        let mut passed = 0;
        while let Some(namespace) = state.turns.get(passed) {
            let tenant = state.namespaces.get_mut(namespace);
            let tenant = tenant.expect("invariant: a namespace that waits is known");
            let size = tenant.queue.front().map_or(0, |it| it.size);
            if tenant.held + size > self.share {
                passed += 1;
                continue;
            }
            if state.held + size > self.total {
                return;
            }
            state.held += size;
            tenant.held += size;
            if let Some(waiter) = tenant.queue.pop_front() {
                // Whoever has gone gives it back at once.
                let _ = waiter.granted.send(());
            }
            let waits_on = !tenant.queue.is_empty();
            let namespace = state.turns.remove(passed);
            state.turns.extend(namespace.filter(|_| waits_on));
            passed = 0;
        }
    }

    fn give_back(&self, room: &Room) {
        let mut state = self.lock();
        let Some(tenant) = state.namespaces.get_mut(&room.namespace) else {
            return;
        };
        match tenant.queue.iter().position(|it| it.number == room.number) {
            Some(waiting) => _ = tenant.queue.remove(waiting),
            None => {
                tenant.held -= room.size;
                state.held -= room.size;
            }
        }
        let tenant = &state.namespaces[&room.namespace];
        if tenant.queue.is_empty() {
            let is_idle = tenant.held == 0;
            state.turns.retain(|it| *it != room.namespace);
            if is_idle {
                state.namespaces.remove(&room.namespace);
            }
        }
        self.grant(&mut state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// How large it is.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether there is room already.
    pub fn is_granted(&mut self) -> bool {
        self.granted.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }

    /// Returns once there is room.
    pub async fn granted(&mut self) {
        // The other end lives until it has told.
        let _ = (&mut self.granted).await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.give_back(self);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOTAL: u64 = 24;
    const SHARE: u64 = 8;

    /// A room that was asked for, and whether it was granted.
    struct Asked {
        room: Room,
        has: bool,
    }

    #[derive(Default)]
    struct Users(Vec<Asked>);

    impl Users {
        fn ask(&mut self, memory: &Arc<SharedRoom>, namespace: usize, bytes: u64) {
            let room = memory.ask(&namespace.to_string(), bytes);
            self.0.push(Asked { room, has: false });
            self.look();
        }

        fn look(&mut self) {
            for asked in self.0.iter_mut().filter(|it| !it.has) {
                asked.has = asked.room.is_granted();
            }
        }

        fn drop_one(&mut self, index: usize) {
            self.0.remove(index);
            self.look();
        }

        fn held(&self, namespace: Option<&str>) -> u64 {
            let is_one = |it: &&Asked| it.has && namespace.is_none_or(|name| it.room.namespace == name);
            self.0.iter().filter(is_one).map(|it| it.room.size).sum()
        }
    }

    #[test]
    fn who_has_its_share_delays_nobody_else() {
        let memory = SharedRoom::new(TOTAL, SHARE);
        let mut users = Users::default();
        for _ in 0..40 {
            users.ask(&memory, 1, 5);
        }
        users.ask(&memory, 2, 100);
        assert_eq!((users.held(Some("1")), users.held(Some("2"))), (5, SHARE));
    }

    #[test]
    fn namespaces_take_turns_however_many_wait_of_one() {
        let memory = SharedRoom::new(TOTAL, TOTAL);
        let mut users = Users::default();
        for _ in 0..10 {
            users.ask(&memory, 1, TOTAL);
        }
        users.ask(&memory, 2, TOTAL);
        users.drop_one(0);
        let second = users.0.iter().find(|it| it.room.namespace == "2").expect("it asked");
        assert!(second.has || users.held(Some("1")) == TOTAL);
        let first = users.0.iter().position(|it| it.has).expect("somebody has it");
        users.drop_one(first);
        let second = users.0.iter().find(|it| it.room.namespace == "2");
        assert!(second.is_none_or(|it| it.has), "the second turn is the other's");
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_shared_and_nobody_starves(
            steps in proptest::collection::vec((0_usize..5, 0_u64..12, any::<Option<prop::sample::Index>>()), 1..80),
        ) {
            let memory = SharedRoom::new(TOTAL, SHARE);
            let mut users = Users::default();
            for (namespace, bytes, dropped) in steps {
                match dropped.filter(|_| !users.0.is_empty()) {
                    // It may be one that still waits.
                    Some(index) => users.drop_one(index.index(users.0.len())),
                    None => users.ask(&memory, namespace, bytes),
                }
                prop_assert!(users.held(None) <= TOTAL);
                for namespace in 0..5 {
                    prop_assert!(users.held(Some(&namespace.to_string())) <= SHARE);
                }
                // Whoever waits waits for itself, or for others that hold so much that it does not fit.
                for waiting in users.0.iter().filter(|it| !it.has) {
                    let own = users.held(Some(&waiting.room.namespace));
                    prop_assert!(own > 0 || users.held(None) > TOTAL - SHARE);
                }
            }
            // Whatever each of them does with it, who holds room gives it back.
            while let Some(index) = users.0.iter().position(|it| it.has) {
                users.drop_one(index);
            }
            prop_assert!(users.0.is_empty(), "{} wait for ever", users.0.len());
            prop_assert!(memory.lock().namespaces.is_empty() && memory.lock().turns.is_empty() && memory.lock().held == 0);
        }
    }
}
