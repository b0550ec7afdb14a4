//! The operator's memory, against what the chart lets it have.

use crate::world::World;

/// What the chart lets the operator have.
const MEMORY_LIMIT_KIBIBYTES: u64 = 256 * 1024;

/// The most memory that the operator ever had.
fn peak_kibibytes(world: &World) -> u64 {
    let pid = world.operator.as_ref().expect("an operator").process().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the operator runs");
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).expect("a peak");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

pub fn assert_within_the_limit(world: &World) {
    let peak = peak_kibibytes(world);
    assert!(peak < MEMORY_LIMIT_KIBIBYTES, "{peak} KiB");
}
