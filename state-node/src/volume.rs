//! One process at a time on a data folder.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

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

impl VolumeLock {
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
}
