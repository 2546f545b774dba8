//! The messages of commands with several fields.

use std::time::Duration;

use device_state::command::{Live, Missing};
use device_state::{
    Command, DesiredValue, DeviceName, OperationId, Queueing, Session, SessionGeneration,
};
use lwm2m::ChildPrefix;

use crate::convert::list::{MAX_VALUES, each, timed_values};
use crate::convert::metadata::{annotation_change, label_change};
use crate::convert::operation::attributes;
use crate::convert::record::{lifetime, quirks};
use crate::convert::value::{observed, origin, transport};
use crate::convert::{
    ConvertError, InField, Within, endpoint, message, namespace, narrow, node, optional_cid,
    registration_id, required, resumption_id, session_cid, time,
};
use crate::storage::v1 as wire;
use crate::storage::v1::command;

fn missing(allowed: bool) -> Missing {
    if allowed {
        Missing::Allowed
    } else {
        Missing::Refused
    }
}

impl TryFrom<command::ChangeMetadata> for Command {
    type Error = ConvertError;

    fn try_from(change: command::ChangeMetadata) -> Result<Self, ConvertError> {
        Ok(Self::ChangeMetadata {
            endpoint: endpoint(&change.endpoint)?,
            labels: label_change(change.labels)?,
            annotations: annotation_change(change.annotations)?,
            missing: missing(change.allow_missing),
        })
    }
}

impl TryFrom<command::Forget> for Command {
    type Error = ConvertError;

    fn try_from(forget: command::Forget) -> Result<Self, ConvertError> {
        Ok(Self::Forget {
            endpoint: endpoint(&forget.endpoint)?,
            live: if forget.force {
                Live::Deregistered
            } else {
                Live::Refused
            },
            missing: missing(forget.allow_missing),
        })
    }
}

pub(super) fn target(
    target: &command::OperationTarget,
) -> Result<(DeviceName, OperationId), ConvertError> {
    Ok((
        endpoint(&target.endpoint)?,
        message("operation", target.operation)?,
    ))
}

pub(super) fn bound<T: TryFrom<wire::CredentialKey, Error = ConvertError>>(
    binding: command::EndpointCredential,
) -> Result<(DeviceName, T), ConvertError> {
    Ok((
        endpoint(&binding.endpoint)?,
        message("credential", binding.credential)?,
    ))
}

impl TryFrom<command::Update> for Command {
    type Error = ConvertError;

    fn try_from(update: command::Update) -> Result<Self, ConvertError> {
        let binding = update
            .binding
            .map(|binding| binding.parse().in_field("binding"));
        Ok(Self::Update {
            namespace: namespace(&update.namespace)?,
            id: registration_id("id", &update.id)?,
            identity: message("identity", update.identity)?,
            owner: node(update.owner),
            peer: message("peer", update.peer)?,
            transport: (update.transport != 0)
                .then(|| transport("transport", update.transport))
                .transpose()?,
            session: optional_cid("session", &update.session)?,
            lifetime: update.lifetime_seconds.map(lifetime).transpose()?,
            binding: binding.transpose()?,
            links: update.links,
        })
    }
}

impl TryFrom<command::Deregister> for Command {
    type Error = ConvertError;

    fn try_from(deregister: command::Deregister) -> Result<Self, ConvertError> {
        Ok(Self::Deregister {
            namespace: namespace(&deregister.namespace)?,
            id: registration_id("id", &deregister.id)?,
            identity: message("identity", deregister.identity)?,
        })
    }
}

impl TryFrom<command::MoveRegistration> for Command {
    type Error = ConvertError;

    fn try_from(moved: command::MoveRegistration) -> Result<Self, ConvertError> {
        Ok(Self::MoveRegistration {
            id: registration_id("id", &moved.id)?,
            session: session_cid("session", &moved.session)?,
            owner: node(moved.owner),
        })
    }
}

impl TryFrom<command::RenewMembership> for Command {
    type Error = ConvertError;

    fn try_from(renewal: command::RenewMembership) -> Result<Self, ConvertError> {
        Ok(Self::RenewMembership {
            member: message("member", renewal.member)?,
            lease: Duration::from_millis(renewal.lease_ms.into()),
        })
    }
}

impl TryFrom<command::StoreResumable> for Command {
    type Error = ConvertError;

    fn try_from(store: command::StoreResumable) -> Result<Self, ConvertError> {
        Ok(Self::StoreSession {
            session: Box::new(message("session", store.session)?),
            resumption: Some(Box::new(message("resumption", store.resumption)?)),
        })
    }
}

