//! The bytes of the log's segment files. Every assignment here is on disks: never change one, add another.
//!
//! A segment is a header and records. A record is `length: u32, crc32: u32, body`; all numbers are little-endian. The
//! first record of a batch is a [`Record::Batch`] mark with its own offset: when it was written, everything before it
//! was already synced. A record that does not check out is therefore the torn end of the last batch exactly if no mark
//! follows it; with a mark behind it, synced bytes were damaged.

use bytes::{Buf, BufMut, Bytes};

use crate::raft::{Entry, LogData, LogId, Vote, log_id};

/// First bytes of every segment, followed by its number.
const SEGMENT_MAGIC: &[u8; 8] = b"DRVRLOG1";
/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER: u32 = 16;
/// Bytes before a record's body.
pub(crate) const RECORD_HEADER: u32 = 8;
/// Longer bodies are refused: no entry comes near it.
const MAX_BODY: u32 = 64 << 20;
/// Body of an entry before its payload: kind, group, term and index.
const ENTRY_PREFIX: u32 = 19;
/// Bytes of an entry's record before its payload.
const ENTRY_HEADER: u32 = RECORD_HEADER + ENTRY_PREFIX;

const BATCH: u8 = 1;
const ENTRY: u8 = 2;
const VOTE: u8 = 3;
const TRUNCATE: u8 = 4;
const PURGE: u8 = 5;
const COMMITTED: u8 = 6;

const PAYLOAD_BLANK: u8 = 0;
const PAYLOAD_NORMAL: u8 = 1;
const PAYLOAD_MEMBERSHIP: u8 = 2;

const BATCH_MAGIC: u64 = 0x4452_4f56_4552_2142;

/// One record of a segment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// Everything before this offset was synced when the mark was written.
    Batch {
        offset: u32,
    },
    /// An entry, without its payload; `payload` is where that lies in the segment.
    Entry {
        group: u16,
        id: LogId,
        payload: Span,
    },
    Vote {
        group: u16,
        vote: Vote,
    },
    /// Entries after `keep` are void; `None` voids all.
    Truncate {
        group: u16,
        keep: Option<LogId>,
    },
    /// Entries up to `upto` are no longer needed.
    Purge {
        group: u16,
        upto: LogId,
    },
    /// Entries up to `upto` are known to be committed.
    Committed {
        group: u16,
        upto: LogId,
    },
}

/// Bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub offset: u32,
    pub len: u32,
}

impl Span {
    /// The whole record of the entry whose payload this is.
    pub(crate) fn record(self) -> Self {
        Self {
            offset: self.offset - ENTRY_HEADER,
            len: self.len + ENTRY_HEADER,
        }
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the record ends before its length")]
    Short,
    #[error("the record's checksum does not match")]
    Checksum,
    #[error("the record's body has an unknown form")]
    Form,
}

/// Why an entry's payload could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    #[error("unknown kind of payload {0}")]
    Kind(u8),
    #[error("the payload is empty")]
    Empty,
    #[error("malformed membership")]
    Membership(#[source] postcard::Error),
}

/// Why an entry could not be read back from its record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("another record stands in its place")]
    Misplaced,
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// The header of segment `number`.
pub(crate) fn segment_header(number: u32) -> [u8; SEGMENT_HEADER as usize] {
    let mut header = [0; SEGMENT_HEADER as usize];
    header[..8].copy_from_slice(SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&number.to_le_bytes());
    let check = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&check.to_le_bytes());
    header
}

