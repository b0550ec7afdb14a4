//! The operator's memory, against what the chart lets it have.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::World;

/// What the chart lets the operator have.
const MEMORY_LIMIT_KIBIBYTES: u64 = 256 * 1024;

fn pid(world: &World) -> u32 {
    world.operator.as_ref().expect("an operator").process().pid()
}

/// The most memory that the operator ever had.
fn peak_kibibytes(world: &World) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid(world))).expect("the operator runs");
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).expect("a peak");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

/// That the operator runs and never had more than the chart lets it have.
pub fn assert_within_the_limit(world: &World) {
    assert!(world.operator_runs(), "the operator was killed");
    let peak = peak_kibibytes(world);
    assert!(peak < MEMORY_LIMIT_KIBIBYTES, "{peak} KiB");
}

/// A cgroup, gone when dropped.
pub struct MemoryCgroup(PathBuf);

/// Puts the operator into a cgroup with the chart's limit, as its pod is, so that the kernel kills it beyond. `None` where this
/// machine lets nobody make one; [`assert_within_the_limit`] sees the same afterwards.
pub fn limited(world: &World) -> Option<MemoryCgroup> {
    let pid = pid(world).to_string();
    let versions = [
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ];
    let (root, limit) = versions
        .into_iter()
        .find(|(root, _)| Path::new(root).join("cgroup.procs").exists())?;
    let folder = Path::new(root).join(format!("lifeguard-{pid}"));
    fs::create_dir(&folder).ok()?;
    let group = MemoryCgroup(folder);
    fs::write(group.0.join(limit), (MEMORY_LIMIT_KIBIBYTES * 1024).to_string()).ok()?;
    fs::write(group.0.join("cgroup.procs"), pid).ok()?;
    Some(group)
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // A cgroup can go only once it is empty.
        let processes = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines() {
            let _ = fs::write(self.0.join("../cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}
