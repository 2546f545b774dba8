//! Where things lie. Never change: backups stay for years.

use crate::name::{BackupId, Digest};

/// Folder of the backups.
pub(crate) const BACKUPS: &str = "backups";
/// Folder of the files of all backups.
pub(crate) const FILES: &str = "files";

const MANIFEST: &str = "manifest.json";
const STARTED: &str = "started";

/// What an object of [`BACKUPS`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Manifest(BackupId),
    /// The mark of a backup that is being made.
    Started(BackupId),
}

pub(crate) fn manifest(id: &BackupId) -> String {
    format!("{BACKUPS}/{id}/{MANIFEST}")
}

pub(crate) fn started(id: &BackupId) -> String {
    format!("{BACKUPS}/{id}/{STARTED}")
}

pub(crate) fn file(digest: &Digest) -> String {
    format!("{FILES}/{digest}")
}

/// What lies at `path`; `None` if it is none of ours.
pub(crate) fn part(path: &str) -> Option<Part> {
    let (id, name) = path
        .strip_prefix(BACKUPS)?
        .strip_prefix('/')?
        .split_once('/')?;
    let id = id.parse().ok()?;
    match name {
        MANIFEST => Some(Part::Manifest(id)),
        STARTED => Some(Part::Started(id)),
        _ => None,
    }
}

/// The digest of the file at `path`; `None` if it is none of ours.
pub(crate) fn digest(path: &str) -> Option<Digest> {
    path.strip_prefix(FILES)?.strip_prefix('/')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back_and_others_are_left_alone() {
        let id: BackupId = "20261130T174512Z-5f3a9c1e".parse().expect("an id");
        assert_eq!(part(&manifest(&id)), Some(Part::Manifest(id.clone())));
        assert_eq!(part(&started(&id)), Some(Part::Started(id)));
        assert_eq!(part("backups/notes.txt"), None);
        assert_eq!(part("backups/other/manifest.json"), None);
        let empty = Digest::of(b"");
        assert_eq!(digest(&file(&empty)), Some(empty));
        assert_eq!(digest("files/readme"), None);
    }
}
