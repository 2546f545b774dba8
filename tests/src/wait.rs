//! Level-triggered waits: a condition is looked at until it holds.

use std::fmt::Debug;
use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until `look` gives something, or gives the last thing seen after `limit`.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that waits between two looks at a condition"
)]
pub(crate) fn look_for<T, E>(
    limit: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Err(_) if Instant::now() < deadline => thread::sleep(INTERVAL),
            found => return found,
        }
    }
}

/// Waits until `look` gives something; panics with `what` and the last thing seen after `limit`.
pub fn until_some<T, E: Debug>(
    what: &str,
    limit: Duration,
    look: impl FnMut() -> Result<T, E>,
) -> T {
    look_for(limit, look)
        .unwrap_or_else(|seen| panic!("{what}: not within {limit:?}; last seen: {seen:?}"))
}

/// Waits until `holds`; panics with `what` after `limit`.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    until_some(what, limit, || {
        if holds() {
            Ok(())
        } else {
            Err("it does not hold")
        }
    });
}
