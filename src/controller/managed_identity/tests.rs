//! What an identity does, against a small model of Azure and of the cluster.

mod model;
mod properties;
mod schema;
mod table;
