//! How a command is started exactly once in a session of a Shell pool, looked at, killed, and how its answer is read.
//!
//! Pure: it renders texts and file contents and parses answers. An attempt goes like this: the [`uploads`](Work::uploads) of
//! its [`Work`] are placed, then the attempt is claimed, then a [`Call`] with [`Action::Start`] is executed, and repeated
//! unchanged for as long as its answer is lost; then [`Action::Observe`] until it ended. What is captured is masked
//! ([`Secrets`]) and cut ([`capture`]).
//!
//! After a normal end, processes that the command left behind live on until the session is released, or emptied for another
//! command ([`Cleaning`]); after a kill (deadline, cancellation) everything that carries the attempt's `LG_ID` is swept before
//! the end is published.

mod attempt;
mod automaton;
mod call;
mod capture;
mod cleaning;
mod frame;
mod listing;
mod masked;
mod quote;
mod quoted;
mod ticket;

#[cfg(test)]
mod tests;

pub use attempt::{AttemptFiles, AttemptId, DATA_DIRECTORY, InvalidAttemptId};
pub use call::{Action, Call, KillReason, Nonce, Streams, WHOLE_STREAM_BYTES};
pub use capture::{Captured, Kept, capture, capture_ends, in_base64, text_between};
pub use cleaning::{Baseline, CleanWhen, Cleaned, Cleaning, MARK_FILE, Remains};
pub use frame::{FrameError, Missing, Payload, Report, ReportedState, Stream};
pub use listing::ended;
pub use masked::Secrets;
pub use quote::{REFUSED_ENV_NAMES, is_valid_env_name};
pub use ticket::{EnvVar, Program, Upload, Work, WorkError};
