//! What a server can ask of a device.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::attributes::{AttributeError, NotificationAttributes};
use crate::format::{ContentFormat, Entry};
use crate::path::{Path, RESERVED_ID};

/// One request of a server to a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Report the values at and below a path.
    Read {
        /// An object, instance, resource or resource instance.
        path: Path,
        /// The payload format the device should answer in; any if `None`.
        accept: Option<ContentFormat>,
    },
    /// Change the values at and below a path.
    Write {
        /// An object instance, resource or resource instance.
        path: Path,
        /// Whether values that are not named stay.
        mode: WriteMode,
        /// The new values, each at or below `path`.
        values: Vec<Entry>,
    },
    /// Start the action of a resource.
    Execute {
        /// A resource.
        path: Path,
        /// What the action is told.
        arguments: ExecuteArguments,
    },
    /// List what exists at and below a path, with its attributes.
    Discover {
        /// An object, instance or resource.
        path: Path,
        /// How many levels below the path to list, at most [`MAX_DISCOVER_DEPTH`]; LwM2M 1.2 only.
        depth: Option<u8>,
    },
    /// Report the values at and below a path now and whenever they change.
    Observe {
        /// An object, instance, resource or resource instance.
        path: Path,
    },
    /// End an observation.
    CancelObserve {
        /// The observed path.
        path: Path,
    },
    /// Make an object instance.
    Create {
        /// An object.
        path: Path,
        /// The id of the new instance; the device chooses if `None`.
        instance: Option<u16>,
        /// The first values; the instance in their paths is `instance`, or 0 if the device chooses.
        values: Vec<Entry>,
    },
    /// Remove an object instance, or (LwM2M 1.2) a resource instance.
    Delete {
        /// An object instance or a resource instance.
        path: Path,
    },
    /// Change the notification attributes of a path.
    WriteAttributes {
        /// An object, instance, resource or resource instance.
        path: Path,
        /// The attributes to set and to clear.
        attributes: NotificationAttributes,
    },
}

/// What a Write does to values that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// They are removed (PUT).
    Replace,
    /// They stay (POST).
    Update,
}

/// The deepest Discover.
// LwM2M-Core 1.2 §6.3.2: depth is 0 to 3.
pub const MAX_DISCOVER_DEPTH: u8 = 3;

/// Why an operation cannot be sent to any device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OperationError {
    /// The operation does not exist for a path of this depth.
    #[error("{operation} is not possible on {path}")]
    WrongPath {
        /// Name of the operation.
        operation: &'static str,
        /// Its path.
        path: Path,
    },
    /// There is nothing to write.
    #[error("{0} without values")]
    NoValues(&'static str),
    /// A value lies outside the path of the operation, or is not a resource.
    #[error("value at {0} is not a resource below the path of the operation")]
    ValueOutside(Path),
    /// A resource occurs more than once.
    #[error("more than one value at {0}")]
    RepeatedValue(Path),
    /// A new object instance would have the reserved id.
    #[error("object instance id 65535 is reserved")]
    ReservedInstance,
    /// A Discover is deeper than [`MAX_DISCOVER_DEPTH`].
    #[error("discover depth {0} is more than 3")]
    TooDeep(u8),
    /// A Write-Attributes names no attribute.
    #[error("write-attributes without attributes")]
    NoAttributes,
    /// The attributes are inconsistent or do not suit the path.
    #[error(transparent)]
    Attributes(#[from] AttributeError),
}

impl Operation {
    /// The path the operation is about.
    pub const fn path(&self) -> Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Execute { path, .. }
            | Self::Discover { path, .. }
            | Self::Observe { path }
            | Self::CancelObserve { path }
            | Self::Create { path, .. }
            | Self::Delete { path }
            | Self::WriteAttributes { path, .. } => *path,
        }
    }

    /// The base for [`encode`](crate::encode) of the values, which for TLV decides whether the
    /// payload names the object instance.
    // LwM2M-Core 1.2 §6.3.4: a Create that leaves the choice of the id to the device has no
    // object instance TLV.
    pub const fn payload_base(&self) -> Path {
        match self {
            Self::Create {
                path: Path::Object(object),
                instance: None,
                ..
            } => Path::ObjectInstance(*object, 0),
            _ => self.path(),
        }
    }

    /// The name of the operation in lower case, fit for a metric label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::Execute { .. } => "execute",
            Self::Discover { .. } => "discover",
            Self::Observe { .. } => "observe",
            Self::CancelObserve { .. } => "cancel-observe",
            Self::Create { .. } => "create",
            Self::Delete { .. } => "delete",
            Self::WriteAttributes { .. } => "write-attributes",
        }
    }

    /// Whether the operation changes nothing in the object tree of the device, so that it may be
    /// repeated or dropped without harm.
    pub const fn is_safe(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::Discover { .. }
            | Self::Observe { .. }
            | Self::CancelObserve { .. } => true,
            Self::Write { .. }
            | Self::Execute { .. }
            | Self::Create { .. }
            | Self::Delete { .. }
            | Self::WriteAttributes { .. } => false,
        }
    }

    /// Whether this is a request that some device could accept: the path has the right depth and
    /// everything else agrees with it.
    pub fn validate(&self) -> Result<(), OperationError> {
        if !self.path_depths().contains(&self.path().depth()) {
            return Err(OperationError::WrongPath {
                operation: self.name(),
                path: self.path(),
            });
        }
        match self {
            Self::Read { .. }
            | Self::Execute { .. }
            | Self::Observe { .. }
            | Self::CancelObserve { .. }
            | Self::Delete { .. }
            | Self::Discover { depth: None, .. } => Ok(()),
            Self::Discover {
                depth: Some(depth), ..
            } if *depth <= MAX_DISCOVER_DEPTH => Ok(()),
            Self::Discover {
                depth: Some(depth), ..
            } => Err(OperationError::TooDeep(*depth)),
            Self::Write { path, values, .. } => {
                if values.is_empty() {
                    return Err(OperationError::NoValues("write"));
                }
                validate_values(*path, values)
            }
            Self::Create {
                path,
                instance,
                values,
            } => validate_create(*path, *instance, values),
            Self::WriteAttributes { path, attributes } => {
                if attributes.is_empty() {
                    return Err(OperationError::NoAttributes);
                }
                Ok(attributes.validate(*path)?)
            }
        }
    }

    const fn path_depths(&self) -> &'static [usize] {
        match self {
            Self::Read { .. }
            | Self::Observe { .. }
            | Self::CancelObserve { .. }
            | Self::WriteAttributes { .. } => &[1, 2, 3, 4],
            Self::Write { .. } => &[2, 3, 4],
            Self::Execute { .. } => &[3],
            Self::Discover { .. } => &[1, 2, 3],
            Self::Create { .. } => &[1],
            // LwM2M-Core 1.2 §6.3.6: a 1.2 device also deletes single resource instances.
            Self::Delete { .. } => &[2, 4],
        }
    }
}

