//! How many devices of a campaign are registered, without looking at them: each registration that begins or ends is counted
//! where it does. A census begins with a step of the course; who is registered then is who has to stay
//! ([`Presence::counts`]).

use super::super::Change;
use crate::campaign::{Ledger, Part, Presence, Reach};
use crate::name::DeviceName;
use crate::query;
use crate::table::Row;

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Registered {
    Begins,
    Ends,
}

impl Change<'_> {
    /// A device that was not registered is, or the other way round.
    pub(in super::super) fn count_reach(&mut self, endpoint: &DeviceName, registered: Registered) {
        if self.counters.counting_campaigns == 0 {
            return;
        }
        for (part, reach) in self.counting_parts() {
            let Some(ledger) = query::ledger(self.tables, part.id, endpoint) else {
                continue;
            };
            let counted = ledger.presence.counts(reach.census);
            let part_of_lost = u64::from(counted);
            let reach = match registered {
                Registered::Begins => Reach {
                    registered: reach.registered + 1,
                    lost: reach.lost.saturating_sub(part_of_lost),
                    ..reach
                },
                Registered::Ends => Reach {
                    registered: reach.registered.saturating_sub(1),
                    lost: reach.lost + part_of_lost,
                    ..reach
                },
            };
            let presence = Presence {
                registered: registered == Registered::Begins,
                census: reach.census,
                counted,
            };
            self.put_reach(part, reach);
            self.tables
                .put(Row::CampaignDevice(Ledger { presence, ..ledger }));
        }
    }

    /// A device that is deleted is not missed. Its registration has ended by now.
    pub(in super::super) fn forget_reach(&mut self, endpoint: &DeviceName) {
        if self.counters.counting_campaigns == 0 {
            return;
        }
        for (part, reach) in self.counting_parts() {
            let Some(ledger) = query::ledger(self.tables, part.id, endpoint) else {
                continue;
            };
            if ledger.presence.counts(reach.census) {
                let reach = Reach {
                    counted: reach.counted.saturating_sub(1),
                    lost: reach.lost.saturating_sub(1),
                    ..reach
                };
                self.put_reach(part, reach);
            }
            let presence = Presence {
                census: reach.census,
                ..Presence::default()
            };
            self.tables
                .put(Row::CampaignDevice(Ledger { presence, ..ledger }));
        }
    }

    /// Where a device stands that joins. It was not there when the census began.
    pub(super) fn join_reach(&self, part: &mut Part, endpoint: &DeviceName) -> Presence {
        let Some(reach) = &mut part.reach else {
            return Presence::default();
        };
        let registered = query::registration(self.tables, endpoint).is_some();
        reach.registered += u64::from(registered);
        Presence {
            registered,
            census: reach.census,
            counted: false,
        }
    }

    fn counting_parts(&self) -> Vec<(Part, Reach)> {
        let parts = query::campaign_parts(self.tables).into_iter();
        let counting = parts.filter_map(|part| part.reach.map(|reach| (part, reach)));
        counting.collect()
    }

    fn put_reach(&mut self, part: Part, reach: Reach) {
        let part = Part {
            reach: Some(reach),
            ..part
        };
        self.tables.put(Row::CampaignPart(Box::new(part)));
    }
}

impl Reach {
    /// Begins to count anew, with who is registered now, if `census` is a later one.
    pub(super) fn begin(&mut self, census: u64) {
        if census > self.census {
            *self = Self {
                census,
                registered: self.registered,
                counted: self.registered,
                lost: 0,
            };
        }
    }
}
