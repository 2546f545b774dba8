//! Reading the segments back when a node starts.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::corruption::Corruption;
use crate::raft::log_store::disk::{Disk, Segment};
use crate::raft::log_store::index::{GroupLog, Place};
use crate::raft::log_store::record::{self, Record, SEGMENT_HEADER};

/// Why a log cannot be opened. Nothing was changed on the disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "log segment {} is damaged at byte {offset}{}, before data that was already synced", path.display(), of(*shard)
    )]
    Damaged {
        path: PathBuf,
        offset: u32,
        /// As the damaged bytes say, so it may be wrong; `None` if they make no sense.
        shard: Option<u16>,
    },
    #[error("log segment {} is missing although later ones exist", path.display())]
    MissingSegment { path: PathBuf },
    #[error(
        "the log of shard {shard} has no entry {expected} although later ones exist, the next at byte {offset} of {}",
        path.display()
    )]
    Gap {
        shard: u16,
        expected: u64,
        path: PathBuf,
        offset: u32,
    },
    #[error(
        "byte {offset} of {} belongs to shard {shard}, but this cluster has only {shards} shards", path.display()
    )]
    UnknownShard {
        shard: u16,
        shards: u16,
        path: PathBuf,
        offset: u32,
    },
}

fn of(shard: Option<u16>) -> String {
    shard.map_or_else(String::new, |shard| format!(" (of shard {shard})"))
}

impl OpenError {
    /// What is wrong with the disk's content; `None` if it is the disk itself, or the configuration.
    pub fn corruption(&self) -> Option<Corruption> {
        let (shard, file, offset) = match self {
            Self::Io { .. } | Self::UnknownShard { .. } => return None,
            Self::Damaged {
                path,
                offset,
                shard,
            } => (*shard, path, Some(*offset)),
            Self::MissingSegment { path } => (None, path, None),
            Self::Gap {
                shard,
                path,
                offset,
                ..
            } => (Some(*shard), path, Some(*offset)),
        };
        Some(Corruption {
            shard,
            file: file.clone(),
            offset: offset.map(u64::from),
            reason: self.to_string(),
        })
    }
}

/// What the segments say.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub groups: Vec<GroupLog>,
    /// The segments by number, open for reading.
    pub segments: BTreeMap<u32, Arc<dyn Segment>>,
    /// Bytes that were cut off the last segment: the batch that was not synced.
    pub torn_bytes: u64,
}

/// Reads every segment of `disk` for a node with `groups` groups, and cuts off a torn end.
pub(crate) fn recover(disk: &dyn Disk, groups: u16) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    recovered
        .groups
        .resize_with(usize::from(groups), GroupLog::default);
    let numbers = disk.numbers().map_err(|source| OpenError::Io {
        action: "list the segments beside",
        path: disk.path(0),
        source,
    })?;
    for (at, number) in numbers.iter().enumerate() {
        if at > 0 && numbers[at - 1] + 1 != *number {
            return Err(OpenError::MissingSegment {
                path: disk.path(numbers[at - 1] + 1),
            });
        }
        let last = at + 1 == numbers.len();
        read_segment(disk, *number, last, &mut recovered)?;
    }
    check_gaps(disk, &recovered.groups)?;
    Ok(recovered)
}

fn read_segment(
    disk: &dyn Disk,
    number: u32,
    last: bool,
    recovered: &mut Recovered,
) -> Result<(), OpenError> {
    let path = disk.path(number);
    let failed = |action| {
        let path = path.clone();
        move |source| OpenError::Io {
            action,
            path,
            source,
        }
    };
    let segment = disk.open(number).map_err(failed("open"))?;
    let bytes = segment.read().map_err(failed("read"))?;
    if bytes.get(..SEGMENT_HEADER as usize) != Some(&record::segment_header(number)[..]) {
        // A header is synced before its segment takes a record, so a bad one is either a segment that never came to
        // life, or damage.
        if last && !record::has_batch_after(&bytes, 0) {
            disk.remove(number).map_err(failed("remove"))?;
            recovered.torn_bytes += bytes.len() as u64;
            return Ok(());
        }
        return Err(OpenError::Damaged {
            path,
            offset: 0,
            shard: None,
        });
    }
    let mut offset = SEGMENT_HEADER;
    while (offset as usize) < bytes.len() {
        let Ok((record, next)) = record::decode(&bytes, offset) else {
            if !last || record::has_batch_after(&bytes, offset) {
                let shard = record::claimed_group(&bytes, offset)
                    .filter(|shard| usize::from(*shard) < recovered.groups.len());
                return Err(OpenError::Damaged {
                    path,
                    offset,
                    shard,
                });
            }
            break;
        };
        replay(&record, number, &mut recovered.groups).map_err(|refused| match refused {
            Refused::UnknownGroup { group, groups } => OpenError::UnknownShard {
                shard: group,
                shards: groups,
                path: path.clone(),
                offset,
            },
            Refused::Gap { group, expected } => OpenError::Gap {
                shard: group,
                expected,
                path: path.clone(),
                offset,
            },
        })?;
        offset = next;
    }
    if (offset as usize) < bytes.len() {
        segment.cut(u64::from(offset)).map_err(failed("truncate"))?;
        segment.sync().map_err(failed("sync"))?;
        recovered.torn_bytes += bytes.len() as u64 - u64::from(offset);
    }
    recovered.segments.insert(number, segment);
    Ok(())
}

/// Why a record does not follow those before it.
enum Refused {
    UnknownGroup { group: u16, groups: u16 },
    Gap { group: u16, expected: u64 },
}

fn replay(record: &Record, segment: u32, groups: &mut [GroupLog]) -> Result<(), Refused> {
    let count = groups.len() as u16;
    let group = match *record {
        Record::Batch { .. } => return Ok(()),
        Record::Entry { group, .. }
        | Record::Vote { group, .. }
        | Record::Truncate { group, .. }
        | Record::Purge { group, .. }
        | Record::Committed { group, .. } => group,
    };
    let log = groups
        .get_mut(usize::from(group))
        .ok_or(Refused::UnknownGroup {
            group,
            groups: count,
        })?;
    match *record {
        Record::Batch { .. } => {}
        Record::Entry { id, payload, .. } => {
            let place = Place {
                segment,
                span: payload,
            };
            log.recover(id, place)
                .map_err(|expected| Refused::Gap { group, expected })?;
        }
        Record::Vote { vote, .. } => log.vote = Some(vote),
        Record::Truncate { keep, .. } => log.truncate(keep),
        Record::Purge { upto, .. } => log.purge(upto),
        Record::Committed { upto, .. } => log.committed = Some(upto),
    }
    Ok(())
}

/// Entries between the purge mark and the first entry may only be missing while an old segment is still replayed.
fn check_gaps(disk: &dyn Disk, groups: &[GroupLog]) -> Result<(), OpenError> {
    for (group, log) in groups.iter().enumerate() {
        let expected = log.purged.map(|purged| purged.index + 1);
        if let (Some(expected), Some((first, place))) = (expected, log.first_entry())
            && first > expected
        {
            return Err(OpenError::Gap {
                shard: group as u16,
                expected,
                path: disk.path(place.segment),
                offset: place.span.record().offset,
            });
        }
    }
    Ok(())
}