fn validate_create(
    path: Path,
    instance: Option<u16>,
    values: &[Entry],
) -> Result<(), OperationError> {
    if instance == Some(RESERVED_ID) {
        return Err(OperationError::ReservedInstance);
    }
    let target = path.child(instance.unwrap_or(0));
    validate_values(target.ok_or(OperationError::ReservedInstance)?, values)
}

fn validate_values(path: Path, values: &[Entry]) -> Result<(), OperationError> {
    let outside = |entry: &&Entry| entry.path.depth() < 3 || !entry.path.starts_with(path);
    if let Some(entry) = values.iter().find(outside) {
        return Err(OperationError::ValueOutside(entry.path));
    }
    let mut paths: Vec<Path> = values.iter().map(|entry| entry.path).collect();
    paths.sort_unstable();
    // Sorted, a resource stands directly before its own instances.
    match paths.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(OperationError::RepeatedValue(pair[1])),
        None => Ok(()),
    }
}

/// The arguments of an Execute, for example `0='https://example.com',5`.
///
/// Empty, or up to ten comma-separated arguments: a digit, optionally followed by a quoted text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExecuteArguments(String);

/// Why a text is not a list of Execute arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExecuteArgumentsError {
    /// The text is longer than [`ExecuteArguments::MAX_BYTES`].
    #[error("execute arguments have more than 4096 bytes")]
    TooLong,
    /// The text breaks the grammar at this byte, counted from 0.
    #[error("execute arguments are malformed at byte {0}")]
    Malformed(usize),
    /// The same argument digit occurs twice.
    #[error("execute argument {0} is repeated")]
    Repeated(char),
}

impl ExecuteArguments {
    /// The longest accepted argument list in bytes.
    pub const MAX_BYTES: usize = 4_096;

    /// The arguments as they are sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for ExecuteArguments {
    type Err = ExecuteArgumentsError;

    // LwM2M-Core 1.2 §6.3.5:
    //   arglist = arg *( "," arg )
    //   arg = DIGIT / DIGIT "=" "'" *CHAR "'"
    //   CHAR = "!" / %x23-26 / %x28-5B / %x5D-7E
    fn from_str(text: &str) -> Result<Self, ExecuteArgumentsError> {
        if text.len() > Self::MAX_BYTES {
            return Err(ExecuteArgumentsError::TooLong);
        }
        let bytes = text.as_bytes();
        let mut seen = [false; 10];
        let mut at = 0;
        while at < bytes.len() || at > 0 {
            let digit = bytes.get(at).filter(|b| b.is_ascii_digit());
            let digit = *digit.ok_or(ExecuteArgumentsError::Malformed(at))?;
            let slot = &mut seen[usize::from(digit - b'0')];
            if std::mem::replace(slot, true) {
                return Err(ExecuteArgumentsError::Repeated(char::from(digit)));
            }
            at = argument_end(bytes, at + 1)?;
            match bytes.get(at) {
                None => break,
                Some(b',') => at += 1,
                Some(_) => return Err(ExecuteArgumentsError::Malformed(at)),
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// The end of the argument whose digit stands just before `at`.
fn argument_end(bytes: &[u8], at: usize) -> Result<usize, ExecuteArgumentsError> {
    if bytes.get(at) != Some(&b'=') {
        return Ok(at);
    }
    if bytes.get(at + 1) != Some(&b'\'') {
        return Err(ExecuteArgumentsError::Malformed(at + 1));
    }
    let start = at + 2;
    let text = bytes.get(start..).unwrap_or_default();
    let character = |b: &u8| matches!(b, b'!' | 0x23..=0x26 | 0x28..=0x5b | 0x5d..=0x7e);
    let length = text.iter().take_while(|b| character(b)).count();
    match text.get(length) {
        Some(b'\'') => Ok(start + length + 1),
        _ => Err(ExecuteArgumentsError::Malformed(start + length)),
    }
}

impl fmt::Display for ExecuteArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
