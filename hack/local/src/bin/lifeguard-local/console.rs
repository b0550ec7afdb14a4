//! What the user sees: plain lines with the seconds since the start.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

/// Prints to the terminal. A closed stdout is ignored: processes are started and stopped all the same.
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

    /// A line about what happens, with the time.
    pub fn step(&self, text: &str) {
        self.plain(&format!("[{:6.1} s] {text}", self.started.elapsed().as_secs_f64()));
    }

    /// A line, or several, as they are.
    pub fn plain(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// An error with all its causes, on stderr.
    pub fn failure(&self, error: &dyn Error) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        let _ = writeln!(std::io::stderr().lock(), "lifeguard-local: {text}");
    }
}
