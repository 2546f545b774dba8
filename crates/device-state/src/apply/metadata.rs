//! What is attached to devices, and the index of what they are found by.

use super::Change;
use crate::command::{Missing, Outcome, Rejection};
use crate::event::Event;
use crate::index::IndexEntry;
use crate::label::{Excess, LabelValue, MapChange, Metadata};
use crate::name::DeviceName;
use crate::query;
use crate::record::LastValue;
use crate::table::{Row, RowKey};

impl Change<'_> {
    pub(super) fn change_metadata(
        &mut self,
        endpoint: &DeviceName,
        (labels, annotations): (&MapChange<LabelValue>, &MapChange<String>),
        missing: Missing,
    ) -> Result<Outcome, Rejection> {
        let stored = query::metadata(self.tables, endpoint);
        if missing == Missing::Refused
            && stored.is_none()
            && !query::is_known(self.tables, endpoint)
        {
            return Err(Rejection::UnknownDevice);
        }
        let before = stored.unwrap_or_else(|| Metadata::none(endpoint.clone()));
        let mut after = before.clone();
        labels.apply(&mut after.labels);
        annotations.apply(&mut after.annotations);
        after.fits().map_err(|excess| match excess {
            Excess::Labels => Rejection::TooManyLabels,
            Excess::Annotations => Rejection::AnnotationsTooLong,
        })?;
        if after != before {
            self.put_metadata(&before, after.clone());
            self.emit(endpoint, Event::MetadataChanged { metadata: after });
            self.join_dynamic_campaigns(endpoint);
            self.settle_profiles(endpoint);
        }
        Ok(Outcome::Done)
    }

    /// Writes what is attached to a device, and what changes in the index.
    pub(super) fn put_metadata(&mut self, before: &Metadata, after: Metadata) {
        for (key, value) in &before.labels {
            if after.labels.get(key) != Some(value) {
                let gone = IndexEntry::of_label(&before.endpoint, key, value);
                self.tables.delete(&gone.key());
            }
        }
        for (key, value) in &after.labels {
            if before.labels.get(key) != Some(value) {
                let entry = IndexEntry::of_label(&after.endpoint, key, value);
                self.tables.put(Row::Index(entry));
            }
        }
        if after.is_empty() {
            self.tables.delete(&RowKey::Metadata(after.endpoint));
        } else {
            self.tables.put(Row::Metadata(after));
        }
    }

    /// Writes a value of a device that replaces `before`, and what changes in the index. Whether something does.
    pub(super) fn put_last_value(&mut self, before: Option<&LastValue>, value: LastValue) -> bool {
        let entry = IndexEntry::of_value(&value.endpoint, value.path, &value.value);
        let known = before
            .and_then(|before| IndexEntry::of_value(&before.endpoint, before.path, &before.value));
        let moves = entry != known;
        if moves {
            if let Some(gone) = known {
                self.tables.delete(&gone.key());
            }
            if let Some(entry) = entry {
                self.tables.put(Row::Index(entry));
            }
        }
        self.tables.put(Row::LastValue(value));
        moves
    }
}
