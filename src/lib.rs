//! Lifeguard: a Kubernetes operator for Azure Container Apps session pools, their identities and command jobs.
//!
//! In reading order: [`api`] is the Kubernetes contract, [`azure`] the Azure contract, [`runtime`] what every controller
//! is driven by; these three know nothing of each other. [`controller`] uses all three, one folder a kind. [`config`] and
//! [`operator`] make a process of it.

pub mod api;
pub mod azure;
pub mod runtime;

pub mod controller;

pub mod config;
pub mod operator;
