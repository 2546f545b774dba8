//! What SenML JSON and SenML CBOR share (RFC 8428): how records become entries and back.

use std::borrow::Cow;

use super::{
    Content, DecodeError, EncodeError, Entry, MAX_ENTRIES, SampleTime, Shown, senml_cbor,
    senml_json, typed,
};
use crate::alternate_path::AlternatePath;
use crate::path::{Path, PathReader};
use crate::registry::{Registry, ValueTypes};
use crate::value::Value;

/// RFC 8428 §4.5.3: times below 2^28 seconds are relative to now.
const RELATIVE_BELOW_SECS: f64 = 268_435_456.0;
const RELATIVE_BELOW_MILLIS: i64 = 268_435_456_000;

/// Beyond this, milliseconds would not be exact in a float.
pub(super) const MAX_SECS: f64 = 9e12;
pub(super) const MAX_MILLIS: u64 = 9_000_000_000_000_000;

/// The longest base name or name that can be part of a path.
pub(super) const MAX_NAME_BYTES: usize = 64;

/// How records are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Cbor,
}

impl Syntax {
    /// Reads records one by one.
    pub(super) fn read(
        self,
        payload: &[u8],
        each: impl FnMut(&mut Record<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        match self {
            Self::Json => senml_json::read(payload, each),
            Self::Cbor => senml_cbor::read(payload, each),
        }
    }

    pub(super) fn write(self, records: &[Fields<'_>]) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Json => senml_json::write(records),
            Self::Cbor => Ok(senml_cbor::write(records)),
        }
    }
}

/// The fields of one record, as read.
#[derive(Default)]
pub(super) struct Record<'a> {
    pub(super) base_name: Option<Cow<'a, str>>,
    pub(super) base_time: Option<f64>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) time: Option<f64>,
    pub(super) content: Option<Content>,
}

/// The fields of one record, to be written.
pub(super) struct Fields<'a> {
    pub(super) path: Path,
    pub(super) base_name: Option<&'a str>,
    pub(super) name: Option<String>,
    pub(super) time: Option<Seconds>,
    /// `None` in a list of paths.
    pub(super) content: Option<Shown<'a>>,
}

impl<'a> Fields<'a> {
    /// A record with its whole path as name.
    pub(super) fn absolute(path: Path, content: Option<Shown<'a>>) -> Self {
        Self {
            path,
            base_name: None,
            name: Some(path.to_string()),
            time: None,
            content,
        }
    }
}

/// The meaning of a record's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    BaseName,
    BaseTime,
    Name,
    Time,
    /// `v`, `vs`, `vb`, `vd`: the type shows in the value.
    Number,
    Text,
    Boolean,
    Data,
    ObjectLink,
    /// Units, versions and other things that do not change a value.
    Ignored,
    /// Base values, sums and what the sender marks as indispensable: without understanding them
    /// the values would be read wrongly.
    Unsupported,
}

impl Label {
    pub(super) fn from_text(text: &str) -> Self {
        match text {
            "bn" => Self::BaseName,
            "bt" => Self::BaseTime,
            "n" => Self::Name,
            "t" => Self::Time,
            "v" => Self::Number,
            "vs" => Self::Text,
            "vb" => Self::Boolean,
            "vd" => Self::Data,
            "vlo" => Self::ObjectLink,
            "bv" | "bs" | "s" => Self::Unsupported,
            _ if text.ends_with('_') => Self::Unsupported,
            _ => Self::Ignored,
        }
    }

    // RFC 8428 §6, table 4.
    pub(super) const fn from_number(number: i64) -> Self {
        match number {
            -2 => Self::BaseName,
            -3 => Self::BaseTime,
            0 => Self::Name,
            6 => Self::Time,
            2 => Self::Number,
            3 => Self::Text,
            4 => Self::Boolean,
            8 => Self::Data,
            -6 | -5 | 5 => Self::Unsupported,
            _ => Self::Ignored,
        }
    }

    /// Whether the label announces the value of the record.
    pub(super) const fn is_value(self) -> bool {
        matches!(
            self,
            Self::Number | Self::Text | Self::Boolean | Self::Data | Self::ObjectLink
        )
    }

    /// Whether a value may stand behind this label.
    pub(super) const fn accepts(self, value: &Value) -> bool {
        match value {
            Value::Integer(_) | Value::Unsigned(_) | Value::Float(_) | Value::Time(_) => {
                matches!(self, Self::Number)
            }
            Value::String(_) => matches!(self, Self::Text),
            Value::Boolean(_) => matches!(self, Self::Boolean),
            Value::Opaque(_) => matches!(self, Self::Data),
            Value::ObjectLink { .. } => matches!(self, Self::ObjectLink),
            Value::CoreLink(_) => false,
        }
    }
}

