//! The status of a ResourceGroup.

use jiff::Timestamp;

use crate::api::{ResourceGroup, ResourceGroupStatus};
use crate::controller::azure_resource::{self, Look};
use crate::runtime::Seen;

/// Computes the status; `None` leaves it as it is.
pub fn summarize(object: &ResourceGroup, seen: &Seen<'_, Look>, now: Timestamp) -> Option<ResourceGroupStatus> {
    let azure = azure_resource::summarize(object, seen.observed, seen.outcome, now, |verdict, _| verdict)?;
    Some(ResourceGroupStatus { azure })
}
