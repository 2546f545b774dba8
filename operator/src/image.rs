//! The controller of `FirmwareImage`.
//!
//! ```text
//! API server ─ watch ─▶ settle ─ status: is it right, can devices get it, how many rollouts name it ─▶ API server
//!                        ▲    └─ an order, for what the operator is to fetch ─▶ Fetches
//!                        └────────────── it was fetched, checked and stored, or why not ─┘
//! ```
//!
//! Rollouts that name an image are looked at when it changes.

mod fetches;
mod order;

use std::sync::Arc;
use std::time::Instant;

use crd::{FirmwareImage, FirmwareImageStatus, FirmwareRollout};
use device_state::{Digest, Namespace};
use fleet_plan::image::{Observed, Origin, is_to_be_fetched, origin, status_change};
use futures::FutureExt;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use node_runtime::{Condition, Drain};
use package_source::{Fetcher, FetcherError};
use prometheus_client::metrics::gauge::Gauge;

use crate::controller::sweep::uids;
use crate::controller::{self, Control, ReconcileError, Settled, Shared, TakenIn, Triggers, now};
use crate::metrics::Metrics;
use crate::rollout::{is_at_end, names};
use fetches::Fetches;
use order::Order;

/// What every reconciliation needs.
pub(crate) struct Context {
    shared: Shared<FirmwareImage>,
    rollouts: Store<FirmwareRollout>,
    rollout_triggers: Arc<Triggers<FirmwareRollout>>,
    fetches: Fetches<Order>,
}

impl Context {
    pub(crate) fn new(
        shared: Shared<FirmwareImage>,
        rollouts: Store<FirmwareRollout>,
        rollout_triggers: Arc<Triggers<FirmwareRollout>>,
    ) -> Self {
        Self {
            shared,
            rollouts,
            rollout_triggers,
            fetches: Fetches::default(),
        }
    }

    /// Rollouts that name the image are to be looked at.
    fn concern(&self, image: &FirmwareImage) {
        let (namespace, name) = (image.namespace(), image.name_any());
        let rollouts = self.rollouts.state();
        let concerned = rollouts
            .iter()
            .filter(|one| one.namespace() == namespace && names(one, &name));
        self.rollout_triggers
            .add(concerned.map(|one| ObjectRef::from_obj(&**one)));
    }

    /// The rollouts that are not at an end and name the image; `None` while they are not listed.
    fn references(&self, image: &FirmwareImage) -> Option<i32> {
        self.rollouts.wait_until_ready().now_or_never()?.ok()?;
        let (namespace, name) = (image.namespace(), image.name_any());
        let rollouts = self.rollouts.state();
        let counted = rollouts
            .iter()
            .filter(|one| one.namespace() == namespace && names(one, &name) && !is_at_end(one));
        i32::try_from(counted.count()).ok()
    }

    async fn observe(&self, image: &FirmwareImage) -> Result<Observed, ReconcileError> {
        let mut observed = Observed {
            references: self.references(image),
            ..Observed::default()
        };
        let namespace = Namespace::new(&image.namespace().unwrap_or_default())?;
        let stored = |digest: Digest| self.shared.state_tier.package_size(&namespace, digest);
        match origin(image) {
            Err(_) | Ok(Origin::Elsewhere(_)) => {}
            Ok(Origin::Stored(digest)) => observed.stored = stored(digest).await?,
            Ok(Origin::Fetched { source, digest }) => {
                observed.stored = stored(digest).await?;
                let uid = image.uid().unwrap_or_default();
                if !is_to_be_fetched(image, observed.stored) {
                    self.fetches.forget(&uid);
                } else if self
                    .fetches
                    .is_due(&uid, observed.stored.is_some(), Instant::now())
                {
                    match order::order(image, &namespace, (&source, digest), &self.shared).await? {
                        // It may be gone since then.
                        Ok(order) if uids(&self.shared).contains(&uid) => {
                            self.fetches.begin(image, order);
                        }
                        Ok(_) => {}
                        Err(refusal) => observed.refused = Some(refusal),
                    }
                }
                observed.fetched = self.fetches.told(&uid);
            }
        }
        Ok(observed)
    }
}

/// Runs until the drain.
pub(crate) async fn run(
    context: Arc<Context>,
    images: Api<FirmwareImage>,
    store: (Store<FirmwareImage>, Writer<FirmwareImage>),
    fetcher: Result<Fetcher, FetcherError>,
    watching: Condition,
    drain: Drain,
) {
    let (state_tier, triggers) = (
        context.shared.state_tier.clone(),
        Arc::clone(&context.shared.triggers),
    );
    let carry_out = |order| order::carry_out(order, fetcher.as_ref(), &state_tier);
    tokio::select! {
        () = controller::run(Arc::clone(&context), images, store, watching, drain) => {}
        () = context.fetches.run(carry_out, &triggers) => {}
    }
}

impl Control for Context {
    type Kind = FirmwareImage;
    type Status = FirmwareImageStatus;

    fn shared(&self) -> &Shared<FirmwareImage> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.images
    }

    fn take_in(
        &self,
        event: &Event<FirmwareImage>,
        taken: &TakenIn<FirmwareImage>,
    ) -> Option<FirmwareImage> {
        for image in &taken.gone {
            self.concern(image);
            self.fetches.forget(&image.uid().unwrap_or_default());
        }
        if matches!(event, Event::InitDone) {
            // Only now the store has them.
            let rollouts = self.rollouts.state();
            let all = rollouts.iter().map(|one| ObjectRef::from_obj(&**one));
            self.rollout_triggers.add(all);
        }
        // Also by its status: rollouts wait until it is right.
        if let Event::Apply(image) = event {
            self.concern(image);
        }
        taken.changed().cloned()
    }

    fn hold(&self, image: &FirmwareImage) {
        self.fetches.forget(&image.uid().unwrap_or_default());
    }

    async fn settle(
        &self,
        image: &FirmwareImage,
    ) -> Result<Settled<FirmwareImageStatus>, ReconcileError> {
        let observed = self.observe(image).await?;
        let settings = self.shared.settings;
        let retry = self
            .fetches
            .until_retry(&image.uid().unwrap_or_default(), Instant::now());
        let waiting = observed.refused.as_ref().map(|_| settings.wait);
        Ok(Settled::Decided {
            status: status_change(image, &observed, &now()),
            again: waiting
                .or(retry)
                .map_or(settings.resync, |wait| wait.min(settings.resync)),
        })
    }
}
