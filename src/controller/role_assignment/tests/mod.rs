//! The decisions about role assignments, against a small model of Azure.

mod model;
mod properties;
mod schema;
mod table;
