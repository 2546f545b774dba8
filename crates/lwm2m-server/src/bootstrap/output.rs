//! What comes out of a bootstrap engine.

use std::fmt;

use coap::Code;
use device_state::SecurityIdentity;
use lwm2m::{ContentFormat, EndpointName, Entry, ObjectLinks, Path};

use super::plan::PlanError;

/// Names one bootstrap of an engine, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootstrapId(pub(super) u64);

/// How the device wants its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootstrapMethod {
    /// By `POST /bs`: one operation after the other.
    Sequence,
    /// By `GET /bspack`: all in one answer.
    Pack,
}

/// What the caller has to do.
#[derive(Clone, PartialEq)]
pub enum BootstrapOutput<P> {
    /// Send a datagram.
    Transmit { peer: P, datagram: Vec<u8> },
    /// Send a message on the stream of the peer.
    Send { peer: P, message: coap::Message },
    /// Fetch the plan of an endpoint and report back with
    /// [`handle_prepared`](super::BootstrapEngine::handle_prepared).
    ///
    /// The credentials in the plan must be good for the management servers before that: the device uses them as soon as
    /// it has heard Finish.
    Prepare {
        id: BootstrapId,
        endpoint: EndpointName,
        method: BootstrapMethod,
        /// What the device asked for (`pct`, or Accept for a pack).
        preferred_format: Option<ContentFormat>,
        /// Who asks. [`SecurityIdentity::Unauthenticated`] can be anybody, who would be given keys.
        identity: SecurityIdentity,
    },
    /// The device listed what it has.
    Discovered {
        id: BootstrapId,
        endpoint: EndpointName,
        links: ObjectLinks,
    },
    /// The device reported the values of a Read that the plan asks for.
    Reported {
        id: BootstrapId,
        endpoint: EndpointName,
        path: Path,
        values: Vec<Entry>,
    },
    /// The device finds its accounts inconsistent (4.06 to Finish): it is not provisioned. All is written again once.
    Inconsistent {
        id: BootstrapId,
        endpoint: EndpointName,
    },
    /// The bootstrap ended.
    Ended {
        id: BootstrapId,
        endpoint: EndpointName,
        outcome: BootstrapOutcome,
        /// The device's answers in the order in which they came.
        log: Vec<StepResult>,
        /// The step that was under way. If it is [`BootstrapStep::Finish`], the device may have its accounts although
        /// nothing was heard of that.
        unanswered: Option<BootstrapStep>,
    },
}

/// One request to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BootstrapStep {
    /// What objects and instances are there.
    Discover,
    /// Remove what is at a path.
    Delete { path: Path },
    /// Write an object instance.
    Write { path: Path, format: ContentFormat },
    /// Report what is at a path.
    Read { path: Path },
    /// The accounts are complete.
    Finish,
}

/// What the device answered to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepResult {
    pub step: BootstrapStep,
    pub code: Code,
}

/// How a bootstrap ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapOutcome {
    /// The device has its accounts and finds them consistent.
    Finished,
    /// The pack, or of a large one its first block, is on its way. The device tells nobody whether it takes it: if it
    /// does not, it comes with `POST /bs`.
    PackDelivered,
    /// The plan forbids a pack; the device was told so and comes with `POST /bs`.
    PackRefused,
    /// The device refused a step.
    Refused { step: BootstrapStep, code: Code },
    /// The device found its accounts inconsistent a second time.
    Inconsistent,
    /// The device's answer to a step breaks the protocol.
    Garbled { step: BootstrapStep },
    /// The device did not answer, or all took too long.
    TimedOut,
    /// The device's session ended, or it began another bootstrap, or it does not know of this one.
    Gone,
    /// The caller had no plan. The device was told so.
    NotPrepared(PrepareError),
    /// The plan cannot be sent to any device.
    BadPlan(PlanError),
    /// This node has no room for another request.
    Overloaded,
}

/// Why there is no plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// 4.00: no such device is to be bootstrapped here.
    #[error("unknown endpoint")]
    UnknownEndpoint,
    /// 4.03: it is known, and not to be bootstrapped.
    #[error("bootstrap is not allowed")]
    NotAllowed,
    /// 5.03: it may be known later on.
    #[error("the state tier did not answer in time")]
    Unavailable,
}

/// Payloads hold keys, so they are told by their length.
impl<P: fmt::Debug> fmt::Debug for BootstrapOutput<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transmit { peer, datagram } => formatter
                .debug_struct("Transmit")
                .field("peer", peer)
                .field("length", &datagram.len())
                .finish(),
            Self::Send { peer, message } => formatter
                .debug_struct("Send")
                .field("peer", peer)
                .field("code", &message.code)
                .finish_non_exhaustive(),
            Self::Prepare {
                id,
                endpoint,
                method,
                preferred_format,
                identity,
            } => formatter
                .debug_struct("Prepare")
                .field("id", id)
                .field("endpoint", endpoint)
                .field("method", method)
                .field("preferred_format", preferred_format)
                .field("identity", identity)
                .finish(),
            Self::Discovered {
                id,
                endpoint,
                links,
            } => formatter
                .debug_struct("Discovered")
                .field("id", id)
                .field("endpoint", endpoint)
                .field("links", links)
                .finish(),
            Self::Reported {
                id,
                endpoint,
                path,
                values,
            } => formatter
                .debug_struct("Reported")
                .field("id", id)
                .field("endpoint", endpoint)
                .field("path", path)
                .field("values", &values.len())
                .finish(),
            Self::Inconsistent { id, endpoint } => formatter
                .debug_struct("Inconsistent")
                .field("id", id)
                .field("endpoint", endpoint)
                .finish(),
            Self::Ended {
                id,
                endpoint,
                outcome,
                log,
                unanswered,
            } => formatter
                .debug_struct("Ended")
                .field("id", id)
                .field("endpoint", endpoint)
                .field("outcome", outcome)
                .field("log", log)
                .field("unanswered", unanswered)
                .finish(),
        }
    }
}
