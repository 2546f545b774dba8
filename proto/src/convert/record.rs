//! The records of the state tier.

use device_state::{
    ChildValue, DesiredOrigin, DesiredResource, DesiredState, Enrollment, FeatureLevel, LastValue,
    Leadership, Member, MemberPhase, Observation, ObservationHolder, OperationRecord,
    OperationSource, OperationState, Quirks, Registration, Resumption, Session, SessionGeneration,
    StateNode, StateNodeRole,
};
use lwm2m::{ContentFormat, Lifetime};

use super::list::each;
use super::operation::attributes;
use super::profile::{drift, goal, wire_drift, wire_goal};
use super::value::{
    observed, origin, transport, wire_enum, wire_observed, wire_origin, wire_transport,
};
use super::{
    ConvertError, InField, Reason, Within, cid_bytes, endpoint, message, namespace, narrow, node,
    optional_cid, registration_id, required, resumption_id, session_cid, time,
};
use crate::storage::v1 as wire;

impl From<Registration> for wire::Registration {
    fn from(row: Registration) -> Self {
        Self {
            endpoint: row.endpoint.stored().to_owned(),
            id: row.id.to_string(),
            identity: Some(row.identity.into()),
            owner: row.owner.0,
            peer: Some(row.peer.into()),
            transport: wire_transport(row.transport),
            session: cid_bytes(row.session),
            lifetime_seconds: u64::from(row.lifetime.as_secs()),
            version: row.version.to_string(),
            binding: row.binding.to_string(),
            links: row.links,
            registered_at_ms: row.registered_at.0,
            updated_at_ms: row.updated_at.0,
            expires_at_ms: row.expires_at.0,
            quirks: wire_quirks(row.quirks),
            enrollment: row.enrollment.map(Into::into),
        }
    }
}

impl TryFrom<wire::Registration> for Registration {
    type Error = ConvertError;

    fn try_from(row: wire::Registration) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: endpoint(&row.endpoint)?,
            id: registration_id("id", &row.id)?,
            identity: message("identity", row.identity)?,
            owner: node(row.owner),
            peer: message("peer", row.peer)?,
            transport: transport("transport", row.transport)?,
            session: optional_cid("session", &row.session)?,
            lifetime: lifetime(row.lifetime_seconds)?,
            version: row.version.parse().in_field("version")?,
            binding: row.binding.parse().in_field("binding")?,
            links: row.links,
            registered_at: time(row.registered_at_ms),
            updated_at: time(row.updated_at_ms),
            expires_at: time(row.expires_at_ms),
            quirks: quirks(row.quirks)?,
            enrollment: row
                .enrollment
                .map(Enrollment::try_from)
                .transpose()
                .within("enrollment")?,
        })
    }
}

pub(crate) fn lifetime(seconds: u64) -> Result<Lifetime, ConvertError> {
    narrow("lifetime_seconds", seconds).map(Lifetime::from_secs)
}

impl From<Session> for wire::Session {
    fn from(row: Session) -> Self {
        Self {
            cid: row.cid.0.to_vec(),
            export: row.export,
            identity: Some(row.identity.into()),
            peer: Some(row.peer.into()),
            owner: row.owner.0,
            generation: u32::from(row.generation.0),
            stored_at_ms: row.stored_at.0,
            expires_at_ms: row.expires_at.0,
            namespace: row.namespace.stored().to_owned(),
        }
    }
}

impl TryFrom<wire::Session> for Session {
    type Error = ConvertError;

    fn try_from(row: wire::Session) -> Result<Self, ConvertError> {
        Ok(Self {
            cid: session_cid("cid", &row.cid)?,
            export: row.export,
            identity: message("identity", row.identity)?,
            peer: message("peer", row.peer)?,
            owner: node(row.owner),
            generation: SessionGeneration(narrow("generation", row.generation)?),
            stored_at: time(row.stored_at_ms),
            expires_at: time(row.expires_at_ms),
            namespace: namespace(&row.namespace)?,
        })
    }
}

