//! What happens when a node can no longer trust its disk or its Raft state: it stops.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use crate::corruption::{self, Corruption};

/// Ends the process after an error that leaves a replica in doubt. Going on would risk telling clients that something
/// is stored that is not; a restart reads the disk afresh and the other replicas go on meanwhile.
#[derive(Clone)]
pub struct FailStop(Stop);

#[derive(Clone)]
enum Stop {
    /// With the node's data folder, which is marked if it is corrupt.
    Exit(Arc<Path>),
    Hook(Arc<dyn Fn(&str) + Send + Sync>),
}

/// Exit status of a process that stopped itself.
pub const EXIT_STATUS: i32 = 70;
/// Exit status of a process that found its data corrupt, and whose next start looks after that.
pub const EXIT_CORRUPT: i32 = 65;

impl FailStop {
    /// Exits the process of the node with the data in `data_dir`.
    pub fn exit(data_dir: &Path) -> Self {
        Self(Stop::Exit(data_dir.into()))
    }

    /// Calls `hook` with the message instead of exiting; for tests.
    pub fn hooked(hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Stop::Hook(Arc::new(hook)))
    }

    /// Logs the error and ends the process.
    pub fn fatal(&self, what: &str, error: &dyn Error) {
        tracing::error!(error = causes(error), "{what}; this node stops");
        match &self.0 {
            Stop::Exit(_) => exit(EXIT_STATUS),
            Stop::Hook(hook) => hook(what),
        }
    }

    /// Logs what is wrong, marks the data as corrupt and ends the process: the next start rebuilds this replica from the
    /// others, or refuses, as it is configured.
    pub fn corrupt(&self, what: &str, corruption: &Corruption) {
        tracing::error!(
            %corruption,
            "{what}: the data of this node is corrupt and it stops; started again, it sets its data aside and is rebuilt \
             from the other nodes, unless `rebuild_corrupt` is \"never\" or there are less than three voters; by hand, \
             do so with `drover-state rebuild`"
        );
        match &self.0 {
            Stop::Exit(data_dir) => {
                if let Err(error) = corruption::mark(data_dir, corruption) {
                    // The same damage will be found again.
                    tracing::error!(
                        error = causes(&error),
                        "the data could not be marked as corrupt"
                    );
                }
                exit(EXIT_CORRUPT);
            }
            Stop::Hook(hook) => hook(&corruption.to_string()),
        }
    }
}

#[expect(clippy::exit, reason = "no destructor may run on doubtful state")]
fn exit(status: i32) -> ! {
    std::process::exit(status)
}

fn causes(error: &dyn Error) -> String {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes = format!("{causes}: {cause}");
        source = cause.source();
    }
    causes
}

impl std::fmt::Debug for FailStop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FailStop")
    }
}
