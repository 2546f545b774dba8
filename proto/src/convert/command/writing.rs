//! Commands as they are written.

use device_state::campaign::Abort;
use device_state::command::{Live, Missing};
use device_state::guard::Effectiveness;
use device_state::profile::Standing;
use device_state::{Command, ContextOwner, DeviceName, OperationId};

use crate::convert::list::wire_timed_values;
use crate::convert::metadata::{wire_annotation_change, wire_label_change};
use crate::convert::value::{wire_observed, wire_origin, wire_transport};
use crate::convert::{campaign, cid_bytes};
use crate::storage::v1 as wire;
use crate::storage::v1::command::{self, Kind};

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
            Command::AddCredential { credential } => Kind::AddCredential(credential.into()),
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
            Command::AdmitDevices {
                id,
                wave,
                until,
                step,
                census,
            } => Kind::AdmitDevices(command::AdmitDevices {
                id: id.0,
                wave: u32::from(wave),
                until,
                step,
                census,
            }),
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
            Command::ReleaseProfile {
                namespace,
                name,
                revision,
                released,
                limit,
                examine,
            } => Kind::ReleaseProfile(command::ReleaseProfile {
                profile: Some(campaign::wire_name(&namespace, name)),
                revision,
                released: Some(released.into()),
                limit,
                examine,
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

fn endpoint_credential(
    endpoint: &DeviceName,
    credential: impl Into<wire::CredentialKey>,
) -> command::EndpointCredential {
    command::EndpointCredential {
        endpoint: endpoint.stored().to_owned(),
        credential: Some(credential.into()),
    }
}
