//! Token buckets of principals and subscriptions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::behaviour::Bucket;

/// The buckets of everyone who made a request.
#[derive(Debug, Default)]
pub struct Throttle {
    levels: Mutex<HashMap<String, Level>>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    left: f64,
    at: Timestamp,
}

/// What taking from a bucket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The request may pass; so many are left.
    Left(u32),
    /// The bucket is empty; one comes back after so many seconds.
    Empty {
        /// Seconds until a request would pass, at least 1.
        retry_after: u32,
    },
}

impl Throttle {
    /// Takes one request from the bucket of `key`.
    pub fn take(&self, key: String, bucket: Bucket, now: Timestamp) -> Taken {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let size = f64::from(bucket.size);
        let level = levels.entry(key).or_insert(Level { left: size, at: now });
        let elapsed = now.duration_since(level.at).as_secs_f64().max(0.0);
        level.left = (level.left + elapsed * bucket.refill_per_second).min(size);
        level.at = now;
        if level.left >= 1.0 {
            level.left -= 1.0;
            return Taken::Left(whole(level.left));
        }
        let missing = 1.0 - level.left;
        let seconds = if bucket.refill_per_second > 0.0 {
            missing / bucket.refill_per_second
        } else {
            3600.0
        };
        Taken::Empty {
            retry_after: whole(seconds.ceil()).max(1),
        }
    }

    /// Fills all buckets.
    pub fn reset(&self) {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of u32 first"
)]
fn whole(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}
