//! What tenants may cause in this process, in numbers: the one place for the budgets that are not those of a job.
//! `docs/limits.md` says the same to users.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

/// How many objects are in one answer to a list. An object has up to 1.5 MiB, and an answer is in memory as a whole, once as
/// a text and once as objects.
pub const PAGE: u32 = 10;

/// The longest annotation that is kept: the operator's own hold a name, a UID or a time.
pub const ANNOTATION_CHARS: usize = 256;

/// The passes over settled objects that one namespace may cause in a second.
pub const LOOKS_PER_SECOND: f64 = 5.0;

/// The events that a namespace may cause; further ones are dropped. The API server keeps each for an hour.
pub const EVENTS: Quota = Quota::per_minute(NonZeroU32::new(600).expect("not zero"));

/// The lines about objects of one namespace that are written, those for debugging not counted; further ones are left out.
pub const LOG_LINES: Quota = Quota::per_minute(NonZeroU32::new(1200).expect("not zero"));

/// How often the log says that events were dropped, or lines left out.
pub const REPORTED_EVERY: Duration = Duration::from_mins(1);

/// How many connections the health port has at a time. Beyond it the oldest one is closed, so that whoever opens many does
/// not block others.
pub const HEALTH_CONNECTIONS: usize = 32;

/// How long one of them lasts, which is for one request; a request needs milliseconds.
pub const HEALTH_CONNECTION_TIME: Duration = Duration::from_secs(3);

/// How long a request to the health port may be with its headers: what hyper takes at least.
pub const HEALTH_REQUEST_BYTES: usize = 8192;
