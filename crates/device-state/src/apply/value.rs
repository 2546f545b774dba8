//! Last values.

use lwm2m::{ChildPrefix, Operation, Patch, Path, RegistrationId, Value};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::id::Timestamp;
use crate::limit::{MAX_CHILD_VALUE_BYTES, MAX_CHILD_VALUES, MAX_VALUES};
use crate::name::DeviceName;
use crate::query;
use crate::record::{ChildValue, LastValue, ValueOrigin};
use crate::table::Row;

/// Whose values they are: an endpoint, or a device behind it.
type Subject<'a> = (&'a DeviceName, Option<&'a ChildPrefix>);

impl Change<'_> {
    pub(super) fn record_values(
        &mut self,
        subject: Subject<'_>,
        registration: &RegistrationId,
        origin: ValueOrigin,
        values: &[(Path, Value, Timestamp)],
    ) -> Result<Outcome, Rejection> {
        let (endpoint, child) = subject;
        let live =
            query::registration(self.tables, endpoint).is_some_and(|live| live.id == *registration);
        if !live {
            return Err(Rejection::UnknownRegistration);
        }
        if !values.is_empty() {
            let newest = values.iter().map(|(path, value, at)| (*path, value, *at));
            self.keep_values(subject, origin, newest);
            if child.is_none() {
                self.campaign_heard(endpoint, values.iter().map(|(path, _, _)| *path));
            }
            self.emit(
                endpoint,
                Event::ValuesReported {
                    child: child.cloned(),
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
        endpoint: &DeviceName,
        operation: &Operation,
        returned: &[(Path, Value)],
    ) {
        let now = self.now;
        self.keep_written_lifetime(endpoint, operation);
        let (child, operation) = match operation {
            Operation::Behind { child, operation } => (Some(child), operation.as_ref()),
            own => (None, own),
        };
        let subject = (endpoint, child);
        match operation {
            Operation::Read { .. } | Operation::ReadComposite { .. } => {
                let values = returned.iter().map(|(path, value)| (*path, value, now));
                self.keep_values(subject, ValueOrigin::Read, values);
            }
            Operation::Write { values, .. } => {
                let values = values.iter().map(|entry| (entry.path, &entry.value, now));
                self.keep_values(subject, ValueOrigin::Write, values);
            }
            Operation::WriteComposite { patches } => {
                let values = patches.iter().filter_map(|patch| match patch {
                    Patch::Set(entry) => Some((entry.path, &entry.value, now)),
                    Patch::Remove(_) => None,
                });
                self.keep_values(subject, ValueOrigin::Write, values);
            }
            _ => {}
        }
    }

    /// Keeps each value unless a newer one is known, and draws the conclusions. A time in the future counts as now: a
    /// device whose clock is wrong must not keep later values out.
    fn keep_values<'v>(
        &mut self,
        subject: Subject<'_>,
        origin: ValueOrigin,
        values: impl Iterator<Item = (Path, &'v Value, Timestamp)>,
    ) {
        let mut room = None;
        let (mut told, mut found_otherwise) = (Vec::new(), false);
        for (path, value, at) in values {
            let at = at.min(self.now);
            if subject.1.is_some() && length(value) > MAX_CHILD_VALUE_BYTES {
                continue;
            }
            let known = self.kept(subject, path);
            match &known {
                Some(known) if known.at > at => continue,
                Some(_) => {}
                None => {
                    let room = room.get_or_insert_with(|| self.room(subject));
                    if *room == 0 {
                        continue;
                    }
                    *room -= 1;
                }
            }
            let (endpoint, child) = subject;
            let value = LastValue {
                endpoint: endpoint.clone(),
                path,
                value: value.clone(),
                origin,
                at,
            };
            match child.cloned() {
                None => {
                    told.push(path);
                    found_otherwise |= self.put_last_value(known.as_ref(), value);
                }
                Some(child) => self
                    .tables
                    .put(Row::ChildValue(ChildValue { child, value })),
            }
        }
        if found_otherwise {
            self.settle_profiles(subject.0);
        }
        self.compare_with_desired(subject.0, &told);
    }

    fn kept(&self, (endpoint, child): Subject<'_>, path: Path) -> Option<LastValue> {
        match child {
            None => query::last_value(self.tables, endpoint, path),
            Some(child) => {
                let kept = query::child_value(self.tables, endpoint, child, path);
                kept.map(|kept| kept.value)
            }
        }
    }

    /// How many further resources can be kept.
    fn room(&self, (endpoint, child): Subject<'_>) -> usize {
        let (allowed, kept) = if child.is_none() {
            (MAX_VALUES, query::values(self.tables, endpoint).len())
        } else {
            let kept = query::child_values(self.tables, endpoint).len();
            (MAX_CHILD_VALUES, kept)
        };
        allowed.saturating_sub(kept)
    }
}

/// Bytes of a value that has no fixed length.
const fn length(value: &Value) -> usize {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        _ => 0,
    }
}
