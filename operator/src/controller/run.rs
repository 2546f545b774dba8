//! Running a controller: its watch, its triggers, and what is done for one object.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crd::Conditioned;
use device_state::NamespaceError;
use fleet_plan::pause::status_change;
use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::core::object::HasStatus;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::{Resource as _, ResourceExt as _};
use node_runtime::{Condition, Drain};
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use thiserror::Error;

use super::known::TakenIn;
use super::{Published, Shared, changes, jittered, now, triggers};
use crate::kubernetes::{Kind, plural};
use crate::metrics::Metrics;
use crate::state_tier::CallError;

/// What a controller does with the objects of its kind.
pub(crate) trait Control: Send + Sync + Sized + 'static {
    type Kind: Kind + HasStatus<Status = Self::Status>;
    type Status: Conditioned + Clone + Default + PartialEq + Serialize + Send + Sync;

    /// Whether the status says what was done, so that another one may only follow from it: it is written over nothing but
    /// the object that it was decided upon.
    const STATUS_IS_RECORD: bool = false;

    fn shared(&self) -> &Shared<Self::Kind>;

    /// Where the number of objects is shown.
    fn gauge(metrics: &Metrics) -> &Gauge;

    /// Takes in what an event of the watch came to, and returns its object, if that is to be reconciled.
    fn take_in(
        &self,
        _event: &Event<Self::Kind>,
        taken: &TakenIn<Self::Kind>,
    ) -> Option<Self::Kind> {
        taken.changed().cloned()
    }

    /// Does what has to be done before an object may go that is being deleted. `seen` is what the watch has shown, `object`
    /// the same as it is now.
    fn part(
        &self,
        _seen: &Self::Kind,
        _object: &Self::Kind,
    ) -> impl Future<Output = Result<Action, ReconcileError>> + Send {
        // Somebody's finalizer holds it; what it has put into the state tier goes once it is gone.
        std::future::ready(Ok(Action::await_change()))
    }

    /// Ends what goes on for an object beside its reconciliations, as somebody holds it.
    fn hold(&self, _object: &Self::Kind) {}

    /// Observes, plans and acts for one object.
    fn settle(
        &self,
        object: &Self::Kind,
    ) -> impl Future<Output = Result<Settled<Self::Status>, ReconcileError>> + Send;
}

/// What an object comes to.
pub(crate) enum Settled<S> {
    /// Nothing can be decided yet; to be tried again after so long.
    NotYet(Duration),
    Decided {
        /// What the status should be, if it is something else than the object has.
        status: Option<S>,
        /// How long until it is looked at again, whatever happens.
        again: Duration,
    },
}

/// Why a reconciliation is to be tried again.
#[derive(Debug, Error)]
pub(crate) enum ReconcileError {
    #[error(transparent)]
    StateTier(#[from] CallError),
    #[error("the status was not written: {0}")]
    Status(#[from] Box<kube::Error>),
    #[error("the {kind} {name} cannot be read: {source}")]
    Read {
        kind: String,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("the object is through and cannot be deleted: {0}")]
    Delete(#[source] Box<kube::Error>),
    #[error("an object cannot be made: {0}")]
    Create(#[source] Box<kube::Error>),
    #[error("the finalizer of the object cannot be changed: {0}")]
    Finalizer(#[source] Box<kube::Error>),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error("the state tier holds something else than what it was just given")]
    Unsettled,
}

impl ReconcileError {
    /// Whether the operator may not read something.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Read { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 403))
    }

    /// Whether the state tier does not let the operator do something.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::StateTier(error) if error.is_denied())
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::StateTier(error) => error.reason(),
            Self::Status(_) => "status_write",
            Self::Read { .. } => "object_read",
            Self::Delete(_) => "object_delete",
            Self::Create(_) => "object_create",
            Self::Finalizer(_) => "object_finalizer",
            Self::Namespace(_) => "namespace",
            Self::Unsettled => "unsettled",
        }
    }
}

/// Runs until the drain.
pub(crate) async fn run<C: Control>(
    context: Arc<C>,
    api: Api<C::Kind>,
    (reader, writer): (Store<C::Kind>, Writer<C::Kind>),
    watching: Condition,
    drain: Drain,
) {
    watching.fail(format!("listing {}", plural::<C::Kind>()));
    let shared = context.shared();
    let taking = Arc::clone(&context);
    let take_in = move |event: &Event<C::Kind>| take_in(&*taking, event);
    let changes = changes::changes(api, watching, shared.metrics.clone(), writer, take_in);
    tokio::select! {
        () = run_on(Arc::clone(&context), changes, reader, drain) => {}
        () = shared.brake.follow(|namespace| shared.trigger_in(namespace)) => {}
    }
}

/// Runs on what a watch has shown, until the drain. An object that changes or is triggered while it is reconciled is reconciled
/// once more afterwards.
async fn run_on<C: Control>(
    context: Arc<C>,
    changes: impl Stream<Item = watcher::Result<C::Kind>> + Send + 'static,
    reader: Store<C::Kind>,
    drain: Drain,
) {
    let shared = context.shared();
    let triggers = triggers::stream(
        Arc::clone(&shared.triggers),
        shared.settings.trigger_pause(),
    );
    Controller::for_stream(changes, reader)
        .with_config(shared.settings.controller())
        .reconcile_on(triggers)
        .graceful_shutdown_on(drain.started_owned())
        .run(reconcile::<C>, retry_later::<C>, Arc::clone(&context))
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "reconciliation");
            }
            std::future::ready(())
        })
        .await;
}

