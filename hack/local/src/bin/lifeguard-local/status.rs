//! Saying what runs.

use lifeguard_local::{control_plane, ready_line};

use crate::console;
use crate::layout::Layout;

/// Prints a line for each process, with its id and log.
pub fn print(layout: &Layout) {
    let folder = layout.control_plane();
    // There is none where the cluster is the user's own.
    if folder.is_dir() {
        for name in ["etcd", "kube-apiserver", "kube-controller-manager"] {
            let pid = control_plane::detached(&folder, name).map(|process| process.pid());
            console::print(&line(
                name,
                pid,
                &folder.join(format!("{name}.log")).display().to_string(),
            ));
        }
    }
    for name in ["emulator", "operator"] {
        let pid = layout.left_running(name).map(|process| process.pid());
        console::print(&line(
            name,
            pid,
            &layout.folder().join(format!("{name}.log")).display().to_string(),
        ));
    }
    if layout.left_running("emulator").is_some()
        && let Some(ready) = ready_line(&layout.emulator_line())
    {
        console::print(&format!("{:<25}{}", "Azure", ready.arm));
    }
}

fn line(name: &str, pid: Option<u32>, log: &str) -> String {
    let state = pid.map_or_else(|| "not running".to_owned(), |pid| format!("process {pid}"));
    format!("{name:<25}{state:<17}{log}")
}
