//! Stopping what `up` left running.

use lifeguard_local::control_plane;

use crate::console::Console;
use crate::layout::Layout;

/// Stops the operator, the emulator and the control plane, in this order. State stays in the folder.
pub fn down(layout: &Layout, console: &Console) {
    let mut stopped = Vec::new();
    for name in ["operator", "emulator"] {
        if let Some(process) = layout.left_running(name) {
            process.stop();
            stopped.push(name);
        }
    }
    stopped.extend(control_plane::stop_detached(&layout.control_plane()));
    if stopped.is_empty() {
        console.step("nothing was running");
    } else {
        console.step(&format!("stopped {}", stopped.join(", ")));
    }
}
