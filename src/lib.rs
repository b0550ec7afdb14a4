//! Lifeguard: a Kubernetes operator for Azure Container Apps session pools, their identities and command jobs.

pub mod api;
pub mod azure;
pub mod controller;
pub mod runtime;
