//! Messages to domain types and back.

mod artefact;
mod bootstrap;
mod campaign;
mod command;
mod contact;
mod credential;
mod device;
mod enrollment;
mod feed;
mod group;
mod list;
mod metadata;
mod model;
mod operation;
mod outcome;
mod prepared;
mod profile;
pub mod public;
mod record;
mod row;
mod value;

use std::time::Duration;

use device_state::{
    DeviceName, Namespace, NodeId, OperationId, RequestId, ResumptionId, SessionCid, ShardId,
    Timestamp,
};
use lwm2m::{EndpointName, RegistrationId};

use crate::storage::v1 as wire;

pub use command::{ENTRY_FORMAT, MAX_ENVELOPES};
pub use contact::{MAX_REFUSED, ReportedContact};
pub use credential::{MAX_PSK_IDENTITY_BYTES, NewCredential, decode_secret, encode_secret};
pub use device::{device_view, wire_device_view};
pub use list::MAX_VALUES;
pub use prepared::{AccountSecret, KeyPair, PreparedAccount};

/// A message that stands for no domain value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct ConvertError {
    /// Where in the message, outermost field first: `command.register.endpoint`.
    pub field: String,
    pub reason: Reason,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A field, or every field of a choice, is unset.
    #[error("is missing")]
    Missing,
    /// A number does not fit.
    #[error("{0} is out of range")]
    OutOfRange(u64),
    /// An enum value that this release does not know, or the unspecified one.
    #[error("has the unknown value {0}")]
    UnknownEnum(i32),
    /// Bytes of a wrong length.
    #[error("has a length of {0} bytes")]
    Length(usize),
    /// A list with too many entries.
    #[error("has {found} entries, more than {limit}")]
    TooMany { found: usize, limit: usize },
    /// A log entry of a release that this one cannot read.
    #[error("format {0} is not known")]
    Format(u32),
    #[error(transparent)]
    Endpoint(#[from] lwm2m::names::EndpointNameError),
    #[error(transparent)]
    Device(#[from] device_state::DeviceNameError),
    #[error(transparent)]
    Namespace(#[from] device_state::NamespaceError),
    #[error(transparent)]
    RegistrationId(#[from] lwm2m::names::RegistrationIdError),
    #[error(transparent)]
    Version(#[from] lwm2m::names::UnsupportedVersion),
    #[error(transparent)]
    Binding(#[from] lwm2m::binding::BindingError),
    #[error("is not the path of anything")]
    Path,
    #[error(transparent)]
    Child(#[from] lwm2m::gateway::PrefixError),
    #[error(transparent)]
    PathText(#[from] lwm2m::path::PathError),
    #[error(transparent)]
    Arguments(#[from] lwm2m::operation::ExecuteArgumentsError),
    #[error(transparent)]
    Attributes(#[from] lwm2m::attributes::AttributeError),
    #[error(transparent)]
    Operation(#[from] lwm2m::operation::OperationError),
    /// The definition of the object forbids it, and `force` is not set.
    #[error("{0}; set `force` to ask the device anyway")]
    Misuse(lwm2m::Misuse),
    #[error("is not for {0}, which makes no other operation obsolete")]
    NothingToSupersede(&'static str),
    #[error("denies: labels, limits and a proof are for devices that register")]
    NothingToGive,
    #[error("is not 1 to 64 of a-z, 0-9 and -")]
    ProfileName,
    #[error("names no object that is updated: {0}")]
    UpdateObject(#[from] device_state::campaign::NoUpdateObject),
    #[error("is not 1 to 63 of a-z, 0-9 and -")]
    CampaignName,
    #[error("is neither a number of devices, such as 20, nor a part of them, such as 5% or 0.5%")]
    Share,
    #[error("is not a percentage from 0 to 100, such as 99.5%")]
    Percent,
    #[error("is not a time of day, such as 22:00")]
    TimeOfDay,
    #[error("are not some of Mon, Tue, Wed, Thu, Fri, Sat and Sun")]
    Days,
    #[error("have a pre-shared key for a URI without security")]
    KeyWithoutSecurity,
    #[error("have OSCORE over coaps, which needs something else besides; use coap")]
    OscoreOverSecurity,
    #[error("is not DER, which begins with 0x30")]
    NotDer,
    #[error("use a short server id twice")]
    RepeatedShortId,
    #[error("names a server that is not in the profile")]
    UnknownServer,
    #[error("is a second rule for one place")]
    RepeatedRule,
    #[error("has {0} twice")]
    Repeated(String),
    #[error("has object {0}, which no management server has rights to")]
    NoAccessRule(u16),
    #[error("are not some of the letters rwedc, each once")]
    Rights,
    #[error("has c, which is for an object, or another letter, which is for an instance")]
    WrongPlace,
    #[error("of the right to make instances is no management server: leave it out, or give 65535")]
    NotForServers,
    #[error("is not an object or an object instance")]
    NoInstance,
    #[error("is not a URI of coap, coaps, coap+tcp or coaps+tcp")]
    ServerUri,
    #[error(transparent)]
    ObjectVersion(#[from] lwm2m::registry::ObjectVersionError),
    #[error(transparent)]
    Model(#[from] lwm2m::ModelError),
    #[error(transparent)]
    Ddf(#[from] lwm2m::ddf::DdfError),
    #[error(transparent)]
    NotAdmitted(#[from] lwm2m::NotAdmitted),
    #[error("is none of R, W, RW, E and nothing")]
    Operations,
    #[error("is no data type of LwM2M")]
    DataType,
    #[error("is not what the endpoint begins with: {prefix:?}")]
    OtherPrefix { prefix: String },
    #[error("is not {least:?} to {most:?}")]
    OutsideOf { least: Duration, most: Duration },
    #[error("is none of GET, POST, PUT, DELETE, FETCH and iPATCH")]
    Method,
    #[error(transparent)]
    Value(#[from] lwm2m::value::ValueError),
    #[error(transparent)]
    Goal(#[from] device_state::GoalError),
    /// A text cannot be typed, because the object's definition has no such resource or it holds no value.
    #[error("no object definition gives {0} a data type")]
    Untyped(lwm2m::Path),
    /// Two fields of which only one may be set.
    #[error("cannot be set together with {0}")]
    Conflict(&'static str),
    /// Not of the form of an operation id, `shard-sequence`.
    #[error("is not an operation id")]
    OperationId,
    /// Of another kind of key, or not a SubjectPublicKeyInfo.
    #[error("is not the DER of an uncompressed P-256 public key")]
    NotP256,
    #[error(transparent)]
    Digest(#[from] device_state::artefact::DigestError),
    #[error(transparent)]
    Label(#[from] device_state::LabelError),
    #[error(
        "is not of {} bytes in hex, as it was given",
        device_state::Etag::BYTES
    )]
    Etag,
    /// What only devices, nodes and leaders ask for.
    #[error("is no command of a caller")]
    NotOfCaller,
    #[error(transparent)]
    Filter(#[from] filter::FilterError),
    #[error("at position {at}: {problem}")]
    FilterField { at: usize, problem: FilterProblem },
    #[error("is neither empty nor \"endpoint\", by which devices are listed")]
    OrderBy,
    #[error(
        "has no field {0:?} that can be written: labels, annotations, labels.KEY, annotations.KEY or *"
    )]
    MaskPath(String),
    /// Both ends of an OSCORE context have one Sender ID.
    #[error("is the id of the other side too")]
    SameIds,
}

/// What is wrong with a comparison in a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterProblem {
    #[error("there is no field {0}; there are {1}")]
    NoField(String, &'static str),
    #[error("{0} takes {1}")]
    Comparator(&'static str, &'static str),
    #[error("{0:?} is not {1}")]
    Value(String, &'static str),
    #[error("{0} has no key after a dot")]
    Member(&'static str),
}

impl ConvertError {
    pub(crate) fn new(field: &str, reason: impl Into<Reason>) -> Self {
        Self {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    /// The same error, seen from the message that holds the converted one as `field`.
    pub(crate) fn within(self, field: &str) -> Self {
        Self {
            field: format!("{field}.{}", self.field),
            ..self
        }
    }
}

/// Names the field in which a conversion failed.
pub(crate) trait Within<T> {
    fn within(self, field: &str) -> Result<T, ConvertError>;
}

impl<T> Within<T> for Result<T, ConvertError> {
    fn within(self, field: &str) -> Self {
        self.map_err(|error| error.within(field))
    }
}

/// Turns a reason of the domain into an error of `field`.
pub(crate) trait InField<T> {
    fn in_field(self, field: &str) -> Result<T, ConvertError>;
}

impl<T, E: Into<Reason>> InField<T> for Result<T, E> {
    fn in_field(self, field: &str) -> Result<T, ConvertError> {
        self.map_err(|reason| ConvertError::new(field, reason))
    }
}

pub(crate) fn required<T>(field: &str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or_else(|| ConvertError::new(field, Reason::Missing))
}

/// The converted content of a message field that must be set.
pub(crate) fn message<W, T>(field: &str, value: Option<W>) -> Result<T, ConvertError>
where
    T: TryFrom<W, Error = ConvertError>,
{
    T::try_from(required(field, value)?).within(field)
}

pub(crate) fn narrow<N, T>(field: &str, number: N) -> Result<T, ConvertError>
where
    N: Copy + Into<u64>,
    T: TryFrom<N>,
{
    T::try_from(number).map_err(|_| ConvertError::new(field, Reason::OutOfRange(number.into())))
}

/// A device by the name that is stored and sent between nodes. Not for what callers of the API name: they are in a
/// namespace, and [`device_in`] puts it in front.
pub(crate) fn endpoint(text: &str) -> Result<DeviceName, ConvertError> {
    DeviceName::parse(text).in_field("endpoint")
}

/// A device that a caller in a namespace names.
pub fn device_in(namespace: &Namespace, text: &str) -> Result<DeviceName, ConvertError> {
    let endpoint = EndpointName::new(text).in_field("endpoint")?;
    Ok(DeviceName::new(namespace, &endpoint))
}

/// A namespace as it is stored and sent between nodes.
pub(crate) fn namespace(text: &str) -> Result<Namespace, ConvertError> {
    Namespace::of_stored(text).in_field("namespace")
}

pub(crate) fn registration_id(field: &str, text: &str) -> Result<RegistrationId, ConvertError> {
    RegistrationId::new(text).in_field(field)
}

pub(crate) fn session_cid(field: &str, bytes: &[u8]) -> Result<SessionCid, ConvertError> {
    let cid = bytes
        .try_into()
        .map_err(|_| ConvertError::new(field, Reason::Length(bytes.len())))?;
    Ok(SessionCid(cid))
}

pub(crate) fn resumption_id(field: &str, bytes: &[u8]) -> Result<ResumptionId, ConvertError> {
    let id = bytes
        .try_into()
        .map_err(|_| ConvertError::new(field, Reason::Length(bytes.len())))?;
    Ok(ResumptionId(id))
}

/// Empty bytes stand for "no session".
pub(crate) fn optional_cid(field: &str, bytes: &[u8]) -> Result<Option<SessionCid>, ConvertError> {
    if bytes.is_empty() {
        Ok(None)
    } else {
        session_cid(field, bytes).map(Some)
    }
}

pub(crate) fn cid_bytes(cid: Option<SessionCid>) -> Vec<u8> {
    cid.map(|cid| cid.0.to_vec()).unwrap_or_default()
}

impl From<OperationId> for wire::OperationId {
    fn from(id: OperationId) -> Self {
        Self {
            shard: u32::from(id.shard.0),
            sequence: id.sequence,
        }
    }
}

impl TryFrom<wire::OperationId> for OperationId {
    type Error = ConvertError;

    fn try_from(id: wire::OperationId) -> Result<Self, ConvertError> {
        Ok(Self {
            shard: ShardId(narrow("shard", id.shard)?),
            sequence: id.sequence,
        })
    }
}

impl From<RequestId> for wire::RequestId {
    fn from(id: RequestId) -> Self {
        Self {
            client: id.client,
            sequence: id.sequence,
        }
    }
}

impl From<wire::RequestId> for RequestId {
    fn from(id: wire::RequestId) -> Self {
        Self {
            client: id.client,
            sequence: id.sequence,
        }
    }
}

pub(crate) const fn node(id: u64) -> NodeId {
    NodeId(id)
}

pub(crate) const fn time(millis: u64) -> Timestamp {
    Timestamp(millis)
}
