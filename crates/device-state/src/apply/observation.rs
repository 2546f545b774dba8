//! Observation intents: who wants what observed, and until when.

use lwm2m::{NotificationAttributes, Observed};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::id::Timestamp;
use crate::name::DeviceName;
use crate::query;
use crate::record::{Observation, ObservationHolder};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    pub(super) fn hold_observation(
        &mut self,
        endpoint: &DeviceName,
        observed: &Observed,
        parameters: NotificationAttributes,
        holder: u64,
        lease_until: Timestamp,
    ) -> Result<Outcome, Rejection> {
        let mut observation = match query::observation(self.tables, endpoint, observed) {
            // The device has one observation for all of them.
            Some(observation) if observation.parameters != parameters => {
                return Err(Rejection::ObservedOtherwise);
            }
            Some(observation) => observation,
            None if query::observations(self.tables, endpoint).len() >= Observation::MAX_PATHS => {
                return Err(Rejection::TooManyObservations);
            }
            None => {
                self.effects.push(Effect::ObservationWanted {
                    endpoint: endpoint.clone(),
                    observed: observed.clone(),
                });
                Observation {
                    endpoint: endpoint.clone(),
                    observed: observed.clone(),
                    parameters,
                    holders: Vec::new(),
                }
            }
        };
        let full = observation.holders.len() >= Observation::MAX_HOLDERS;
        let held = observation
            .holders
            .iter_mut()
            .find(|held| held.id == holder);
        let previous = match held {
            Some(held) if held.lease_until == lease_until => return Ok(Outcome::Done),
            Some(held) => Some(std::mem::replace(&mut held.lease_until, lease_until)),
            None if full => return Err(Rejection::TooManyObservations),
            None => {
                observation.holders.push(ObservationHolder {
                    id: holder,
                    lease_until,
                });
                None
            }
        };
        self.reschedule(
            previous,
            Some(lease_until),
            Expiring::Hold(endpoint.clone(), observed.clone(), holder),
        );
        self.tables.put(Row::Observation(observation));
        Ok(Outcome::Done)
    }

    /// Ends a hold; one that is not there is as good as ended.
    pub(super) fn release_observation(
        &mut self,
        endpoint: &DeviceName,
        observed: &Observed,
        holder: u64,
    ) -> Outcome {
        if let Some(observation) = query::observation(self.tables, endpoint, observed) {
            self.drop_hold(observation, holder);
        }
        Outcome::Done
    }

    pub(super) fn end_hold(
        &mut self,
        endpoint: &DeviceName,
        observed: &Observed,
        holder: u64,
    ) -> bool {
        let Some(observation) = query::observation(self.tables, endpoint, observed) else {
            return false;
        };
        let due = |held: &ObservationHolder| held.id == holder && held.lease_until <= self.now;
        let due = observation.holders.iter().any(due);
        if due {
            self.drop_hold(observation, holder);
            // A profile may have wanted it otherwise.
            self.settle_profiles(endpoint);
        }
        due
    }

    fn drop_hold(&mut self, mut observation: Observation, holder: u64) {
        let Some(place) = observation
            .holders
            .iter()
            .position(|held| held.id == holder)
        else {
            return;
        };
        let held = observation.holders.remove(place);
        let Observation {
            endpoint,
            observed,
            holders,
            ..
        } = &observation;
        self.reschedule(
            Some(held.lease_until),
            None,
            Expiring::Hold(endpoint.clone(), observed.clone(), holder),
        );
        if holders.is_empty() {
            self.tables
                .delete(&RowKey::Observation(endpoint.clone(), observed.clone()));
            self.effects.push(Effect::ObservationUnwanted {
                endpoint: endpoint.clone(),
                observed: observed.clone(),
            });
        } else {
            self.tables.put(Row::Observation(observation));
        }
    }
}
