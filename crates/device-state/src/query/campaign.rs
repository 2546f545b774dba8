//! Campaigns, and the devices in them.

use crate::apply::campaign::membership::can_admit;
use crate::campaign::{Campaign, CampaignId, Ledger, Part, Phase, Tally, UpdateObject};
use crate::name::{DeviceName, Namespace};
use crate::range;
use crate::table::{Row, RowKey, Tables};

/// All campaigns of a namespace, or with `None` of all, by name.
pub fn campaigns(tables: &dyn Tables, namespace: Option<&Namespace>) -> Vec<Campaign> {
    let (from, to) = namespace.map_or_else(range::all_campaigns, range::campaigns);
    let rows = tables.scan(&from, &to, usize::MAX);
    let campaigns = rows.into_iter().filter_map(|row| match row {
        Row::Campaign(campaign) => Some(*campaign),
        _ => None,
    });
    campaigns.collect()
}

/// The campaign of this name.
pub fn campaign(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Campaign> {
    match tables.get(&RowKey::Campaign(namespace.qualify(name))) {
        // A name that looks as if it were in another namespace names nothing.
        Some(Row::Campaign(campaign)) if campaign.namespace == *namespace => Some(*campaign),
        _ => None,
    }
}

/// The shard's parts of all campaigns.
pub fn campaign_parts(tables: &dyn Tables) -> Vec<Part> {
    let (from, to) = range::campaign_parts();
    let rows = tables.scan(&from, &to, usize::MAX);
    let parts = rows.into_iter().filter_map(|row| match row {
        Row::CampaignPart(part) => Some(*part),
        _ => None,
    });
    parts.collect()
}

/// The shard's part of a campaign.
pub fn campaign_part(tables: &dyn Tables, id: CampaignId) -> Option<Part> {
    match tables.get(&RowKey::CampaignPart(id)) {
        Some(Row::CampaignPart(part)) => Some(*part),
        _ => None,
    }
}

/// How many devices of each wave are where, by [`Ledger::slot`].
pub fn campaign_tallies(tables: &dyn Tables, id: CampaignId) -> Vec<(u8, Tally)> {
    let (from, to) = range::campaign_tallies(id);
    let rows = tables.scan(&from, &to, usize::MAX);
    let tallies = rows.into_iter().filter_map(|row| match row {
        Row::CampaignTally { slot, tally, .. } => Some((slot, tally)),
        _ => None,
    });
    tallies.collect()
}

/// Whether a device of the shard could have its turn in a wave of a campaign now.
pub fn campaign_can_admit(tables: &dyn Tables, id: CampaignId, wave: u8) -> bool {
    campaign_part(tables, id).is_some_and(|part| can_admit(tables, &part, wave))
}

pub(crate) fn campaign_tally(tables: &dyn Tables, id: CampaignId, slot: u8) -> Tally {
    match tables.get(&RowKey::CampaignTally(id, slot)) {
        Some(Row::CampaignTally { tally, .. }) => tally,
        _ => Tally::default(),
    }
}

/// The campaign that a device is in.
pub fn campaign_of(tables: &dyn Tables, endpoint: &DeviceName) -> Option<CampaignId> {
    match tables.get(&RowKey::DeviceCampaign(endpoint.clone())) {
        Some(Row::DeviceCampaign { campaign, .. }) => Some(campaign),
        _ => None,
    }
}

/// What became of a device in a campaign.
pub fn ledger(tables: &dyn Tables, id: CampaignId, endpoint: &DeviceName) -> Option<Ledger> {
    match tables.get(&RowKey::CampaignDevice(id, endpoint.clone())) {
        Some(Row::CampaignDevice(ledger)) => Some(ledger),
        _ => None,
    }
}

/// The campaign that says which firmware a device should have.
#[derive(Clone, Debug, PartialEq)]
pub struct FirmwareCampaign {
    /// Its name.
    pub name: String,
    /// The name of its image.
    pub image: String,
    /// The version that the device is to run.
    pub version: String,
    /// How far the device is.
    pub ledger: Ledger,
}

/// The campaign for the firmware of a device that it is in now; else one that it waits in; else the one that was done with
/// it last.
pub fn firmware_campaign(tables: &dyn Tables, endpoint: &DeviceName) -> Option<FirmwareCampaign> {
    let mut latest: Option<FirmwareCampaign> = None;
    for part in campaign_parts(tables) {
        if part.namespace != endpoint.namespace() || part.image.object != UpdateObject::Firmware {
            continue;
        }
        let Some(ledger) = ledger(tables, part.id, endpoint) else {
            continue;
        };
        let rank = |ledger: &Ledger| {
            let is_over = ledger.phase.is_final();
            (ledger.phase.is_active(), !is_over, ledger.since)
        };
        if latest
            .as_ref()
            .is_none_or(|known| rank(&known.ledger) < rank(&ledger))
        {
            latest = Some(FirmwareCampaign {
                name: part.name,
                image: part.image.name,
                version: part.image.version,
                ledger,
            });
        }
    }
    latest
}

/// The next devices that wait, in one lane or in any, in the order of their turns.
pub(crate) fn campaign_queue(
    tables: &dyn Tables,
    id: CampaignId,
    lane: Option<u8>,
    limit: usize,
) -> Vec<Row> {
    let (from, to) = range::campaign_queue(id, lane);
    tables.scan(&from, &to, limit)
}

/// Which devices of a campaign are asked for.
#[derive(Clone, Copy, Debug)]
pub struct LedgerQuery<'q> {
    pub campaign: CampaignId,
    /// Only names after this one.
    pub after: Option<&'q DeviceName>,
    /// Devices of the page.
    pub limit: usize,
    /// Devices that are looked at for the page.
    pub examine: usize,
}

