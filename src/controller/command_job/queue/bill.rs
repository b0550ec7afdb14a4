//! What sessions cost: Azure bills each by the hour from its allocation ("Billing in Azure Container Apps": dynamic sessions).
//! Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

const HOUR_SECONDS: i64 = 3600;

/// The hours of sessions that have ended, by namespace.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Bill(BTreeMap<String, u64>);

impl Bill {
    /// Adds hours to a namespace's.
    pub fn add(&mut self, namespace: &str, hours: u64) {
        if hours > 0 {
            *self.0.entry(namespace.to_owned()).or_default() += hours;
        }
    }

    /// The hours of each namespace that has any.
    pub fn hours(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(namespace, hours)| (namespace.as_str(), *hours))
    }
}

/// The hours that were begun between two times, the first one included.
pub fn hours_begun(from: Timestamp, until: Timestamp) -> u64 {
    let seconds = until.duration_since(from).as_secs().max(0);
    (seconds / HOUR_SECONDS + 1).unsigned_abs()
}
