//! Which objects name which others, as the watch says: whom a change of one concerns.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::ObjectRef;

use super::{TakenIn, Triggers};
use crate::kubernetes::Kind;

/// What an object names in its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Secret(String),
    Profile(String),
}

/// Bounded by the objects that the API server has, and by what each of them may name.
pub(crate) struct References<K: Kind> {
    naming: Mutex<HashMap<(String, Named), HashSet<ObjectRef<K>>>>,
    triggers: Arc<Triggers<K>>,
    names: fn(&K) -> Vec<Named>,
}

impl<K: Kind> References<K> {
    /// `names` says what an object names.
    pub(crate) fn new(triggers: Arc<Triggers<K>>, names: fn(&K) -> Vec<Named>) -> Self {
        Self {
            naming: Mutex::default(),
            triggers,
            names,
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut HashMap<(String, Named), HashSet<ObjectRef<K>>>) -> T,
    ) -> T {
        work(&mut self.naming.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what an event of the watch came to.
    pub(crate) fn take_in(&self, taken: &TakenIn<K>) {
        for gone in &taken.gone {
            self.remove(gone);
        }
        if let Some((object, before)) = &taken.applied {
            if let Some(before) = before {
                self.remove(before);
            }
            self.add(object);
        }
    }

    fn add(&self, object: &K) {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        self.with(|naming| {
            for name in (self.names)(object) {
                let objects = naming.entry((namespace.clone(), name)).or_default();
                objects.insert(ObjectRef::from_obj(object));
            }
        });
    }

    fn remove(&self, object: &K) {
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let reference = ObjectRef::from_obj(object);
        self.with(|naming| {
            for name in (self.names)(object) {
                let place = (namespace.clone(), name);
                let Some(objects) = naming.get_mut(&place) else {
                    continue;
                };
                objects.remove(&reference);
                if objects.is_empty() {
                    naming.remove(&place);
                }
            }
        });
    }

    /// Has those looked at that name this, and returns their names.
    pub(crate) fn touch(&self, namespace: &str, named: Named) -> Vec<String> {
        let place = (namespace.to_owned(), named);
        let objects = self.with(|naming| naming.get(&place).cloned().unwrap_or_default());
        let names = objects.iter().map(|one| one.name.clone()).collect();
        self.trigger(objects);
        names
    }

    /// Has all of them looked at that name anything.
    pub(crate) fn touch_all(&self) {
        let objects: HashSet<_> = self.with(|naming| naming.values().flatten().cloned().collect());
        self.trigger(objects);
    }

    fn trigger(&self, objects: HashSet<ObjectRef<K>>) {
        if !objects.is_empty() {
            self.triggers.add(objects);
        }
    }
}

#[cfg(test)]
mod tests;
