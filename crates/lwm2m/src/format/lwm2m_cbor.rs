//! `application/vnd.oma.lwm2m+cbor` (LwM2M-Core 1.2 §7.4.4): maps from ids to maps or values.
//!
//! A key is an id or an array of ids, and what is below it continues the path, so that these are
//! the same: `{3: {0: {0: "x"}}}`, `{[3, 0]: {0: "x"}}`, `{[3, 0, 0]: "x"}`. The instances of a
//! multiple resource are one more map. Read in every form, written as maps of definite length
//! with ids as keys.

use std::convert::Infallible;

use minicbor::data::Type;
use minicbor::encode::Error;
use minicbor::{Decoder, Encoder};

use super::cbor::{at, datatype, has_next, value, write_value};
use super::{
    Content, ContentFormat, DecodeError, EncodeError, Entry, MAX_ENTRIES, Shown, sorted_unique,
    typed,
};
use crate::path::Path;
use crate::registry::Registry;

/// The ids in the path of a resource instance, which has most.
const MAX_DEPTH: usize = 4;

pub(super) fn decode(
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let absolute = decode_below(Path::Root, base, payload, registry);
    let Err(error @ (DecodeError::BadName | DecodeError::OutsideBase { .. })) = absolute else {
        return absolute.map(|found| found.entries);
    };
    // LwM2M-Core 1.2 §7.4.4: "Except when used for a Write or Create operation, the IDs inside
    // the top-level payload MUST start with the Object ID." What those do instead is not said.
    // Anjay begins with the object there too; ids that continue the path of the request are
    // recognized by having too few of them for a resource.
    match decode_below(base, base, payload, registry) {
        Ok(relative) if relative.shallow => Ok(relative.entries),
        _ => Err(error),
    }
}

struct Found {
    entries: Vec<Entry>,
    /// Whether some key would not be a resource if it were a whole path.
    shallow: bool,
}

/// Reads values whose keys continue `prefix`.
fn decode_below(
    prefix: Path,
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Found, DecodeError> {
    let mut found = Found {
        entries: Vec::new(),
        shallow: false,
    };
    read_below(prefix, payload, |path, content| {
        let Content::Value(value) = content else {
            return Err(DecodeError::Structure);
        };
        if path.depth() < 3 {
            return Err(DecodeError::BadName);
        }
        if !path.starts_with(base) {
            return Err(DecodeError::OutsideBase { base, found: path });
        }
        found.shallow |= path.depth() - prefix.depth() < 3;
        let value = typed(path, value, registry)?;
        found.entries.push(Entry::new(path, value));
        Ok(())
    })?;
    Ok(found)
}

/// Reads paths and what they hold one by one, in the order of the payload.
pub(super) fn read(
    payload: &[u8],
    each: impl FnMut(Path, Content) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    read_below(Path::Root, payload, each)
}

fn read_below(
    prefix: Path,
    payload: &[u8],
    each: impl FnMut(Path, Content) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader {
        decoder: Decoder::new(payload),
        ids: [0; MAX_DEPTH],
        depth: 0,
        leaves: 0,
        each,
    };
    for id in prefix.segments() {
        reader.push(id)?;
    }
    reader.map()?;
    let end = reader.decoder.position();
    if end != payload.len() {
        return Err(DecodeError::Malformed(end));
    }
    Ok(())
}

struct Reader<'a, F> {
    decoder: Decoder<'a>,
    /// The path of where the decoder stands, `depth` ids long.
    ids: [u16; MAX_DEPTH],
    depth: usize,
    leaves: usize,
    each: F,
}

