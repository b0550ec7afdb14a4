//! What the service that runs a command allows, and how it is to be treated.

use std::time::Duration;

use jiff::SignedDuration;

/// What the kind of target allows. Whoever decides about an attempt takes it from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after its claim an attempt may still be started. Later the session refuses for good.
    pub start_within: SignedDuration,
    /// How old a preparation may be when it is claimed; the session that holds it may have ended since.
    pub preparation_lasts: SignedDuration,
    /// How long one call may wait for the command's end.
    pub window: Duration,
    /// The shortest time from one call about a running command to the next: a call that answers sooner did not wait.
    pub between_calls: SignedDuration,
    /// The longest pause while an attempt is claimed, whatever failed and whoever asked for a longer one: its session must
    /// live, and it must be started in time.
    pub longest_pause: Duration,
    /// How long after its latest start, its deadline and the grace a command may still run before the operator ends it; then its
    /// session, after as long again.
    pub overdue_after: SignedDuration,
    /// The same where the session takes files and answers no call, so that nothing is to be known.
    pub mute_after: SignedDuration,
    /// How many calls in a row that must be.
    pub unheard_calls: u32,
    /// How long a session can outlive the last request to it, at most.
    pub session_outlives: SignedDuration,
    /// Seconds between TERM and KILL.
    pub grace_seconds: u32,
    /// Calls in a row that brought no frame after which the session's files are asked.
    pub unreadable_answers: u32,
    /// How often what a command printed is looked for in its session, whatever becomes of the looks, before the job ends
    /// without it.
    pub looks_for_output: u32,
    /// The pause between two of these looks.
    pub between_looks: SignedDuration,
    /// How long a refusal of the account may mean a role that is not in effect everywhere yet.
    pub role_propagates: SignedDuration,
    /// The pause between two looks at a command that is being killed.
    pub between_checks: SignedDuration,
    /// The pauses between tries to release a session. After the last one it is left to its own end.
    pub release_pauses: &'static [SignedDuration],
}
