//! What SenML JSON and SenML CBOR share (RFC 8428): how records become entries and back.

use super::{DecodeError, EncodeError, Entry, MAX_ENTRIES, SampleTime, typed};
use crate::path::Path;
use crate::registry::Registry;
use crate::value::Value;

/// RFC 8428 §4.5.3: times below 2^28 seconds are relative to now.
const RELATIVE_BELOW_SECS: f64 = 268_435_456.0;
const RELATIVE_BELOW_MILLIS: i64 = 268_435_456_000;

/// Beyond this, milliseconds would not be exact in a float.
const MAX_SECS: f64 = 9e12;
const MAX_MILLIS: u64 = 9_000_000_000_000_000;

/// The longest base name or name that can be part of a path.
const MAX_NAME_BYTES: usize = 64;

/// The fields of one record, as read.
#[derive(Default)]
pub(super) struct Record {
    pub(super) base_name: Option<String>,
    pub(super) base_time: Option<f64>,
    pub(super) name: Option<String>,
    pub(super) time: Option<f64>,
    pub(super) value: Option<Value>,
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

    /// Whether a value may stand behind this label.
    pub(super) const fn accepts(self, value: &Value) -> bool {
        match value {
            Value::Integer(_) | Value::Unsigned(_) | Value::Float(_) => {
                matches!(self, Self::Number)
            }
            Value::String(_) => matches!(self, Self::Text),
            Value::Boolean(_) => matches!(self, Self::Boolean),
            Value::Opaque(_) => matches!(self, Self::Data),
            Value::ObjectLink { .. } => matches!(self, Self::ObjectLink),
            Value::Time(_) | Value::CoreLink(_) => false,
        }
    }
}

impl Record {
    /// Takes the one value of the record.
    pub(super) fn set_value(&mut self, label: Label, value: Value) -> Result<(), DecodeError> {
        if !label.accepts(&value) || self.value.replace(value).is_some() {
            return Err(DecodeError::Structure);
        }
        Ok(())
    }
}

/// Turns records into entries; base fields hold until a later record overrides them.
pub(super) struct Resolver<'r> {
    base: Path,
    registry: &'r Registry,
    base_name: String,
    base_time: Option<f64>,
    records: usize,
    entries: Vec<Entry>,
}

impl<'r> Resolver<'r> {
    pub(super) const fn new(base: Path, registry: &'r Registry) -> Self {
        Self {
            base,
            registry,
            base_name: String::new(),
            base_time: None,
            records: 0,
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, record: Record) -> Result<(), DecodeError> {
        self.records += 1;
        if self.records > MAX_ENTRIES {
            return Err(DecodeError::TooManyEntries);
        }
        if let Some(base_name) = record.base_name {
            if base_name.len() > MAX_NAME_BYTES {
                return Err(DecodeError::BadName);
            }
            self.base_name = base_name;
        }
        self.base_time = record.base_time.or(self.base_time);
        let Some(value) = record.value else {
            // A record may carry nothing but base fields for those that follow.
            let only_base = record.name.is_none() && record.time.is_none();
            return if only_base {
                Ok(())
            } else {
                Err(DecodeError::Structure)
            };
        };
        let path = self.path(record.name.as_deref().unwrap_or_default())?;
        let time = resolve_time(self.base_time, record.time)?;
        let value = typed(path, value, self.registry)?;
        self.entries.push(Entry { path, value, time });
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<Entry> {
        self.entries
    }

    fn path(&self, name: &str) -> Result<Path, DecodeError> {
        if name.len() > MAX_NAME_BYTES {
            return Err(DecodeError::BadName);
        }
        let name = format!("{}{name}", self.base_name);
        let path: Path = name.parse().map_err(|_| DecodeError::BadName)?;
        if path.depth() < 3 {
            return Err(DecodeError::BadName);
        }
        if !path.starts_with(self.base) {
            return Err(DecodeError::OutsideBase {
                base: self.base,
                found: path,
            });
        }
        Ok(path)
    }
}

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
pub(super) fn time_secs(entry: &Entry) -> Result<Option<Seconds>, EncodeError> {
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
pub(super) struct Names {
    base_name: String,
}

impl Names {
    /// `/3/0/` for resources below `/3/0`, `/3/0/9` for that resource alone, nothing for the root.
    pub(super) fn new(base: Path, entries: &[Entry]) -> Self {
        let at_base = entries.iter().filter(|entry| entry.path == base).count();
        let base_name = if base == Path::Root || (at_base > 0 && at_base < entries.len()) {
            String::new()
        } else if at_base > 0 {
            base.to_string()
        } else {
            format!("{base}/")
        };
        Self { base_name }
    }

    /// The base name, if the first record should have one.
    pub(super) fn base_name(&self) -> Option<&str> {
        (!self.base_name.is_empty()).then_some(self.base_name.as_str())
    }

    /// What the record of `path` needs as its name.
    pub(super) fn name(&self, path: Path) -> Option<String> {
        let full = path.to_string();
        let name = full.strip_prefix(&self.base_name).unwrap_or(&full);
        (!name.is_empty()).then(|| name.to_owned())
    }
}