/// A page of a campaign's devices, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerPage {
    pub devices: Vec<Ledger>,
    /// Where to go on (`after`); `None` at the end.
    pub next: Option<DeviceName>,
}

/// The devices of a campaign that `wanted` takes. There can be none on a page that is not the last.
pub fn select_ledger(
    tables: &dyn Tables,
    query: &LedgerQuery<'_>,
    wanted: impl Fn(&Ledger) -> bool,
) -> LedgerPage {
    let mut page = LedgerPage {
        devices: Vec::new(),
        next: None,
    };
    let mut after = query.after.cloned();
    let mut examined = 0;
    while page.devices.len() < query.limit && examined < query.examine {
        let wave = ledgers_after(tables, query.campaign, after.as_ref(), BATCH);
        let full = wave.len() == BATCH;
        for ledger in wave {
            if page.devices.len() == query.limit || examined == query.examine {
                page.next = after;
                return page;
            }
            examined += 1;
            after = Some(ledger.endpoint.clone());
            if wanted(&ledger) {
                page.devices.push(ledger);
            }
        }
        if !full {
            return page;
        }
    }
    page.next = after;
    page
}

/// Rows that are read at once.
const BATCH: usize = 256;

/// The next devices of a campaign, by name.
pub(crate) fn ledgers_after(
    tables: &dyn Tables,
    campaign: CampaignId,
    after: Option<&DeviceName>,
    limit: usize,
) -> Vec<Ledger> {
    let (first, to) = range::ledger(campaign);
    let from = after.map_or(first, |after| {
        RowKey::CampaignDevice(campaign, after.clone())
    });
    let rows = tables.scan(&from, &to, limit.saturating_add(1));
    let ledgers = rows.into_iter().filter_map(|row| match row {
        Row::CampaignDevice(ledger) => Some(ledger),
        _ => None,
    });
    let mut ledgers: Vec<_> = ledgers
        .filter(|ledger| after.is_none_or(|after| ledger.endpoint != *after))
        .collect();
    ledgers.truncate(limit);
    ledgers
}

/// Of the devices after one, who has the firmware of a campaign, and who was looked at last.
pub(crate) fn updated_by(
    tables: &dyn Tables,
    campaign: CampaignId,
    after: Option<&DeviceName>,
    limit: usize,
) -> (Vec<DeviceName>, Option<DeviceName>) {
    let rows = ledgers_after(tables, campaign, after, limit);
    let last = (rows.len() == limit)
        .then(|| rows.last().map(|ledger| ledger.endpoint.clone()))
        .flatten();
    let updated = rows
        .into_iter()
        .filter(|ledger| ledger.phase == Phase::Succeeded)
        .map(|ledger| ledger.endpoint);
    (updated.collect(), last)
}
