//! Reading entries back from the segments, checked.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::corruption::Corruption;
use crate::raft::Entry;
use crate::raft::log_store::disk::{Disk, Segment};
use crate::raft::log_store::index::Found;
use crate::raft::log_store::record::{self, EntryError};

/// Why an entry could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read {} at byte {offset}", path.display())]
    Io {
        path: PathBuf,
        offset: u32,
        #[source]
        source: io::Error,
    },
    #[error("{} ends before the record of shard {shard} at byte {offset}", path.display())]
    Short {
        shard: u16,
        path: PathBuf,
        offset: u32,
    },
    #[error("the record of shard {shard} at byte {offset} of {} is damaged", path.display())]
    Damaged {
        shard: u16,
        path: PathBuf,
        offset: u32,
        #[source]
        source: EntryError,
    },
}

impl ReadError {
    /// What is wrong with the disk's content; `None` if the disk failed to give it.
    pub(crate) fn corruption(&self) -> Option<Corruption> {
        let (shard, path, offset, reason) = match self {
            Self::Io { .. } => return None,
            Self::Short {
                shard,
                path,
                offset,
            } => (
                shard,
                path,
                offset,
                "the file ends before a synced record".to_owned(),
            ),
            Self::Damaged {
                shard,
                path,
                offset,
                source,
            } => (shard, path, offset, format!("a synced record: {source}")),
        };
        Some(Corruption {
            shard: Some(*shard),
            file: path.clone(),
            offset: Some(u64::from(*offset)),
            reason,
        })
    }
}

/// The entry that was found for `group`.
pub(super) fn load(
    found: Found,
    group: u16,
    files: &BTreeMap<u32, Arc<dyn Segment>>,
    disk: &dyn Disk,
) -> Result<Entry, ReadError> {
    let (id, place) = match found {
        Found::Cached(entry) => return Ok(entry),
        Found::OnDisk(id, place) => (id, place),
    };
    // The whole record: its checksum is on the disk, so that the index needs no memory for one.
    let span = place.span.record();
    let offset = span.offset;
    let path = || disk.path(place.segment);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Short {
            shard: group,
            path: path(),
            offset,
        },
        _ => ReadError::Io {
            path: path(),
            offset,
            source,
        },
    };
    let file = files
        .get(&place.segment)
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut bytes = vec![0; span.len as usize];
    file.read_exact_at(&mut bytes, u64::from(offset))
        .map_err(failed)?;
    let payload = record::decode_entry(&Bytes::from(bytes), group, id).map_err(|source| {
        ReadError::Damaged {
            shard: group,
            path: path(),
            offset,
            source,
        }
    })?;
    Ok(Entry {
        log_id: id,
        payload,
    })
}
