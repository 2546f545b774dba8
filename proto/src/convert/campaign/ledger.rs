//! The devices of a campaign.

use device_state::campaign::{
    Campaign, CampaignId, Failure, FailureSample, Image, Ledger, Part, Phase, Presence, Reach,
    Selector, SkipReason, Sweep, Tally,
};
use device_state::{DeviceName, OperationId, Row, ShardId};

use super::{bounded, selector, transfer, wire_transfer};
use crate::convert::list::each;
use crate::convert::value::wire_enum;
use crate::convert::{
    ConvertError, Reason, Within, endpoint, message, namespace, narrow, required, time,
};
use crate::storage::v1 as wire;
use crate::storage::v1::campaign_phase::{Kind as PhaseKind, Stage};

/// More kinds of failure than there are.
const MAX_FAILURES: usize = 1_024;

wire_enum!(SkipReason, wire::campaign_phase::SkipReason, wire_skip, skip, {
    UpToDate,
    Unsupported,
    Battery,
    Forgotten,
    Version,
    Hardware,
});

impl From<Part> for wire::CampaignPart {
    fn from(part: Part) -> Self {
        let selector = |selector: Option<Selector>| wire::campaign_part::WaveSelector {
            selector: selector.map(|selector| selector.text),
        };
        Self {
            id: part.id.0,
            namespace: part.namespace.stored().to_owned(),
            name: part.name,
            image: Some(part.image.into()),
            transfer: wire_transfer(part.transfer),
            selector: part.selector.text,
            membership: Some(part.membership.into()),
            seed: part.seed,
            wave_selectors: part.wave_selectors.into_iter().map(selector).collect(),
            device: Some(part.device.into()),
            enrolment: Some(part.enrolment.into()),
            halt: Some(part.halt.into()),
            step: part.step,
            reach: part.reach.map(Into::into),
        }
    }
}

impl TryFrom<wire::CampaignPart> for Part {
    type Error = ConvertError;

    fn try_from(part: wire::CampaignPart) -> Result<Self, ConvertError> {
        bounded("seed", &part.seed, Campaign::MAX_NAME)?;
        bounded("name", &part.name, Campaign::MAX_NAME)?;
        let wave =
            |wave: wire::campaign_part::WaveSelector| wave.selector.map(selector).transpose();
        Ok(Self {
            id: CampaignId(part.id),
            namespace: namespace(&part.namespace)?,
            name: part.name,
            image: message::<_, Image>("image", part.image)?,
            transfer: transfer("transfer", part.transfer)?,
            selector: selector(part.selector).within("selector")?,
            membership: message("membership", part.membership)?,
            seed: part.seed,
            wave_selectors: each(
                "wave_selectors",
                part.wave_selectors,
                Campaign::MAX_WAVES,
                wave,
            )?,
            device: message("device", part.device)?,
            enrolment: message("enrolment", part.enrolment)?,
            halt: message("halt", part.halt)?,
            step: part.step,
            reach: part.reach.map(Into::into),
        })
    }
}

impl From<Reach> for wire::CampaignReach {
    fn from(reach: Reach) -> Self {
        Self {
            census: reach.census,
            registered: reach.registered,
            counted: reach.counted,
            lost: reach.lost,
        }
    }
}

impl From<wire::CampaignReach> for Reach {
    fn from(reach: wire::CampaignReach) -> Self {
        Self {
            census: reach.census,
            registered: reach.registered,
            counted: reach.counted,
            lost: reach.lost,
        }
    }
}

