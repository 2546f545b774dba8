//! Commands as they are read.

use device_state::campaign::CampaignId;
use device_state::guard::Effectiveness;
use device_state::{Command, ContextOwner, Etag, Guard, Namespace};
use lwm2m::ObjectModel;

use super::message::{bound, record_child_values, record_values, target};
use crate::convert::model::optional_version;
use crate::convert::record::feature_level;
use crate::convert::{
    ConvertError, Reason, Within, campaign, namespace, narrow, node, required, resumption_id,
    session_cid,
};
use crate::storage::v1 as wire;
use crate::storage::v1::command::{self, Kind};

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
        Kind::AddCredential(row) => row
            .try_into()
            .within("add_credential")
            .map(|credential| Command::AddCredential { credential }),
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
            step: admitted.step,
            census: admitted.census,
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
        Kind::ReleaseProfile(message) => message.try_into().within("release_profile"),
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
