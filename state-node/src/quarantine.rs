//! Setting a node's data aside. The log is shared by all shards, so all of it goes, and the identity with it: a node that
//! lost synced records must never vote as if it had them.
//!
//! Everything moves by renaming, in an order that a crash can interrupt anywhere: while the file `CORRUPT` is in the data
//! folder nothing is started from there, and it moves last.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use device_state::NodeId;

use crate::corruption::MARKER;
use crate::identity::{self, IdentityFile};

const PREFIX: &str = "quarantine-";
/// What is set aside besides the identity. Nothing else in the folder is ours.
const DATA: [&str; 2] = ["log", "shards"];
/// A node whose data was set aside less than this ago has a cause that another rebuild does not remove.
const PAUSE: Duration = Duration::from_secs(3_600);

/// Whether the time since the last quarantine counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    AfterPause,
    AtOnce,
}

/// Why data was not set aside.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the data of this node was set aside less than an hour ago, to {}: look at the disk and the memory of the machine; \
         `drover-state rebuild --again` sets it aside nevertheless, in place of what is there", path.display()
    )]
    TooSoon { path: PathBuf },
}

impl QuarantineError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// How far setting the data aside has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was moved; the next quarantine is this folder.
    ToBegin(PathBuf),
    /// A crash came in between.
    Begun(PathBuf),
}

/// Whether the data in `data_dir`, which is marked as corrupt, can be set aside at the time `now`.
pub fn progress(
    data_dir: &Path,
    haste: Haste,
    now: SystemTime,
) -> Result<Progress, QuarantineError> {
    let Some(newest) = numbers(data_dir)?.last().copied() else {
        return Ok(Progress::ToBegin(folder(data_dir, 1)));
    };
    let path = folder(data_dir, newest);
    let marker = path.join(MARKER);
    let made = match fs::metadata(&marker) {
        Ok(metadata) => metadata.modified(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Progress::Begun(path));
        }
        Err(error) => Err(error),
    };
    let made = made.map_err(QuarantineError::io("look at", &marker))?;
    // A time that is yet to come is no time to trust.
    let age = now.duration_since(made).unwrap_or(Duration::ZERO);
    if haste == Haste::AfterPause && age < PAUSE {
        return Err(QuarantineError::TooSoon { path });
    }
    Ok(Progress::ToBegin(folder(data_dir, newest + 1)))
}

/// Sets the data aside and gives the node the identity `fresh`. The folder that it went to.
pub fn set_aside(
    data_dir: &Path,
    progress: Progress,
    fresh: NodeId,
    now: SystemTime,
) -> Result<PathBuf, QuarantineError> {
    let (Progress::ToBegin(path) | Progress::Begun(path)) = progress;
    fs::create_dir_all(&path).map_err(QuarantineError::io("create", &path))?;
    // First the identity: what there is afterwards is the new one.
    let former = path.join(identity::FILE);
    if !former.exists() {
        move_into(data_dir, identity::FILE, &path)?;
        sync(&path)?;
        sync(data_dir)?;
    }
    for name in DATA {
        move_into(data_dir, name, &path)?;
    }
    renew(&former, data_dir, fresh);
    sync(&path)?;
    sync(data_dir)?;
    let marker = data_dir.join(MARKER);
    // From now on counts the pause, not from when the damage was found.
    File::options()
        .write(true)
        .open(&marker)
        .and_then(|file| file.set_modified(now))
        .map_err(QuarantineError::io("date", &marker))?;
    move_into(data_dir, MARKER, &path)?;
    sync(&path)?;
    sync(data_dir)?;
    remove_older(data_dir, &path)?;
    Ok(path)
}

/// When data was set aside last.
pub fn newest(data_dir: &Path) -> Option<SystemTime> {
    let number = numbers(data_dir).ok()?.last().copied()?;
    let marker = folder(data_dir, number).join(MARKER);
    fs::metadata(marker).ok()?.modified().ok()
}

/// Without a readable identity the next start makes one, and asks the others before it makes anything else.
fn renew(former: &Path, data_dir: &Path, fresh: NodeId) {
    if !former.exists() || data_dir.join(identity::FILE).exists() {
        return;
    }
    if let Err(error) = IdentityFile::renew(former, data_dir, fresh) {
        tracing::warn!(%error, "the identity that was set aside tells nothing");
    }
}

fn move_into(data_dir: &Path, name: &str, quarantine: &Path) -> Result<(), QuarantineError> {
    let from = data_dir.join(name);
    match fs::rename(&from, quarantine.join(name)) {
        // Moved before a crash, or never there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved.map_err(QuarantineError::io("set aside", &from)),
    }
}

/// One quarantine is kept: a disk must not fill up with them.
fn remove_older(data_dir: &Path, kept: &Path) -> Result<(), QuarantineError> {
    for number in numbers(data_dir)? {
        let path = folder(data_dir, number);
        if path != kept
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(%error, path = %path.display(), "an older quarantine stays");
        }
    }
    Ok(())
}

fn folder(data_dir: &Path, number: u64) -> PathBuf {
    data_dir.join(format!("{PREFIX}{number}"))
}

/// The numbers of all quarantines, the newest last.
fn numbers(data_dir: &Path) -> Result<Vec<u64>, QuarantineError> {
    let failed = || QuarantineError::io("list", data_dir);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(data_dir).map_err(failed())? {
        let name = entry.map_err(failed())?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn sync(dir: &Path) -> Result<(), QuarantineError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(QuarantineError::io("sync", dir))
}

#[cfg(test)]
mod tests;
