//! One process at a time on a data folder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The file that is locked. It stays, empty.
pub const FILE: &str = "LOCK";

/// Holds the folder until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct VolumeLock {
    _file: File,
}

/// Why the folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is used by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error("cannot lock {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// How long the process before may take to be gone: one that was killed holds the folder until the kernel is done with it.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

impl VolumeLock {
    /// As [`Self::take`], and waits for a process that is ending.
    pub async fn take_over(dir: &Path) -> Result<Self, LockError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Self::take(dir) {
                Err(LockError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                taken => return taken,
            }
        }
    }

    /// Locks `dir`, which is created if need be.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(FILE);
        let failed = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(LockError::InUse {
                dir: dir.to_owned(),
            }),
            Err(error) => Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_s_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = dir.path().join("data");
        let held = VolumeLock::take(&dir).expect("free");
        assert!(matches!(
            VolumeLock::take(&dir),
            Err(LockError::InUse { .. })
        ));
        drop(held);
        VolumeLock::take(&dir).expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_ends_is_waited_for() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let held = VolumeLock::take(dir.path()).expect("free");
        let refused = VolumeLock::take_over(dir.path()).await;
        assert!(matches!(refused, Err(LockError::InUse { .. })));
        let (taken, ()) = tokio::join!(VolumeLock::take_over(dir.path()), async {
            tokio::time::sleep(PAUSE * 3).await;
            drop(held);
        });
        taken.expect("free again");
    }
}