/// Takes in what the API server says and returns the object, if it is to be reconciled.
pub(crate) fn take_in<C: Control>(context: &C, event: &Event<C::Kind>) -> Option<C::Kind> {
    let shared = context.shared();
    let taken = shared.known.take_in(event);
    C::gauge(&shared.metrics).set(taken.count);
    for object in &taken.gone {
        shared.memory.forget(&**object);
        shared.departures.add_of(&**object);
    }
    context.take_in(event, &taken)
}

/// Brings one object and what it asks for together, unless somebody holds it, and writes the status if it changed.
pub(crate) async fn reconcile<C: Control>(
    seen: Arc<C::Kind>,
    context: Arc<C>,
) -> Result<Action, ReconcileError> {
    let shared = context.shared();
    shared.brake.until_known().await;
    let object = shared.memory.freshest(Arc::clone(&seen));
    if let Some(pause) = shared.brake.pause(&*object) {
        context.hold(&object);
        let (metadata, known) = (object.meta(), object.status());
        let called = format!(
            "{}.{} {}",
            plural::<C::Kind>(),
            C::Kind::group(&()),
            object.name_any()
        );
        let status = status_change(pause, &called, metadata, known, &now());
        let next = (status, shared.settings.resync);
        return write::<C>(&seen, &object, next, &context).await;
    }
    let is_leaving = |object: &C::Kind| object.meta().deletion_timestamp.is_some();
    if is_leaving(&seen) || is_leaving(&object) {
        return context.part(&seen, &object).await;
    }
    let (status, again) = match context.settle(&object).await? {
        Settled::NotYet(wait) => return Ok(Action::requeue(jittered(wait))),
        Settled::Decided { status, again } => (status, again),
    };
    write::<C>(&seen, &object, (status, again), &context).await
}

/// Writes the status, if there is another one, and says when the object is looked at again.
async fn write<C: Control>(
    seen: &C::Kind,
    object: &C::Kind,
    (status, again): (Option<C::Status>, Duration),
    context: &C,
) -> Result<Action, ReconcileError> {
    let shared = context.shared();
    if let Some(status) = &status {
        let published = shared.publish(seen, object, status, C::STATUS_IS_RECORD);
        match published.await? {
            Published::Done => {}
            Published::Postponed(wait) => return Ok(Action::requeue(wait)),
        }
    }
    Ok(shared.succeeded(object, again))
}

pub(crate) fn retry_later<C: Control>(
    object: Arc<C::Kind>,
    error: &ReconcileError,
    context: Arc<C>,
) -> Action {
    let shared = context.shared();
    shared.retry_later(&*object, error.reason(), error)
}

#[cfg(test)]
mod tests;
