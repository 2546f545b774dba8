//! What happens when a node can no longer trust its disk or its Raft state: it stops.

use std::error::Error;
use std::sync::Arc;

/// Ends the process after an error that leaves a replica in doubt. Going on would risk telling clients that something
/// is stored that is not; a restart reads the disk afresh and the other replicas go on meanwhile.
#[derive(Clone)]
pub struct FailStop(Arc<dyn Fn(&str) + Send + Sync>);

/// Exit status of a process that stopped itself.
pub const EXIT_STATUS: i32 = 70;

impl FailStop {
    /// Exits the process.
    pub fn exit() -> Self {
        // No destructor may run on doubtful state.
        Self(Arc::new(|_| std::process::exit(EXIT_STATUS)))
    }

    /// Calls `hook` with the message instead of exiting; for tests.
    pub fn hooked(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    /// Logs the error and ends the process.
    pub fn fatal(&self, what: &str, error: &dyn Error) {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes = format!("{causes}: {cause}");
            source = cause.source();
        }
        tracing::error!(error = causes, "{what}; this node stops");
        (self.0)(what);
    }
}

impl std::fmt::Debug for FailStop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FailStop")
    }
}
