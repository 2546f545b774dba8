//! What a server can ask of a device.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::attributes::{AttributeError, NotificationAttributes};
use crate::format::{ContentFormat, Entry, Patch};
use crate::gateway::ChildPrefix;
use crate::names::Lifetime;
use crate::observed::{CompositePaths, Observed, write_paths};
use crate::path::{Path, RESERVED_ID};
use crate::raw::{RawError, RawRequest};
use crate::value::Value;

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
    /// Report the values at and below a path, or at and below several, now and whenever they change.
    Observe {
        /// Objects, instances, resources or resource instances.
        observed: Observed,
        /// When to report, instead of what is written to the paths; LwM2M 1.2 only.
        parameters: NotificationAttributes,
    },
    /// End an observation.
    CancelObserve {
        /// What is observed.
        observed: Observed,
    },
    /// Report the values at and below several paths, as far as they exist.
    ReadComposite {
        /// Any paths, the root among them; at most [`CompositePaths::MAX`].
        paths: Vec<Path>,
        /// The payload format the device should answer in; any if `None`.
        accept: Option<ContentFormat>,
    },
    /// Change values anywhere in the device, all of them or none.
    WriteComposite {
        /// At most [`MAX_PATCHES`], each of another resource.
        patches: Vec<Patch>,
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
    /// Send a request as it is.
    Raw(RawRequest),
    /// Ask a device behind the gateway that is asked (OMA LwM2M Gateway 1.1).
    Behind {
        /// What the gateway calls the device in paths.
        child: ChildPrefix,
        /// A Read, Write, Execute, Discover or Write-Attributes. Its paths, and those of its answer, are below the child.
        /// What is observed of a child says so itself: [`Observed::Behind`].
        operation: Box<Self>,
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

/// The most changes of one Write-Composite.
pub const MAX_PATCHES: usize = 256;

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
    /// A composite operation names no path, or too many.
    #[error("{0} takes 1 to {1} paths")]
    PathCount(&'static str, usize),
    /// What a Write-Composite removes is not a resource instance.
    #[error("{0} cannot be removed by write-composite: it is not a resource instance")]
    NotRemovable(Path),
    /// The request does not fit into a message.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Gateways do not do this for devices behind them, or what it would report has no place that is not the gateway's own.
    #[error("a device behind a gateway cannot be asked for {0}")]
    NotBehindGateway(&'static str),
}

impl Operation {
    /// The texts that it writes.
    pub fn texts_mut(&mut self) -> Vec<&mut String> {
        const fn text(entry: &mut Entry) -> Option<&mut String> {
            match &mut entry.value {
                Value::String(text) => Some(text),
                _ => None,
            }
        }
        match self {
            Self::Write { values, .. } | Self::Create { values, .. } => {
                values.iter_mut().filter_map(text).collect()
            }
            Self::WriteComposite { patches } => {
                let entries = patches.iter_mut().filter_map(|patch| match patch {
                    Patch::Set(entry) => Some(entry),
                    Patch::Remove(_) => None,
                });
                entries.filter_map(text).collect()
            }
            Self::Behind { operation, .. } => operation.texts_mut(),
            Self::Read { .. }
            | Self::Execute { .. }
            | Self::Discover { .. }
            | Self::Observe { .. }
            | Self::CancelObserve { .. }
            | Self::ReadComposite { .. }
            | Self::Delete { .. }
            | Self::WriteAttributes { .. }
            | Self::Raw(_) => Vec::new(),
        }
    }

    /// The path the operation is about; the root for one that names several.
    pub const fn path(&self) -> Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Execute { path, .. }
            | Self::Discover { path, .. }
            | Self::Create { path, .. }
            | Self::Delete { path }
            | Self::WriteAttributes { path, .. } => *path,
            Self::Observe { observed, .. } | Self::CancelObserve { observed } => observed.base(),
            Self::ReadComposite { .. } | Self::WriteComposite { .. } | Self::Raw(_) => Path::Root,
            Self::Behind { operation, .. } => operation.path(),
        }
    }

    /// The same, asked of a device behind the gateway.
    #[must_use]
    pub fn behind(self, child: ChildPrefix) -> Self {
        match self {
            Self::Observe {
                observed: Observed::Path(path),
                parameters,
            } => Self::Observe {
                observed: Observed::Behind { child, path },
                parameters,
            },
            Self::CancelObserve {
                observed: Observed::Path(path),
            } => Self::CancelObserve {
                observed: Observed::Behind { child, path },
            },
            other => Self::Behind {
                child,
                operation: Box::new(other),
            },
        }
    }

    /// The device behind a gateway that is asked, if it is not the registered device itself, and what it is asked for.
    /// What is observed still names the child, so that it is not taken for the gateway's own.
    pub fn split_child(self) -> (Option<ChildPrefix>, Self) {
        match self {
            Self::Behind { child, operation } => (Some(child), *operation),
            Self::Observe { ref observed, .. } | Self::CancelObserve { ref observed } => {
                (observed.child().cloned(), self)
            }
            own => (None, own),
        }
    }

    /// What the operation is about, for people: its path, its paths with spaces between them, or the
    /// method and target of a raw request. The path of a device behind a gateway has its prefix in front.
    pub fn target(&self) -> impl fmt::Display + '_ {
        Target(self)
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
            Self::Behind { operation, .. } => operation.payload_base(),
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
            Self::Observe {
                observed: Observed::Composite(_),
                ..
            } => "observe-composite",
            Self::Observe { .. } => "observe",
            Self::CancelObserve { .. } => "cancel-observe",
            Self::ReadComposite { .. } => "read-composite",
            Self::WriteComposite { .. } => "write-composite",
            Self::Raw(_) => "raw",
            Self::Behind { operation, .. } => operation.name(),
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
            | Self::ReadComposite { .. }
            | Self::Discover { .. }
            | Self::Observe { .. }
            | Self::CancelObserve { .. } => true,
            Self::Raw(request) => request.method.is_safe(),
            Self::Behind { operation, .. } => operation.is_safe(),
            Self::Write { .. }
            | Self::WriteComposite { .. }
            | Self::Execute { .. }
            | Self::Create { .. }
            | Self::Delete { .. }
            | Self::WriteAttributes { .. } => false,
        }
    }

    /// Whether it matters to the device if it gets the operation a second time, so that it is never
    /// sent again when the answer was lost.
    pub const fn happens_once(&self) -> bool {
        match self {
            Self::Execute { .. } | Self::Create { .. } => true,
            Self::Raw(request) => !request.method.is_safe(),
            Self::Behind { operation, .. } => operation.happens_once(),
            _ => false,
        }
    }

    /// The lifetime that the operation writes to the Server instance that `is_own`, if it does. Nothing else is asked of.
    pub fn written_lifetime(&self, is_own: impl Fn(u16) -> bool) -> Option<Lifetime> {
        let lifetime = |entry: &Entry| match (entry.path, &entry.value) {
            (Path::Resource(1, instance, 1), Value::Integer(seconds)) if is_own(instance) => {
                u32::try_from(*seconds).ok().map(Lifetime::from_secs)
            }
            _ => None,
        };
        match self {
            Self::Write { values, .. } => values.iter().find_map(lifetime),
            Self::WriteComposite { patches } => patches.iter().find_map(|patch| match patch {
                Patch::Set(entry) => lifetime(entry),
                Patch::Remove(_) => None,
            }),
            _ => None,
        }
    }

    /// Whether it may make others obsolete.
    pub const fn is_write(&self) -> bool {
        match self {
            Self::Write { .. } | Self::WriteAttributes { .. } => true,
            Self::Behind { operation, .. } => operation.is_write(),
            _ => false,
        }
    }

    /// Whether nothing is left of `older` once this is done, so that it need not be done first.
    pub fn makes_obsolete(&self, older: &Self) -> bool {
        match (self, older) {
            (
                Self::Write { values, .. },
                Self::Write {
                    mode: WriteMode::Update,
                    values: old,
                    ..
                },
            ) => old.iter().all(|old| {
                let covers = |new: &Entry| old.path.starts_with(new.path);
                values.iter().any(covers)
            }),
            (
                Self::Write {
                    path,
                    mode: WriteMode::Replace,
                    ..
                },
                Self::Write { path: old, .. },
            ) => old.starts_with(*path),
            (
                Self::WriteAttributes { path, attributes },
                Self::WriteAttributes {
                    path: old,
                    attributes: before,
                },
            ) => path == old && before.then(*attributes) == *attributes,
            (
                Self::Behind { child, operation },
                Self::Behind {
                    child: asked,
                    operation: older,
                },
            ) => child == asked && operation.makes_obsolete(older),
            _ => false,
        }
    }

    /// Whether this is a request that some device could accept: the path has the right depth and
    /// everything else agrees with it.
    pub fn validate(&self) -> Result<(), OperationError> {
        if self
            .path_depths()
            .is_some_and(|depths| !depths.contains(&self.path().depth()))
        {
            return Err(OperationError::WrongPath {
                operation: self.name(),
                path: self.path(),
            });
        }
        match self {
            Self::Read { .. }
            | Self::Execute { .. }
            | Self::CancelObserve { .. }
            | Self::Delete { .. }
            | Self::Discover { depth: None, .. } => Ok(()),
            Self::Observe {
                observed,
                parameters,
            } => validate_observe(observed, *parameters),
            Self::ReadComposite { paths, .. } => {
                if (1..=CompositePaths::MAX).contains(&paths.len()) {
                    Ok(())
                } else {
                    Err(OperationError::PathCount(self.name(), CompositePaths::MAX))
                }
            }
            Self::WriteComposite { patches } => validate_patches(patches),
            Self::Raw(request) => Ok(request.validate()?),
            Self::Behind { operation, .. } => match **operation {
                Self::Read { .. }
                | Self::Write { .. }
                | Self::Execute { .. }
                | Self::Discover { .. }
                | Self::WriteAttributes { .. } => operation.validate(),
                _ => Err(OperationError::NotBehindGateway(operation.name())),
            },
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

    /// How deep the path can be; `None` if there is no such rule.
    const fn path_depths(&self) -> Option<&'static [usize]> {
        match self {
            Self::Read { .. }
            | Self::Observe {
                observed: Observed::Path(_) | Observed::Behind { .. },
                ..
            }
            | Self::CancelObserve {
                observed: Observed::Path(_) | Observed::Behind { .. },
            }
            | Self::WriteAttributes { .. } => Some(&[1, 2, 3, 4]),
            Self::Write { .. } => Some(&[2, 3, 4]),
            Self::Execute { .. } => Some(&[3]),
            Self::Discover { .. } => Some(&[1, 2, 3]),
            Self::Create { .. } => Some(&[1]),
            // LwM2M-Core 1.2 §6.3.6: a 1.2 device also deletes single resource instances.
            Self::Delete { .. } => Some(&[2, 4]),
            Self::Observe { .. }
            | Self::CancelObserve { .. }
            | Self::ReadComposite { .. }
            | Self::WriteComposite { .. }
            | Self::Raw(_)
            | Self::Behind { .. } => None,
        }
    }
}

