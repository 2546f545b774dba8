//! Groups of devices: rows of shard 0.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::group::Group;
use crate::name::Namespace;
use crate::query;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Adds a group or replaces the one of its name.
    pub(super) fn put_group(&mut self, group: &Group) -> Result<Outcome, Rejection> {
        let others = query::groups(self.tables, &group.namespace);
        let known = others.iter().any(|other| other.name == group.name);
        if !known && others.len() >= Group::MAX_GROUPS {
            return Err(Rejection::TooManyGroups);
        }
        self.tables.put(Row::Group(group.clone()));
        Ok(Outcome::Done)
    }

    /// Whatever was made of the group stays: a campaign has taken its members.
    pub(super) fn remove_group(
        &mut self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Outcome, Rejection> {
        query::group(self.tables, namespace, name).ok_or(Rejection::UnknownGroup)?;
        self.tables.delete(&RowKey::Group(namespace.qualify(name)));
        Ok(Outcome::Done)
    }
}
