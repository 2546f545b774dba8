//! The objects through which firmware and software come to a device.
//!
//! | | Firmware Update | Advanced Firmware Update | Software Management |
//! |---|---|---|---|
//! | is | `/5/0` | `/33629/x`, a component | `/9/x`, a software |
//! | package, URI | `/5/0/0`, `/5/0/1` | `/33629/x/0`, `/33629/x/1` | `/9/x/2`, `/9/x/3` |
//! | order | Update, `/5/0/2` | Update, `/33629/x/2` | Install, `/9/x/4`, then Activate, `/9/x/10` |
//! | state, result | `/5/0/3`, `/5/0/5` | `/33629/x/3`, `/33629/x/5` | `/9/x/7`, `/9/x/9` |
//! | what it runs | `/3/0/3` | `/33629/x/15` | `/9/x/1` |
//!
//! Sources: LwM2M Core 1.2 §E.6; the object 33629 of the OMA registry, version 1.0; LwM2M SwMgmt 1.0 §6.

use std::fmt;
use std::str::FromStr;

use lwm2m::{Entry, ExecuteArguments, Operation, Path, Value, WriteMode};

use super::Transfer;

const ADVANCED_FIRMWARE: u16 = 33_629;
const SOFTWARE: u16 = 9;

/// What an image is for: an object instance of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpdateObject {
    /// The device as a whole, `/5/0`.
    #[default]
    Firmware,
    /// A component of it: an instance of `/33629`. Others go with it if its package is for them, too.
    Component(u16),
    /// A software: an instance of `/9`, which has to be there.
    Software(u16),
}

/// How far the device says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Without a package.
    Idle,
    /// It gets one, or checks it.
    Downloading,
    /// It has one, which is right.
    Downloaded,
    Updating,
    /// The software is installed. Firmware is Idle then.
    Installed,
}

/// What the device says came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Open,
    Success,
    /// LwM2M Core 1.2: it puts the update off, and goes on later.
    Deferred,
    Failure(u8),
}

/// What is not an [`UpdateObject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use /5/0, or an instance of /33629 or /9, such as /33629/1")]
pub struct NoUpdateObject;

impl FromStr for UpdateObject {
    type Err = NoUpdateObject;

    /// An empty text is `/5/0`.
    fn from_str(text: &str) -> Result<Self, NoUpdateObject> {
        if text.is_empty() {
            return Ok(Self::Firmware);
        }
        match text.parse() {
            Ok(Path::ObjectInstance(5, 0)) => Ok(Self::Firmware),
            Ok(Path::ObjectInstance(ADVANCED_FIRMWARE, instance)) => Ok(Self::Component(instance)),
            Ok(Path::ObjectInstance(SOFTWARE, instance)) => Ok(Self::Software(instance)),
            _ => Err(NoUpdateObject),
        }
    }
}

impl fmt::Display for UpdateObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().fmt(f)
    }
}

impl UpdateObject {
    /// The object instance.
    pub const fn path(self) -> Path {
        match self {
            Self::Firmware => Path::ObjectInstance(5, 0),
            Self::Component(instance) => Path::ObjectInstance(ADVANCED_FIRMWARE, instance),
            Self::Software(instance) => Path::ObjectInstance(SOFTWARE, instance),
        }
    }

    const fn resource(self, of_firmware: u16, of_software: u16) -> Path {
        match self {
            Self::Firmware => Path::Resource(5, 0, of_firmware),
            Self::Component(instance) => Path::Resource(ADVANCED_FIRMWARE, instance, of_firmware),
            Self::Software(instance) => Path::Resource(SOFTWARE, instance, of_software),
        }
    }

    /// Where its package is written to.
    pub const fn package(self) -> Path {
        self.resource(0, 2)
    }

    /// Where it is told what to fetch.
    pub const fn uri(self) -> Path {
        self.resource(1, 3)
    }

    /// What is executed to have the package installed.
    pub const fn update(self) -> Path {
        self.resource(2, 4)
    }

    /// How far it is.
    pub const fn state(self) -> Path {
        self.resource(3, 7)
    }

    /// What came of it.
    pub const fn result(self) -> Path {
        self.resource(5, 9)
    }

    /// What it runs.
    pub const fn version(self) -> Path {
        match self {
            Self::Firmware => Path::Resource(3, 0, 3),
            Self::Component(_) | Self::Software(_) => self.resource(15, 1),
        }
    }

    /// The object instance that [`UpdateObject::version`] is read with.
    pub const fn version_holder(self) -> Path {
        match self {
            Self::Firmware => Path::ObjectInstance(3, 0),
            Self::Component(_) | Self::Software(_) => self.path(),
        }
    }

