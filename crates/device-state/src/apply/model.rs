//! Definitions of objects of vendors.

use lwm2m::{ObjectModel, ObjectVersion};

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::limit::{MAX_MODEL_VERSIONS, MAX_MODELS};
use crate::query;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Adds a definition or replaces the one of its object and version.
    pub(super) fn put_model(&mut self, model: &ObjectModel) -> Result<Outcome, Rejection> {
        let mut others = query::object_models(self.tables);
        others.retain(|other| (other.id, other.version) != (model.id, model.version));
        let versions = others.iter().filter(|other| other.id == model.id).count();
        if others.len() >= MAX_MODELS || versions >= MAX_MODEL_VERSIONS {
            return Err(Rejection::TooManyModels);
        }
        self.tables.put(Row::ObjectModel(model.clone()));
        self.counters.model_changes += 1;
        Ok(Outcome::Done)
    }

    /// Removes one version of an object, or all of them.
    pub(super) fn remove_model(
        &mut self,
        object: u16,
        version: Option<ObjectVersion>,
    ) -> Result<Outcome, Rejection> {
        let mut removed = query::object_models(self.tables);
        removed.retain(|model| {
            model.id == object && version.is_none_or(|version| model.version == version)
        });
        if removed.is_empty() {
            return Err(Rejection::UnknownModel);
        }
        for model in removed {
            let key = RowKey::ObjectModel(model.id, model.version);
            self.tables.delete(&key);
        }
        self.counters.model_changes += 1;
        Ok(Outcome::Done)
    }
}
