//! What one user of one namespace, a command in its session, or what a session answers may try against everybody else: each
//! test repeats what an attacker tried, on the running product, under the chart's rights and its limit of memory.

#![allow(dead_code, reason = "what is shared with the end-to-end tests is used by those")]

#[path = "../e2e/azure.rs"]
mod azure;
#[path = "../e2e/data_plane.rs"]
mod data_plane;
#[path = "../e2e/hosts.rs"]
mod hosts;
#[path = "../e2e/jobs.rs"]
mod jobs;
#[path = "../e2e/standing.rs"]
mod standing;
#[path = "../e2e/witness.rs"]
mod witness;
#[path = "../e2e/world.rs"]
mod world;

mod budgets;
mod fairness;
mod health_port;
mod isolation;
mod memory;
mod neighbour;
mod removal;
mod results;
mod secrecy;
mod strangers;
