//! Reading the segments back when a node starts.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

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
        "log segment {} is damaged at byte {offset}, before data that was already synced; \
         remove this node's volume and let it join again, or restore the file", path.display()
    )]
    Damaged { path: PathBuf, offset: u32 },
    #[error("log segment {number} is missing")]
    MissingSegment { number: u32 },
    #[error("the log of group {group} has no entry {expected} although later ones exist")]
    Gap { group: u16, expected: u64 },
    #[error("the log belongs to group {group}, but this cluster has only {groups} groups")]
    UnknownGroup { group: u16, groups: u16 },
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
                number: numbers[at - 1] + 1,
            });
        }
        let last = at + 1 == numbers.len();
        read_segment(disk, *number, last, &mut recovered)?;
    }
    check_gaps(&recovered.groups)?;
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
        return Err(OpenError::Damaged { path, offset: 0 });
    }
    let mut offset = SEGMENT_HEADER;
    while (offset as usize) < bytes.len() {
        let Ok((record, next)) = record::decode(&bytes, offset) else {
            if !last || record::has_batch_after(&bytes, offset) {
                return Err(OpenError::Damaged { path, offset });
            }
            break;
        };
        replay(&record, number, &mut recovered.groups)?;
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

fn replay(record: &Record, segment: u32, groups: &mut [GroupLog]) -> Result<(), OpenError> {
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
        .ok_or(OpenError::UnknownGroup {
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
                .map_err(|expected| OpenError::Gap { group, expected })?;
        }
        Record::Vote { vote, .. } => log.vote = Some(vote),
        Record::Truncate { keep, .. } => log.truncate(keep),
        Record::Purge { upto, .. } => log.purge(upto),
        Record::Committed { upto, .. } => log.committed = Some(upto),
    }
    Ok(())
}

/// Entries between the purge mark and the first entry may only be missing while an old segment is still replayed.
fn check_gaps(groups: &[GroupLog]) -> Result<(), OpenError> {
    for (group, log) in groups.iter().enumerate() {
        let expected = log.purged.map(|purged| purged.index + 1);
        if let (Some(expected), Some(first)) = (expected, log.first_index())
            && first > expected
        {
            return Err(OpenError::Gap {
                group: group as u16,
                expected,
            });
        }
    }
    Ok(())
}
