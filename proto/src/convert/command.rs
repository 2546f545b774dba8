//! Commands, their outcomes, and the log entries that carry them.

use std::time::Duration;

use device_state::campaign::{Abort, CampaignId};
use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::profile::Standing;
use device_state::{
    Command, ContextOwner, DesiredValue, DeviceName, Envelope, Etag, Guard, Namespace, OperationId,
    Queueing, Session, SessionGeneration,
};
use lwm2m::{ChildPrefix, ObjectModel};

use super::campaign;
use super::list::{MAX_VALUES, bounded, each, timed_values, wire_timed_values};
use super::metadata::{annotation_change, label_change, wire_annotation_change, wire_label_change};
use super::model::optional_version;
use super::operation::attributes;
use super::record::{feature_level, lifetime, quirks};
use super::value::{observed, origin, transport, wire_observed, wire_origin, wire_transport};
use super::{
    ConvertError, InField, Reason, Within, cid_bytes, endpoint, message, namespace, narrow, node,
    optional_cid, registration_id, required, resumption_id, session_cid, time,
};
use crate::storage::v1 as wire;
use crate::storage::v1::command::{self, Kind};

/// The layout of log entries that this release writes and reads.
pub const ENTRY_FORMAT: u32 = 1;

/// The most commands in one log entry.
pub const MAX_ENVELOPES: usize = 16_384;

