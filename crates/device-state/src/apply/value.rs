//! Last values.

use lwm2m::{EndpointName, Operation, Patch, Path, RegistrationId, Value};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::id::Timestamp;
use crate::limit::MAX_VALUES;
use crate::query;
use crate::record::{LastValue, ValueOrigin};
use crate::table::Row;

impl Change<'_> {
    pub(super) fn record_values(
        &mut self,
        endpoint: &EndpointName,
        registration: &RegistrationId,
        origin: ValueOrigin,
        values: &[(Path, Value, Timestamp)],
    ) -> Result<Outcome, Rejection> {
        let live =
            query::registration(self.tables, endpoint).is_some_and(|live| live.id == *registration);
        if !live {
            return Err(Rejection::UnknownRegistration);
        }
        if !values.is_empty() {
            let newest = values.iter().map(|(path, value, at)| (*path, value, *at));
            self.keep_values(endpoint, origin, newest);
            self.emit(
                endpoint,
                Event::ValuesReported {
                    origin,
                    values: values.to_vec(),
                },
            );
        }
        Ok(Outcome::Done)
    }

    /// Keeps what a delivered operation tells about the device.
    pub(super) fn keep_delivered(
        &mut self,
        endpoint: &EndpointName,
        operation: &Operation,
        returned: &[(Path, Value)],
    ) {
        let now = self.now;
        self.keep_written_lifetime(endpoint, operation);
        match operation {
            Operation::Read { .. } | Operation::ReadComposite { .. } => {
                let values = returned.iter().map(|(path, value)| (*path, value, now));
                self.keep_values(endpoint, ValueOrigin::Read, values);
            }
            Operation::Write { values, .. } => {
                let values = values.iter().map(|entry| (entry.path, &entry.value, now));
                self.keep_values(endpoint, ValueOrigin::Write, values);
            }
            Operation::WriteComposite { patches } => {
                let values = patches.iter().filter_map(|patch| match patch {
                    Patch::Set(entry) => Some((entry.path, &entry.value, now)),
                    Patch::Remove(_) => None,
                });
                self.keep_values(endpoint, ValueOrigin::Write, values);
            }
            _ => {}
        }
    }

    /// Keeps each value unless a newer one is known. A time in the future counts as now: a device
    /// whose clock is wrong must not keep later values out.
    fn keep_values<'v>(
        &mut self,
        endpoint: &EndpointName,
        origin: ValueOrigin,
        values: impl Iterator<Item = (Path, &'v Value, Timestamp)>,
    ) {
        let mut kept = None;
        for (path, value, at) in values {
            let at = at.min(self.now);
            match query::last_value(self.tables, endpoint, path) {
                Some(known) if known.at > at => continue,
                Some(_) => {}
                None => {
                    let kept =
                        kept.get_or_insert_with(|| query::values(self.tables, endpoint).len());
                    if *kept >= MAX_VALUES {
                        continue;
                    }
                    *kept += 1;
                }
            }
            let value = value.clone();
            self.tables.put(Row::LastValue(LastValue {
                endpoint: endpoint.clone(),
                path,
                value,
                origin,
                at,
            }));
        }
    }
}