impl Record<'_> {
    /// Takes the one value of the record.
    pub(super) fn set_value(&mut self, label: Label, value: Value) -> Result<(), DecodeError> {
        if !label.accepts(&value) {
            return Err(DecodeError::Structure);
        }
        self.set_content(Content::Value(value))
    }

    /// Takes the one value of the record, or that there is to be none.
    pub(super) fn set_content(&mut self, content: Content) -> Result<(), DecodeError> {
        match self.content.replace(content) {
            None => Ok(()),
            Some(_) => Err(DecodeError::Structure),
        }
    }
}

/// What a record means with the base fields before it.
pub(super) struct Resolved {
    pub(super) path: Path,
    pub(super) time: Option<SampleTime>,
    pub(super) content: Content,
}

/// Gives records their base fields, which hold until a later record overrides them.
pub(super) struct Resolver<'a> {
    /// What whole names may begin with, beside their paths.
    root: Option<&'a AlternatePath>,
    /// What has read the base name, to read on with names; none if no path begins so.
    base_name: Option<PathReader>,
    base_time: Option<f64>,
    records: usize,
}

impl Default for Resolver<'_> {
    fn default() -> Self {
        Self {
            root: None,
            base_name: Some(PathReader::default()),
            base_time: None,
            records: 0,
        }
    }
}

impl<'a> Resolver<'a> {
    /// One of a device whose objects lie below `root`.
    fn below(root: &'a AlternatePath) -> Self {
        Self {
            root: (!root.is_root()).then_some(root),
            ..Self::default()
        }
    }

    /// A name, or the beginning of one, without the root path.
    fn stripped<'t>(&self, name: &'t str) -> &'t str {
        match self.root.and_then(|root| root.strip(name)) {
            None => name,
            // The slash comes with the next piece.
            Some("/") if !name.ends_with('/') => "",
            Some(rest) => rest,
        }
    }

    /// The meaning of a record; `None` if it only has base fields for those that follow.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        record: &mut Record<'_>,
    ) -> Result<Option<Resolved>, DecodeError> {
        self.rebase(record)?;
        let Some(content) = record.content.take() else {
            let only_base = record.name.is_none() && record.time.is_none();
            return if only_base {
                Ok(None)
            } else {
                Err(DecodeError::Structure)
            };
        };
        Ok(Some(Resolved {
            path: self.path(record.name.as_deref().unwrap_or_default())?,
            time: resolve_time(self.base_time, record.time)?,
            content,
        }))
    }

    /// The path that a record of a list of paths names; `None` if it only has a base name.
    pub(super) fn resolve_path(
        &mut self,
        record: &Record<'_>,
    ) -> Result<Option<Path>, DecodeError> {
        self.rebase(record)?;
        if record.content.is_some() {
            return Err(DecodeError::Structure);
        }
        match (&record.name, &record.base_name) {
            (Some(name), _) => self.path(name).map(Some),
            // RFC 8428 §4.2: without a name the base name is the whole name; most often it is no
            // path by itself, and then the record says nothing.
            (None, Some(_)) => Ok(self.path("").ok()),
            (None, None) => Ok(None),
        }
    }

    #[inline]
    fn rebase(&mut self, record: &Record<'_>) -> Result<(), DecodeError> {
        self.records += 1;
        if self.records > MAX_ENTRIES {
            return Err(DecodeError::TooManyEntries);
        }
        if let Some(base_name) = &record.base_name {
            let base_name = self.stripped(base_name);
            if base_name.len() > MAX_NAME_BYTES {
                return Err(DecodeError::BadName);
            }
            let mut reader = PathReader::default();
            self.base_name = reader.read(base_name).ok().map(|()| reader);
        }
        self.base_time = record.base_time.or(self.base_time);
        Ok(())
    }

    #[inline]
    fn path(&self, name: &str) -> Result<Path, DecodeError> {
        let name = self.stripped(name);
        if name.len() > MAX_NAME_BYTES {
            return Err(DecodeError::BadName);
        }
        let mut reader = self.base_name.ok_or(DecodeError::BadName)?;
        let path = reader.read(name).and_then(|()| reader.finish());
        path.map_err(|_| DecodeError::BadName)
    }
}

