//! What composite operations carry: lists of paths and patches (LwM2M-Core 1.2 §6.3.8, §6.3.9).

use super::senml::{Fields, Resolver, Syntax};
use super::{
    Content, ContentFormat, DecodeError, EncodeError, Entry, MAX_ENTRIES, MAX_PAYLOAD_BYTES, Shown,
    lwm2m_cbor, typed,
};
use crate::path::Path;
use crate::registry::Registry;

/// One change of a Write-Composite (LwM2M-Core 1.2 §6.3.9).
#[derive(Debug, Clone, PartialEq)]
pub enum Patch {
    /// The resource or resource instance gets this value. The time of the entry must be `None`.
    Set(Entry),
    /// The resource instance is removed, which is for devices of LwM2M 1.2 or later only.
    Remove(Path),
}

impl Patch {
    /// What is changed.
    pub const fn path(&self) -> Path {
        match self {
            Self::Set(entry) => entry.path,
            Self::Remove(path) => *path,
        }
    }
}

/// Writes the body of a FETCH, of Read-Composite and Observe-Composite.
///
/// Paths may be of any depth; [`Path::Root`] asks for the whole device. SenML-ETCH is for devices
/// of LwM2M 1.2 or later, SenML for those of 1.1. LwM2M CBOR lists every path once and sorted; the
/// specification is silent about lists in it, so that it is for devices that are known to read it.
///
/// # Errors
///
/// [`EncodeError::UnsupportedFormat`] for a format that cannot list paths,
/// [`EncodeError::TooManyEntries`] for more than [`MAX_ENTRIES`] paths, and
/// [`EncodeError::NeedsObject`] for [`Path::Root`] in LwM2M CBOR, which has no word for it.
pub fn encode_paths(format: ContentFormat, paths: &[Path]) -> Result<Vec<u8>, EncodeError> {
    if paths.len() > MAX_ENTRIES {
        return Err(EncodeError::TooManyEntries);
    }
    if format == ContentFormat::LWM2M_CBOR {
        return lwm2m_cbor::write_paths(paths);
    }
    let syntax = syntax(format).ok_or(EncodeError::UnsupportedFormat(format))?;
    let record = |path: &Path| Fields::absolute(*path, None);
    let records: Vec<_> = paths.iter().map(record).collect();
    syntax.write(&records)
}

/// Reads the body of a FETCH, of Read-Composite and Observe-Composite.
///
/// The paths are in the order of the payload, of any depth, and may repeat.
///
/// # Errors
///
/// [`DecodeError::UnsupportedFormat`] for a format that cannot list paths,
/// [`DecodeError::TooLong`] and [`DecodeError::TooManyEntries`] beyond the bounds, and
/// [`DecodeError::Malformed`], [`DecodeError::Structure`] or [`DecodeError::BadName`] if the
/// payload is no list of paths.
pub fn decode_paths(format: ContentFormat, payload: &[u8]) -> Result<Vec<Path>, DecodeError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::TooLong(payload.len()));
    }
    let mut paths = Vec::new();
    if format == ContentFormat::LWM2M_CBOR {
        lwm2m_cbor::read(payload, |path, content| match content {
            Content::Value(_) => Err(DecodeError::Structure),
            Content::Null => {
                paths.push(path);
                Ok(())
            }
        })?;
        return Ok(paths);
    }
    let syntax = syntax(format).ok_or(DecodeError::UnsupportedFormat(format))?;
    let mut resolver = Resolver::default();
    syntax.read(payload, |record| {
        paths.extend(resolver.resolve_path(&record)?);
        Ok(())
    })?;
    Ok(paths)
}

/// Writes the body of an iPATCH, of Write-Composite.
///
/// # Errors
///
/// [`EncodeError::NoRemovals`] if a [`Patch::Remove`] meets plain SenML, whose devices of LwM2M
/// 1.1 know no removal; [`EncodeError::NotRemovable`] if it is not for a resource instance;
/// [`EncodeError::OutsideBase`] for a value that is not for a resource or resource instance;
/// [`EncodeError::Repeated`] for two changes of one resource or resource instance, whose order
/// would not be certain; [`EncodeError::NoTimes`] for a value with a time;
/// [`EncodeError::UnsupportedFormat`], [`EncodeError::UnsupportedValue`] and
/// [`EncodeError::TooManyEntries`] as for [`encode`](super::encode).
pub fn encode_patch(format: ContentFormat, patches: &[Patch]) -> Result<Vec<u8>, EncodeError> {
    if patches.len() > MAX_ENTRIES {
        return Err(EncodeError::TooManyEntries);
    }
    let syntax = syntax(format);
    if syntax.is_none() && format != ContentFormat::LWM2M_CBOR {
        return Err(EncodeError::UnsupportedFormat(format));
    }
    for patch in patches {
        check(format, patch)?;
    }
    let sorted = sorted_unique(patches)?;
    let Some(syntax) = syntax else {
        let leaves: Vec<_> = sorted.into_iter().map(leaf).collect();
        return Ok(lwm2m_cbor::write(&leaves));
    };
    let records: Vec<_> = patches.iter().map(record).collect();
    syntax.write(&records)
}

