//! Bootstrap profiles, and what came of bootstraps.

use super::Change;
use crate::bootstrap::{BootstrapProfile, BootstrapRecord, BootstrapResult};
use crate::command::{Outcome, Rejection};
use crate::event::Event;
use crate::name::Namespace;
use crate::query;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Adds a profile or replaces the one of its name.
    pub(super) fn put_profile(&mut self, profile: &BootstrapProfile) -> Result<Outcome, Rejection> {
        let others = query::bootstrap_profiles(self.tables, &profile.namespace);
        let known = others.iter().any(|other| other.name == profile.name);
        if !known && others.len() >= BootstrapProfile::MAX_PROFILES {
            return Err(Rejection::TooManyProfiles);
        }
        self.tables.put(Row::BootstrapProfile(profile.clone()));
        Ok(Outcome::Done)
    }

    pub(super) fn remove_profile(
        &mut self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Outcome, Rejection> {
        let key = RowKey::BootstrapProfile(namespace.qualify(name));
        self.tables.get(&key).ok_or(Rejection::UnknownProfile)?;
        self.tables.delete(&key);
        Ok(Outcome::Done)
    }

    pub(super) fn record_bootstrap(&mut self, record: &BootstrapRecord) -> Outcome {
        let mut record = BootstrapRecord {
            at: self.now,
            ..record.clone()
        };
        if record.outcome != BootstrapResult::Finished {
            let before = query::bootstrap(self.tables, &record.endpoint);
            record.confirmed = before.map(|before| before.confirmed).unwrap_or_default();
        }
        self.tables.put(Row::Bootstrap(record.clone()));
        let endpoint = record.endpoint.clone();
        self.emit(&endpoint, Event::Bootstrapped { record });
        Outcome::Done
    }
}
