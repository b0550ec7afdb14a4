//! The decision against a small model of Azure: from any start it comes to rest, keeps every promise on the way, and at rest
//! plans nothing.

pub mod answers;
pub mod model;
mod properties;
mod table;
