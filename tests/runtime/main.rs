//! The runtime on a real API server, with a kind of its own: what the server does with our writes, what our watches do
//! when objects are bad or the server goes away, and what a controller survives.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod expiry;
mod finalizers;
mod passes;
mod process;
mod status;
mod streams;
mod widget;
mod world;