impl From<Resumption> for wire::Resumption {
    fn from(row: Resumption) -> Self {
        Self {
            id: row.id.0.to_vec(),
            state: row.state,
            identity: Some(row.identity.into()),
            session: cid_bytes(row.session),
            stored_at_ms: row.stored_at.0,
            expires_at_ms: row.expires_at.0,
            namespace: row.namespace.stored().to_owned(),
        }
    }
}

impl TryFrom<wire::Resumption> for Resumption {
    type Error = ConvertError;

    fn try_from(row: wire::Resumption) -> Result<Self, ConvertError> {
        Ok(Self {
            id: resumption_id("id", &row.id)?,
            state: row.state,
            identity: message("identity", row.identity)?,
            session: optional_cid("session", &row.session)?,
            stored_at: time(row.stored_at_ms),
            expires_at: time(row.expires_at_ms),
            namespace: namespace(&row.namespace)?,
        })
    }
}

wire_enum!(MemberPhase, wire::MemberPhase, wire_member_phase, member_phase, { Ready, Leaving });

impl From<Member> for wire::Member {
    fn from(row: Member) -> Self {
        Self {
            node: row.node.0,
            name: row.name,
            phase: wire_member_phase(row.phase),
            workers: row.workers.into_iter().map(Into::into).collect(),
            lease_until_ms: row.lease_until.0,
            namespace: row.namespace.stored().to_owned(),
        }
    }
}

impl TryFrom<wire::Member> for Member {
    type Error = ConvertError;

    fn try_from(row: wire::Member) -> Result<Self, ConvertError> {
        if row.name.len() > Self::MAX_NAME {
            return Err(ConvertError::new("name", Reason::Length(row.name.len())));
        }
        Ok(Self {
            node: node(row.node),
            name: row.name,
            phase: member_phase("phase", row.phase)?,
            workers: each("workers", row.workers, Self::MAX_WORKERS, TryInto::try_into)?,
            lease_until: time(row.lease_until_ms),
            namespace: namespace(&row.namespace)?,
        })
    }
}

wire_enum!(StateNodeRole, wire::StateNodeRole, wire_role, role, { Voter, Learner, Leaving });
wire_enum!(Leadership, wire::Leadership, wire_leadership, leadership, { Allowed, Avoided });

impl From<StateNode> for wire::StateNode {
    fn from(row: StateNode) -> Self {
        Self {
            node: row.node.0,
            internal: row.internal,
            api: row.api,
            role: wire_role(row.role),
            leadership: wire_leadership(row.leadership),
        }
    }
}

impl TryFrom<wire::StateNode> for StateNode {
    type Error = ConvertError;

    fn try_from(row: wire::StateNode) -> Result<Self, ConvertError> {
        for (field, address) in [("internal", &row.internal), ("api", &row.api)] {
            if address.len() > Self::MAX_ADDRESS {
                return Err(ConvertError::new(field, Reason::Length(address.len())));
            }
        }
        Ok(Self {
            node: node(row.node),
            internal: row.internal,
            api: row.api,
            role: role("role", row.role)?,
            leadership: leadership("leadership", row.leadership)?,
        })
    }
}

/// A level that this release understands: with another one it would write other rows than its peers.
pub(super) fn feature_level(field: &str, level: u32) -> Result<FeatureLevel, ConvertError> {
    let level = FeatureLevel(level);
    if !level.is_supported() {
        return Err(ConvertError::new(field, Reason::OutOfRange(level.0.into())));
    }
    Ok(level)
}

wire_enum!(OperationSource, wire::OperationSource, wire_source, source, { Caller, Desired, Campaign });

impl From<OperationRecord> for wire::OperationRecord {
    fn from(row: OperationRecord) -> Self {
        use wire::operation_record::{Finished, InFlight, State};
        let state = match row.state {
            OperationState::Pending => State::Pending(true),
            OperationState::InFlight { owner, since } => State::InFlight(InFlight {
                owner: owner.0,
                since_ms: since.0,
            }),
            OperationState::Finished {
                outcome,
                at,
                retain_until,
            } => State::Finished(Finished {
                outcome: Some(outcome.into()),
                at_ms: at.0,
                retain_until_ms: retain_until.0,
            }),
        };
        Self {
            id: Some(row.id.into()),
            endpoint: row.endpoint.stored().to_owned(),
            operation: Some(row.operation.into()),
            source: wire_source(row.source),
            priority: u32::from(row.priority),
            enqueued_at_ms: row.enqueued_at.0,
            deadline_ms: row.deadline.0,
            state: Some(state),
        }
    }
}

