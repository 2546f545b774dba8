//! What devices are found by without looking at all of them: one row for each value of an indexed attribute.
//!
//! Indexed is what tells few devices from many and seldom changes. The release of LwM2M, the state and the times are
//! not: they tell nearly nothing, or would cost a write at every Update.

use lwm2m::{Path, Value};

use crate::label::{LabelKey, LabelValue};
use crate::name::DeviceName;

/// An attribute of devices by which they are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Indexed {
    Label(LabelKey),
    /// `/3/0/0`
    Manufacturer,
    /// `/3/0/1`
    Model,
    /// `/3/0/3`
    FirmwareVersion,
}

/// A device has this value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexEntry {
    pub attribute: Indexed,
    pub value: String,
    pub endpoint: DeviceName,
}

impl Indexed {
    /// Longer values are found by looking at every device.
    pub const MAX_VALUE: usize = 128;

    /// The attribute that a resource of the device is.
    pub const fn of_path(path: Path) -> Option<Self> {
        match path {
            Path::Resource(3, 0, 0) => Some(Self::Manufacturer),
            Path::Resource(3, 0, 1) => Some(Self::Model),
            Path::Resource(3, 0, 3) => Some(Self::FirmwareVersion),
            _ => None,
        }
    }

    /// The resource of the device that it is.
    pub const fn path(&self) -> Option<Path> {
        match self {
            Self::Label(_) => None,
            Self::Manufacturer => Some(Path::Resource(3, 0, 0)),
            Self::Model => Some(Path::Resource(3, 0, 1)),
            Self::FirmwareVersion => Some(Path::Resource(3, 0, 3)),
        }
    }

    /// Whether devices with this value are in the index. What devices report can be anything; in keys there are no
    /// control characters.
    pub fn takes(value: &str) -> bool {
        value.len() <= Self::MAX_VALUE && !value.chars().any(char::is_control)
    }
}

impl IndexEntry {
    /// Of a label.
    pub fn of_label(endpoint: &DeviceName, key: &LabelKey, value: &LabelValue) -> Self {
        Self {
            attribute: Indexed::Label(key.clone()),
            value: value.as_str().to_owned(),
            endpoint: endpoint.clone(),
        }
    }

    /// Of a value that is known of the device, if it is indexed.
    pub fn of_value(endpoint: &DeviceName, path: Path, value: &Value) -> Option<Self> {
        let attribute = Indexed::of_path(path)?;
        let Value::String(text) = value else {
            return None;
        };
        Indexed::takes(text).then(|| Self {
            attribute,
            value: text.clone(),
            endpoint: endpoint.clone(),
        })
    }
}
