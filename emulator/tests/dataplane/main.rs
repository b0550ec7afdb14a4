//! The data plane of Shell pools over HTTPS, as its clients see it. Facts are those of the Azure documentation, of recorded
//! traffic, and of what authors of clients of the live service measured.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod allocations;
mod capacity;
mod code;
mod custom;
mod endpoint;
mod executions;
mod files;
mod mcp;
mod process;
mod sessions;
mod simulation;
