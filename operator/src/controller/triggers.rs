//! Objects that are to be reconciled for another reason than a change of their spec.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use crate::kubernetes::Kind;

/// A set, not a queue: it is bounded by the objects that there are, and nothing is ever dropped.
pub(crate) struct Triggers<K: Kind> {
    waiting: Mutex<HashSet<ObjectRef<K>>>,
    added: Notify,
}

impl<K: Kind> Default for Triggers<K> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            added: Notify::new(),
        }
    }
}

impl<K: Kind> Triggers<K> {
    pub(crate) fn add(&self, objects: impl IntoIterator<Item = ObjectRef<K>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(objects);
        if !waiting.is_empty() {
            self.added.notify_one();
        }
    }

    async fn take(&self) -> HashSet<ObjectRef<K>> {
        loop {
            let taken = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *waiting)
            };
            if !taken.is_empty() {
                return taken;
            }
            self.added.notified().await;
        }
    }
}

/// Everything that is added, for ever.
pub(crate) fn stream<K: Kind>(
    triggers: Arc<Triggers<K>>,
) -> impl Stream<Item = ObjectRef<K>> + Send {
    stream::unfold(triggers, |triggers| async move {
        let taken = triggers.take().await;
        Some((stream::iter(taken), triggers))
    })
    .flatten()
}