/// Reads a pack of values.
pub(super) fn decode(
    syntax: Syntax,
    root: &AlternatePath,
    base: Path,
    payload: &[u8],
    registry: &Registry,
) -> Result<Vec<Entry>, DecodeError> {
    let mut types = ValueTypes::new(registry);
    let mut resolver = Resolver::below(root);
    let mut entries = Vec::new();
    syntax.read(payload, |record| {
        let Some(Resolved {
            path,
            time,
            content,
        }) = resolver.resolve(record)?
        else {
            return Ok(());
        };
        let Content::Value(value) = content else {
            return Err(DecodeError::Structure);
        };
        if path.depth() < 3 {
            return Err(DecodeError::BadName);
        }
        if !path.starts_with(base) {
            return Err(DecodeError::OutsideBase { base, found: path });
        }
        let value = typed(path, value, types.get(path))?;
        entries.push(Entry { path, value, time });
        Ok(())
    })?;
    Ok(entries)
}

/// Writes a pack of values.
pub(super) fn encode(
    syntax: Syntax,
    root: &AlternatePath,
    base: Path,
    entries: &[Entry],
) -> Result<Vec<u8>, EncodeError> {
    let names = Names::new(root, base, entries);
    let fields = |(index, entry)| {
        let entry: &Entry = entry;
        Ok(Fields {
            path: entry.path,
            base_name: names.base_name().filter(|_| index == 0),
            name: names.name(entry.path),
            time: time_secs(entry)?,
            content: Some(Shown::Value(&entry.value)),
        })
    };
    let records: Result<Vec<_>, _> = entries.iter().enumerate().map(fields).collect();
    syntax.write(&records?)
}

#[inline]
fn resolve_time(base: Option<f64>, time: Option<f64>) -> Result<Option<SampleTime>, DecodeError> {
    if base.is_none() && time.is_none() {
        return Ok(None);
    }
    let secs = base.unwrap_or(0.0) + time.unwrap_or(0.0);
    // The comparison is written so that NaN fails it.
    if !(-MAX_SECS..=MAX_SECS).contains(&secs) {
        return Err(DecodeError::BadTime);
    }
    let millis = (secs * 1_000.0).round() as i64;
    Ok(Some(if secs < RELATIVE_BELOW_SECS {
        SampleTime::FromNow(millis)
    } else {
        SampleTime::UnixMillis(millis)
    }))
}

/// The time of an entry in seconds, as it is written.
fn time_secs(entry: &Entry) -> Result<Option<Seconds>, EncodeError> {
    let out_of_range = Err(EncodeError::BadTime(entry.path));
    let millis = match entry.time {
        None => return Ok(None),
        Some(SampleTime::UnixMillis(millis)) if millis >= RELATIVE_BELOW_MILLIS => millis,
        Some(SampleTime::FromNow(millis)) if millis < RELATIVE_BELOW_MILLIS => millis,
        Some(_) => return out_of_range,
    };
    if millis.unsigned_abs() > MAX_MILLIS {
        return out_of_range;
    }
    Ok(Some(if millis % 1_000 == 0 {
        Seconds::Whole(millis / 1_000)
    } else {
        Seconds::Fractional(millis as f64 / 1_000.0)
    }))
}

/// Seconds in the shortest form that keeps them exact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seconds {
    Whole(i64),
    Fractional(f64),
}

/// The base name of a pack, and what each entry adds to it.
struct Names {
    /// What every whole name begins with.
    root: String,
    base_name: String,
}

impl Names {
    /// `/3/0/` for resources below `/3/0`, `/3/0/9` for that resource alone, nothing for the root.
    fn new(root: &AlternatePath, base: Path, entries: &[Entry]) -> Self {
        let root = if root.is_root() {
            String::new()
        } else {
            root.to_string()
        };
        let at_base = entries.iter().filter(|entry| entry.path == base).count();
        let base_name = if base == Path::Root || (at_base > 0 && at_base < entries.len()) {
            String::new()
        } else if at_base > 0 {
            format!("{root}{base}")
        } else {
            format!("{root}{base}/")
        };
        Self { root, base_name }
    }

    /// The base name, if the first record should have one.
    fn base_name(&self) -> Option<&str> {
        (!self.base_name.is_empty()).then_some(self.base_name.as_str())
    }

    /// What the record of `path` needs as its name.
    fn name(&self, path: Path) -> Option<String> {
        let full = format!("{}{path}", self.root);
        let name = full.strip_prefix(&self.base_name).unwrap_or(&full);
        (!name.is_empty()).then(|| name.to_owned())
    }
}
