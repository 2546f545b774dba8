//! The replicated device state machine: what is stored per endpoint, the commands that change it,
//! and how.
//!
//! The crate owns the vocabulary of the state tier ([`Command`], [`Row`], [`Event`]) and
//! [`apply`](apply::apply), the one function through which a replica's state changes. It never
//! reads a clock, never draws a random number and never touches a disk: the leader's time travels
//! in the [`Envelope`], and rows are reached through [`Tables`]. The same commands in the same
//! order therefore give the same rows on every replica.
//!
//! Reads are in [`query`], the bounds of everything that is stored in [`limit`], the rules between
//! rows in [`invariant`]. What a command makes the dispatcher and the watchers do comes back as
//! [`Effect`]s.
//!
//! ```
//! use device_state::{Command, Context, Envelope, MemoryTables, Outcome, Queueing};
//! use device_state::{Revision, ShardId, Timestamp, apply, query};
//! use device_state::DeviceName;
//! use lwm2m::{Operation, Path};
//!
//! let endpoint = DeviceName::parse("meter-7")?;
//! let mut tables = MemoryTables::new();
//! let context = Context { shard: ShardId(0), revision: Revision(1), first_index: 0 };
//! let operation = Operation::Read { path: Path::Resource(3, 0, 9), accept: None };
//! let deadline = Timestamp(60_000);
//! let envelope = Envelope {
//!     request_id: None,
//!     leader_time: Timestamp(1_000),
//!     command: Command::Enqueue {
//!         endpoint: endpoint.clone(),
//!         operation,
//!         deadline,
//!         queueing: Queueing::default(),
//!     },
//! };
//! let applied = apply(&mut tables, &context, &envelope);
//! let next = query::next_operation(&tables, &endpoint).expect("the device is not busy");
//! assert_eq!(applied.outcome, Outcome::Enqueued { operation: next.id });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod apply;
pub mod artefact;
pub mod bootstrap;
pub mod campaign;
pub mod command;
pub mod contact;
pub mod effect;
pub mod enrollment;
pub mod etag;
pub mod event;
pub mod feature;
pub mod freshness;
pub mod goal;
pub mod group;
pub mod guard;
pub mod id;
pub mod index;
pub mod invariant;
pub mod label;
pub mod limit;
pub mod memory;
pub mod name;
pub mod profile;
pub mod query;
mod range;
pub mod record;
pub mod selection;
pub mod table;

pub use apply::restore::{Restoration, Restored};
pub use apply::{Applied, Context, apply, apply_entry};
pub use artefact::{Artefact, ArtefactChunk, ArtefactName, ArtefactState, Digest, pushed_package};
pub use bootstrap::{
    AccessRule, BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity,
    BootstrapServer, CertificateUse, ServerCertificate,
};
pub use campaign::{Campaign, CampaignId};
pub use command::{Command, Envelope, Outcome, Rejection};
pub use contact::{Attempt, Contact, Move, RefusedAttempt};
pub use effect::Effect;
pub use enrollment::{
    Enrollment, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy, EnrollmentProof,
    EnrollmentStanding, EnrollmentTally,
};
pub use etag::Etag;
pub use event::{Devices, Event, EventFilter, EventKind, FeedEntry};
pub use feature::FeatureLevel;
pub use freshness::{Freshness, observation_freshness};
pub use goal::{Goal, GoalError, Presence, check_goals, contradict};
pub use group::Group;
pub use guard::Guard;
pub use id::{
    NodeId, OperationId, RequestId, Revision, SessionGeneration, ShardId, Timestamp,
    new_registration_id, registration_shard,
};
pub use index::{IndexEntry, Indexed};
pub use label::{LabelError, LabelKey, LabelValue, MapChange, Metadata};
pub use memory::MemoryTables;
pub use name::{DeviceName, DeviceNameError, DevicePrefix, Namespace, NamespaceError};
pub use profile::Profile;
pub use record::{
    BoundCredential, ChildValue, ContextOwner, Credential, CredentialId, CredentialKey,
    CredentialName, CredentialOrigin, DesiredOrigin, DesiredResource, DesiredState, DesiredValue,
    DriftPolicy, LastValue, Leadership, Member, MemberPhase, Observation, ObservationHolder,
    OperationOutcome, OperationRecord, OperationSource, OperationState, OscoreSecret, Queueing,
    Quirks, Registration, Resumption, ResumptionId, Secret, SecurityIdentity, Session, SessionCid,
    StateNode, StateNodeRole, Transport, ValueOrigin,
};
pub use table::{Counters, Expiring, Row, RowKey, Tables};
