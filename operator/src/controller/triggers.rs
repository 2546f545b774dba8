//! Objects that are to be reconciled for another reason than a change of their spec.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

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

    /// The names of those that wait, which do no longer.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> Vec<String> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = waiting.drain().map(|one| one.name).collect();
        names.sort();
        names
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

/// Everything that is added, for ever; each object at most once in `pause`.
///
/// What is added at rest comes at once. The pause has to be longer than the time for which a controller collects the changes
/// of an object, which begins anew with each of them: an object that is triggered all the time would never be reconciled.
pub(crate) fn stream<K: Kind>(
    triggers: Arc<Triggers<K>>,
    pause: Duration,
) -> impl Stream<Item = ObjectRef<K>> + Send {
    let next_at = Instant::now();
    stream::unfold((triggers, next_at), move |(triggers, next_at)| async move {
        sleep_until(next_at).await;
        let taken = triggers.take().await;
        let next_at = Instant::now() + pause;
        Some((stream::iter(taken), (triggers, next_at)))
    })
    .flatten()
}

#[cfg(test)]
mod tests;
