//! Who takes part in a campaign, and whose turn it is: commands of the planner, each of a bounded size.

use std::collections::BTreeMap;

use lwm2m::Operation;

use super::super::Change;
use crate::campaign::firmware::Input;
use crate::campaign::{CampaignId, Ledger, Membership, Part, Phase, Reach, Sweep, Tally};
use crate::command::{Outcome, Rejection};
use crate::feature::FeatureLevel;
use crate::limit::MAX_ADMITTED;
use crate::name::{DeviceName, DevicePrefix};
use crate::query::{self, DeviceQuery};
use crate::range::{self, Range};
use crate::table::{Row, RowKey, Tables};

/// Devices that wait and are looked at by one command, at least: some are in another campaign, and must not keep the others
/// back.
const LOOKED_AT: usize = 1_024;

/// What became of a device in line.
enum Turn {
    /// It had its turn.
    Taken,
    /// Another campaign holds it, and it is out of line.
    Held,
    /// The same, and it is where it was: as releases before [`FeatureLevel::CAMPAIGN_HEALTH`] leave it.
    Kept,
    /// It is gone.
    Lost,
}

impl Change<'_> {
    pub(in super::super) fn open_campaign(&mut self, part: &Part) -> Outcome {
        if query::campaign_part(self.tables, part.id).is_none() {
            if part.membership == Membership::Dynamic {
                self.counters.dynamic_campaigns += 1;
            }
            if part.reach.is_some() {
                self.counters.counting_campaigns += 1;
            }
            let part = Part {
                enrolment: Sweep::NotBegun,
                halt: Sweep::NotBegun,
                step: 0,
                reach: part.reach.map(|_| Reach::default()),
                ..part.clone()
            };
            self.tables.put(Row::CampaignPart(Box::new(part)));
        }
        Outcome::Done
    }

    pub(in super::super) fn enrol_devices(
        &mut self,
        id: CampaignId,
        limit: u32,
    ) -> Result<Outcome, Rejection> {
        let mut part = self.part(id)?;
        // Who joins behind the walk that takes everybody back would wait for ever.
        let is_late = part.halt != Sweep::NotBegun
            && self.counters.feature_level >= FeatureLevel::CAMPAIGN_HEALTH;
        if part.enrolment == Sweep::Done || is_late {
            return Ok(Outcome::Done);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (devices, last) = self.next_candidates(&part, limit);
        // A wave is counted once for all that join it, not written for each.
        let mut joined: BTreeMap<u8, u64> = BTreeMap::new();
        for endpoint in devices {
            if let Some(slot) = self.enrol(&mut part, &endpoint) {
                *joined.entry(slot).or_default() += 1;
            }
        }
        for (slot, devices) in joined {
            self.change_tally(id, slot, |tally| tally.waiting += devices);
        }
        part.enrolment = Sweep::to(last);
        self.tables.put(Row::CampaignPart(Box::new(part)));
        Ok(Outcome::Done)
    }

    /// Devices that are to take part, and up to whom everybody was asked if there may be more.
    fn next_candidates(&self, part: &Part, limit: usize) -> (Vec<DeviceName>, Option<DeviceName>) {
        let after = part.enrolment.after();
        if let Membership::UpdatedBy(other) = part.membership {
            return query::updated_by(self.tables, other, after, limit);
        }
        let prefix = DevicePrefix::of(&part.namespace);
        let asked = DeviceQuery {
            filter: &part.selector.filter,
            prefix: &prefix,
            after,
            limit,
            examine: limit,
        };
        let page = query::select_devices(self.tables, &asked);
        let devices = page.devices.into_iter().map(|device| device.endpoint);
        (devices.collect(), page.next)
    }

    /// What is new of a device may make it one of those that join later.
    pub(in super::super) fn join_dynamic_campaigns(&mut self, endpoint: &DeviceName) {
        if self.counters.dynamic_campaigns == 0 {
            return;
        }
        for mut part in query::campaign_parts(self.tables) {
            let open = part.membership == Membership::Dynamic
                && part.halt == Sweep::NotBegun
                && endpoint.is_in(&part.namespace);
            if open
                && query::meets_filter(self.tables, endpoint, &part.selector.filter)
                && let Some(slot) = self.enrol(&mut part, endpoint)
            {
                if part.reach.is_some() {
                    self.tables.put(Row::CampaignPart(Box::new(part.clone())));
                }
                self.change_tally(part.id, slot, |tally| tally.waiting += 1);
            }
        }
    }

    /// Puts a device in line and returns where it is to be counted; `None` for one that is there already. Who counts its
    /// registration is the caller's to store.
    fn enrol(&mut self, part: &mut Part, endpoint: &DeviceName) -> Option<u8> {
        if query::ledger(self.tables, part.id, endpoint).is_some() {
            return None;
        }
        let meets = |selector: &crate::campaign::Selector| {
            query::meets_filter(self.tables, endpoint, &selector.filter)
        };
        let lane = part
            .wave_selectors
            .iter()
            .position(|selector| selector.as_ref().is_some_and(meets));
        let lane = lane.and_then(|lane| u8::try_from(lane).ok());
        let presence = self.join_reach(part, endpoint);
        let ledger = Ledger::waiting(part, endpoint, (lane, presence), self.now);
        let slot = ledger.slot();
        self.tables.put(queue_row(&ledger));
        self.tables.put(Row::CampaignDevice(ledger));
        Some(slot)
    }

    pub(in super::super) fn admit_devices(
        &mut self,
        id: CampaignId,
        wave: u8,
        until: u64,
        (step, census): (u64, u64),
    ) -> Result<Outcome, Rejection> {
        let mut part = self.part(id)?;
        // What was decided before somebody said otherwise begins nothing.
        if part.halt != Sweep::NotBegun || step < part.step {
            return Ok(Outcome::Done);
        }
        let before = (part.step, part.reach);
        part.step = step;
        if let Some(reach) = &mut part.reach {
            reach.begin(census);
        }
        if (part.step, part.reach) != before {
            self.tables.put(Row::CampaignPart(Box::new(part.clone())));
        }
        let admitted = query::campaign_tally(self.tables, id, wave).admitted();
        let wanted = usize::try_from(until.saturating_sub(admitted)).unwrap_or(usize::MAX);
        let wanted = wanted.min(MAX_ADMITTED);
        let lane = lane_of(&part, wave);
        let mut left = wanted;
        let mut held: BTreeMap<u8, u64> = BTreeMap::new();
        for row in query::campaign_queue(self.tables, id, lane, LOOKED_AT) {
            if left == 0 {
                break;
            }
            if let Row::CampaignQueue { endpoint, .. } = &row
                && let Some(ledger) = query::ledger(self.tables, id, endpoint)
            {
                match self.take_turn(&part, &ledger, wave) {
                    Turn::Taken => left -= 1,
                    Turn::Held => *held.entry(ledger.slot()).or_default() += 1,
                    Turn::Kept | Turn::Lost => {}
                }
            }
        }
        for (slot, devices) in held {
            self.change_tally(id, slot, |tally| tally.held += devices);
        }
        Ok(Outcome::Done)
    }

    /// The turn of a device in line. One that another campaign holds goes out of line until that lets it go: otherwise
    /// enough of them would keep those behind them back.
    fn take_turn(&mut self, part: &Part, ledger: &Ledger, wave: u8) -> Turn {
        let endpoint = &ledger.endpoint;
        if query::campaign_of(self.tables, endpoint).is_some() {
            if self.counters.feature_level < FeatureLevel::CAMPAIGN_HEALTH {
                return Turn::Kept;
            }
            self.tables.delete(&queue_row(ledger).key());
            return Turn::Held;
        }
        if !query::is_known(self.tables, endpoint) {
            // It was deleted while it waited, and must not be made known again.
            self.take_out_of_line(part, ledger);
            return Turn::Lost;
        }
        self.leave_line(ledger);
        self.walk(part, ledger, Input::Admitted { wave });
        self.settle_queue(endpoint);
        Turn::Taken
    }

    /// No campaign holds the device any more: it is back in line wherever it waits.
    pub(super) fn back_in_line(&mut self, endpoint: &DeviceName) {
        if self.counters.feature_level < FeatureLevel::CAMPAIGN_HEALTH {
            return;
        }
        for part in query::campaign_parts(self.tables) {
            let ledger = query::ledger(self.tables, part.id, endpoint);
            if let Some(ledger) = ledger.filter(|ledger| ledger.phase == Phase::Waiting)
                && !self.is_in_line(&ledger)
            {
                self.tables.put(queue_row(&ledger));
                self.change_tally(part.id, ledger.slot(), |tally| {
                    tally.held = tally.held.saturating_sub(1);
                });
            }
        }
    }

    fn is_in_line(&self, ledger: &Ledger) -> bool {
        self.tables.get(&queue_row(ledger).key()).is_some()
    }

    pub(in super::super) fn halt_campaign(
        &mut self,
        id: CampaignId,
        limit: u32,
    ) -> Result<Outcome, Rejection> {
        let mut part = self.part(id)?;
        if part.halt == Sweep::Done {
            return Ok(Outcome::Done);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let rows = query::ledgers_after(self.tables, id, part.halt.after(), limit);
        let last = (rows.len() == limit)
            .then(|| rows.last().map(|ledger| ledger.endpoint.clone()))
            .flatten();
        part.halt = Sweep::to(last);
        for ledger in rows {
            self.halt_device(&part, &ledger);
        }
        self.tables.put(Row::CampaignPart(Box::new(part)));
        Ok(Outcome::Done)
    }

    fn halt_device(&mut self, part: &Part, ledger: &Ledger) {
        if ledger.phase == Phase::Waiting {
            self.leave_line(ledger);
        }
        let told = ledger.phase == Phase::Downloaded && !self.waits(ledger);
        // Nobody knows whether the order to install has reached it: it goes on.
        if !told {
            self.walk(part, ledger, Input::Halted);
            self.settle_queue(&ledger.endpoint);
        }
    }

    /// Whether the order to install has not been sent.
    fn waits(&self, ledger: &Ledger) -> bool {
        let record = ledger
            .operation
            .and_then(|operation| query::operation(self.tables, &ledger.endpoint, operation));
        record.is_some_and(|record| {
            record.is_pending() && matches!(record.operation, Operation::Execute { .. })
        })
    }

    /// Devices that are still on their way are let go: their campaign is not there any more.
    pub(in super::super) fn drop_campaign(&mut self, id: CampaignId, limit: u32) -> Outcome {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut part = query::campaign_part(self.tables, id);
        if let Some(part) = &mut part
            && part.reach.take().is_some()
        {
            // Its devices go one after the other, and nobody asks any more who is there.
            self.counters.counting_campaigns = self.counters.counting_campaigns.saturating_sub(1);
            self.tables.put(Row::CampaignPart(Box::new(part.clone())));
        }
        let rows = query::ledgers_after(self.tables, id, None, limit);
        let more = rows.len() == limit;
        for ledger in rows {
            if let Some(part) = part.as_ref() {
                if ledger.phase.is_active() {
                    self.walk(part, &ledger, Input::Forgotten);
                    self.settle_queue(&ledger.endpoint);
                } else if ledger.phase == Phase::Waiting {
                    let phase = Phase::Cancelled;
                    self.tell_move(
                        part,
                        &ledger,
                        &Ledger {
                            phase,
                            ..ledger.clone()
                        },
                    );
                }
            }
            self.remove_ledger(id, ledger.endpoint);
        }
        if more {
            return Outcome::Done;
        }
        let (from, to): Range = range::campaign_tallies(id);
        for row in self.tables.scan(&from, &to, usize::MAX) {
            self.tables.delete(&row.key());
        }
        if let Some(part) = part {
            if part.membership == Membership::Dynamic {
                self.counters.dynamic_campaigns = self.counters.dynamic_campaigns.saturating_sub(1);
            }
            self.tables.delete(&RowKey::CampaignPart(id));
        }
        Outcome::Done
    }

    fn remove_ledger(&mut self, id: CampaignId, endpoint: DeviceName) {
        let Some(ledger) = query::ledger(self.tables, id, &endpoint) else {
            return;
        };
        if ledger.phase == Phase::Waiting {
            self.leave_line(&ledger);
        }
        self.count_out(&ledger);
        self.tables.delete(&RowKey::CampaignDevice(id, endpoint));
    }

    /// It was deleted while it waited. A wave whose selector it met does not count it, as it never had its turn there.
    pub(super) fn take_out_of_line(&mut self, part: &Part, ledger: &Ledger) {
        self.leave_line(ledger);
        let mut ledger = ledger.clone();
        if self.counters.feature_level >= FeatureLevel::CAMPAIGN_HEALTH {
            let of_none = Ledger {
                lane: None,
                ..ledger.clone()
            };
            self.count(&ledger, &of_none);
            ledger = of_none;
        }
        self.walk(part, &ledger, Input::Forgotten);
    }

    /// Its turn does not come any more.
    pub(super) fn leave_line(&mut self, ledger: &Ledger) {
        if self.is_in_line(ledger) {
            self.tables.delete(&queue_row(ledger).key());
            return;
        }
        self.change_tally(ledger.campaign, ledger.slot(), |tally| {
            tally.held = tally.held.saturating_sub(1);
        });
    }

    fn part(&self, id: CampaignId) -> Result<Part, Rejection> {
        query::campaign_part(self.tables, id).ok_or(Rejection::UnknownCampaign)
    }
}

/// Whether a device of the shard could have its turn in a wave now, as far as the first ones in line show it; or is to go out
/// of line, for those behind it.
pub(crate) fn can_admit(tables: &dyn Tables, part: &Part, wave: u8) -> bool {
    let lane = lane_of(part, wave);
    let waiting = query::campaign_queue(tables, part.id, lane, LOOKED_AT);
    let goes_out_of_line = query::counters(tables).feature_level >= FeatureLevel::CAMPAIGN_HEALTH;
    let may_begin = |row: &Row| match row {
        Row::CampaignQueue { endpoint, .. } => {
            goes_out_of_line || query::campaign_of(tables, endpoint).is_none()
        }
        _ => false,
    };
    part.halt == Sweep::NotBegun && waiting.iter().any(may_begin)
}

/// Whom a wave takes: those that meet its selector, those that meet none, or as the last one everybody.
fn lane_of(part: &Part, wave: u8) -> Option<u8> {
    let at = usize::from(wave);
    let is_last = at + 1 >= part.wave_selectors.len();
    let selects = part.wave_selectors.get(at).is_some_and(Option::is_some);
    match (is_last, selects) {
        (true, _) => None,
        (false, true) => Some(wave),
        (false, false) => Some(Tally::COMMON),
    }
}

fn queue_row(ledger: &Ledger) -> Row {
    Row::CampaignQueue {
        campaign: ledger.campaign,
        lane: ledger.slot(),
        rank: ledger.rank,
        endpoint: ledger.endpoint.clone(),
    }
}
