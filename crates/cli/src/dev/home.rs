//! The directory of a cluster on this machine.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::endpoints;
use crate::failure::Failure;
use crate::output::note;

/// What a directory is kept for.
enum Kept {
    /// Until the end; it is removed on drop.
    Temporary(TempDir),
    Given(PathBuf),
}

/// The directory, while this process has it for itself.
pub(crate) struct Home {
    kept: Kept,
    /// Holds the lock until it is dropped.
    _lock: File,
}

impl Home {
    /// Makes or takes over `dir`, or makes a temporary directory.
    pub(crate) fn open(dir: Option<&Path>) -> anyhow::Result<Self> {
        let kept = if let Some(dir) = dir {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
            let dir =
                fs::canonicalize(dir).with_context(|| format!("cannot use {}", dir.display()))?;
            Kept::Given(dir)
        } else {
            let made = tempfile::Builder::new().prefix("drover-dev-").tempdir();
            Kept::Temporary(made.context("cannot make a temporary directory")?)
        };
        let lock = lock(kept.path())?;
        let home = Self { kept, _lock: lock };
        fs::create_dir_all(home.logs()).context("cannot make the directory for logs")?;
        home.forget_endpoints()?;
        home.make_cluster_key()?;
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.kept.path()
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    pub(crate) fn cluster_key(&self) -> PathBuf {
        self.path().join("cluster.key")
    }

    /// Whether the directory goes away at the end.
    pub(crate) const fn is_temporary(&self) -> bool {
        matches!(self.kept, Kept::Temporary(_))
    }

    /// An old file would tell of processes that are gone.
    fn forget_endpoints(&self) -> anyhow::Result<()> {
        match fs::remove_file(endpoints::path(self.path())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("cannot remove endpoints.json")
            }
            _ => Ok(()),
        }
    }

    fn make_cluster_key(&self) -> anyhow::Result<()> {
        let key = hex::encode(rand::random::<[u8; 32]>());
        match create_private(&self.cluster_key()) {
            Ok(mut file) => file
                .write_all(format!("{key}\n").as_bytes())
                .context("cannot write the cluster key"),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error).context("cannot write the cluster key"),
        }
    }

    /// Removes what must not outlive the processes. After a failure even a temporary directory stays, for its logs.
    pub(crate) fn close(self, outcome: &Result<(), Failure>) -> anyhow::Result<()> {
        self.forget_endpoints()?;
        if let Kept::Temporary(dir) = self.kept
            && outcome.is_err()
        {
            note(&format!(
                "the logs are in {}",
                dir.keep().join("logs").display()
            ));
        }
        Ok(())
    }
}

impl Kept {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }
}

/// A new file that only its owner can read: it holds keys.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another `drover dev` runs in {}", dir.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_directory_is_for_one_at_a_time_and_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(dir.path())).unwrap();
        let key = fs::read_to_string(home.cluster_key()).unwrap();
        assert_eq!(hex::decode(key.trim()).unwrap().len(), 32);
        let second = Home::open(Some(dir.path())).err().unwrap();
        assert!(
            second.to_string().contains("another `drover dev`"),
            "{second}"
        );
        home.close(&Ok(())).unwrap();
        let again = Home::open(Some(dir.path())).unwrap();
        assert_eq!(fs::read_to_string(again.cluster_key()).unwrap(), key);
    }

    #[test]
    fn a_temporary_directory_stays_only_after_a_failure() {
        let home = Home::open(None).unwrap();
        let path = home.path().to_owned();
        assert!(home.is_temporary());
        home.close(&Ok(())).unwrap();
        assert!(!path.exists());
        let home = Home::open(None).unwrap();
        let path = home.path().to_owned();
        home.close(&Err(Failure::usage("x", "y"))).unwrap();
        assert!(path.exists());
        fs::remove_dir_all(path).unwrap();
    }
}
