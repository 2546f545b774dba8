//! What comes out of a device.

use std::time::Instant;

use coap::Code;
use lwm2m::{Entry, ExecuteArguments, Path, Value, WriteMode};

/// What a device wants of its caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this datagram to the server.
    Transmit(Vec<u8>),
    /// Send this message on the stream to the server.
    Send(coap::Message),
    /// Get a firmware package, then call [`Device::handle_package`](crate::Device::handle_package).
    Pull(Pull),
    /// Something happened.
    Event(Event),
}

/// A firmware package that the device wants. A later one takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    pub id: PullId,
    /// As the server wrote it, with a scheme that the device was configured to support; at most
    /// 255 bytes of ASCII.
    pub uri: String,
    /// A package with more bytes is not worth getting: [`PullFailure::OutOfMemory`].
    pub max_bytes: usize,
}

/// Tells one pull from the others of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullId(pub(crate) u32);

/// Why a package was not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFailure {
    /// Result 3: there is no room for it.
    OutOfMemory,
    /// Result 4: no answer came, or no further one.
    ConnectionLost,
    /// Result 7: there is nothing at the URI.
    InvalidUri,
    /// Result 9: a server that does not speak the protocol as it should.
    UnsupportedProtocol,
}

/// What happened. Of what happens at devices behind a gateway, there is no event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server accepted the registration; the location with its leading slash.
    Registered { location: String },
    /// The server accepted an Update.
    Updated,
    /// The device has deregistered, or gave up trying to. If the server has disabled it, it comes
    /// back after the Disable Timeout.
    Deregistered,
    /// A Register failed; the next attempt is at `retry_at`.
    RegistrationFailed {
        reason: RegistrationFailure,
        retry_at: Instant,
    },
    /// An Update failed. Unless the server asked to wait, the device registers again at `retry_at`.
    UpdateFailed {
        reason: RegistrationFailure,
        retry_at: Instant,
    },
    /// The server started an action.
    Executed {
        path: Path,
        arguments: ExecuteArguments,
    },
    /// The server wrote values; a firmware package is not among them. Of a Write-Composite, the
    /// path is the root.
    Written {
        path: Path,
        mode: WriteMode,
        values: Vec<Entry>,
    },
    /// The server made an object instance.
    Created { path: Path },
    /// The server removed an object instance or a resource instance.
    Deleted { path: Path },
    /// The server set notification attributes.
    AttributesWritten { path: Path },
    /// The server observes a path; of an Observe-Composite, here and below, it is the root.
    ObservationStarted { path: Path },
    /// An observation ended.
    ObservationEnded { path: Path },
    /// A notification was sent.
    Notified { path: Path },
    /// The server acknowledged a confirmable notification; of a single resource, with this value.
    NotificationAcknowledged { path: Path, value: Option<Value> },
    /// The server accepted a Send.
    Sent,
    /// A Send failed.
    SendFailed { reason: SendFailure },
    /// The firmware update moved on; the result is that of `/5/0/5`.
    FirmwareChanged { state: FirmwareState, result: u8 },
    /// The device goes down: its session and registration are lost.
    RebootStarted,
    /// The device is up again. Bring up the transport and call
    /// [`Device::start`](crate::Device::start).
    Booted,
    /// A device in queue mode stopped listening.
    FellAsleep,
}

/// Why a Register or Update failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationFailure {
    /// The server answered with this code.
    Refused(Code),
    /// No answer came, or one that is none. A secured session may be lost.
    NoAnswer,
}

/// Why a Send failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// The server answered with this code.
    Refused(Code),
    /// No answer came.
    NoAnswer,
}

/// `/5/0/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareState {
    /// 0
    Idle,
    /// 1
    Downloading,
    /// 2
    Downloaded,
    /// 3
    Updating,
}

impl FirmwareState {
    /// The value of the resource.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Why a Send was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// LwM2M 1.0 has no Send.
    #[error("the device speaks lwm2m 1.0, which has no send")]
    NotInRelease,
    /// The device is not registered.
    #[error("the device is not registered")]
    NotRegistered,
    /// The server has muted it at `/1/0/23`.
    #[error("the server has muted send")]
    Muted,
    /// A path has nothing that could be sent.
    #[error("nothing to send at {0}")]
    NothingThere(Path),
    /// There is no room for one more request.
    #[error("too many requests are under way")]
    Busy,
    /// The values do not fit into one payload.
    #[error(transparent)]
    Encode(#[from] lwm2m::EncodeError),
}

/// Why a value was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetValueError {
    /// The device has no such resource.
    #[error("no resource at {0}")]
    NoResource(Path),
    /// There is no such device behind this one.
    #[error("no device behind this one has that prefix")]
    NoChild,
    /// The value has another type than the resource.
    #[error("value at {0} has the wrong type")]
    WrongType(Path),
}