impl TryFrom<wire::OperationRecord> for OperationRecord {
    type Error = ConvertError;

    fn try_from(row: wire::OperationRecord) -> Result<Self, ConvertError> {
        use wire::operation_record::State;
        let state = match required("state", row.state)? {
            State::Pending(_) => OperationState::Pending,
            State::InFlight(state) => OperationState::InFlight {
                owner: node(state.owner),
                since: time(state.since_ms),
            },
            State::Finished(state) => OperationState::Finished {
                outcome: message("outcome", state.outcome).within("finished")?,
                at: time(state.at_ms),
                retain_until: time(state.retain_until_ms),
            },
        };
        Ok(Self {
            id: message("id", row.id)?,
            endpoint: endpoint(&row.endpoint)?,
            operation: message("operation", row.operation)?,
            source: source("source", row.source)?,
            priority: narrow("priority", row.priority)?,
            enqueued_at: time(row.enqueued_at_ms),
            deadline: time(row.deadline_ms),
            state,
        })
    }
}

impl From<DesiredState> for wire::DesiredState {
    fn from(state: DesiredState) -> Self {
        use wire::desired_state::{Kind, Rejected};
        let kind = match state {
            DesiredState::Pending { operation } => Kind::Pending(operation.into()),
            DesiredState::InSync { since } => Kind::InSyncSinceMs(since.0),
            DesiredState::Drifted { since } => Kind::DriftedSinceMs(since.0),
            DesiredState::Rejected {
                code,
                diagnostic,
                since,
            } => Kind::Rejected(Rejected {
                code: u32::from(code),
                diagnostic,
                since_ms: since.0,
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::DesiredState> for DesiredState {
    type Error = ConvertError;

    fn try_from(state: wire::DesiredState) -> Result<Self, ConvertError> {
        use wire::desired_state::Kind;
        Ok(match required("kind", state.kind)? {
            Kind::Pending(operation) => Self::Pending {
                operation: operation.try_into().within("pending")?,
            },
            Kind::InSyncSinceMs(since) => Self::InSync { since: time(since) },
            Kind::DriftedSinceMs(since) => Self::Drifted { since: time(since) },
            Kind::Rejected(rejected) => Self::Rejected {
                code: narrow("rejected.code", rejected.code)?,
                diagnostic: rejected.diagnostic,
                since: time(rejected.since_ms),
            },
        })
    }
}

impl From<DesiredResource> for wire::DesiredResource {
    fn from(row: DesiredResource) -> Self {
        let (value, presence) = wire_goal(row.goal);
        Self {
            endpoint: row.endpoint.stored().to_owned(),
            path: Some(row.path.into()),
            value,
            generation: row.generation,
            state: Some(row.state.into()),
            drift: wire_drift(row.drift),
            profile: match row.origin {
                DesiredOrigin::Device => String::new(),
                DesiredOrigin::Profile(profile) => profile,
            },
            corrected_at_ms: row.corrected_at.map_or(0, |at| at.0),
            presence,
        }
    }
}

impl TryFrom<wire::DesiredResource> for DesiredResource {
    type Error = ConvertError;

    fn try_from(row: wire::DesiredResource) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: endpoint(&row.endpoint)?,
            path: message("path", row.path)?,
            goal: goal(row.value, row.presence)?,
            generation: row.generation,
            state: message("state", row.state)?,
            drift: drift("drift", row.drift)?,
            origin: match row.profile {
                none if none.is_empty() => DesiredOrigin::Device,
                profile => DesiredOrigin::Profile(profile),
            },
            corrected_at: (row.corrected_at_ms > 0).then(|| time(row.corrected_at_ms)),
        })
    }
}

impl From<Observation> for wire::Observation {
    fn from(row: Observation) -> Self {
        let holder = |holder: ObservationHolder| wire::observation::Holder {
            id: holder.id,
            lease_until_ms: holder.lease_until.0,
        };
        let (path, composite, behind) = wire_observed(&row.observed);
        Self {
            endpoint: row.endpoint.stored().to_owned(),
            path,
            composite,
            behind,
            parameters: row.parameters.to_query().join("&"),
            holders: row.holders.into_iter().map(holder).collect(),
        }
    }
}

impl TryFrom<wire::Observation> for Observation {
    type Error = ConvertError;

    fn try_from(row: wire::Observation) -> Result<Self, ConvertError> {
        let holder = |holder: wire::observation::Holder| {
            Ok(ObservationHolder {
                id: holder.id,
                lease_until: time(holder.lease_until_ms),
            })
        };
        Ok(Self {
            endpoint: endpoint(&row.endpoint)?,
            observed: observed((row.path, row.composite, row.behind))?,
            parameters: attributes("parameters", &row.parameters)?,
            holders: each("holders", row.holders, Self::MAX_HOLDERS, holder)?,
        })
    }
}

impl From<Quirks> for wire::Quirks {
    fn from(quirks: Quirks) -> Self {
        let mislabelled =
            |(label, actual): (ContentFormat, ContentFormat)| wire::quirks::Mislabelled {
                label: u32::from(label.0),
                actual: u32::from(actual.0),
            };
        Self {
            no_composite: quirks.no_composite,
            no_observe_parameters: quirks.no_observe_parameters,
            mislabelled: quirks.mislabelled.map(mislabelled),
        }
    }
}

impl TryFrom<wire::Quirks> for Quirks {
    type Error = ConvertError;

    fn try_from(quirks: wire::Quirks) -> Result<Self, ConvertError> {
        let mislabelled = |formats: wire::quirks::Mislabelled| {
            let label = narrow("mislabelled.label", formats.label)?;
            let actual = narrow("mislabelled.actual", formats.actual)?;
            Ok((ContentFormat(label), ContentFormat(actual)))
        };
        Ok(Self {
            no_composite: quirks.no_composite,
            no_observe_parameters: quirks.no_observe_parameters,
            mislabelled: quirks.mislabelled.map(mislabelled).transpose()?,
        })
    }
}

/// Most devices have none, and nothing is stored for that.
pub(crate) fn wire_quirks(quirks: Quirks) -> Option<wire::Quirks> {
    (quirks != Quirks::default()).then(|| quirks.into())
}

pub(crate) fn quirks(quirks: Option<wire::Quirks>) -> Result<Quirks, ConvertError> {
    quirks.map_or_else(
        || Ok(Quirks::default()),
        |quirks| quirks.try_into().within("quirks"),
    )
}

impl From<LastValue> for wire::LastValue {
    fn from(row: LastValue) -> Self {
        Self {
            endpoint: row.endpoint.stored().to_owned(),
            path: Some(row.path.into()),
            value: Some(row.value.into()),
            origin: wire_origin(row.origin),
            at_ms: row.at.0,
        }
    }
}

impl TryFrom<wire::LastValue> for LastValue {
    type Error = ConvertError;

    fn try_from(row: wire::LastValue) -> Result<Self, ConvertError> {
        Ok(Self {
            endpoint: endpoint(&row.endpoint)?,
            path: message("path", row.path)?,
            value: message("value", row.value)?,
            origin: origin("origin", row.origin)?,
            at: time(row.at_ms),
        })
    }
}

impl From<ChildValue> for wire::ChildValue {
    fn from(row: ChildValue) -> Self {
        Self {
            child: row.child.to_string(),
            value: Some(row.value.into()),
        }
    }
}

impl TryFrom<wire::ChildValue> for ChildValue {
    type Error = ConvertError;

    fn try_from(row: wire::ChildValue) -> Result<Self, ConvertError> {
        Ok(Self {
            child: row.child.parse().in_field("child")?,
            value: message("value", row.value)?,
        })
    }
}