fn leaf(patch: &Patch) -> (Path, Shown<'_>) {
    match patch {
        Patch::Set(entry) => (entry.path, Shown::Value(&entry.value)),
        Patch::Remove(path) => (*path, Shown::Null),
    }
}

fn record(patch: &Patch) -> Fields<'_> {
    let (path, content) = leaf(patch);
    Fields::absolute(path, Some(content))
}

/// Reads the body of an iPATCH, of Write-Composite.
///
/// Values get their types as in [`decode`](super::decode). Changes are in the order of the
/// payload and may repeat.
///
/// # Errors
///
/// [`DecodeError::NotRemovable`] if something else than a resource instance is to be removed;
/// [`DecodeError::Structure`] if plain SenML removes anything; otherwise as for
/// [`decode`](super::decode) with [`Path::Root`].
pub fn decode_patch(
    format: ContentFormat,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Patch>, DecodeError> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::TooLong(payload.len()));
    }
    let mut patches = Vec::new();
    if format == ContentFormat::LWM2M_CBOR {
        lwm2m_cbor::read(payload, |path, content| {
            patches.push(read_patch(path, content, registry)?);
            Ok(())
        })?;
        return Ok(patches);
    }
    let syntax = syntax(format).ok_or(DecodeError::UnsupportedFormat(format))?;
    let mut resolver = Resolver::default();
    syntax.read(payload, |record| {
        if let Some(resolved) = resolver.resolve(record)? {
            let patch = read_patch(resolved.path, resolved.content, registry)?;
            if matches!(patch, Patch::Remove(_)) && !can_remove(format) {
                return Err(DecodeError::Structure);
            }
            patches.push(patch);
        }
        Ok(())
    })?;
    Ok(patches)
}

/// One change as it was read. Its time, if any, means nothing for a value that is written now.
fn read_patch(path: Path, content: Content, registry: &Registry) -> Result<Patch, DecodeError> {
    match (content, path) {
        (Content::Null, Path::ResourceInstance(..)) => Ok(Patch::Remove(path)),
        (Content::Null, _) => Err(DecodeError::NotRemovable(path)),
        (Content::Value(value), Path::Resource(..) | Path::ResourceInstance(..)) => {
            Ok(Patch::Set(Entry::new(path, typed(path, value, registry)?)))
        }
        (Content::Value(_), _) => Err(DecodeError::BadName),
    }
}

/// Whether one change can be written by itself.
fn check(format: ContentFormat, patch: &Patch) -> Result<(), EncodeError> {
    match patch {
        Patch::Remove(_) if !can_remove(format) => Err(EncodeError::NoRemovals(format)),
        Patch::Remove(Path::ResourceInstance(..)) => Ok(()),
        Patch::Remove(path) => Err(EncodeError::NotRemovable(*path)),
        Patch::Set(entry) if entry.path.depth() < 3 => Err(EncodeError::OutsideBase(entry.path)),
        Patch::Set(entry) if entry.time.is_some() => Err(EncodeError::NoTimes(format)),
        Patch::Set(_) => Ok(()),
    }
}

/// The changes in the order of their paths; none may touch what another one does.
fn sorted_unique(patches: &[Patch]) -> Result<Vec<&Patch>, EncodeError> {
    let mut sorted: Vec<&Patch> = patches.iter().collect();
    sorted.sort_by_key(|patch| patch.path());
    let overlap = |pair: &&[&Patch]| pair[1].path().starts_with(pair[0].path());
    match sorted.windows(2).find(overlap) {
        Some(pair) => Err(EncodeError::Repeated(pair[1].path())),
        None => Ok(sorted),
    }
}

const fn can_remove(format: ContentFormat) -> bool {
    matches!(
        format,
        ContentFormat::SENML_ETCH_JSON | ContentFormat::SENML_ETCH_CBOR | ContentFormat::LWM2M_CBOR
    )
}

/// How a format that lists paths and patches writes records.
const fn syntax(format: ContentFormat) -> Option<Syntax> {
    match format {
        ContentFormat::SENML_JSON | ContentFormat::SENML_ETCH_JSON => Some(Syntax::Json),
        ContentFormat::SENML_CBOR | ContentFormat::SENML_ETCH_CBOR => Some(Syntax::Cbor),
        _ => None,
    }
}
