//! One line of text for each event of the log, and not more about a namespace than its quota.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use governor::Quota;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;

use super::budget::Budgets;
use super::limits::REPORTED_EVERY;

/// Lets lines through as long as the namespace that they are about has not had more than its quota; clones are the same.
///
/// What a line is about is known from the span of the pass that it is written in.
#[derive(Debug, Clone)]
pub struct LogBudget {
    budgets: Arc<Mutex<Budgets>>,
}

/// The namespace of a pass, kept with its span.
struct PassNamespace(String);

impl LogBudget {
    /// Every namespace has all of the quota.
    pub fn new(quota: Quota) -> Self {
        Self {
            budgets: Arc::new(Mutex::new(Budgets::new(quota))),
        }
    }

    /// Logs every minute how much was left out of which namespaces.
    pub async fn report(self) {
        loop {
            tokio::time::sleep(REPORTED_EVERY).await;
            let withheld = self.budgets.lock().unwrap_or_else(PoisonError::into_inner).withheld();
            for (namespace, lines) in withheld {
                tracing::warn!(
                    namespace,
                    lines,
                    "lines were left out, because the namespace has too many"
                );
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for LogBudget {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let Some(scope) = context.event_scope(event) else {
            return true;
        };
        for span in scope {
            if let Some(PassNamespace(namespace)) = span.extensions().get::<PassNamespace>() {
                let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
                return budgets.take(namespace);
            }
        }
        true
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut object = ObjectField(None);
        attributes.record(&mut object);
        let namespace = object.0.as_deref().and_then(|object| object.split_once('/'));
        if let (Some((namespace, _)), Some(span)) = (namespace, context.span(id)) {
            span.extensions_mut().replace(PassNamespace(namespace.to_owned()));
        }
    }
}

/// Reads the field that names an object.
struct ObjectField(Option<String>);

impl Visit for ObjectField {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "object" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// Writes events so that each is one line of printable text, whatever is in its fields: names, messages of servers and what
/// tenants write can neither begin another line nor move a terminal's cursor.
#[derive(Debug)]
pub struct LogLines<W>(W);

impl<W: io::Write> LogLines<W> {
    /// Writes whole lines to `out`.
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: io::Write> io::Write for LogLines<W> {
    /// Writes one event, with the end of its line.
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

    #[test]
    fn a_namespace_has_its_share_of_lines_and_takes_none_of_another() {
        use tracing_subscriber::layer::{Layer, SubscriberExt};

        let sink = Sink::default();
        let three = std::num::NonZeroU32::new(3).unwrap();
        let budget = LogBudget::new(Quota::per_hour(three));
        let log = {
            let sink = sink.clone();
            let lines = tracing_subscriber::fmt::layer().with_ansi(false).without_time();
            let lines = lines.with_writer(move || LogLines::new(sink.clone()));
            tracing_subscriber::registry().with(lines.with_filter(budget.clone()))
        };
        tracing::subscriber::with_default(log, || {
            for object in ["loud/a", "loud/b", "quiet/a"] {
                let _pass = tracing::info_span!("pass", %object).entered();
                let _call = tracing::info_span!("call").entered();
                for number in 0..if object == "quiet/a" { 1 } else { 10 } {
                    tracing::warn!(number, "said");
                    tracing::debug!("asked for");
                }
            }
            tracing::warn!("of nobody");
        });
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let count = |text: &str| written.lines().filter(|line| line.contains(text)).count();
        assert_eq!((count("loud/a"), count("loud/b")), (3 + 10, 10), "{written}");
        assert_eq!((count("quiet/a"), count("of nobody")), (2, 1));
        let withheld = budget.budgets.lock().unwrap().withheld();
        assert_eq!(withheld, [("loud".to_owned(), 17)].into());
    }
}
