//! What a bootstrap does to a device.

use std::fmt;

use lwm2m::{ContentFormat, EncodeError, Entry, Path, encode};
use rand::Rng;

use super::access::AccessControl;
use super::account::ServerAccount;

/// Deletes, writes and reads of one plan.
const MAX_STEPS: usize = 64;

/// Bytes of the payload of one write, as TLV: certificates are what takes room.
const MAX_WRITE_BYTES: usize = 16 << 10;

/// What a bootstrap does to a device, in this order: Discover, deletes, writes, reads, Finish.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapPlan {
    /// Asks the device first what it has. Its bootstrap account, whose instance id differs from device to device, then
    /// stays untouched: a write to its instance goes to a free one.
    pub discover: bool,
    /// The root, objects or object instances. The device keeps its bootstrap account and `/3/0` in any case.
    pub deletes: Vec<Path>,
    /// Object instances with all of their values.
    pub writes: Vec<BootstrapWrite>,
    /// Objects or object instances of `/1` and `/2` (LwM2M Core 1.2 §6.1.7, Bootstrap-Read: no other may be read).
    pub reads: Vec<Path>,
    /// Whether the writes may be fetched as one pack (LwM2M 1.2).
    pub packs: bool,
}

/// One object instance to write.
#[derive(Clone, PartialEq)]
pub struct BootstrapWrite {
    /// An object instance.
    pub path: Path,
    /// Its values, each below `path`.
    pub values: Vec<Entry>,
}

/// Values may be keys, so they are told by their number.
impl fmt::Debug for BootstrapWrite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BootstrapWrite")
            .field("path", &self.path)
            .field("values", &self.values.len())
            .finish()
    }
}

/// Why a plan cannot be sent to any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("a plan of more than {MAX_STEPS} steps")]
    TooManySteps,
    #[error("delete of {0}, which is neither root nor object nor object instance")]
    Delete(Path),
    #[error("write of {0}, which is no object instance")]
    Write(Path),
    #[error("write of {0} without values")]
    NoValues(Path),
    #[error("more than one write of {0}")]
    Repeated(Path),
    #[error("write of {0} is longer than {MAX_WRITE_BYTES} bytes")]
    TooLong(Path),
    #[error("read of {0}, which is not in object 1 or 2")]
    Read(Path),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl BootstrapPlan {
    /// A plan that takes all accounts from a device and gives it these: Security (`/0`), OSCORE (`/21`), Server (`/1`)
    /// and Access Control (`/2`) instances are deleted and written. `rng` spreads the waits of the accounts over the
    /// fleet.
    pub fn new(accounts: &[ServerAccount], access: &[AccessControl], rng: &mut impl Rng) -> Self {
        let mut writes: Vec<_> = accounts.iter().map(ServerAccount::security).collect();
        writes.extend(accounts.iter().filter_map(ServerAccount::oscore));
        writes.extend(accounts.iter().map(|account| account.server(rng)));
        writes.extend(access.iter().map(AccessControl::write));
        let mut deletes = vec![Path::Object(0), Path::Object(1)];
        deletes.extend((!access.is_empty()).then_some(Path::Object(2)));
        let with_oscore = accounts.iter().any(|account| account.oscore.is_some());
        deletes.extend(with_oscore.then_some(Path::Object(21)));
        Self {
            discover: true,
            deletes,
            writes,
            reads: Vec::new(),
            packs: true,
        }
    }

    /// Whether some device could take this plan.
    pub fn validate(&self) -> Result<(), PlanError> {
        if self.deletes.len() + self.writes.len() + self.reads.len() > MAX_STEPS {
            return Err(PlanError::TooManySteps);
        }
        if let Some(path) = self.deletes.iter().find(|path| path.depth() > 2) {
            return Err(PlanError::Delete(*path));
        }
        let readable =
            |path: &&Path| matches!(path, Path::Object(1 | 2) | Path::ObjectInstance(1 | 2, _));
        if let Some(path) = self.reads.iter().find(|path| !readable(path)) {
            return Err(PlanError::Read(*path));
        }
        for (index, write) in self.writes.iter().enumerate() {
            let mut before = self.writes.iter().take(index);
            if before.any(|other| other.path == write.path) {
                return Err(PlanError::Repeated(write.path));
            }
            write.validate()?;
        }
        Ok(())
    }

    /// All writes as one payload.
    pub(super) fn pack(&self, format: ContentFormat) -> Result<Vec<u8>, EncodeError> {
        let entries: Vec<Entry> = self
            .writes
            .iter()
            .flat_map(|write| write.values.iter().cloned())
            .collect();
        encode(format, Path::Root, &entries)
    }
}

impl BootstrapWrite {
    fn validate(&self) -> Result<(), PlanError> {
        if !matches!(self.path, Path::ObjectInstance(..)) {
            return Err(PlanError::Write(self.path));
        }
        if self.values.is_empty() {
            return Err(PlanError::NoValues(self.path));
        }
        if self.encode(ContentFormat::TLV)?.len() > MAX_WRITE_BYTES {
            return Err(PlanError::TooLong(self.path));
        }
        Ok(())
    }

    pub(super) fn encode(&self, format: ContentFormat) -> Result<Vec<u8>, EncodeError> {
        encode(format, self.path, &self.values)
    }
}
