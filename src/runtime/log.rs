//! One line of text for each event of the log.

use std::fmt::Write as _;
use std::io;

/// Writes events so that each is one line of printable text, whatever is in its fields: names, messages of servers and what
/// tenants write can neither begin another line nor move a terminal's cursor.
#[derive(Debug)]
pub struct LogLines<W>(W);

impl<W: io::Write> LogLines<W> {
    /// Writes to `out`, which is given whole lines.
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: io::Write> io::Write for LogLines<W> {
    /// Takes one event, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            match c {
                '\t' => line.push(c),
                // These end lines as well, for some who read.
                '\u{2028}' | '\u{2029}' => _ = write!(line, "{}", c.escape_unicode()),
                c if c.is_control() => _ = write!(line, "{}", c.escape_debug()),
                c => line.push(c),
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_its_fields_hold() {
        let sink = Sink::default();
        let log = {
            let sink = sink.clone();
            let lines = tracing_subscriber::fmt().with_ansi(false).without_time();
            lines.with_writer(move || LogLines::new(sink.clone())).finish()
        };
        let name = "a\n2026-01-01T00:00:00Z  INFO forged\r\x1b[2J\u{85}\u{2028}é";
        tracing::subscriber::with_default(log, || {
            let _pass = tracing::info_span!("pass", object = %name).entered();
            tracing::info!(job = %name, text = name, "{name}");
            tracing::info!("second");
        });
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 2, "{written}");
        assert!(written.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{2028}'));
        assert!(written.contains(r"a\n2026-01-01T00:00:00Z") && written.contains('é'));
    }
}
