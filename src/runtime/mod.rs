//! The machinery under every controller: watch streams, passes, status, conditions, finalizers, events, process life.
//!
//! It knows neither the kinds of this operator nor Azure, so it can be read, tested and replaced by itself.
//!
//! Data flows one way: a watched object → [`Reconciler::observe`] (reads) → [`Reconciler::plan`] (pure) → at most one
//! [`Reconciler::carry_out`] per plan (effects) → [`Reconciler::summarize`] (pure) → the status, written only when it
//! changed and only over the version of the object that the decision was made on.

pub mod apply_body;
pub mod backoff;
pub mod budget;
pub mod client;
pub mod conditions;
pub mod controller;
pub mod counters;
pub mod descriptors;
pub mod drive;
pub mod error;
pub mod events;
pub mod expiry;
pub mod failure;
pub mod finalizer;
pub mod health;
pub mod invalid;
pub mod limits;
pub mod log;
pub mod pace;
pub mod pass;
pub mod permits;
pub mod reconciler;
pub mod references;
pub mod requeue;
pub mod rest;
pub mod shutdown;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod supervisor;
pub mod trigger;
pub mod turns;
pub mod underway;
pub mod waits;
pub mod written;

pub use client::Clients;
pub use controller::{Controller, ControllerError};
pub use error::{ApiError, Class, Classify, is_missing};
pub use events::{Events, Note, Severity};
pub use failure::Failure;
pub use pace::Pace;
pub use pass::Pass;
pub use reconciler::{Effect, Next, Object, PassOutcome, Plan, Reconciler, Seen};
pub use references::{ObjectId, References, Target};
pub use snapshot::{Cache, Key, Snapshot};
pub use source::{Scope, Source};
pub use status::{StatusWriter, WriteError};
pub use trigger::Triggers;
pub use waits::Waited;
