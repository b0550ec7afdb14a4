//! A job as a whole: what it does next, what its status says, what its command gets. Pure, but for the reading of Secrets and
//! ConfigMaps.

mod environment;
mod expansion;
mod explanation;
mod facts;
mod fields;
pub mod inputs;
mod not_runnable;
pub mod plan;
pub mod retry;
mod sources;
pub mod status;
mod tail;

pub use facts::{JobFacts, Lodging, attempts_that_matter, current_key, untouched};
pub use inputs::Inputs;
pub use not_runnable::{NamedPool, NotRunnable, Unavailable};
pub use plan::{JobStep, plan};
pub use status::JobVerdict;