impl From<Vec<Envelope>> for wire::Entry {
    fn from(envelopes: Vec<Envelope>) -> Self {
        Self {
            format: ENTRY_FORMAT,
            envelopes: envelopes.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Entry> for Vec<Envelope> {
    type Error = ConvertError;

    fn try_from(entry: wire::Entry) -> Result<Self, ConvertError> {
        if entry.format != ENTRY_FORMAT {
            return Err(ConvertError::new("entry", Reason::Format(entry.format)));
        }
        bounded("entry.envelopes", &entry.envelopes, MAX_ENVELOPES)?;
        entry
            .envelopes
            .into_iter()
            .map(Envelope::try_from)
            .collect::<Result<_, _>>()
            .within("entry.envelopes")
    }
}

impl From<Envelope> for wire::Envelope {
    fn from(envelope: Envelope) -> Self {
        Self {
            request_id: envelope.request_id.map(Into::into),
            leader_time_ms: envelope.leader_time.0,
            command: Some(envelope.command.into()),
        }
    }
}

impl TryFrom<wire::Envelope> for Envelope {
    type Error = ConvertError;

    fn try_from(envelope: wire::Envelope) -> Result<Self, ConvertError> {
        Ok(Self {
            request_id: envelope.request_id.map(Into::into),
            leader_time: time(envelope.leader_time_ms),
            // A command names itself in its errors.
            command: required("command", envelope.command)?.try_into()?,
        })
    }
}

impl From<Command> for wire::Command {
    #[expect(
        clippy::too_many_lines,
        reason = "a table with one entry for each command"
    )]
    fn from(command: Command) -> Self {
        let kind = match command {
            Command::Register { registration } => Kind::Register((*registration).into()),
            Command::Update {
                namespace,
                id,
                identity,
                owner,
                peer,
                transport,
                session,
                lifetime,
                binding,
                links,
            } => Kind::Update(command::Update {
                id: id.to_string(),
                identity: Some(identity.into()),
                owner: owner.0,
                peer: Some(peer.into()),
                session: cid_bytes(session),
                lifetime_seconds: lifetime.map(|lifetime| u64::from(lifetime.as_secs())),
                binding: binding.map(|binding| binding.to_string()),
                links,
                transport: transport.map_or(0, wire_transport),
                namespace: namespace.stored().to_owned(),
            }),
            Command::MoveRegistration { id, session, owner } => {
                Kind::MoveRegistration(command::MoveRegistration {
                    id: id.to_string(),
                    session: session.0.to_vec(),
                    owner: owner.0,
                })
            }
            Command::Deregister {
                namespace,
                id,
                identity,
            } => Kind::Deregister(command::Deregister {
                id: id.to_string(),
                identity: Some(identity.into()),
                namespace: namespace.stored().to_owned(),
            }),
            Command::ExpireUpTo { limit } => Kind::ExpireUpTo(limit),
            Command::CompareRows => Kind::CompareRows(command::CompareRows {}),
            // The form from before there was a resumption stays in use where there is none.
            Command::StoreSession {
                session,
                resumption: None,
            } => Kind::StoreSession((*session).into()),
            Command::StoreSession {
                session,
                resumption: Some(resumption),
            } => Kind::StoreResumable(command::StoreResumable {
                session: Some((*session).into()),
                resumption: Some((*resumption).into()),
            }),
            Command::StoreResumption { resumption } => Kind::StoreResumption((*resumption).into()),
            Command::Resume { id, session } => Kind::Resume(command::Resume {
                id: id.0.to_vec(),
                session: session.map(|session| (*session).into()),
            }),
            Command::RemoveResumption { id } => Kind::RemoveResumption(id.0.to_vec()),
            Command::ClaimSession {
                cid,
                owner,
                expected,
            } => Kind::ClaimSession(command::ClaimSession {
                cid: cid.0.to_vec(),
                owner: owner.0,
                expected: u32::from(expected.0),
            }),
            Command::RemoveSession { cid } => Kind::RemoveSession(cid.0.to_vec()),
            Command::RenewMembership { member, lease } => {
                Kind::RenewMembership(command::RenewMembership {
                    member: Some(member.into()),
                    lease_ms: u32::try_from(lease.as_millis()).unwrap_or(u32::MAX),
                })
            }
            Command::RaiseFeatureLevel { level } => Kind::RaiseFeatureLevel(level.0),
            Command::PutStateNode { node } => Kind::PutStateNode(node.into()),
            Command::ForgetStateNode { node } => Kind::ForgetStateNode(node.0),
            Command::PutCredential { credential } => Kind::PutCredential(credential.into()),
            Command::ClaimContext {
                namespace,
                oscore_id,
                owner,
                expected,
            } => {
                let generation = expected;
                Kind::ClaimContext(
                    ContextOwner {
                        namespace,
                        oscore_id,
                        owner,
                        generation,
                        window: Vec::new(),
                    }
                    .into(),
                )
            }
            Command::ReleaseContext {
                namespace,
                oscore_id,
                owner,
                generation,
                window,
            } => Kind::ReleaseContext(
                ContextOwner {
                    namespace,
                    oscore_id,
                    owner,
                    generation,
                    window,
                }
                .into(),
            ),
            Command::RemoveCredential { credential } => Kind::RemoveCredential(credential.into()),
            Command::BindEndpoint {
                endpoint,
                credential,
            } => Kind::BindEndpoint(endpoint_credential(&endpoint, credential)),
            Command::UnbindEndpoint {
                endpoint,
                credential,
            } => Kind::UnbindEndpoint(endpoint_credential(&endpoint, credential)),
            Command::SetDesired {
                endpoint,
                generation,
                resources,
            } => Kind::SetDesired(command::SetDesired {
                endpoint: endpoint.stored().to_owned(),
                generation,
                resources: resources.into_iter().map(Into::into).collect(),
            }),
            Command::Enqueue {
                endpoint,
                operation,
                deadline,
                queueing,
            } => Kind::Enqueue(command::Enqueue {
                endpoint: endpoint.stored().to_owned(),
                operation: Some(operation.into()),
                deadline_ms: deadline.0,
                priority: u32::from(queueing.priority),
                supersedes: queueing.supersedes,
            }),
            Command::Start {
                endpoint,
                operation,
                owner,
            } => Kind::Start(command::Start {
                endpoint: endpoint.stored().to_owned(),
                operation: Some(operation.into()),
                owner: owner.0,
            }),
            Command::Requeue {
                endpoint,
                operation,
            } => Kind::Requeue(wire_target(&endpoint, operation)),
            Command::Finish {
                endpoint,
                operation,
                outcome,
            } => Kind::Finish(command::Finish {
                endpoint: endpoint.stored().to_owned(),
                operation: Some(operation.into()),
                outcome: Some(outcome.into()),
            }),
            Command::Cancel {
                endpoint,
                operation,
            } => Kind::Cancel(wire_target(&endpoint, operation)),
            Command::HoldObservation {
                endpoint,
                observed,
                parameters,
                holder,
                lease_until,
            } => {
                let (path, composite, behind) = wire_observed(&observed);
                Kind::HoldObservation(command::HoldObservation {
                    endpoint: endpoint.stored().to_owned(),
                    path,
                    composite,
                    behind,
                    parameters: parameters.to_query().join("&"),
                    holder,
                    lease_until_ms: lease_until.0,
                })
            }
            Command::ReleaseObservation {
                endpoint,
                observed,
                holder,
            } => {
                let (path, composite, behind) = wire_observed(&observed);
                Kind::ReleaseObservation(command::ReleaseObservation {
                    endpoint: endpoint.stored().to_owned(),
                    path,
                    composite,
                    behind,
                    holder,
                })
            }
            Command::PutCampaign { campaign } => Kind::PutCampaign((*campaign).into()),
            Command::ControlCampaign {
                namespace,
                name,
                paused,
                approved_through,
                abort,
            } => Kind::ControlCampaign(command::ControlCampaign {
                campaign: Some(campaign::wire_name(&namespace, name)),
                paused,
                approved_through,
                abort: abort == Abort::Now,
            }),
            Command::SteerCampaign {
                id,
                namespace,
                name,
                course,
            } => Kind::SteerCampaign(command::SteerCampaign {
                campaign: Some(campaign::wire_name(&namespace, name)),
                id: id.0,
                course: Some(course.into()),
            }),
            Command::RemoveCampaign { namespace, name } => {
                Kind::RemoveCampaign(campaign::wire_name(&namespace, name))
            }
            Command::OpenCampaign { part } => Kind::OpenCampaign((*part).into()),
            Command::EnrolDevices { id, limit } => {
                Kind::EnrolDevices(campaign::wire_walk(id, limit))
            }
            Command::HaltCampaign { id, limit } => {
                Kind::HaltCampaign(campaign::wire_walk(id, limit))
            }
            Command::DropCampaign { id, limit } => {
                Kind::DropCampaign(campaign::wire_walk(id, limit))
            }
            Command::AdmitDevices { id, wave, until } => {
                Kind::AdmitDevices(command::AdmitDevices {
                    id: id.0,
                    wave: u32::from(wave),
                    until,
                })
            }
            Command::PutProfile { profile } => Kind::PutProfile((*profile).into()),
            Command::RemoveProfile { namespace, name } => {
                Kind::RemoveProfile(campaign::wire_name(&namespace, name))
            }
            Command::InstallProfile { profile, standing } => {
                Kind::InstallProfile(command::InstallProfile {
                    profile: Some((*profile).into()),
                    removed: standing == Standing::Removed,
                })
            }
            Command::SpreadProfile {
                namespace,
                name,
                limit,
            } => Kind::SpreadProfile(command::SpreadProfile {
                profile: Some(campaign::wire_name(&namespace, name)),
                limit,
            }),
            Command::BeginArtefact { artefact } => Kind::BeginArtefact(artefact.into()),
            Command::PutArtefactChunk { chunk } => Kind::PutArtefactChunk(chunk.into()),
            Command::RemoveArtefact { artefact } => Kind::RemoveArtefact(artefact.into()),
            Command::PutEnrollmentPolicy { policy } => Kind::PutEnrollmentPolicy((*policy).into()),
            Command::RemoveEnrollmentPolicy { namespace, name } => {
                Kind::RemoveEnrollmentPolicy(campaign::wire_name(&namespace, name))
            }
            Command::PutGroup { group } => Kind::PutGroup(group.into()),
            Command::RemoveGroup { namespace, name } => {
                Kind::RemoveGroup(campaign::wire_name(&namespace, name))
            }
            Command::PutBootstrapProfile { profile } => Kind::PutBootstrapProfile(profile.into()),
            Command::RemoveBootstrapProfile { namespace, name } if namespace.is_default() => {
                Kind::RemoveBootstrapProfile(name)
            }
            Command::RemoveBootstrapProfile { namespace, name } => {
                Kind::RemoveProfileOfNamespace(command::RemoveBootstrapProfile {
                    name,
                    namespace: namespace.stored().to_owned(),
                })
            }
            Command::RecordBootstrap { record } => Kind::RecordBootstrap(record.into()),
            Command::PutObjectModel { model } => Kind::PutObjectModel((*model).into()),
            Command::RemoveObjectModel { object, version } => {
                Kind::RemoveObjectModel(command::RemoveObjectModel {
                    object: u32::from(object),
                    version: version
                        .map(|version| version.to_string())
                        .unwrap_or_default(),
                })
            }
            Command::LearnQuirks {
                registration,
                quirks,
            } => Kind::LearnQuirks(command::LearnQuirks {
                registration: registration.to_string(),
                quirks: Some(quirks.into()),
            }),
            Command::RecordValues {
                endpoint,
                registration,
                child,
                origin,
                values,
            } => {
                let recorded = command::RecordValues {
                    endpoint: endpoint.stored().to_owned(),
                    registration: registration.to_string(),
                    origin: wire_origin(origin),
                    values: wire_timed_values(values),
                };
                match child {
                    None => Kind::RecordValues(recorded),
                    Some(child) => Kind::RecordChildValues(command::RecordChildValues {
                        child: child.to_string(),
                        recorded: Some(recorded),
                    }),
                }
            }
            Command::ChangeMetadata {
                endpoint,
                labels,
                annotations,
                missing,
            } => Kind::ChangeMetadata(command::ChangeMetadata {
                endpoint: endpoint.stored().to_owned(),
                labels: wire_label_change(labels),
                annotations: wire_annotation_change(annotations),
                allow_missing: missing == Missing::Allowed,
            }),
            Command::Forget {
                endpoint,
                live,
                missing,
            } => Kind::Forget(command::Forget {
                endpoint: endpoint.stored().to_owned(),
                force: live == Live::Deregistered,
                allow_missing: missing == Missing::Allowed,
            }),
            Command::Guarded { guard, command } => Kind::Guarded(Box::new(command::Guarded {
                command: Some(Box::new((*command).into())),
                etag: guard.etag.map(|etag| etag.0.to_vec()).unwrap_or_default(),
                rehearsed: guard.effect == Effectiveness::Rehearsed,
                fingerprint: guard.fingerprint,
            })),
        };
        Self { kind: Some(kind) }
    }
}

fn wire_target(endpoint: &DeviceName, operation: OperationId) -> command::OperationTarget {
    command::OperationTarget {
        endpoint: endpoint.stored().to_owned(),
        operation: Some(operation.into()),
    }
}

impl TryFrom<wire::Command> for Command {
    type Error = ConvertError;

