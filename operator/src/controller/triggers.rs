//! Objects that are to be reconciled for another reason than a change of their spec.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt, stream};
use tokio::sync::Notify;

use super::Context;
use super::index::DeviceRef;

/// A set, not a queue: it is bounded by the objects that there are, and nothing is ever dropped.
#[derive(Default)]
pub(super) struct Triggers {
    waiting: Mutex<HashSet<DeviceRef>>,
    added: Notify,
}

impl Triggers {
    pub(super) fn add(&self, devices: impl IntoIterator<Item = DeviceRef>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(devices);
        if !waiting.is_empty() {
            self.added.notify_one();
        }
    }

    async fn take(&self) -> HashSet<DeviceRef> {
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

/// Everything that is added, for as long as the context lives.
pub(super) fn stream(context: Arc<Context>) -> impl Stream<Item = DeviceRef> + Send {
    stream::unfold(context, |context| async move {
        let taken = context.triggers.take().await;
        Some((stream::iter(taken), context))
    })
    .flatten()
}
