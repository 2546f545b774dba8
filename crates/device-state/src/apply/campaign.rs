//! Campaigns in a shard: who takes part, whose turn it is, and what each device does next.
//!
//! Every way in leads through [`Change::walk`], which puts the ledger, the counts, the expiry, the lock and the
//! observations of a device in one place, so that they cannot disagree.

mod definition;
pub(crate) mod membership;
pub(super) mod reach;

use lwm2m::{NotificationAttributes, Observed, Operation, Path, Value};

use super::Change;
use crate::campaign::firmware::{self, Going, Input, Known, Step, Wanted};
use crate::campaign::{
    CampaignId, FailureSample, Ledger, Part, Phase, Presence, Sweep, Tally, UpdateObject,
};
use crate::event::Event;
use crate::feature::FeatureLevel;
use crate::id::{OperationId, Timestamp, spread};
use crate::name::DeviceName;
use crate::query;
use crate::record::{OperationOutcome, OperationSource};
use crate::table::{Expiring, Row, RowKey};

/// Marks the holds of campaigns among those of callers, which are random.
const HOLDER: u64 = 1 << 63;

impl Change<'_> {
    /// A device told values of these paths.
    pub(super) fn campaign_heard(
        &mut self,
        endpoint: &DeviceName,
        mut paths: impl Iterator<Item = Path>,
    ) {
        if self.counters.campaign_devices > 0 && paths.any(UpdateObject::tells) {
            self.campaign_input(endpoint, Input::Reported);
        }
    }

    pub(super) fn campaign_registered(&mut self, endpoint: &DeviceName) {
        self.campaign_input(endpoint, Input::Registered);
        self.join_dynamic_campaigns(endpoint);
    }

    /// To be called while its operations are still there.
    pub(super) fn campaign_forgotten(&mut self, endpoint: &DeviceName) {
        self.campaign_input(endpoint, Input::Forgotten);
        self.forget_in_line(endpoint);
        self.forget_reach(endpoint);
    }

    /// A device that waits for its turn is not waited for any more: its turn may not come for long.
    fn forget_in_line(&mut self, endpoint: &DeviceName) {
        if self.counters.feature_level < FeatureLevel::CAMPAIGN_HEALTH {
            return;
        }
        for part in query::campaign_parts(self.tables) {
            let ledger = query::ledger(self.tables, part.id, endpoint);
            if let Some(ledger) = ledger.filter(|ledger| ledger.phase == Phase::Waiting) {
                self.take_out_of_line(&part, &ledger);
            }
        }
    }

    /// Whether the device was due.
    pub(super) fn campaign_due(&mut self, endpoint: &DeviceName) -> bool {
        let Some((part, ledger)) = self.in_campaign(endpoint) else {
            return false;
        };
        if ledger.due > self.now {
            return false;
        }
        self.walk(&part, &ledger, Input::Due);
        self.settle_queue(endpoint);
        true
    }

    pub(super) fn campaign_operation_ended(
        &mut self,
        endpoint: &DeviceName,
        id: OperationId,
        (operation, outcome): (&Operation, &OperationOutcome),
    ) {
        let Some((part, ledger)) = self.in_campaign(endpoint) else {
            return;
        };
        // What another operation took the place of tells nothing any more.
        if ledger.operation == Some(id) {
            self.walk(&part, &ledger, Input::Ended { operation, outcome });
        }
    }

    fn campaign_input(&mut self, endpoint: &DeviceName, input: Input<'_>) {
        if let Some((part, ledger)) = self.in_campaign(endpoint) {
            self.walk(&part, &ledger, input);
            self.settle_queue(endpoint);
        }
    }

    /// The campaign that the device is in, and how far it is.
    fn in_campaign(&self, endpoint: &DeviceName) -> Option<(Part, Ledger)> {
        // Most of the time there is no campaign at all.
        if self.counters.campaign_devices == 0 {
            return None;
        }
        let id = query::campaign_of(self.tables, endpoint)?;
        let part = query::campaign_part(self.tables, id)?;
        let ledger = query::ledger(self.tables, id, endpoint)?;
        Some((part, ledger))
    }

    /// Moves a device on, and everything that goes with it.
    fn walk(&mut self, part: &Part, before: &Ledger, input: Input<'_>) {
        let wanted = Wanted {
            image: &part.image,
            transfer: part.transfer,
            policy: &part.device,
            going: match part.halt {
                Sweep::NotBegun => Going::On,
                Sweep::Through(_) | Sweep::Done => Going::Halted,
            },
        };
        let known = self.known(part.image.object, before);
        let Step { ledger, operation } = firmware::step(wanted, before, &known, input, self.now);
        let replaced = before
            .operation
            .filter(|_| operation.is_some() || ledger.phase.is_final());
        let mut after = ledger;
        if replaced.is_some() {
            after.operation = None;
        }
        self.put_ledger(before, after.clone());
        self.tell_move(part, before, &after);
        if let Some(replaced) = replaced {
            self.take_back(&after.endpoint, replaced);
        }
        if let Some(operation) = operation {
            // What tidies up after a device that is done with has no deadline of its own.
            let deadline = if after.phase.is_final() {
                self.now.saturating_add(part.device.wake_up_deadline)
            } else {
                after.deadline
            };
            let source = OperationSource::Campaign;
            let endpoint = after.endpoint.clone();
            let id = self.add_operation(&endpoint, operation, source, deadline, 0);
            if !after.phase.is_final() {
                let asked = Ledger {
                    operation: Some(id),
                    ..after.clone()
                };
                self.tables.put(Row::CampaignDevice(asked));
            }
        }
        self.watch(part.image.object, before, &after);
    }

    /// Watchers hear when the turn of a device comes, when something is done to it, and of the end; what is between is in
    /// the ledger.
    fn tell_move(&mut self, part: &Part, before: &Ledger, after: &Ledger) {
        let (from, to) = (before.phase, after.phase);
        let begins = from == Phase::Waiting && to.is_active();
        let ends = from.is_active() && to.is_final();
        // Releases before told of no more.
        let is_known = self.counters.feature_level >= FeatureLevel::INSTANCES;
        let updates = from == Phase::Scheduled && to.is_active() && to != from;
        let gives_up = from == Phase::Waiting && to.is_final();
        if begins || ends || is_known && (updates || gives_up) {
            let event = Event::CampaignMoved {
                campaign: part.name.clone(),
                phase: after.phase,
            };
            self.emit(&after.endpoint, event);
        }
    }

    /// What the device said since it was asked. While nothing was asked, all that is known counts.
    fn known(&self, object: UpdateObject, ledger: &Ledger) -> Known {
        let said = |path| {
            let value = query::last_value(self.tables, &ledger.endpoint, path)?;
            let counts = ledger.phase == Phase::Scheduled || value.at > ledger.asked_at;
            counts.then_some(value.value)
        };
        let number = |path| match said(path)? {
            Value::Integer(number) => Some(number),
            Value::Unsigned(number) => i64::try_from(number).ok(),
            _ => None,
        };
        let text = |path| match said(path)? {
            Value::String(text) => Some(text),
            _ => None,
        };
        Known {
            stage: number(object.state()).and_then(|state| object.stage(state)),
            verdict: number(object.result()).map(|result| object.verdict(result)),
            version: text(object.version()),
            is_active: match object.activation().and_then(said) {
                Some(Value::Boolean(is_active)) => Some(is_active),
                _ => None,
            },
            battery: number(firmware::BATTERY),
            hardware: text(firmware::HARDWARE),
        }
    }

    /// Ends an operation that has not been sent. One that is in flight goes on, and tells nothing.
    fn take_back(&mut self, endpoint: &DeviceName, operation: OperationId) {
        let record = query::operation(self.tables, endpoint, operation);
        if let Some(record) = record.filter(crate::record::OperationRecord::is_pending) {
            self.conclude(record, OperationOutcome::Superseded);
        }
    }

    /// Stores a ledger, with its count, its expiry and the lock of its device.
    fn put_ledger(&mut self, before: &Ledger, after: Ledger) {
        self.count(before, &after);
        let due = |ledger: &Ledger| ledger.phase.is_active().then_some(ledger.due);
        self.reschedule(
            due(before),
            due(&after),
            Expiring::CampaignDevice(after.endpoint.clone()),
        );
        match (before.phase.is_active(), after.phase.is_active()) {
            (false, true) => {
                self.counters.campaign_devices += 1;
                self.tables.put(Row::DeviceCampaign {
                    endpoint: after.endpoint.clone(),
                    campaign: after.campaign,
                });
            }
            (true, false) => {
                self.counters.campaign_devices = self.counters.campaign_devices.saturating_sub(1);
                self.tables
                    .delete(&RowKey::DeviceCampaign(after.endpoint.clone()));
                self.back_in_line(&after.endpoint);
            }
            _ => {}
        }
        self.tables.put(Row::CampaignDevice(after));
    }

    fn count(&mut self, before: &Ledger, after: &Ledger) {
        if (before.slot(), before.phase) == (after.slot(), after.phase) {
            return;
        }
        self.count_out(before);
        self.count_in(after);
    }

    fn count_out(&mut self, ledger: &Ledger) {
        self.change_tally(ledger.campaign, ledger.slot(), |tally| {
            let count = tally.count(ledger.phase);
            *count = count.saturating_sub(1);
        });
    }

    /// Counts a device where it is.
    fn count_in(&mut self, ledger: &Ledger) {
        let at = self.now;
        self.change_tally(ledger.campaign, ledger.slot(), |tally| {
            *tally.count(ledger.phase) += 1;
            if let Phase::Failed(failure) = ledger.phase {
                tally.add_failures(failure, 1);
                if tally.samples.len() >= Tally::MAX_SAMPLES {
                    tally.samples.remove(0);
                }
                tally.samples.push(FailureSample {
                    endpoint: ledger.endpoint.clone(),
                    failure,
                    at,
                });
            }
        });
    }

    fn change_tally(&mut self, campaign: CampaignId, slot: u8, change: impl FnOnce(&mut Tally)) {
        let mut tally = query::campaign_tally(self.tables, campaign, slot);
        change(&mut tally);
        self.tables.put(Row::CampaignTally {
            campaign,
            slot,
            tally,
        });
    }

    /// From the offer to the end the device is to tell how far it is.
    fn watch(&mut self, object: UpdateObject, before: &Ledger, after: &Ledger) {
        let holder = HOLDER | after.campaign.0;
        let paths = [object.state(), object.result()].map(Observed::Path);
        if is_watched(after.phase) {
            if before.phase == after.phase && before.deadline == after.deadline {
                return;
            }
            // The deadline of the phase that follows is a later one; until then the hold has to last.
            let until = after.deadline.saturating_add(firmware::POLL);
            for path in paths {
                self.follow(after, path, holder, until);
            }
        } else if is_watched(before.phase) {
            for path in &paths {
                self.release_observation(&after.endpoint, path, holder);
            }
            self.stop_following(&after.endpoint);
        }
    }

    /// Wants a path reported. A device is asked now, and again whenever it registers while it is wanted.
    fn follow(&mut self, ledger: &Ledger, path: Observed, holder: u64, until: Timestamp) {
        let parameters = NotificationAttributes::default();
        let endpoint = &ledger.endpoint;
        let is_new = query::observation(self.tables, endpoint, &path).is_none();
        // Refused if somebody observes it otherwise, which is as good, or too much: then the device is read.
        let held = self.hold_observation(endpoint, &path, parameters, holder, until);
        if is_new && held.is_ok() {
            let observe = Operation::Observe {
                observed: path,
                parameters,
            };
            let source = OperationSource::Campaign;
            self.add_operation(endpoint, observe, source, ledger.deadline, 0);
        }
    }

    /// Nobody is asked for reports any more that were not asked for yet.
    fn stop_following(&mut self, endpoint: &DeviceName) {
        for record in query::operations(self.tables, endpoint) {
            let of_campaign = record.source == OperationSource::Campaign;
            let observes = matches!(record.operation, Operation::Observe { .. });
            if of_campaign && observes && record.is_pending() {
                self.conclude(record, OperationOutcome::Cancelled);
            }
        }
    }
}

/// Whether changes of state and result tell something.
const fn is_watched(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Offered | Phase::Downloading | Phase::Downloaded | Phase::Updating
    )
}

impl Ledger {
    /// Of a device that waits for its turn.
    fn waiting(
        part: &Part,
        endpoint: &DeviceName,
        (lane, presence): (Option<u8>, Presence),
        now: Timestamp,
    ) -> Self {
        Self {
            campaign: part.id,
            endpoint: endpoint.clone(),
            rank: rank(&part.seed, endpoint),
            lane,
            wave: None,
            phase: Phase::Waiting,
            since: now,
            deadline: Timestamp::NEVER,
            due: Timestamp::NEVER,
            operation: None,
            asked_at: Timestamp(0),
            retries: 0,
            version_before: None,
            presence,
        }
    }
}

/// The place of a device among the others.
fn rank(seed: &str, endpoint: &DeviceName) -> u64 {
    spread(seed.bytes().chain([0]).chain(endpoint.stored().bytes()))
}
