//! What a command makes others do: the leader's dispatcher, the ingress nodes and the watchers.

use lwm2m::Observed;

use crate::id::{NodeId, OperationId};
use crate::name::DeviceName;
use crate::record::{CredentialName, SessionCid};

/// A hint that follows from a change. Never replicated: a node that missed one finds the same in
/// the rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The device registered, updated, or is gone. If it is there it is awake: look for its
    /// [`next_operation`](crate::query::next_operation).
    RegistrationChanged { endpoint: DeviceName },
    /// [`next_operation`](crate::query::next_operation) of the device has something to deliver.
    OperationReady { endpoint: DeviceName },
    /// The operation ended; its record tells how.
    OperationFinished {
        endpoint: DeviceName,
        operation: OperationId,
    },
    /// Nobody held the observation before: establish it if the device is awake.
    ObservationWanted {
        endpoint: DeviceName,
        observed: Observed,
    },
    /// Nobody holds the observation any more: cancel it.
    ObservationUnwanted {
        endpoint: DeviceName,
        observed: Observed,
    },
    /// `from` must not use the session any more.
    SessionMoved {
        cid: SessionCid,
        from: NodeId,
        to: NodeId,
    },
    /// The session was removed or ended; `owner` can forget it.
    SessionRemoved { cid: SessionCid, owner: NodeId },
    /// The credential is gone, or for another endpoint now: end the sessions that it set up.
    CredentialRevoked { credential: CredentialName },
    /// The rows as they are behind the command's log entry are to be hashed.
    RowsToCompare,
    /// There are new entries in the feed. At most once per command, and last.
    FeedAdvanced,
}
