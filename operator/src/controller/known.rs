//! The objects that a watch has shown.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use fleet_plan::pause::is_paused;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::kubernetes::Kind;

/// Bounded by the objects that the API server has.
pub(crate) struct Known<K: Kind> {
    inner: Mutex<Inner<K>>,
    /// Whether all of them were shown once.
    listed: watch::Sender<bool>,
}

struct Inner<K: Kind> {
    objects: HashMap<ObjectRef<K>, Arc<K>>,
    /// What a list under way has shown so far.
    listed: HashSet<ObjectRef<K>>,
}

/// What follows from an event of the watch.
pub(crate) struct TakenIn<K> {
    /// The object that it is about, and how it was before.
    pub(crate) applied: Option<(K, Option<Arc<K>>)>,
    /// Objects that are gone.
    pub(crate) gone: Vec<Arc<K>>,
    /// How many objects there are now.
    pub(crate) count: i64,
}

impl<K: Kind> TakenIn<K> {
    /// The object, if its spec changed, or whether it holds itself.
    pub(crate) fn changed(&self) -> Option<&K> {
        let (object, before) = self.applied.as_ref()?;
        let same = |before: &Arc<K>| {
            let (before, now) = (before.meta(), object.meta());
            before.generation == now.generation && is_paused(before) == is_paused(now)
        };
        (!before.as_ref().is_some_and(same)).then_some(object)
    }
}

impl<K: Kind> Default for Known<K> {
    fn default() -> Self {
        Self {
            inner: Mutex::new(Inner {
                objects: HashMap::new(),
                listed: HashSet::new(),
            }),
            listed: watch::Sender::new(false),
        }
    }
}

impl<K: Kind> Known<K> {
    fn with<T>(&self, work: impl FnOnce(&mut Inner<K>) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn take_in(&self, event: &Event<K>) -> TakenIn<K> {
        let taken = self.with(|inner| {
            let mut taken = TakenIn {
                applied: None,
                gone: Vec::new(),
                count: 0,
            };
            match event {
                Event::Apply(object) => inner.put(object, &mut taken),
                Event::InitApply(object) => {
                    inner.listed.insert(ObjectRef::from_obj(object));
                    inner.put(object, &mut taken);
                }
                Event::Delete(object) => {
                    let gone = inner.objects.remove(&ObjectRef::from_obj(object));
                    taken.gone.extend(gone);
                }
                Event::Init => inner.listed.clear(),
                Event::InitDone => {
                    let listed = std::mem::take(&mut inner.listed);
                    let gone = inner.objects.extract_if(|known, _| !listed.contains(known));
                    taken.gone.extend(gone.map(|(_, object)| object));
                }
            }
            taken.count = i64::try_from(inner.objects.len()).unwrap_or(i64::MAX);
            taken
        });
        if matches!(event, Event::InitDone) {
            self.listed.send_replace(true);
        }
        taken
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<K>> {
        self.with(|inner| inner.objects.values().cloned().collect())
    }

    /// The names of all of them.
    pub(crate) fn names(&self) -> Vec<ObjectRef<K>> {
        self.with(|inner| inner.objects.keys().cloned().collect())
    }

    pub(crate) fn get(&self, name: &ObjectRef<K>) -> Option<Arc<K>> {
        self.with(|inner| inner.objects.get(name).cloned())
    }

    /// Whether all objects that there are were shown once.
    pub(crate) fn is_listed(&self) -> bool {
        *self.listed.borrow()
    }

    /// How many of them are so.
    pub(crate) fn count(&self, is_so: impl Fn(&K) -> bool) -> usize {
        self.with(|inner| inner.objects.values().filter(|one| is_so(one)).count())
    }

    /// Until all objects that there are were shown once.
    pub(crate) async fn until_listed(&self) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as this.
        drop(listed.wait_for(|listed| *listed).await);
    }
}

impl<K: Kind> Inner<K> {
    fn put(&mut self, object: &K, taken: &mut TakenIn<K>) {
        let before = self
            .objects
            .insert(ObjectRef::from_obj(object), Arc::new(object.clone()));
        let is_same = |before: &Arc<K>| before.meta().uid == object.meta().uid;
        let before = match before {
            // The same name again is another object.
            Some(other) if !is_same(&other) => {
                taken.gone.push(other);
                None
            }
            before => before,
        };
        taken.applied = Some((object.clone(), before));
    }
}

#[cfg(test)]
mod tests;
