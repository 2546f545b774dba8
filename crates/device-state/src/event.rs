//! What happened: the entries of a shard's feed, from which every watch is served.

mod filter;
mod weight;

use lwm2m::{ChildPrefix, Path, RegistrationId, Value};

pub use self::filter::{Devices, EventFilter, EventKind};
use crate::bootstrap::BootstrapRecord;
use crate::campaign::Phase;
use crate::id::{OperationId, Revision, Timestamp};
use crate::label::Metadata;
use crate::name::DeviceName;
use crate::record::{DesiredState, OperationOutcome, Registration, ValueOrigin};

/// One entry of the feed. Entries of one command share a revision and differ in `index`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEntry {
    pub revision: Revision,
    pub index: u32,
    pub at: Timestamp,
    pub endpoint: DeviceName,
    pub event: Event,
}

/// A change that services and the operator can watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Registered {
        registration: Box<Registration>,
    },
    Updated {
        registration: Box<Registration>,
    },
    Deregistered {
        id: RegistrationId,
    },
    /// The lifetime ran out.
    Expired {
        id: RegistrationId,
    },
    ValuesReported {
        /// The device behind the endpoint that they are of, if they are not the endpoint's own.
        child: Option<ChildPrefix>,
        origin: ValueOrigin,
        values: Vec<(Path, Value, Timestamp)>,
    },
    OperationFinished {
        operation: OperationId,
        name: String,
        /// What it was about, for people: [`Operation::target`](lwm2m::Operation::target).
        target: String,
        outcome: OperationOutcome,
    },
    /// A bootstrap of the device ended.
    Bootstrapped {
        record: BootstrapRecord,
    },
    /// Its labels or annotations changed; as they are now.
    MetadataChanged {
        metadata: Metadata,
    },
    /// Everything that was known of the device was deleted.
    Forgotten,
    /// A campaign took the device in hand, begins to do something to it, or is done with it.
    CampaignMoved {
        /// Its name.
        campaign: String,
        /// [`Phase::Scheduled`], the one that came after it, or a final one.
        phase: Phase,
    },
    /// A desired resource changed its state, or with `None` is no longer desired.
    DesiredChanged {
        path: Path,
        generation: u64,
        state: Option<DesiredState>,
    },
}