impl From<Sweep> for wire::CampaignSweep {
    fn from(sweep: Sweep) -> Self {
        use wire::campaign_sweep::Kind;
        let kind = match sweep {
            Sweep::NotBegun => Kind::NotBegun(true),
            Sweep::Through(name) => Kind::Through(name.stored().to_owned()),
            Sweep::Done => Kind::Done(true),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::CampaignSweep> for Sweep {
    type Error = ConvertError;

    fn try_from(sweep: wire::CampaignSweep) -> Result<Self, ConvertError> {
        use wire::campaign_sweep::Kind;
        Ok(match required("kind", sweep.kind)? {
            Kind::NotBegun(_) => Self::NotBegun,
            Kind::Through(name) => Self::Through(endpoint(&name)?),
            Kind::Done(_) => Self::Done,
        })
    }
}

impl From<Ledger> for wire::CampaignDevice {
    fn from(ledger: Ledger) -> Self {
        let operation = |operation: OperationId| wire::campaign_device::Operation {
            shard: u32::from(operation.shard.0),
            sequence: operation.sequence,
        };
        Self {
            campaign: ledger.campaign.0,
            endpoint: ledger.endpoint.stored().to_owned(),
            rank: ledger.rank,
            lane: ledger.lane.map(u32::from),
            wave: ledger.wave.map(u32::from),
            phase: Some(ledger.phase.into()),
            since_ms: ledger.since.0,
            deadline_ms: ledger.deadline.0,
            due_ms: ledger.due.0,
            operation: ledger.operation.map(operation),
            asked_at_ms: ledger.asked_at.0,
            retries: u32::from(ledger.retries),
            version_before: ledger.version_before,
            presence: wire_presence(ledger.presence),
        }
    }
}

impl TryFrom<wire::CampaignDevice> for Ledger {
    type Error = ConvertError;

    fn try_from(ledger: wire::CampaignDevice) -> Result<Self, ConvertError> {
        let operation = |operation: wire::campaign_device::Operation| {
            narrow("operation.shard", operation.shard).map(|shard| OperationId {
                shard: ShardId(shard),
                sequence: operation.sequence,
            })
        };
        let byte =
            |field, number: Option<u32>| number.map(|number| narrow(field, number)).transpose();
        Ok(Self {
            campaign: CampaignId(ledger.campaign),
            endpoint: endpoint(&ledger.endpoint)?,
            rank: ledger.rank,
            lane: byte("lane", ledger.lane)?,
            wave: byte("wave", ledger.wave)?,
            phase: message("phase", ledger.phase)?,
            since: time(ledger.since_ms),
            deadline: time(ledger.deadline_ms),
            due: time(ledger.due_ms),
            operation: ledger.operation.map(operation).transpose()?,
            asked_at: time(ledger.asked_at_ms),
            retries: narrow("retries", ledger.retries)?,
            version_before: ledger.version_before,
            presence: ledger
                .presence
                .map_or_else(Presence::default, |told| Presence {
                    registered: told.registered,
                    census: told.census,
                    counted: told.counted,
                }),
        })
    }
}

/// As releases before have written it, of a device that is not counted.
fn wire_presence(presence: Presence) -> Option<wire::campaign_device::Presence> {
    let told = wire::campaign_device::Presence {
        registered: presence.registered,
        census: presence.census,
        counted: presence.counted,
    };
    (presence != Presence::default()).then_some(told)
}

impl From<Phase> for wire::CampaignPhase {
    fn from(phase: Phase) -> Self {
        let kind = match phase {
            Phase::Waiting => PhaseKind::Stage(Stage::Waiting.into()),
            Phase::Scheduled => PhaseKind::Stage(Stage::Scheduled.into()),
            Phase::Offered => PhaseKind::Stage(Stage::Offered.into()),
            Phase::Downloading => PhaseKind::Stage(Stage::Downloading.into()),
            Phase::Downloaded => PhaseKind::Stage(Stage::Downloaded.into()),
            Phase::Updating => PhaseKind::Stage(Stage::Updating.into()),
            Phase::Verifying => PhaseKind::Stage(Stage::Verifying.into()),
            Phase::Retrying => PhaseKind::Stage(Stage::Retrying.into()),
            Phase::Succeeded => PhaseKind::Stage(Stage::Succeeded.into()),
            Phase::Expired => PhaseKind::Stage(Stage::Expired.into()),
            Phase::Cancelled => PhaseKind::Stage(Stage::Cancelled.into()),
            Phase::Failed(failure) => PhaseKind::Failed(failure.into()),
            Phase::Skipped(reason) => PhaseKind::Skipped(wire_skip(reason)),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::CampaignPhase> for Phase {
    type Error = ConvertError;

    fn try_from(phase: wire::CampaignPhase) -> Result<Self, ConvertError> {
        let number = match required("kind", phase.kind)? {
            PhaseKind::Failed(failure) => return Ok(Self::Failed(failure.try_into()?)),
            PhaseKind::Skipped(reason) => return Ok(Self::Skipped(skip("skipped", reason)?)),
            PhaseKind::Stage(number) => number,
        };
        Ok(match Stage::try_from(number) {
            Ok(Stage::Waiting) => Self::Waiting,
            Ok(Stage::Scheduled) => Self::Scheduled,
            Ok(Stage::Offered) => Self::Offered,
            Ok(Stage::Downloading) => Self::Downloading,
            Ok(Stage::Downloaded) => Self::Downloaded,
            Ok(Stage::Updating) => Self::Updating,
            Ok(Stage::Verifying) => Self::Verifying,
            Ok(Stage::Retrying) => Self::Retrying,
            Ok(Stage::Succeeded) => Self::Succeeded,
            Ok(Stage::Expired) => Self::Expired,
            Ok(Stage::Cancelled) => Self::Cancelled,
            Ok(Stage::Unspecified) | Err(_) => {
                return Err(ConvertError::new("stage", Reason::UnknownEnum(number)));
            }
        })
    }
}

impl From<Failure> for wire::CampaignFailure {
    fn from(failure: Failure) -> Self {
        use wire::campaign_failure::Kind;
        let kind = match failure {
            Failure::UpdateResult(result) => Kind::UpdateResult(u32::from(result)),
            Failure::Refused(class, detail) => {
                Kind::Refused(u32::from(class) * 32 + u32::from(detail))
            }
            Failure::DownloadTimeout => Kind::DownloadTimeout(true),
            Failure::Interrupted => Kind::Interrupted(true),
            Failure::InstallTimeout => Kind::InstallTimeout(true),
            Failure::VersionMismatch => Kind::VersionMismatch(true),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::CampaignFailure> for Failure {
    type Error = ConvertError;

    fn try_from(failure: wire::CampaignFailure) -> Result<Self, ConvertError> {
        use wire::campaign_failure::Kind;
        Ok(match required("kind", failure.kind)? {
            Kind::UpdateResult(result) => Self::UpdateResult(narrow("update_result", result)?),
            Kind::Refused(code) => {
                let code: u8 = narrow("refused", code)?;
                Self::Refused(code >> 5, code & 0x1f)
            }
            Kind::DownloadTimeout(_) => Self::DownloadTimeout,
            Kind::Interrupted(_) => Self::Interrupted,
            Kind::InstallTimeout(_) => Self::InstallTimeout,
            Kind::VersionMismatch(_) => Self::VersionMismatch,
        })
    }
}

pub(in crate::convert) fn wire_tally(
    campaign: CampaignId,
    slot: u8,
    mut tally: Tally,
) -> wire::CampaignTally {
    let counts = tally.counts_mut().map(|count| *count).to_vec();
    let failure = |(failure, devices): (Failure, u64)| wire::campaign_tally::Failure {
        failure: Some(failure.into()),
        devices,
    };
    let sample = |sample: FailureSample| wire::campaign_tally::Sample {
        endpoint: sample.endpoint.stored().to_owned(),
        failure: Some(sample.failure.into()),
        at_ms: sample.at.0,
    };
    wire::CampaignTally {
        campaign: campaign.0,
        slot: u32::from(slot),
        counts,
        failures: tally.failures.into_iter().map(failure).collect(),
        samples: tally.samples.into_iter().map(sample).collect(),
        held: tally.held,
    }
}

fn tally(row: wire::CampaignTally) -> Result<Tally, ConvertError> {
    let failure = |counted: wire::campaign_tally::Failure| {
        Ok((message("failure", counted.failure)?, counted.devices))
    };
    let sample = |sample: wire::campaign_tally::Sample| {
        Ok(FailureSample {
            endpoint: endpoint(&sample.endpoint)?,
            failure: message("failure", sample.failure)?,
            at: time(sample.at_ms),
        })
    };
    let mut tally = Tally {
        failures: each("failures", row.failures, MAX_FAILURES, failure)?,
        samples: each("samples", row.samples, Tally::MAX_SAMPLES, sample)?,
        held: row.held,
        ..Tally::default()
    };
    for (count, stored) in tally.counts_mut().into_iter().zip(row.counts) {
        *count = stored;
    }
    Ok(tally)
}

pub(in crate::convert) fn wire_queue(
    campaign: CampaignId,
    lane: u8,
    rank: u64,
    endpoint: &DeviceName,
) -> wire::CampaignQueue {
    wire::CampaignQueue {
        campaign: campaign.0,
        lane: u32::from(lane),
        rank,
        endpoint: endpoint.stored().to_owned(),
    }
}

pub(in crate::convert) fn queue(row: wire::CampaignQueue) -> Result<Row, ConvertError> {
    Ok(Row::CampaignQueue {
        campaign: CampaignId(row.campaign),
        lane: narrow("lane", row.lane)?,
        rank: row.rank,
        endpoint: endpoint(&row.endpoint)?,
    })
}

pub(in crate::convert) fn tally_row(row: wire::CampaignTally) -> Result<Row, ConvertError> {
    Ok(Row::CampaignTally {
        campaign: CampaignId(row.campaign),
        slot: narrow("slot", row.slot)?,
        tally: tally(row)?,
    })
}