    /// Whether what is installed is switched on, where that is not the same.
    pub const fn activation(self) -> Option<Path> {
        match self {
            Self::Software(instance) => Some(Path::Resource(SOFTWARE, instance, 12)),
            Self::Firmware | Self::Component(_) => None,
        }
    }

    /// Whether a path tells how an update goes, of any of these objects.
    pub const fn tells(path: Path) -> bool {
        matches!(
            path,
            Path::Resource(5, 0, 3 | 5)
                | Path::Resource(3, 0, 3)
                | Path::Resource(ADVANCED_FIRMWARE, _, 3 | 5 | 15)
                | Path::Resource(SOFTWARE, _, 1 | 7 | 9)
        )
    }

    /// Whether a path is [`UpdateObject::package`] of any of these objects.
    pub const fn takes_package(path: Path) -> bool {
        matches!(
            path,
            Path::Resource(5 | ADVANCED_FIRMWARE, _, 0) | Path::Resource(SOFTWARE, _, 2)
        )
    }

    /// What a number in [`UpdateObject::state`] means, if it does.
    pub const fn stage(self, state: i64) -> Option<Stage> {
        Some(match (self, state) {
            (_, 0) => Stage::Idle,
            (_, 1) | (Self::Software(_), 2) => Stage::Downloading,
            (Self::Firmware | Self::Component(_), 2) | (Self::Software(_), 3) => Stage::Downloaded,
            (Self::Firmware | Self::Component(_), 3) => Stage::Updating,
            (Self::Software(_), 4) => Stage::Installed,
            _ => return None,
        })
    }

    /// What a number in [`UpdateObject::result`] means. Results are of a byte; what is not is a failure without a name.
    pub fn verdict(self, result: i64) -> Verdict {
        let failure = Verdict::Failure(u8::try_from(result).unwrap_or(u8::MAX));
        match (self, result) {
            (Self::Software(_), 2) => Verdict::Success,
            // LwM2M SwMgmt 1.0: 1 and 3 are on the way, and up to 49 there are no errors.
            (Self::Software(_), ..50) | (_, ..1) => Verdict::Open,
            (Self::Software(_), _) => failure,
            (_, 1) => Verdict::Success,
            (_, 11) => Verdict::Deferred,
            _ => failure,
        }
    }

    /// Tells the device where the package is, or brings it: in place of the URI of a package of the cluster, its bytes are
    /// written.
    pub(super) fn offer(self, transfer: Transfer, uri: &str) -> Operation {
        let path = match transfer {
            Transfer::Pull => self.uri(),
            Transfer::Push => self.package(),
        };
        write(path, Value::String(uri.to_owned()))
    }

    /// Has the device throw away what it has of a package. LwM2M Core 1.2 §E.6: an empty URI does it, and a package of a
    /// zero byte, which a device takes that cannot fetch.
    pub(super) fn reset(self, transfer: Transfer) -> Operation {
        match (self, transfer) {
            (Self::Software(instance), _) => uninstall(instance, ExecuteArguments::default()),
            (_, Transfer::Pull) => write(self.uri(), Value::String(String::new())),
            (_, Transfer::Push) => write(self.package(), Value::Opaque(vec![0])),
        }
    }

    /// Has the device prepare for another version of what is installed, where it has to: Uninstall with the argument 1,
    /// "for update" (LwM2M SwMgmt 1.0 §6).
    pub(super) fn make_room(self) -> Option<Operation> {
        match self {
            Self::Software(instance) => Some(uninstall(instance, ExecuteArguments::one())),
            Self::Firmware | Self::Component(_) => None,
        }
    }

    /// Has the device install what it has. Without an argument, what a package for several components has brought to its
    /// linked instances is installed with it.
    pub(super) fn install(self) -> Operation {
        Operation::Execute {
            path: self.update(),
            arguments: ExecuteArguments::default(),
        }
    }

    /// Has the device switch on what it has installed, where that is not the same.
    pub(super) fn activate(self) -> Option<Operation> {
        match self {
            Self::Software(instance) => Some(Operation::Execute {
                path: Path::Resource(SOFTWARE, instance, 10),
                arguments: ExecuteArguments::default(),
            }),
            Self::Firmware | Self::Component(_) => None,
        }
    }
}

fn write(path: Path, value: Value) -> Operation {
    Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, value)],
    }
}

fn uninstall(instance: u16, arguments: ExecuteArguments) -> Operation {
    let path = Path::Resource(SOFTWARE, instance, 6);
    Operation::Execute { path, arguments }
}

#[cfg(test)]
mod tests;
