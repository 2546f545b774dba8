//! The watch of a kind.

use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use node_runtime::Condition;

use crate::kubernetes::{Kind, plural};
use crate::metrics::{Metrics, ReasonLabel};

/// The server ends a watch after this many seconds; shorter than what load balancers cut off.
const WATCH_SECONDS: u32 = 200;

/// Keeps the store, and passes on what `take_in` makes of an event: the object that is to be reconciled.
pub(crate) fn changes<K: Kind>(
    api: Api<K>,
    watching: Condition,
    metrics: Metrics,
    writer: reflector::store::Writer<K>,
    take_in: impl Fn(&watcher::Event<K>) -> Option<K> + Send,
) -> impl Stream<Item = watcher::Result<K>> + Send {
    events(api, watching, metrics)
        .reflect(writer)
        .try_filter_map(move |event| std::future::ready(Ok(take_in(&event))))
}

/// Every event of the watch, without what nobody reads.
fn events<K: Kind>(
    api: Api<K>,
    watching: Condition,
    metrics: Metrics,
) -> futures::stream::BoxStream<'static, watcher::Result<watcher::Event<K>>> {
    watcher(api, watcher::Config::default().timeout(WATCH_SECONDS))
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .inspect(move |event| match event {
            Ok(watcher::Event::InitDone) => watching.meet(),
            Ok(_) => {}
            Err(error) => {
                let kind = plural::<K>();
                tracing::warn!(kind, %error, "a watch broke");
                let label = ReasonLabel { reason: "watch" };
                metrics.reconcile_errors.get_or_create(&label).inc();
                watching.fail(format!("the watch of {kind} broke"));
            }
        })
        .boxed()
}
