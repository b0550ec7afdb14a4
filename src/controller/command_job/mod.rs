//! CommandJob: a command that runs in a session, once.

pub mod runner;
