//! The definitions of objects by which operations are typed and checked: the OMA's, with those of vendors over them.
//!
//! Vendors' definitions are in [`COMMON`](crate::router::COMMON), of which every node has a replica. A node looks at its
//! own: what was just put at another node may hold here a moment later. The definitions are put together again only after
//! they changed, which one row tells.

use std::sync::{Arc, PoisonError, RwLock};

use device_state::query;
use device_state::table::Tables;
use lwm2m::Registry;
use proto::rpc::v1::ListDefinitionsResponse;

use crate::router::Router;

/// The definitions as they were last put together. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Models {
    known: Arc<RwLock<Option<Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    changes: u64,
    definitions: Arc<Registry>,
}

impl Models {
    /// The definitions as this node knows them now.
    pub(crate) fn definitions(&self, router: &Router) -> Arc<Registry> {
        router.common_group().store().read(|tables| self.of(tables))
    }

    fn of(&self, tables: &dyn Tables) -> Arc<Registry> {
        let changes = query::counters(tables).model_changes;
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.changes == changes) {
            return known.definitions.clone();
        }
        drop(known);
        let definitions = Arc::new(Registry::oma().with(query::object_models(tables)));
        let known = Known {
            changes,
            definitions: definitions.clone(),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        definitions
    }
}

/// What an ingress node is told that knows the definitions as they were after `known` changes.
pub(crate) fn list(tables: &dyn Tables, known: Option<u64>) -> ListDefinitionsResponse {
    let changes = query::counters(tables).model_changes;
    if known == Some(changes) {
        return ListDefinitionsResponse {
            changes,
            models: Vec::new(),
        };
    }
    let bare = |mut model: proto::storage::v1::ObjectModel| {
        model.description.clear();
        for resource in &mut model.resources {
            resource.description.clear();
        }
        model
    };
    let models = query::object_models(tables).into_iter();
    ListDefinitionsResponse {
        changes,
        models: models.map(|model| bare(model.into())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use device_state::{Command, Context, Envelope, MemoryTables, Revision, Timestamp, apply};
    use lwm2m::{ObjectModel, ObjectVersion};

    use super::*;
    use crate::router::COMMON;

    fn run(tables: &mut MemoryTables, command: Command) {
        let context = Context {
            shard: COMMON,
            revision: Revision(1),
            first_index: 0,
        };
        let envelope = Envelope {
            request_id: None,
            leader_time: Timestamp(1),
            command,
        };
        apply(tables, &context, &envelope);
    }

    fn put(tables: &mut MemoryTables, id: u16) {
        let mut model = ObjectModel::new(id, ObjectVersion::V1_0, "Pump");
        model.description = Some("Moves water.".into());
        let model = Box::new(model);
        run(tables, Command::PutObjectModel { model });
    }

    #[test]
    fn definitions_are_put_together_again_when_they_changed_and_only_then() {
        let mut tables = MemoryTables::new();
        let models = Models::default();
        let before = models.of(&tables);
        assert!(before.object(26_241, None).is_none());
        assert!(Arc::ptr_eq(&before, &models.of(&tables)));
        put(&mut tables, 26_241);
        let after = models.of(&tables);
        assert!(after.object(26_241, None).is_some());
        assert!(Arc::ptr_eq(&after, &models.of(&tables)));
        let (object, version) = (26_241, None);
        run(&mut tables, Command::RemoveObjectModel { object, version });
        assert!(models.of(&tables).object(26_241, None).is_none());
    }

    #[test]
    fn definitions_are_listed_once_and_without_what_is_for_people() {
        let mut tables = MemoryTables::new();
        put(&mut tables, 26_241);
        let first = list(&tables, None);
        assert_eq!((first.changes, first.models.len()), (1, 1));
        assert_eq!(first.models[0].description, "");
        assert!(list(&tables, Some(1)).models.is_empty());
        put(&mut tables, 26_242);
        assert_eq!(list(&tables, Some(1)).models.len(), 2);
    }
}
