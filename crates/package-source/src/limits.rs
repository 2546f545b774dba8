//! How long a source may take.

use std::time::Duration;

/// Time limits of everything that is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Until there is a connection.
    pub(crate) connect: Duration,
    /// Until the next byte.
    pub(crate) silence: Duration,
    /// For all of it.
    pub(crate) total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            total: Duration::from_secs(600),
        }
    }
}
