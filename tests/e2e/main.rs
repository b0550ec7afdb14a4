//! End to end: the operator as a process under the chart's own rights, a real Kubernetes API server, and the emulator over
//! HTTPS. One control plane serves all tests of this binary; each test has a namespace, an emulator and an operator of
//! its own, so that it may break them: faults, clock, switches and journal are the test's alone. (With a key that is made
//! already, an emulator takes some ten milliseconds to start.)

mod azure;
mod data_plane;
mod hosts;
mod landscape;
mod standing;
mod witness;
mod world;

mod accounts;
mod attempts;
mod commands;
mod cost;
mod crash_points;
mod crashes;
mod effects;
mod environment;
mod examples;
mod expiry;
mod faults;
mod identities;
mod identity_assignments;
mod jobs;
mod kills;
mod namespaces;
mod order;
mod output;
mod placement;
mod pool_endpoints;
mod pool_identities;
mod pool_rules;
mod pools;
mod principals;
mod queue;
mod queue_soak;
mod quiet;
mod recipes;
mod refusals;
mod repair;
mod rest;
mod retries;
mod reuse;
mod reuse_soak;
mod roles;
mod sessions;
mod sharing;
mod stopping;
mod targets;
mod waiting;
