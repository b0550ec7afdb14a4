//! Azure for tests, demos and CI: Azure Resource Manager, the Microsoft Entra authority and dynamic sessions, on one TLS
//! port of the loopback interface, and managed identity endpoints on a port for each host.
//!
//! It answers as the live service does, the unpleasant things included; [`behaviour`] has the switches. The binary
//! `azure-emulator` wraps [`Emulator`], which tests can also start in their own process.

pub mod arm;
pub mod behaviour;
pub mod clock;
mod control;
pub mod dataplane;
mod emulator;
pub mod faults;
pub mod hosts;
pub mod identity;
pub mod journal;
pub mod json;
pub mod query;
mod redaction;
pub mod roles;
mod server;
pub mod session;
mod state;
pub mod store;
mod tls;

pub use emulator::{Emulator, Isolation, Options, Ready, StartError};
pub use state::{AppState, StoreGuard};
pub use store::Pool;
