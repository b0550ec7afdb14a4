//! Whatever happens around an object, it comes to rest and leaves nothing.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::model::{World, tuple};

/// What happens around an object.
#[derive(Debug, Clone, Copy)]
enum Event {
    Pass,
    Death,
    Principal(u8),
    ReferenceGoes,
    DeletedByHand,
    StatusLost,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => Just(Event::Pass),
        3 => Just(Event::Death),
        2 => (1_u8..4).prop_map(Event::Principal),
        1 => Just(Event::ReferenceGoes),
        1 => Just(Event::DeletedByHand),
        1 => Just(Event::StatusLost),
    ];
    proptest::collection::vec(event, 0..40)
}

proptest! {
    /// Whatever happens and wherever the process dies, in the end there is the one assignment that is wanted, and after
    /// the deletion none: nothing that was made is left behind.
    #[test]
    fn nothing_that_was_made_is_left_behind(events in events()) {
        let mut world = World::new(&json!({}));
        for event in events {
            match event {
                Event::Pass => { world.pass(false); }
                Event::Death => { world.pass(true); }
                Event::Principal(number) => world.wanted = Some(tuple(number)),
                Event::ReferenceGoes => world.wanted = None,
                Event::DeletedByHand => { world.azure.pop(); }
                Event::StatusLost => world.object.status = None,
            }
        }
        world.wanted = Some(tuple(9));
        world.settle();
        prop_assert_eq!(world.ours(), [tuple(9)]);
        let writes = world.log.len();
        world.now += SignedDuration::from_hours(2);
        world.settle();
        prop_assert_eq!(world.log.len(), writes);
        world.delete();
        world.settle();
        prop_assert_eq!(world.azure, Vec::<Value>::new());
        prop_assert_eq!(world.object.metadata.finalizers, None);
    }
}
