//! What session pools allow.

use std::time::Duration;

use jiff::SignedDuration;

use crate::controller::command_job::attempt::Limits;

/// The longest cooldown that Azure allows: after it, no session is left that nobody asked for anything.
const LONGEST_COOLDOWN: SignedDuration = SignedDuration::from_secs(3600);

/// How long after its claim an attempt may be started.
const START_WITHIN: SignedDuration = SignedDuration::from_secs(120);

/// A third of that, so that one bad answer does not keep an attempt from being started. A session that lives for less is
/// asked more often.
const LONGEST_PAUSE: Duration = Duration::from_secs(40);

/// Seconds between TERM and KILL when a command is killed.
pub const GRACE_SECONDS: u32 = 10;

/// Pauses between tries to release a session. After the last one it is left to its pool's cooldown.
pub const RELEASE_PAUSES: [SignedDuration; 6] = [
    SignedDuration::from_millis(500),
    SignedDuration::from_secs(2),
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(2),
];

/// What session pools allow: `poll_window` is the longest that a call may wait for a command, `cooldown` the time for which
/// a session of the pool lives without a request, where it is known.
pub fn limits(poll_window: Duration, cooldown: Option<Duration>) -> Limits {
    // A session lives as long as it is asked often enough.
    let longest_pause = cooldown.map_or(LONGEST_PAUSE, |it| LONGEST_PAUSE.min(it / 3));
    let window = cooldown.map_or(poll_window, |it| poll_window.min(it / 3));
    Limits {
        start_within: START_WITHIN,
        preparation_lasts: SignedDuration::from_secs(60),
        window: window.max(Duration::from_secs(1)),
        between_calls: SignedDuration::from_secs(1),
        longest_pause: longest_pause.max(Duration::from_secs(1)),
        overdue_after: SignedDuration::from_mins(1),
        mute_after: SignedDuration::from_mins(10),
        unheard_calls: 5,
        session_outlives: LONGEST_COOLDOWN,
        grace_seconds: GRACE_SECONDS,
        unreadable_answers: 2,
        looks_for_output: 8,
        between_looks: SignedDuration::from_millis(500),
        // "Troubleshoot Azure RBAC": up to ten minutes.
        role_propagates: SignedDuration::from_mins(10),
        between_checks: SignedDuration::from_secs(5),
        release_pauses: &RELEASE_PAUSES,
    }
}
