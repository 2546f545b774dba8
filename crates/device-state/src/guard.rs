//! Conditions of a command: what is checked before it, and whether it changes anything.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::etag::Etag;
use crate::label::Metadata;
use crate::name::Namespace;
use crate::query;
use crate::table::{Row, RowKey, Tables};

/// Under which conditions a command is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Guard {
    /// What the command changes has to be as the caller has seen it.
    pub etag: Option<Etag>,
    pub effect: Effectiveness,
    /// Of the caller's request: one that comes with the same id and another fingerprint is refused.
    pub fingerprint: Option<u64>,
}

/// Whether a command changes anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effectiveness {
    #[default]
    Real,
    /// It is carried out on rows that are thrown away: only its outcome is of interest.
    Rehearsed,
}

/// What the content that a command changes is now; `None` if nothing is there, or it has no etag.
pub(crate) fn current_etag(tables: &dyn Tables, command: &Command) -> Option<Etag> {
    match command {
        Command::ChangeMetadata { endpoint, .. } | Command::Forget { endpoint, .. } => {
            let metadata = query::metadata(tables, endpoint);
            let metadata = metadata.unwrap_or_else(|| Metadata::none(endpoint.clone()));
            Some(Etag::of_metadata(&metadata))
        }
        Command::SetDesired { endpoint, .. } => {
            let generation = query::desired_generation(tables, endpoint);
            let desired = query::desired(tables, endpoint);
            Some(Etag::of_desired(generation, &desired))
        }
        Command::PutCredential { credential } | Command::AddCredential { credential } => {
            let stored = query::credential(tables, &credential.name())?;
            Some(Etag::of_credential(&stored))
        }
        Command::RemoveCredential { credential } => {
            let stored = query::credential(tables, credential)?;
            Some(Etag::of_credential(&stored))
        }
        Command::PutBootstrapProfile { profile } => {
            stored_profile(tables, &profile.namespace, &profile.name)
        }
        Command::RemoveBootstrapProfile { namespace, name } => {
            stored_profile(tables, namespace, name)
        }
        Command::PutProfile { profile } => {
            stored_device_profile(tables, &profile.namespace, &profile.name)
        }
        Command::RemoveProfile { namespace, name } => {
            stored_device_profile(tables, namespace, name)
        }
        Command::PutGroup { group } => stored_group(tables, &group.namespace, &group.name),
        Command::RemoveGroup { namespace, name } => stored_group(tables, namespace, name),
        Command::PutEnrollmentPolicy { policy } => {
            stored_policy(tables, &policy.namespace, &policy.name)
        }
        Command::RemoveEnrollmentPolicy { namespace, name } => {
            stored_policy(tables, namespace, name)
        }
        _ => None,
    }
}

fn stored_policy(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Etag> {
    let stored = query::enrollment_policy(tables, namespace, name);
    stored.map(|policy| Etag::of_enrollment_policy(&policy))
}

fn stored_group(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Etag> {
    query::group(tables, namespace, name).map(|group| Etag::of_group(&group))
}

fn stored_device_profile(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Etag> {
    query::profile(tables, namespace, name).map(|profile| Etag::of_device_profile(&profile))
}

fn stored_profile(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Etag> {
    match tables.get(&RowKey::BootstrapProfile(namespace.qualify(name))) {
        Some(Row::BootstrapProfile(profile)) => Some(Etag::of_profile(&profile)),
        _ => None,
    }
}

/// Rows as they are, and changes of them that nobody else sees.
pub(crate) struct Rehearsal<'t> {
    stored: &'t dyn Tables,
    /// `None` deletes.
    changes: BTreeMap<RowKey, Option<Row>>,
}

impl<'t> Rehearsal<'t> {
    pub(crate) const fn on(stored: &'t dyn Tables) -> Self {
        Self {
            stored,
            changes: BTreeMap::new(),
        }
    }
}

impl Tables for Rehearsal<'_> {
    fn get(&self, key: &RowKey) -> Option<Row> {
        match self.changes.get(key) {
            Some(change) => change.clone(),
            None => self.stored.get(key),
        }
    }

    fn put(&mut self, row: Row) {
        self.changes.insert(row.key(), Some(row));
    }

    fn delete(&mut self, key: &RowKey) {
        self.changes.insert(key.clone(), None);
    }

    fn scan(&self, from: &RowKey, to: &RowKey, limit: usize) -> Vec<Row> {
        if from >= to {
            return Vec::new();
        }
        // At most as many stored rows are hidden as there are changes.
        let changed = self.changes.range(from..to).count();
        let stored = self.stored.scan(from, to, limit.saturating_add(changed));
        let mut rows: BTreeMap<RowKey, Row> =
            stored.into_iter().map(|row| (row.key(), row)).collect();
        for (key, change) in self.changes.range(from..to) {
            match change {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        rows.into_values().take(limit).collect()
    }
}
