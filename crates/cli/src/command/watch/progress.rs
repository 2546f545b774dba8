//! How far a watch has come, and the file in which that outlives it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Failure;

/// The token of the last printed event.
#[derive(Debug)]
pub(super) struct Progress {
    token: String,
    /// Whether there ever was a token.
    has_begun: bool,
    file: Option<PathBuf>,
}

impl Progress {
    /// From a token on, or from now on if it is empty.
    pub(super) const fn after(token: String) -> Self {
        Self {
            has_begun: !token.is_empty(),
            token,
            file: None,
        }
    }

    /// From the token in a file on, or from now on if there is no such file yet.
    pub(super) fn in_file(file: &Path) -> Result<Self, Failure> {
        let token = match std::fs::read_to_string(file) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let cannot = format!("cannot read {}", file.display());
                return Err(anyhow::Error::new(error).context(cannot).into());
            }
        };
        Ok(Self {
            file: Some(file.to_owned()),
            ..Self::after(token)
        })
    }

    /// Empty: from now on.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether an API has served this watch.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Begins again. What is in the file stays until there is something new.
    pub(super) fn forget(&mut self) {
        self.token.clear();
    }

    /// What had this token was printed.
    pub(super) fn keep(&mut self, token: String) -> Result<(), Failure> {
        if let Some(file) = &self.file {
            write(file, &token).with_context(|| format!("cannot write {}", file.display()))?;
        }
        self.token = token;
        self.has_begun = true;
        Ok(())
    }
}

/// In one step: who is interrupted leaves the token before, or this one.
fn write(file: &Path, token: &str) -> io::Result<()> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(written, "{token}")?;
    written.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_file_keeps_the_last_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seen.token");
        let mut progress = Progress::in_file(&file).unwrap();
        assert_eq!(progress.token(), "");
        progress.keep("first".to_owned()).unwrap();
        progress.keep("second".to_owned()).unwrap();
        assert_eq!(Progress::in_file(&file).unwrap().token(), "second");
        progress.forget();
        assert_eq!(Progress::in_file(&file).unwrap().token(), "second");
        assert!(Progress::in_file(folder.path()).is_err());
    }
}