impl TryFrom<command::Resume> for Command {
    type Error = ConvertError;

    fn try_from(resume: command::Resume) -> Result<Self, ConvertError> {
        let session = resume.session.map(Session::try_from);
        Ok(Self::Resume {
            id: resumption_id("id", &resume.id)?,
            session: session.transpose().within("session")?.map(Box::new),
        })
    }
}

impl TryFrom<command::ClaimSession> for Command {
    type Error = ConvertError;

    fn try_from(claim: command::ClaimSession) -> Result<Self, ConvertError> {
        Ok(Self::ClaimSession {
            cid: session_cid("cid", &claim.cid)?,
            owner: node(claim.owner),
            expected: SessionGeneration(narrow("expected", claim.expected)?),
        })
    }
}

impl TryFrom<command::SetDesired> for Command {
    type Error = ConvertError;

    fn try_from(set: command::SetDesired) -> Result<Self, ConvertError> {
        Ok(Self::SetDesired {
            endpoint: endpoint(&set.endpoint)?,
            generation: set.generation,
            resources: each(
                "resources",
                set.resources,
                MAX_VALUES,
                DesiredValue::try_from,
            )?,
        })
    }
}

impl TryFrom<command::Enqueue> for Command {
    type Error = ConvertError;

    fn try_from(enqueue: command::Enqueue) -> Result<Self, ConvertError> {
        Ok(Self::Enqueue {
            endpoint: endpoint(&enqueue.endpoint)?,
            operation: message("operation", enqueue.operation)?,
            deadline: time(enqueue.deadline_ms),
            queueing: Queueing {
                priority: narrow("priority", enqueue.priority)?,
                supersedes: enqueue.supersedes,
            },
        })
    }
}

impl TryFrom<command::Start> for Command {
    type Error = ConvertError;

    fn try_from(start: command::Start) -> Result<Self, ConvertError> {
        Ok(Self::Start {
            endpoint: endpoint(&start.endpoint)?,
            operation: message("operation", start.operation)?,
            owner: node(start.owner),
        })
    }
}

impl TryFrom<command::Finish> for Command {
    type Error = ConvertError;

    fn try_from(finish: command::Finish) -> Result<Self, ConvertError> {
        Ok(Self::Finish {
            endpoint: endpoint(&finish.endpoint)?,
            operation: message("operation", finish.operation)?,
            outcome: message("outcome", finish.outcome)?,
        })
    }
}

impl TryFrom<command::HoldObservation> for Command {
    type Error = ConvertError;

    fn try_from(hold: command::HoldObservation) -> Result<Self, ConvertError> {
        Ok(Self::HoldObservation {
            endpoint: endpoint(&hold.endpoint)?,
            observed: observed((hold.path, hold.composite, hold.behind))?,
            parameters: attributes("parameters", &hold.parameters)?,
            holder: hold.holder,
            lease_until: time(hold.lease_until_ms),
        })
    }
}

impl TryFrom<command::ReleaseObservation> for Command {
    type Error = ConvertError;

    fn try_from(release: command::ReleaseObservation) -> Result<Self, ConvertError> {
        Ok(Self::ReleaseObservation {
            endpoint: endpoint(&release.endpoint)?,
            observed: observed((release.path, release.composite, release.behind))?,
            holder: release.holder,
        })
    }
}

impl TryFrom<command::LearnQuirks> for Command {
    type Error = ConvertError;

    fn try_from(learn: command::LearnQuirks) -> Result<Self, ConvertError> {
        Ok(Self::LearnQuirks {
            registration: registration_id("registration", &learn.registration)?,
            quirks: quirks(learn.quirks)?,
        })
    }
}

pub(super) fn record_values(
    child: Option<ChildPrefix>,
    record: command::RecordValues,
) -> Result<Command, ConvertError> {
    Ok(Command::RecordValues {
        endpoint: endpoint(&record.endpoint)?,
        registration: registration_id("registration", &record.registration)?,
        child,
        origin: origin("origin", record.origin)?,
        values: timed_values("values", record.values)?,
    })
}

pub(super) fn record_child_values(
    record: command::RecordChildValues,
) -> Result<Command, ConvertError> {
    let child = record.child.parse().in_field("child")?;
    let recorded = required("recorded", record.recorded)?;
    record_values(Some(child), recorded).within("recorded")
}
