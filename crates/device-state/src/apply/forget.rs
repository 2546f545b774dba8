//! Deleting a device.

use super::Change;
use crate::command::{Live, Missing, Outcome, Rejection};
use crate::event::Event;
use crate::index::IndexEntry;
use crate::label::Metadata;
use crate::name::DeviceName;
use crate::query;
use crate::record::{ObservationHolder, OperationOutcome};
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    /// Deletes all rows of a device but those of its credentials, which are of who may register. What waits ends, and
    /// whoever waits for it is told.
    pub(super) fn forget(
        &mut self,
        endpoint: &DeviceName,
        live: Live,
        missing: Missing,
    ) -> Result<Outcome, Rejection> {
        if !query::is_known(self.tables, endpoint) {
            // What it had of profiles may have outlived all else, and its place in a campaign, too.
            self.settle_profiles(endpoint);
            self.campaign_forgotten(endpoint);
            return match missing {
                Missing::Refused => Err(Rejection::UnknownDevice),
                Missing::Allowed => Ok(Outcome::Done),
            };
        }
        if let Some(registration) = query::registration(self.tables, endpoint) {
            if live == Live::Refused {
                return Err(Rejection::StillRegistered);
            }
            self.dissolve(registration);
        }
        self.campaign_forgotten(endpoint);
        self.forget_profiles(endpoint);
        self.forget_operations(endpoint);
        self.forget_observations(endpoint);
        self.forget_values(endpoint);
        for row in query::desired(self.tables, endpoint) {
            self.delete_desired(&row);
        }
        for key in [RowKey::DesiredGeneration, RowKey::Bootstrap] {
            self.tables.delete(&key(endpoint.clone()));
        }
        if let Some(metadata) = query::metadata(self.tables, endpoint) {
            self.put_metadata(&metadata, Metadata::none(endpoint.clone()));
        }
        self.emit(endpoint, Event::Forgotten);
        Ok(Outcome::Done)
    }

    fn forget_operations(&mut self, endpoint: &DeviceName) {
        for record in query::operations(self.tables, endpoint) {
            if !record.is_finished() {
                self.conclude(record, OperationOutcome::Cancelled);
            }
        }
        for record in query::operations(self.tables, endpoint) {
            let what = Expiring::Operation(endpoint.clone(), record.id.sequence);
            self.reschedule(Some(record.ends_at()), None, what);
            self.tables.delete(&Row::Operation(record).key());
        }
    }

    fn forget_observations(&mut self, endpoint: &DeviceName) {
        for observation in query::observations(self.tables, endpoint) {
            for ObservationHolder { id, .. } in observation.holders.clone() {
                self.release_observation(endpoint, &observation.observed, id);
            }
        }
    }

    fn forget_values(&mut self, endpoint: &DeviceName) {
        for value in query::values(self.tables, endpoint) {
            if let Some(entry) = IndexEntry::of_value(endpoint, value.path, &value.value) {
                self.tables.delete(&entry.key());
            }
            self.tables.delete(&Row::LastValue(value).key());
        }
        for value in query::child_values(self.tables, endpoint) {
            self.tables.delete(&Row::ChildValue(value).key());
        }
    }
}
