//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Enough for a connection of each job that may be worked on at the same time, for idle ones, and for all the rest.
const ENOUGH: u64 = 16_384;

/// Raises the limit of open descriptors to what the operator may need, as far as its host allows. Container runtimes start
/// with 1 024, which jobs that run at the same time would use up: each of them has a connection.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(&limit) else { return };
    let descriptors = raised.current;
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(descriptors, "raised the limit of open descriptors"),
        Err(error) => tracing::warn!(%error, descriptors, "the limit of open descriptors could not be raised"),
    }
}

/// A limit that is enough; `None` where it is, or where no more is allowed.
fn raised(limit: &Rlimit) -> Option<Rlimit> {
    let wanted = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    (limit.current? < wanted).then_some(Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_may_and_never_lowered() {
        for (current, maximum, expected) in [
            (Some(1024), Some(524_288), Some(ENOUGH)),
            (Some(1024), None, Some(ENOUGH)),
            (Some(1024), Some(4096), Some(4096)),
            (Some(4096), Some(4096), None),
            (Some(1_048_576), Some(1_048_576), None),
            (None, None, None),
        ] {
            let raised = raised(&Rlimit { current, maximum });
            assert_eq!(raised.and_then(|it| it.current), expected, "{current:?} of {maximum:?}");
        }
    }
}
