//! The Lifeguard operator.
fn main() {}
