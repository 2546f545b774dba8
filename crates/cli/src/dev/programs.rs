//! Where the programs are that `drover dev` starts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

/// The programs of the nodes and the simulator.
#[derive(Debug)]
pub(crate) struct Programs {
    /// This program, which ties the others to its life.
    pub(crate) own: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) ingress: PathBuf,
    /// Absent when no devices are simulated.
    pub(crate) simulator: Option<PathBuf>,
}

impl Programs {
    /// Looks next to this program and then in PATH.
    pub(crate) fn find(simulator: bool) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let folders = folders(&own);
        let find = |name| find(name, &folders);
        Ok(Self {
            state: find("drover-state")?,
            ingress: find("drover-ingress")?,
            simulator: simulator.then(|| find("drover-sim")).transpose()?,
            own,
        })
    }
}

fn folders(own: &Path) -> Vec<PathBuf> {
    let sibling = own.parent().map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    sibling
        .into_iter()
        .chain(std::env::split_paths(&path))
        .collect()
}

fn find(name: &str, folders: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        let sibling = folders.first().map(|folder| folder.display().to_string()).unwrap_or_default();
        anyhow!("cannot find {name} in {sibling} or in PATH: build it with `cargo build`, or install it next to drover")
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn the_first_folder_wins_and_a_missing_program_is_named() {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [near.path().to_owned(), far.path().to_owned()];
        std::fs::write(far.path().join("drover-state"), "").unwrap();
        assert_eq!(
            find("drover-state", &folders).unwrap(),
            far.path().join("drover-state")
        );
        std::fs::write(near.path().join("drover-state"), "").unwrap();
        assert_eq!(
            find("drover-state", &folders).unwrap(),
            near.path().join("drover-state")
        );
        let missing = find("drover-sim", &folders).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot find drover-sim in "),
            "{missing}"
        );
    }
}