struct Target<'a>(&'a Operation);

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Operation::Observe { observed, .. } | Operation::CancelObserve { observed } => {
                observed.fmt(f)
            }
            Operation::ReadComposite { paths, .. } => write_paths(f, paths),
            Operation::WriteComposite { patches } => {
                let paths: Vec<Path> = patches.iter().map(Patch::path).collect();
                write_paths(f, &paths)
            }
            Operation::Raw(request) => write!(f, "{} {}", request.method, request.target()),
            Operation::Behind { child, operation } => write!(f, "/{child}{}", operation.target()),
            other => other.path().fmt(f),
        }
    }
}

// LwM2M-Core 1.2 §6.4.3: the parameters of an Observe-Composite are those that suit any object.
fn validate_observe(
    observed: &Observed,
    parameters: NotificationAttributes,
) -> Result<(), OperationError> {
    if parameters.is_empty() {
        return Ok(());
    }
    match observed {
        Observed::Path(path) | Observed::Behind { path, .. } => Ok(parameters.validate(*path)?),
        Observed::Composite(_) => Ok(parameters.validate(Path::Object(0))?),
    }
}

fn validate_patches(patches: &[Patch]) -> Result<(), OperationError> {
    if patches.is_empty() || patches.len() > MAX_PATCHES {
        return Err(OperationError::PathCount("write-composite", MAX_PATCHES));
    }
    for patch in patches {
        match patch {
            Patch::Set(entry) if entry.path.depth() < 3 => {
                return Err(OperationError::ValueOutside(entry.path));
            }
            Patch::Remove(path) if path.depth() != 4 => {
                return Err(OperationError::NotRemovable(*path));
            }
            Patch::Set(_) | Patch::Remove(_) => {}
        }
    }
    each_once(patches.iter().map(Patch::path))
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
    each_once(values.iter().map(|entry| entry.path))
}

/// Whether no path is named twice, nor a resource beside its own instances.
fn each_once(paths: impl Iterator<Item = Path>) -> Result<(), OperationError> {
    let mut paths: Vec<Path> = paths.collect();
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

    /// The argument 1 alone, without a text.
    pub fn one() -> Self {
        Self("1".to_owned())
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