impl<F: FnMut(Path, Content) -> Result<(), DecodeError>> Reader<'_, F> {
    /// A map and all below it; every key adds an id, so that this calls itself four times at most.
    fn map(&mut self) -> Result<(), DecodeError> {
        let mut left = at(&mut self.decoder, Decoder::map)?;
        let above = self.depth;
        while has_next(&mut self.decoder, &mut left)? {
            self.key()?;
            match datatype(&mut self.decoder)? {
                Type::Map | Type::MapIndef if self.depth < MAX_DEPTH => self.map()?,
                _ => self.leaf()?,
            }
            self.depth = above;
        }
        Ok(())
    }

    /// An id or an array of ids.
    fn key(&mut self) -> Result<(), DecodeError> {
        let start = self.decoder.position();
        match datatype(&mut self.decoder)? {
            Type::Array | Type::ArrayIndef => {
                let mut left = at(&mut self.decoder, Decoder::array)?;
                let above = self.depth;
                while has_next(&mut self.decoder, &mut left)? {
                    self.id()?;
                }
                if self.depth == above {
                    return Err(DecodeError::Malformed(start));
                }
                Ok(())
            }
            _ => self.id(),
        }
    }

    fn id(&mut self) -> Result<(), DecodeError> {
        let id = at(&mut self.decoder, Decoder::u16)?;
        self.push(id)
    }

    fn push(&mut self, id: u16) -> Result<(), DecodeError> {
        // More ids than any path has.
        let slot = self.ids.get_mut(self.depth);
        *slot.ok_or(DecodeError::BadName)? = id;
        self.depth += 1;
        Ok(())
    }

    fn leaf(&mut self) -> Result<(), DecodeError> {
        self.leaves += 1;
        if self.leaves > MAX_ENTRIES {
            return Err(DecodeError::TooManyEntries);
        }
        let ids = self.ids.get(..self.depth).unwrap_or_default();
        let path = Path::from_segments(ids).ok_or(DecodeError::BadName)?;
        let content = match datatype(&mut self.decoder)? {
            Type::Null => at(&mut self.decoder, Decoder::null).map(|()| Content::Null)?,
            _ => Content::Value(value(&mut self.decoder)?),
        };
        (self.each)(path, content)
    }
}

pub(super) fn encode(entries: &[Entry]) -> Result<Vec<u8>, EncodeError> {
    if entries.iter().any(|entry| entry.time.is_some()) {
        return Err(EncodeError::NoTimes(ContentFormat::LWM2M_CBOR));
    }
    let leaf = |entry| {
        let entry: &Entry = entry;
        (entry.path, Shown::Value(&entry.value))
    };
    let leaves: Vec<_> = sorted_unique(entries)?.into_iter().map(leaf).collect();
    Ok(write(&leaves))
}

/// Writes what paths hold, sorted by path and none below another.
pub(super) fn write(leaves: &[(Path, Shown<'_>)]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write_map(&mut encoder, leaves, 0).expect("a vector takes every byte");
    encoder.into_writer()
}

/// Writes leaves whose paths agree in their first `depth` ids and have more.
fn write_map(
    encoder: &mut Encoder<Vec<u8>>,
    leaves: &[(Path, Shown<'_>)],
    depth: usize,
) -> Result<(), Error<Infallible>> {
    let id = |(path, _): &(Path, Shown<'_>)| path.segments().nth(depth).unwrap_or_default();
    let groups = || leaves.chunk_by(|a, b| id(a) == id(b));
    encoder.map(groups().count() as u64)?;
    for group in groups() {
        let Some(first) = group.first() else { continue };
        encoder.u16(id(first))?;
        match first.1 {
            _ if first.0.depth() > depth + 1 => write_map(encoder, group, depth + 1)?,
            Shown::Value(value) => write_value(encoder, value)?,
            Shown::Null => encoder.null().map(|_| ())?,
        }
    }
    Ok(())
}

/// Writes a list of paths: each with an array as key, so that one may lie below another, and with
/// null in the place of a value.
pub(super) fn write_paths(paths: &[Path]) -> Result<Vec<u8>, EncodeError> {
    if paths.contains(&Path::Root) {
        return Err(EncodeError::NeedsObject(ContentFormat::LWM2M_CBOR));
    }
    // The keys of a map are different from each other.
    let mut unique = paths.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let mut encoder = Encoder::new(Vec::new());
    let mut write = || -> Result<(), Error<Infallible>> {
        encoder.map(unique.len() as u64)?;
        for path in &unique {
            encoder.array(path.depth() as u64)?;
            for id in path.segments() {
                encoder.u16(id)?;
            }
            encoder.null()?;
        }
        Ok(())
    };
    write().expect("a vector takes every byte");
    Ok(encoder.into_writer())
}
