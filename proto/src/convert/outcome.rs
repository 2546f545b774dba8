//! What commands answer.

use std::net::SocketAddr;

use device_state::limit::MAX_MEMBERS;
use device_state::{Member, Observation, Outcome, Rejection};

use super::list::each;
use super::record::{quirks, wire_quirks};
use super::value::wire_enum;
use super::{ConvertError, Reason, Within, endpoint, registration_id, required, time};
use crate::storage::v1 as wire;
use crate::storage::v1::outcome::{self, Kind};

wire_enum!(Rejection, wire::Rejection, wire_rejection, rejection, {
    UnknownRegistration,
    UnknownDevice,
    UnknownOperation,
    UnknownSession,
    UnknownCredential,
    CidTaken,
    GenerationMoved,
    StaleGeneration,
    QueueFull,
    TooManyObservations,
    TooManyDesired,
    TooManyMembers,
    UnknownResumption,
    ResumptionTaken,
    ResumptionTooLong,
    SecurityRequired,
    TooManyCredentials,
    ObservedOtherwise,
    UnknownDeviceProfile,
    TooManyDeviceProfiles,
    UnknownProfile,
    TooManyProfiles,
    UnknownModel,
    TooManyModels,
    TooManyStateNodes,
    UnknownStateNode,
    StateNodeLeaves,
    EtagMismatch,
    RequestIdReused,
    StillRegistered,
    TooManyLabels,
    AnnotationsTooLong,
    UnknownCampaign,
    CampaignExists,
    CampaignRuns,
    CampaignEnded,
    CampaignStopped,
    TooManyCampaigns,
    UnknownWave,
    UnknownArtefact,
    TooManyArtefacts,
    WrongChunk,
    UnknownGroup,
    TooManyGroups,
    CourseMoved,
    QuotaExceeded,
    EnrollmentDenied,
    EnrollmentFull,
    EnrollmentTooFast,
    UnknownEnrollmentPolicy,
    TooManyEnrollmentPolicies,
    CredentialTaken,
});

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        let kind = match outcome {
            Outcome::Registered {
                id,
                expires_at,
                observations,
                quirks,
                moved_from,
            } => Kind::Registered(outcome::Registered {
                moved_from: moved_from.map(Into::into),
                quirks: wire_quirks(quirks),
                id: id.to_string(),
                expires_at_ms: expires_at.0,
                observations: observations.into_iter().map(Into::into).collect(),
            }),
            Outcome::Updated {
                endpoint,
                expires_at,
                observations,
                moved_from,
            } => Kind::Updated(outcome::Updated {
                moved_from: moved_from.map(Into::into),
                endpoint: endpoint.stored().to_owned(),
                expires_at_ms: expires_at.0,
                observations: observations.into_iter().map(Into::into).collect(),
            }),
            Outcome::Deregistered { endpoint } => Kind::Deregistered(endpoint.stored().to_owned()),
            Outcome::Expired { rows } => Kind::Expired(rows),
            Outcome::Claimed { session } => Kind::Claimed((*session).into()),
            Outcome::ContextClaimed { context } => Kind::ContextClaimed(context.into()),
            Outcome::CredentialTaken { endpoint, serial } => {
                Kind::CredentialTaken(outcome::CredentialTaken {
                    endpoint: endpoint.stored().to_owned(),
                    serial,
                })
            }
            Outcome::Enqueued { operation } => Kind::Enqueued(operation.into()),
            Outcome::Revised { revision } => Kind::Revised(revision),
            Outcome::Arrived { complete } => Kind::Arrived(complete),
            Outcome::Members { stood, members } => Kind::Members(outcome::Members {
                stood,
                members: members.into_iter().map(Into::into).collect(),
            }),
            Outcome::Done => Kind::Done(true),
            Outcome::Rejected(rejection) => Kind::Rejected(wire_rejection(rejection)),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = ConvertError;

    fn try_from(outcome: wire::Outcome) -> Result<Self, ConvertError> {
        domain_outcome(required("kind", outcome.kind).within("outcome")?).within("outcome")
    }
}

fn peer(moved_from: Option<wire::Peer>) -> Result<Option<SocketAddr>, ConvertError> {
    moved_from
        .map(SocketAddr::try_from)
        .transpose()
        .within("moved_from")
}

fn domain_outcome(kind: Kind) -> Result<Outcome, ConvertError> {
    Ok(match kind {
        Kind::Registered(registered) => Outcome::Registered {
            quirks: quirks(registered.quirks).within("registered")?,
            moved_from: peer(registered.moved_from).within("registered")?,
            id: registration_id("registered.id", &registered.id)?,
            expires_at: time(registered.expires_at_ms),
            observations: each(
                "registered.observations",
                registered.observations,
                Observation::MAX_PATHS,
                Observation::try_from,
            )?,
        },
        Kind::Updated(updated) => Outcome::Updated {
            endpoint: endpoint(&updated.endpoint).within("updated")?,
            moved_from: peer(updated.moved_from).within("updated")?,
            expires_at: time(updated.expires_at_ms),
            observations: each(
                "updated.observations",
                updated.observations,
                Observation::MAX_PATHS,
                Observation::try_from,
            )?,
        },
        Kind::Deregistered(name) => Outcome::Deregistered {
            endpoint: endpoint(&name).within("deregistered")?,
        },
        Kind::Expired(rows) => Outcome::Expired { rows },
        Kind::Claimed(session) => Outcome::Claimed {
            session: Box::new(session.try_into().within("claimed")?),
        },
        Kind::ContextClaimed(context) => Outcome::ContextClaimed {
            context: context.try_into().within("context_claimed")?,
        },
        Kind::CredentialTaken(taken) => Outcome::CredentialTaken {
            endpoint: endpoint(&taken.endpoint).within("credential_taken")?,
            serial: taken.serial,
        },
        Kind::Enqueued(operation) => Outcome::Enqueued {
            operation: operation.try_into().within("enqueued")?,
        },
        Kind::Revised(revision) => Outcome::Revised { revision },
        Kind::Arrived(complete) => Outcome::Arrived { complete },
        Kind::Members(list) => Outcome::Members {
            stood: list.stood,
            members: each(
                "members.members",
                list.members,
                MAX_MEMBERS,
                Member::try_from,
            )?,
        },
        Kind::Done(_) => Outcome::Done,
        Kind::Rejected(reason) => Outcome::Rejected(rejection("rejected", reason)?),
    })
}