    fn try_from(command: wire::Command) -> Result<Self, ConvertError> {
        let kind = command
            .kind
            .ok_or_else(|| ConvertError::new("command", Reason::Missing))?;
        domain_command(kind).within("command")
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one flat arm for each kind of command"
)]
fn domain_command(kind: Kind) -> Result<Command, ConvertError> {
    match kind {
        Kind::Register(row) => row
            .try_into()
            .within("register")
            .map(|row| Command::Register {
                registration: Box::new(row),
            }),
        Kind::Update(update) => update.try_into().within("update"),
        Kind::Deregister(message) => message.try_into().within("deregister"),
        Kind::ExpireUpTo(limit) => Ok(Command::ExpireUpTo { limit }),
        Kind::CompareRows(command::CompareRows {}) => Ok(Command::CompareRows),
        Kind::StoreSession(row) => {
            row.try_into()
                .within("store_session")
                .map(|row| Command::StoreSession {
                    session: Box::new(row),
                    resumption: None,
                })
        }
        Kind::StoreResumable(message) => message.try_into().within("store_resumable"),
        Kind::StoreResumption(row) => {
            row.try_into()
                .within("store_resumption")
                .map(|row| Command::StoreResumption {
                    resumption: Box::new(row),
                })
        }
        Kind::Resume(message) => message.try_into().within("resume"),
        Kind::RemoveResumption(id) => {
            resumption_id("remove_resumption", &id).map(|id| Command::RemoveResumption { id })
        }
        Kind::MoveRegistration(message) => message.try_into().within("move_registration"),
        Kind::ClaimSession(message) => message.try_into().within("claim_session"),
        Kind::RemoveSession(cid) => {
            session_cid("remove_session", &cid).map(|cid| Command::RemoveSession { cid })
        }
        Kind::RenewMembership(message) => message.try_into().within("renew_membership"),
        Kind::RaiseFeatureLevel(level) => feature_level("raise_feature_level", level)
            .map(|level| Command::RaiseFeatureLevel { level }),
        Kind::PutStateNode(row) => row
            .try_into()
            .within("put_state_node")
            .map(|node| Command::PutStateNode { node }),
        Kind::ForgetStateNode(id) => Ok(Command::ForgetStateNode { node: node(id) }),
        Kind::PutCredential(row) => row
            .try_into()
            .within("put_credential")
            .map(|credential| Command::PutCredential { credential }),
        Kind::ClaimContext(claim) => {
            ContextOwner::try_from(claim)
                .within("claim_context")
                .map(|claim| Command::ClaimContext {
                    namespace: claim.namespace,
                    oscore_id: claim.oscore_id,
                    owner: claim.owner,
                    expected: claim.generation,
                })
        }
        Kind::ReleaseContext(context) => ContextOwner::try_from(context)
            .within("release_context")
            .map(|context| Command::ReleaseContext {
                namespace: context.namespace,
                oscore_id: context.oscore_id,
                owner: context.owner,
                generation: context.generation,
                window: context.window,
            }),
        Kind::RemoveCredential(id) => id
            .try_into()
            .within("remove_credential")
            .map(|credential| Command::RemoveCredential { credential }),
        Kind::BindEndpoint(message) => {
            let (endpoint, credential) = bound(message).within("bind_endpoint")?;
            Ok(Command::BindEndpoint {
                endpoint,
                credential,
            })
        }
        Kind::UnbindEndpoint(message) => {
            let (endpoint, credential) = bound(message).within("unbind_endpoint")?;
            Ok(Command::UnbindEndpoint {
                endpoint,
                credential,
            })
        }
        Kind::SetDesired(message) => message.try_into().within("set_desired"),
        Kind::Enqueue(message) => message.try_into().within("enqueue"),
        Kind::Start(message) => message.try_into().within("start"),
        Kind::Requeue(message) => {
            let (endpoint, operation) = target(&message).within("requeue")?;
            Ok(Command::Requeue {
                endpoint,
                operation,
            })
        }
        Kind::Finish(message) => message.try_into().within("finish"),
        Kind::Cancel(message) => {
            let (endpoint, operation) = target(&message).within("cancel")?;
            Ok(Command::Cancel {
                endpoint,
                operation,
            })
        }
        Kind::HoldObservation(message) => message.try_into().within("hold_observation"),
        Kind::ReleaseObservation(message) => message.try_into().within("release_observation"),
        Kind::LearnQuirks(message) => message.try_into().within("learn_quirks"),
        Kind::PutCampaign(campaign) => Ok(Command::PutCampaign {
            campaign: campaign::boxed(campaign).within("put_campaign")?,
        }),
        Kind::ControlCampaign(control) => campaign::controlled(control).within("control_campaign"),
        Kind::SteerCampaign(steered) => campaign::steered(steered).within("steer_campaign"),
        Kind::RemoveCampaign(name) => {
            let (namespace, name) = campaign::name(name).within("remove_campaign")?;
            Ok(Command::RemoveCampaign { namespace, name })
        }
        Kind::OpenCampaign(part) => Ok(Command::OpenCampaign {
            part: campaign::boxed(part).within("open_campaign")?,
        }),
        Kind::EnrolDevices(walk) => Ok(Command::EnrolDevices {
            id: CampaignId(walk.id),
            limit: walk.limit,
        }),
        Kind::HaltCampaign(walk) => Ok(Command::HaltCampaign {
            id: CampaignId(walk.id),
            limit: walk.limit,
        }),
        Kind::DropCampaign(walk) => Ok(Command::DropCampaign {
            id: CampaignId(walk.id),
            limit: walk.limit,
        }),
        Kind::AdmitDevices(admitted) => Ok(Command::AdmitDevices {
            id: CampaignId(admitted.id),
            wave: narrow("admit_devices.wave", admitted.wave)?,
            until: admitted.until,
        }),
        Kind::PutProfile(profile) => Ok(Command::PutProfile {
            profile: Box::new(profile.try_into().within("put_profile")?),
        }),
        Kind::RemoveProfile(name) => {
            let (namespace, name) = campaign::name(name).within("remove_profile")?;
            Ok(Command::RemoveProfile { namespace, name })
        }
        Kind::InstallProfile(message) => message.try_into().within("install_profile"),
        Kind::SpreadProfile(message) => message.try_into().within("spread_profile"),
        Kind::BeginArtefact(artefact) => Ok(Command::BeginArtefact {
            artefact: artefact.try_into().within("begin_artefact")?,
        }),
        Kind::PutArtefactChunk(chunk) => Ok(Command::PutArtefactChunk {
            chunk: chunk.try_into().within("put_artefact_chunk")?,
        }),
        Kind::RemoveArtefact(artefact) => Ok(Command::RemoveArtefact {
            artefact: artefact.try_into().within("remove_artefact")?,
        }),
        Kind::PutGroup(group) => Ok(Command::PutGroup {
            group: group.try_into().within("put_group")?,
        }),
        Kind::PutEnrollmentPolicy(policy) => Ok(Command::PutEnrollmentPolicy {
            policy: Box::new(policy.try_into().within("put_enrollment_policy")?),
        }),
        Kind::RemoveEnrollmentPolicy(name) => {
            let (namespace, name) = campaign::name(name).within("remove_enrollment_policy")?;
            Ok(Command::RemoveEnrollmentPolicy { namespace, name })
        }
        Kind::RemoveGroup(name) => {
            let (namespace, name) = campaign::name(name).within("remove_group")?;
            Ok(Command::RemoveGroup { namespace, name })
        }
        Kind::PutBootstrapProfile(profile) => Ok(Command::PutBootstrapProfile {
            profile: profile.try_into().within("put_bootstrap_profile")?,
        }),
        Kind::RemoveBootstrapProfile(name) => Ok(Command::RemoveBootstrapProfile {
            namespace: Namespace::default(),
            name,
        }),
        Kind::RemoveProfileOfNamespace(message) => Ok(Command::RemoveBootstrapProfile {
            namespace: namespace(&message.namespace).within("remove_profile_of_namespace")?,
            name: message.name,
        }),
        Kind::RecordBootstrap(record) => Ok(Command::RecordBootstrap {
            record: record.try_into().within("record_bootstrap")?,
        }),
        Kind::PutObjectModel(model) => {
            let model = ObjectModel::try_from(model).within("put_object_model")?;
            Ok(Command::PutObjectModel {
                model: Box::new(model),
            })
        }
        Kind::RemoveObjectModel(message) => Ok(Command::RemoveObjectModel {
            object: narrow("object", message.object).within("remove_object_model")?,
            version: optional_version(&message.version).within("remove_object_model")?,
        }),
        Kind::RecordValues(message) => record_values(None, message).within("record_values"),
        Kind::RecordChildValues(message) => {
            record_child_values(message).within("record_child_values")
        }
        Kind::Guarded(message) => guarded(*message).within("guarded"),
        Kind::ChangeMetadata(message) => message.try_into().within("change_metadata"),
        Kind::Forget(message) => message.try_into().within("forget"),
    }
}

/// Guards stand around commands of callers only, so never around one another.
fn guarded(message: command::Guarded) -> Result<Command, ConvertError> {
    let inner = required("command", message.command)?.kind;
    if let Some(Kind::Guarded(_)) = inner {
        return Err(ConvertError::new("command", Reason::NotOfCaller));
    }
    let inner = domain_command(required("command", inner)?).within("command")?;
    if !inner.is_of_caller() {
        return Err(ConvertError::new("command", Reason::NotOfCaller));
    }
    let guard = Guard {
        etag: match message.etag.as_slice() {
            [] => None,
            bytes => Some(Etag(bytes.try_into().map_err(|_| {
                ConvertError::new("etag", Reason::Length(bytes.len()))
            })?)),
        },
        effect: if message.rehearsed {
            Effectiveness::Rehearsed
        } else {
            Effectiveness::Real
        },
        fingerprint: message.fingerprint,
    };
    Ok(Command::Guarded {
        guard,
        command: Box::new(inner),
    })
}

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

fn target(target: &command::OperationTarget) -> Result<(DeviceName, OperationId), ConvertError> {
    Ok((
        endpoint(&target.endpoint)?,
        message("operation", target.operation)?,
    ))
}

fn endpoint_credential(
    endpoint: &DeviceName,
    credential: impl Into<wire::CredentialKey>,
) -> command::EndpointCredential {
    command::EndpointCredential {
        endpoint: endpoint.stored().to_owned(),
        credential: Some(credential.into()),
    }
}

fn bound<T: TryFrom<wire::CredentialKey, Error = ConvertError>>(
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

fn record_values(
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

fn record_child_values(record: command::RecordChildValues) -> Result<Command, ConvertError> {
    let child = record.child.parse().in_field("child")?;
    let recorded = required("recorded", record.recorded)?;
    record_values(Some(child), recorded).within("recorded")
}
