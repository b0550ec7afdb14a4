//! The emulator on the wire: HTTPS with its own CA, as any client sees it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod authority;
mod binary;
mod container_app_secrets;
mod container_apps;
mod container_groups;
mod control;
mod deployment_rights;
mod deployment_templates;
mod deployments;
mod executors;
mod faults;
mod federation;
mod graph;
mod groups;
mod hosts;
mod identities;
mod identity_blocks;
mod issuer;
mod malformed;
mod operations;
mod pool_operations;
mod pool_rules;
mod pools;
mod protocol;
mod providers;
mod role_definitions;
mod roles;
mod wire;
mod workloads;
