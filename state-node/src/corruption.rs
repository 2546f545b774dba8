//! Data that is not what this node once wrote, and the file that says so until somebody has looked after it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file in the data folder: while it is there, no replica is started from what else is there.
pub const MARKER: &str = "CORRUPT";

/// What is wrong with a node's data. Written down as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corruption {
    /// As far as it is known.
    pub shard: Option<u16>,
    /// The damaged file, or the folder of the damaged rows.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: Option<u64>,
    /// For people.
    pub reason: String,
}

impl fmt::Display for Corruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(offset) = self.offset {
            write!(formatter, ", byte {offset}")?;
        }
        if let Some(shard) = self.shard {
            write!(formatter, ", shard {shard}")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// Why the mark cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the corruption cannot be described")]
    Encoding(#[source] serde_json::Error),
}

/// Marks the data in `data_dir` as corrupt, durably. What was found first stays.
pub fn mark(data_dir: &Path, corruption: &Corruption) -> Result<(), MarkError> {
    let path = data_dir.join(MARKER);
    if path.exists() {
        return Ok(());
    }
    let failed = |source| MarkError::Io {
        action: "write",
        path: path.clone(),
        source,
    };
    let text = serde_json::to_string_pretty(corruption).map_err(MarkError::Encoding)?;
    let temporary = data_dir.join("CORRUPT.new");
    let mut file = File::create(&temporary).map_err(failed)?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&temporary, &path).map_err(failed)?;
    File::open(data_dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)
}

/// What the data in `data_dir` is marked with.
pub fn marked(data_dir: &Path) -> Result<Option<Corruption>, MarkError> {
    let path = data_dir.join(MARKER);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(MarkError::Io {
                action: "read",
                path,
                source,
            });
        }
    };
    // Somebody may have made the file by hand, which says enough.
    Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|_| {
        Corruption {
            shard: None,
            file: path,
            offset: None,
            reason: "marked without a reason".to_owned(),
        }
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_tells_what_was_found_first() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(marked(dir.path()).expect("readable").is_none());
        let corruption = Corruption {
            shard: Some(3),
            file: "log/0000000001.log".into(),
            offset: Some(4_711),
            reason: "a synced record".to_owned(),
        };
        mark(dir.path(), &corruption).expect("written");
        let later = Corruption {
            shard: None,
            ..corruption.clone()
        };
        mark(dir.path(), &later).expect("there already");
        assert_eq!(
            corruption.to_string(),
            "log/0000000001.log, byte 4711, shard 3: a synced record"
        );
        assert_eq!(marked(dir.path()).expect("readable"), Some(corruption));
        fs::write(dir.path().join(MARKER), "because").expect("written");
        assert!(marked(dir.path()).expect("readable").is_some());
    }
}
