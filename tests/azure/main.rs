//! The Azure contract on the wire: the operator's clients against the emulator, over TLS, with tokens that are checked.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

mod arm;
mod certificates;
mod connections;
mod emulated;
mod host_identity;
mod pools;
mod sessions;
mod shell;
mod tokens;
