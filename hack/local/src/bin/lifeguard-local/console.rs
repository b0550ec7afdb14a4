//! What the user sees: plain lines, some with the seconds since the start.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

/// Prints what happens, with the time. A closed stdout is ignored: processes are started and stopped all the same.
#[derive(Debug)]
pub struct Console {
    started: Instant,
}

impl Console {
    /// Time counts from here.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// A line about what happens.
    pub fn step(&self, text: &str) {
        print(&format!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }
}

/// Prints a line, or several, as they are.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints an error with all its causes to stderr.
pub fn print_failure(error: &dyn Error) {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr().lock(), "lifeguard-local: {text}");
}
