//! Labels, annotations and the index of devices.

use std::collections::{BTreeMap, BTreeSet};

use device_state::limit::{MAX_ANNOTATION_BYTES, MAX_LABELS};
use device_state::{IndexEntry, Indexed, LabelKey, LabelValue, MapChange, Metadata};

use super::list::bounded;
use super::{ConvertError, InField, Reason, Within, endpoint, required};
use crate::storage::v1 as wire;
use crate::storage::v1::command::MapChange as WireChange;
use crate::storage::v1::index_entry::Attribute;

/// The most annotations: each has a key of one byte at least.
const MAX_ANNOTATIONS: usize = MAX_ANNOTATION_BYTES;

pub(crate) fn label_key(text: &str) -> Result<LabelKey, ConvertError> {
    LabelKey::new(text).in_field("key")
}

pub(crate) fn label_value(text: String) -> Result<LabelValue, ConvertError> {
    LabelValue::new(&text).in_field("value")
}

/// An annotation can be any text that is not too long.
pub(crate) fn annotation(text: String) -> Result<String, ConvertError> {
    if text.len() > MAX_ANNOTATION_BYTES {
        return Err(ConvertError::new("value", Reason::Length(text.len())));
    }
    Ok(text)
}

fn wire_map<V>(map: BTreeMap<LabelKey, V>, value: impl Fn(V) -> String) -> Vec<wire::KeyValue> {
    let entry = |(key, content): (LabelKey, V)| wire::KeyValue {
        key: key.to_string(),
        value: value(content),
    };
    map.into_iter().map(entry).collect()
}

fn map<V>(
    field: &str,
    list: Vec<wire::KeyValue>,
    limit: usize,
    value: impl Fn(String) -> Result<V, ConvertError>,
) -> Result<BTreeMap<LabelKey, V>, ConvertError> {
    bounded(field, &list, limit)?;
    let entry = |entry: wire::KeyValue| Ok((label_key(&entry.key)?, value(entry.value)?));
    list.into_iter()
        .map(entry)
        .collect::<Result<_, _>>()
        .within(field)
}

/// Labels that are not those of a device.
pub(crate) fn wire_label_map(labels: BTreeMap<LabelKey, LabelValue>) -> Vec<wire::KeyValue> {
    wire_map(labels, label_text)
}

/// Labels that are not those of a device, so many at most.
pub(crate) fn label_map(
    field: &str,
    list: Vec<wire::KeyValue>,
    limit: usize,
) -> Result<BTreeMap<LabelKey, LabelValue>, ConvertError> {
    map(field, list, limit, label_value)
}

fn label_text(value: LabelValue) -> String {
    value.as_str().to_owned()
}

impl From<Metadata> for wire::Metadata {
    fn from(row: Metadata) -> Self {
        Self {
            endpoint: row.endpoint.stored().to_owned(),
            labels: wire_map(row.labels, label_text),
            annotations: wire_map(row.annotations, |text| text),
        }
    }
}

impl TryFrom<wire::Metadata> for Metadata {
    type Error = ConvertError;

    fn try_from(row: wire::Metadata) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: endpoint(&row.endpoint)?,
            labels: map("labels", row.labels, MAX_LABELS, label_value)?,
            annotations: map("annotations", row.annotations, MAX_ANNOTATIONS, annotation)?,
        })
    }
}

impl From<IndexEntry> for wire::IndexEntry {
    fn from(entry: IndexEntry) -> Self {
        Self {
            endpoint: entry.endpoint.stored().to_owned(),
            value: entry.value,
            attribute: Some(match entry.attribute {
                Indexed::Label(key) => Attribute::Label(key.to_string()),
                Indexed::Manufacturer => Attribute::Manufacturer(true),
                Indexed::Model => Attribute::Model(true),
                Indexed::FirmwareVersion => Attribute::FirmwareVersion(true),
            }),
        }
    }
}

impl TryFrom<wire::IndexEntry> for IndexEntry {
    type Error = ConvertError;

    fn try_from(entry: wire::IndexEntry) -> Result<Self, ConvertError> {
        let attribute = match required("attribute", entry.attribute)? {
            Attribute::Label(key) => Indexed::Label(LabelKey::new(&key).in_field("label")?),
            Attribute::Manufacturer(_) => Indexed::Manufacturer,
            Attribute::Model(_) => Indexed::Model,
            Attribute::FirmwareVersion(_) => Indexed::FirmwareVersion,
        };
        if !Indexed::takes(&entry.value) {
            return Err(ConvertError::new(
                "value",
                Reason::Length(entry.value.len()),
            ));
        }
        Ok(Self {
            attribute,
            value: entry.value,
            endpoint: endpoint(&entry.endpoint)?,
        })
    }
}

fn wire_change<V>(change: MapChange<V>, value: impl Fn(V) -> String) -> WireChange {
    match change {
        MapChange::Replace(with) => WireChange {
            replace: true,
            set: wire_map(with, value),
            remove: Vec::new(),
        },
        MapChange::Merge { set, remove } => WireChange {
            replace: false,
            set: wire_map(set, value),
            remove: remove.iter().map(ToString::to_string).collect(),
        },
    }
}

fn change<V>(
    field: &str,
    change: Option<WireChange>,
    limit: usize,
    value: impl Fn(String) -> Result<V, ConvertError>,
) -> Result<MapChange<V>, ConvertError> {
    let change = change.unwrap_or_default();
    let set = map("set", change.set, limit, value).within(field)?;
    if change.replace {
        return Ok(MapChange::Replace(set));
    }
    bounded("remove", &change.remove, limit).within(field)?;
    let remove = change.remove.iter().map(|key| label_key(key));
    let remove: Result<BTreeSet<LabelKey>, _> = remove.collect();
    Ok(MapChange::Merge {
        set,
        remove: remove.within("remove").within(field)?,
    })
}

pub(crate) fn wire_label_change(labels: MapChange<LabelValue>) -> Option<WireChange> {
    Some(wire_change(labels, label_text))
}

pub(crate) fn wire_annotation_change(annotations: MapChange<String>) -> Option<WireChange> {
    Some(wire_change(annotations, |text| text))
}

pub(crate) fn label_change(
    labels: Option<WireChange>,
) -> Result<MapChange<LabelValue>, ConvertError> {
    change("labels", labels, MAX_LABELS, label_value)
}

pub(crate) fn annotation_change(
    annotations: Option<WireChange>,
) -> Result<MapChange<String>, ConvertError> {
    change("annotations", annotations, MAX_ANNOTATIONS, annotation)
}
