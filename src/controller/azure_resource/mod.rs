//! What the controllers of all kinds that own an Azure resource have in common.
//!
//! A kind says what its resource should be and where it is; everything else is here: ownership, policies, drift, one write
//! at a time, operations that take long, registration of providers, deletion, and letting go.
//!
//! [`decide()`](decision::decide) decides everything, without I/O: what to do next, when to look again, and what the
//! status says. [`carry_out`](effect::carry_out) does it and decides nothing.
//!
//! What does not depend on owning the whole of a resource also serves IdentityAssignment, which owns a part of one: preparing
//! and leaving, what an earlier answer means, and the common part of the status.

mod answer;
mod blocked;
pub mod children;
mod decision;
mod dependency;
pub mod drift;
mod effect;
pub mod export;
mod history;
mod kind;
mod observation;
mod overwritten;
mod owner;
mod parts;
mod placement;
pub mod policy;
mod principal;
mod read;
mod reconciler;
mod status;
mod subject;
mod whole;

pub use answer::{is_refusal, refused};
pub use blocked::Blocked;
pub use decision::{
    Assessment, Decision, ObjectStep, Release, SETTLING, SHORT_PACE, Step, WAITING_PACE, answered, decide, failure,
    give_back, leave, listed, may_use, poll, running, unprepared,
};
pub use dependency::{Dependency, OpenAccount, account_id, close_account, credential_gone, open_account};
pub use effect::{carry_out, carry_out_on_object, log_refusal, tell};
pub use history::{Answer, Histories, History, LastWrite, OperationUrl, Purpose};
pub use kind::{ArmType, AzureKind, Desired, Gathering, Record, StatusOf, body_of, location_of};
pub use observation::{Body, Method, Observation, Occupants, Registration, ResourceState, Tagging};
pub use owner::{is_of_another_namespace, owners};
pub use placement::{Placement, known_place, locate, moved, of_another_subscription};
pub use principal::{IdentityPrincipal, principal_of};
pub use read::{doubt_if_refused, explain_failure, find, read_state, unreadable};
pub use reconciler::{AzureReconciler, Observed, Parts, controller};
pub use status::{notes, summarize, told};
pub use subject::{AzureObject, Reports, Subject, age, entry};
pub use whole::{KindStep, decide_whole};

#[cfg(test)]
pub mod tests;