/// Appends records to the bytes that are about to be written at `base` of a segment.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Offset of the first byte in the segment.
    base: u32,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Starts at `base`, the end of the segment so far.
    pub(crate) fn new(base: u32) -> Self {
        Self {
            base,
            bytes: Vec::new(),
        }
    }

    /// The encoded bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the next record will start.
    pub(crate) fn end(&self) -> u32 {
        self.base.saturating_add(self.bytes.len() as u32)
    }

    pub(crate) fn batch(&mut self) {
        let offset = self.end();
        self.record(|body| {
            body.put_u8(BATCH);
            body.put_u64_le(BATCH_MAGIC);
            body.put_u32_le(offset);
        });
    }

    /// Appends an entry and tells where its payload lies.
    pub(crate) fn entry(&mut self, group: u16, entry: &Entry) -> Result<Span, postcard::Error> {
        let membership = match &entry.payload {
            openraft::EntryPayload::Membership(membership) => {
                Some(postcard::to_stdvec(membership)?)
            }
            openraft::EntryPayload::Blank | openraft::EntryPayload::Normal(_) => None,
        };
        // The payload's span starts with the byte that names its kind.
        let offset = self.end() + ENTRY_HEADER;
        self.record(|body| {
            body.put_u8(ENTRY);
            body.put_u16_le(group);
            put_log_id(body, &entry.log_id);
            match (&entry.payload, membership) {
                (openraft::EntryPayload::Normal(data), _) => {
                    body.put_u8(PAYLOAD_NORMAL);
                    body.put_slice(&data.0);
                }
                (_, Some(membership)) => {
                    body.put_u8(PAYLOAD_MEMBERSHIP);
                    body.put_slice(&membership);
                }
                (_, None) => body.put_u8(PAYLOAD_BLANK),
            }
        });
        Ok(Span {
            offset,
            len: self.end() - offset,
        })
    }

    pub(crate) fn vote(&mut self, group: u16, vote: &Vote) {
        self.record(|body| {
            body.put_u8(VOTE);
            body.put_u16_le(group);
            body.put_u64_le(vote.leader_id.term);
            body.put_u64_le(vote.leader_id.voted_for);
            body.put_u8(u8::from(vote.committed));
        });
    }

    pub(crate) fn truncate(&mut self, group: u16, keep: Option<&LogId>) {
        self.record(|body| {
            body.put_u8(TRUNCATE);
            body.put_u16_le(group);
            body.put_u8(u8::from(keep.is_some()));
            if let Some(keep) = keep {
                put_log_id(body, keep);
            }
        });
    }

    pub(crate) fn purge(&mut self, group: u16, upto: &LogId) {
        self.marker(PURGE, group, upto);
    }

    pub(crate) fn committed(&mut self, group: u16, upto: &LogId) {
        self.marker(COMMITTED, group, upto);
    }

    fn marker(&mut self, kind: u8, group: u16, upto: &LogId) {
        self.record(|body| {
            body.put_u8(kind);
            body.put_u16_le(group);
            put_log_id(body, upto);
        });
    }

    fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.put_u64_le(0);
        write(&mut self.bytes);
        let body = start + RECORD_HEADER as usize;
        let len = (self.bytes.len() - body) as u32;
        let crc = crc32fast::hash(&self.bytes[body..]);
        self.bytes[start..start + 4].copy_from_slice(&len.to_le_bytes());
        self.bytes[start + 4..body].copy_from_slice(&crc.to_le_bytes());
    }
}

fn put_log_id(body: &mut Vec<u8>, id: &LogId) {
    body.put_u64_le(id.leader_id.term);
    body.put_u64_le(id.index);
}

/// Reads the record at `offset` of a segment's `bytes`; also tells where the next one starts.
pub(crate) fn decode(bytes: &[u8], offset: u32) -> Result<(Record, u32), RecordError> {
    let mut rest = bytes.get(offset as usize..).ok_or(RecordError::Short)?;
    if rest.len() < RECORD_HEADER as usize {
        return Err(RecordError::Short);
    }
    let len = rest.get_u32_le();
    let crc = rest.get_u32_le();
    if len == 0 || len > MAX_BODY {
        return Err(RecordError::Form);
    }
    let body = rest.get(..len as usize).ok_or(RecordError::Short)?;
    if crc32fast::hash(body) != crc {
        return Err(RecordError::Checksum);
    }
    let start = offset + RECORD_HEADER;
    let record = decode_body(body, start).ok_or(RecordError::Form)?;
    if let Record::Batch { offset: written } = record
        && written != offset
    {
        return Err(RecordError::Form);
    }
    Ok((record, start + len))
}

