//! Level-triggered waits on the clock of the runtime, which may be a virtual one.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take once nothing is broken any more.
pub const SOON: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `look` gives something; panics with `what` and the last thing seen if that is not [`SOON`].
pub async fn until_some<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + SOON;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(
                Instant::now() < end,
                "{what}: not within {SOON:?}; last seen: {seen:?}"
            ),
        }
        sleep(INTERVAL).await;
    }
}
