//! Rows of the tables.

use device_state::campaign::CampaignId;
use device_state::limit::MAX_ENDPOINT_CREDENTIALS;
use device_state::table::{Counters, Expiring};
use device_state::{BoundCredential, Revision, Row, SessionGeneration};

use super::campaign;
use super::enrollment;
use super::list::each;
use super::profile;
use super::record::feature_level;
use super::value::{observed, wire_observed};
use super::{
    ConvertError, Within, endpoint, narrow, node, registration_id, required, resumption_id,
    session_cid, time,
};
use crate::storage::v1 as wire;
use crate::storage::v1::expiry::{HoldRef, OperationRef, ResourceRef, What};
use crate::storage::v1::row::Kind;

impl From<Row> for wire::Row {
    fn from(row: Row) -> Self {
        let kind = match row {
            Row::Registration(row) => Kind::Registration(row.into()),
            Row::RegistrationIndex { id, endpoint } => {
                Kind::RegistrationIndex(wire::RegistrationIndex {
                    id: id.to_string(),
                    endpoint: endpoint.stored().to_owned(),
                })
            }
            Row::Session(row) => Kind::Session(row.into()),
            Row::Resumption(row) => Kind::Resumption(row.into()),
            Row::Credential(row) => Kind::Credential(row.into()),
            Row::ContextOwner(row) => Kind::ContextOwner(row.into()),
            Row::EndpointCredentials {
                endpoint,
                credentials,
            } => Kind::EndpointCredentials(wire::EndpointCredentials {
                endpoint: endpoint.stored().to_owned(),
                credentials: credentials.into_iter().map(Into::into).collect(),
            }),
            Row::Operation(row) => Kind::Operation(row.into()),
            Row::Desired(row) => Kind::Desired(row.into()),
            Row::Observation(row) => Kind::Observation(row.into()),
            Row::LastValue(row) => Kind::LastValue(row.into()),
            Row::Expiry { at, what } => Kind::Expiry(wire::Expiry {
                at_ms: at.0,
                what: Some(wire_expiring(what)),
            }),
            Row::Feed(entry) => Kind::Feed(entry.into()),
            Row::Dedup {
                request_id,
                outcome,
                fingerprint,
            } => Kind::Dedup(wire::Dedup {
                request_id: Some(request_id.into()),
                outcome: Some(outcome.into()),
                fingerprint,
            }),
            Row::DedupOrder { at, request_id } => Kind::DedupOrder(wire::DedupOrder {
                at_ms: at.0,
                request_id: Some(request_id.into()),
            }),
            Row::Counters(counters) => Kind::Counters(counters.into()),
            Row::Member(row) => Kind::Member(row.into()),
            Row::Campaign(row) => Kind::Campaign((*row).into()),
            Row::CampaignPart(row) => Kind::CampaignPart((*row).into()),
            Row::CampaignDevice(row) => Kind::CampaignDevice(row.into()),
            Row::CampaignQueue {
                campaign,
                lane,
                rank,
                endpoint,
            } => Kind::CampaignQueue(campaign::wire_queue(campaign, lane, rank, &endpoint)),
            Row::CampaignTally {
                campaign,
                slot,
                tally,
            } => Kind::CampaignTally(campaign::wire_tally(campaign, slot, tally)),
            Row::DeviceCampaign { endpoint, campaign } => {
                Kind::DeviceCampaign(wire::DeviceCampaign {
                    endpoint: endpoint.stored().to_owned(),
                    campaign: campaign.0,
                })
            }
            Row::Group(row) => Kind::Group(row.into()),
            Row::Profile(row) => Kind::Profile((*row).into()),
            Row::ProfilePart(row) => Kind::ProfilePart((*row).into()),
            Row::ProfileDevice(row) => Kind::ProfileDevice(row.into()),
            Row::ProfileTally {
                namespace,
                profile,
                tally,
            } => Kind::ProfileTally(profile::wire_tally(&namespace, profile, tally)),
            Row::Artefact(row) => Kind::Artefact(row.into()),
            Row::ArtefactChunk(row) => Kind::ArtefactChunk(row.into()),
            Row::EnrollmentPolicy(row) => Kind::EnrollmentPolicy((*row).into()),
            Row::EnrollmentTally {
                namespace,
                policy,
                tally,
            } => Kind::EnrollmentTally(enrollment::wire_tally(&namespace, policy, tally)),
            Row::BootstrapProfile(row) => Kind::BootstrapProfile(row.into()),
            Row::Bootstrap(row) => Kind::Bootstrap(row.into()),
            Row::ObjectModel(row) => Kind::ObjectModel(row.into()),
            Row::ChildValue(row) => Kind::ChildValue(row.into()),
            Row::StateNode(row) => Kind::StateNode(row.into()),
            Row::Metadata(row) => Kind::Metadata(row.into()),
            Row::Index(entry) => Kind::Index(entry.into()),
            Row::DesiredGeneration {
                endpoint,
                generation,
            } => Kind::DesiredGeneration(wire::DesiredGeneration {
                endpoint: endpoint.stored().to_owned(),
                generation,
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Row> for Row {
    type Error = ConvertError;

    fn try_from(row: wire::Row) -> Result<Self, ConvertError> {
        domain_row(required("kind", row.kind).within("row")?).within("row")
    }
}

fn domain_row(kind: Kind) -> Result<Row, ConvertError> {
    Ok(match kind {
        Kind::Registration(row) => Row::Registration(row.try_into().within("registration")?),
        Kind::RegistrationIndex(row) => Row::RegistrationIndex {
            id: registration_id("registration_index.id", &row.id)?,
            endpoint: endpoint(&row.endpoint).within("registration_index")?,
        },
        Kind::Session(row) => Row::Session(row.try_into().within("session")?),
        Kind::Resumption(row) => Row::Resumption(row.try_into().within("resumption")?),
        Kind::ContextOwner(row) => Row::ContextOwner(row.try_into().within("context_owner")?),
        Kind::Credential(row) => Row::Credential(row.try_into().within("credential")?),
        Kind::EndpointCredentials(row) => Row::EndpointCredentials {
            endpoint: endpoint(&row.endpoint).within("endpoint_credentials")?,
            credentials: each(
                "endpoint_credentials.credentials",
                row.credentials,
                MAX_ENDPOINT_CREDENTIALS,
                BoundCredential::try_from,
            )?,
        },
        Kind::Operation(row) => Row::Operation(row.try_into().within("operation")?),
        Kind::Desired(row) => Row::Desired(row.try_into().within("desired")?),
        Kind::Observation(row) => Row::Observation(row.try_into().within("observation")?),
        Kind::LastValue(row) => Row::LastValue(row.try_into().within("last_value")?),
        Kind::Expiry(row) => {
            let what = required("what", row.what)
                .and_then(expiring)
                .within("expiry")?;
            Row::Expiry {
                at: time(row.at_ms),
                what,
            }
        }
        Kind::Feed(entry) => Row::Feed(entry.try_into().within("feed")?),
        Kind::Dedup(row) => Row::Dedup {
            request_id: required("dedup.request_id", row.request_id)?.into(),
            // An outcome names itself in its errors.
            outcome: required("dedup.outcome", row.outcome)?
                .try_into()
                .within("dedup")?,
            fingerprint: row.fingerprint,
        },
        Kind::DedupOrder(row) => Row::DedupOrder {
            at: time(row.at_ms),
            request_id: required("dedup_order.request_id", row.request_id)?.into(),
        },
        Kind::Counters(counters) => Row::Counters(Counters::try_from(counters).within("counters")?),
        Kind::Member(row) => Row::Member(row.try_into().within("member")?),
        Kind::Campaign(row) => Row::Campaign(campaign::boxed(row).within("campaign")?),
        Kind::CampaignPart(row) => Row::CampaignPart(campaign::boxed(row).within("campaign_part")?),
        Kind::CampaignDevice(row) => Row::CampaignDevice(row.try_into().within("campaign_device")?),
        Kind::CampaignQueue(row) => campaign::queue(row).within("campaign_queue")?,
        Kind::CampaignTally(row) => campaign::tally_row(row).within("campaign_tally")?,
        Kind::DeviceCampaign(row) => Row::DeviceCampaign {
            endpoint: endpoint(&row.endpoint).within("device_campaign")?,
            campaign: CampaignId(row.campaign),
        },
        Kind::Group(row) => Row::Group(row.try_into().within("group")?),
        Kind::Profile(row) => Row::Profile(Box::new(row.try_into().within("profile")?)),
        Kind::ProfilePart(row) => {
            Row::ProfilePart(Box::new(row.try_into().within("profile_part")?))
        }
        Kind::ProfileDevice(row) => Row::ProfileDevice(row.try_into().within("profile_device")?),
        Kind::ProfileTally(row) => profile::tally_row(row).within("profile_tally")?,
        Kind::Artefact(row) => Row::Artefact(row.try_into().within("artefact")?),
        Kind::ArtefactChunk(row) => Row::ArtefactChunk(row.try_into().within("artefact_chunk")?),
        Kind::EnrollmentPolicy(row) => {
            Row::EnrollmentPolicy(Box::new(row.try_into().within("enrollment_policy")?))
        }
        Kind::EnrollmentTally(row) => enrollment::tally_row(row).within("enrollment_tally")?,
        Kind::BootstrapProfile(row) => {
            Row::BootstrapProfile(row.try_into().within("bootstrap_profile")?)
        }
        Kind::Bootstrap(row) => Row::Bootstrap(row.try_into().within("bootstrap")?),
        Kind::ObjectModel(row) => Row::ObjectModel(row.try_into().within("object_model")?),
        Kind::ChildValue(row) => Row::ChildValue(row.try_into().within("child_value")?),
        Kind::StateNode(row) => Row::StateNode(row.try_into().within("state_node")?),
        Kind::Metadata(row) => Row::Metadata(row.try_into().within("metadata")?),
        Kind::Index(entry) => Row::Index(entry.try_into().within("index")?),
        Kind::DesiredGeneration(row) => Row::DesiredGeneration {
            endpoint: endpoint(&row.endpoint).within("desired_generation")?,
            generation: row.generation,
        },
    })
}

fn wire_expiring(what: Expiring) -> What {
    match what {
        Expiring::Registration(endpoint) => What::Registration(endpoint.stored().to_owned()),
        Expiring::Session(cid) => What::Session(cid.0.to_vec()),
        Expiring::Resumption(id) => What::Resumption(id.0.to_vec()),
        Expiring::Member(node) => What::Member(node.0),
        Expiring::CampaignDevice(endpoint) => What::CampaignDevice(endpoint.stored().to_owned()),
        Expiring::Correction(endpoint, path) => What::Correction(ResourceRef {
            endpoint: endpoint.stored().to_owned(),
            path: Some(path.into()),
        }),
        Expiring::Artefact(name) => What::Artefact(name.into()),
        Expiring::Operation(endpoint, sequence) => What::Operation(OperationRef {
            endpoint: endpoint.stored().to_owned(),
            sequence,
        }),
        Expiring::Hold(endpoint, observed, holder) => {
            let (path, composite, behind) = wire_observed(&observed);
            What::Hold(HoldRef {
                endpoint: endpoint.stored().to_owned(),
                path,
                composite,
                behind,
                holder,
            })
        }
    }
}

fn expiring(what: What) -> Result<Expiring, ConvertError> {
    Ok(match what {
        What::Registration(name) => Expiring::Registration(endpoint(&name).within("registration")?),
        What::Session(cid) => Expiring::Session(session_cid("session", &cid)?),
        What::Resumption(id) => Expiring::Resumption(resumption_id("resumption", &id)?),
        What::Member(id) => Expiring::Member(node(id)),
        What::CampaignDevice(name) => {
            Expiring::CampaignDevice(endpoint(&name).within("campaign_device")?)
        }
        What::Correction(row) => Expiring::Correction(
            endpoint(&row.endpoint).within("correction")?,
            required("correction.path", row.path)?
                .try_into()
                .within("correction")?,
        ),
        What::Artefact(name) => Expiring::Artefact(name.try_into().within("artefact")?),
        What::Operation(row) => {
            Expiring::Operation(endpoint(&row.endpoint).within("operation")?, row.sequence)
        }
        What::Hold(row) => Expiring::Hold(
            endpoint(&row.endpoint).within("hold")?,
            observed((row.path, row.composite, row.behind)).within("hold")?,
            row.holder,
        ),
    })
}

impl From<Counters> for wire::Counters {
    fn from(counters: Counters) -> Self {
        Self {
            next_operation: counters.next_operation,
            registrations: counters.registrations,
            sessions: counters.sessions,
            resumptions: counters.resumptions,
            dedup_rows: counters.dedup_rows,
            feed_rows: counters.feed_rows,
            feed_bytes: counters.feed_bytes,
            feed_floor: counters.feed_floor.0,
            model_changes: counters.model_changes,
            feature_level: counters.feature_level.0,
            context_floor: u32::from(counters.context_floor.0),
            campaign_devices: counters.campaign_devices,
            dynamic_campaigns: counters.dynamic_campaigns,
            profiles: counters.profiles,
            enrolled: counters.enrolled,
            counting_campaigns: counters.counting_campaigns,
        }
    }
}

impl TryFrom<wire::Counters> for Counters {
    type Error = ConvertError;

    fn try_from(counters: wire::Counters) -> Result<Self, ConvertError> {
        Ok(Self {
            next_operation: counters.next_operation,
            registrations: counters.registrations,
            sessions: counters.sessions,
            resumptions: counters.resumptions,
            dedup_rows: counters.dedup_rows,
            feed_rows: counters.feed_rows,
            feed_bytes: counters.feed_bytes,
            feed_floor: Revision(counters.feed_floor),
            model_changes: counters.model_changes,
            feature_level: feature_level("feature_level", counters.feature_level)?,
            context_floor: SessionGeneration(narrow("context_floor", counters.context_floor)?),
            campaign_devices: counters.campaign_devices,
            dynamic_campaigns: counters.dynamic_campaigns,
            profiles: counters.profiles,
            enrolled: counters.enrolled,
            counting_campaigns: counters.counting_campaigns,
        })
    }
}