fn decode_body(body: &[u8], start: u32) -> Option<Record> {
    let (kind, mut rest) = body.split_first()?;
    if *kind == BATCH {
        let magic = rest.try_get_u64_le().ok()?;
        let offset = rest.try_get_u32_le().ok()?;
        return (magic == BATCH_MAGIC).then_some(Record::Batch { offset });
    }
    let group = rest.try_get_u16_le().ok()?;
    match *kind {
        ENTRY => {
            let id = take_log_id(&mut rest)?;
            let len = u32::try_from(rest.len()).ok().filter(|len| *len > 0)?;
            let offset = start + (body.len() - rest.len()) as u32;
            Some(Record::Entry {
                group,
                id,
                payload: Span { offset, len },
            })
        }
        VOTE => {
            let term = rest.try_get_u64_le().ok()?;
            let node = rest.try_get_u64_le().ok()?;
            let vote = match rest.try_get_u8().ok()? {
                0 => Vote::new(term, node),
                _ => Vote::new_committed(term, node),
            };
            Some(Record::Vote { group, vote })
        }
        TRUNCATE => match rest.try_get_u8().ok()? {
            0 => Some(Record::Truncate { group, keep: None }),
            _ => Some(Record::Truncate {
                group,
                keep: Some(take_log_id(&mut rest)?),
            }),
        },
        PURGE => Some(Record::Purge {
            group,
            upto: take_log_id(&mut rest)?,
        }),
        COMMITTED => Some(Record::Committed {
            group,
            upto: take_log_id(&mut rest)?,
        }),
        _ => None,
    }
}

fn take_log_id(rest: &mut &[u8]) -> Option<LogId> {
    let term = rest.try_get_u64_le().ok()?;
    let index = rest.try_get_u64_le().ok()?;
    Some(log_id(term, index))
}

/// Whether a whole batch mark stands anywhere at or after `from`.
pub(crate) fn has_batch_after(bytes: &[u8], from: u32) -> bool {
    let magic = BATCH_MAGIC.to_le_bytes();
    let body_start = RECORD_HEADER as usize + 1;
    let Some(rest) = bytes.get(from as usize..) else {
        return false;
    };
    rest.windows(magic.len())
        .enumerate()
        .filter(|(_, window)| *window == magic)
        .any(|(at, _)| {
            let start = (from as usize + at).checked_sub(body_start);
            start.is_some_and(|start| {
                start >= from as usize
                    && matches!(decode(bytes, start as u32), Ok((Record::Batch { .. }, _)))
            })
        })
}

/// The group that a damaged record at `offset` claims to be of: a hint for people, as those bytes may be the damaged ones.
pub(crate) fn claimed_group(bytes: &[u8], offset: u32) -> Option<u16> {
    let body = offset as usize + RECORD_HEADER as usize;
    let (kind, mut rest) = bytes.get(body..)?.split_first()?;
    (ENTRY..=COMMITTED)
        .contains(kind)
        .then(|| rest.try_get_u16_le().ok())
        .flatten()
}

/// Reads the payload of entry `id` of `group` from the bytes of its record. The checksum covers all of them, and the
/// record has to be that entry's: what the disk returns from another place is found too.
pub(crate) fn decode_entry(bytes: &Bytes, group: u16, id: LogId) -> Result<Payload, EntryError> {
    match decode(bytes, 0)? {
        (
            Record::Entry {
                group: of,
                id: stored,
                payload,
            },
            end,
        ) if of == group && stored == id && end as usize == bytes.len() => {
            Ok(decode_payload(&bytes.slice(payload.offset as usize..))?)
        }
        _ => Err(EntryError::Misplaced),
    }
}

/// What an entry carries.
type Payload = openraft::alias::PayloadOf<crate::raft::TypeConfig>;

fn decode_payload(bytes: &Bytes) -> Result<Payload, PayloadError> {
    let kind = *bytes.first().ok_or(PayloadError::Empty)?;
    let data = bytes.slice(1..);
    match kind {
        PAYLOAD_BLANK => Ok(openraft::EntryPayload::Blank),
        PAYLOAD_NORMAL => Ok(openraft::EntryPayload::Normal(LogData(data))),
        PAYLOAD_MEMBERSHIP => postcard::from_bytes(&data)
            .map(openraft::EntryPayload::Membership)
            .map_err(PayloadError::Membership),
        other => Err(PayloadError::Kind(other)),
    }
}
