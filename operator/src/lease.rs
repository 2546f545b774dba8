//! Which replica works: the holder of a `coordination.k8s.io/v1` Lease.
//!
//! 1. The Lease is asked for every sixth of its duration. It can be taken when it does not exist,
//!    has no holder, or has not changed for its whole duration **by this replica's own clock**: the
//!    times that stand in it come from other clocks and are never compared.
//! 2. The holder renews it. A write with the known `resourceVersion` decides between two replicas.
//! 3. A holder that could not renew for two thirds of the duration ends its process: what is under
//!    way would otherwise still be written after another replica has taken over.
//! 4. On a shutdown the holder gives it up, after the controllers have ended.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};
use node_runtime::{Drain, clock, random};
use thiserror::Error;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// How long a Lease holds, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    duration: Duration,
}

impl Terms {
    /// At least 3 s, so that a renewal has time to arrive.
    pub(crate) fn new(duration: Duration) -> Self {
        Self {
            duration: duration.max(Duration::from_secs(3)),
        }
    }

    fn retry_period(self) -> Duration {
        self.duration / 6
    }

    fn renew_deadline(self) -> Duration {
        self.duration * 2 / 3
    }
}

/// One replica's view of the Lease.
pub(crate) struct Lease {
    api: Api<LeaseObject>,
    claim: Claim,
}

/// Why the Lease could not be had at this moment.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("another replica holds the lease")]
    HeldElsewhere,
    #[error("the API server did not answer in time")]
    Timeout,
    #[error("the API server refused: {0}")]
    Kube(#[from] kube::Error),
}

impl Lease {
    pub(crate) fn new(client: Client, namespace: &str, name: &str, terms: Terms) -> Self {
        // The pod's name tells people which replica it is; the number tells two lives of it apart.
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
        Self {
            api: Api::namespaced(client, namespace),
            claim: Claim {
                name: name.to_owned(),
                identity: format!("{host}_{:016x}", random::random_u64()),
                terms,
                seen: None,
            },
        }
    }

    /// Takes or renews the Lease.
    async fn claim(&mut self) -> Result<(), LeaseError> {
        let limit = self.claim.terms.retry_period().max(Duration::from_secs(1));
        tokio::time::timeout(limit, self.claim_once())
            .await
            .map_err(|_| LeaseError::Timeout)?
    }

    async fn claim_once(&mut self) -> Result<(), LeaseError> {
        let stored = self.api.get_opt(&self.claim.name).await?;
        let params = PostParams::default();
        let written = match self.claim.decide(stored, Instant::now(), wall_clock()) {
            Decision::Create(lease) => self.api.create(&params, &lease).await?,
            Decision::Replace(lease) => self.api.replace(&self.claim.name, &params, &lease).await?,
            Decision::Wait => return Err(LeaseError::HeldElsewhere),
        };
        self.claim.saw(&written, Instant::now());
        Ok(())
    }

    async fn give_up(&self) -> Result<(), LeaseError> {
        let stored = self.api.get_opt(&self.claim.name).await?;
        if let Some(lease) = stored.and_then(|stored| self.claim.released(stored)) {
            self.api
                .replace(&self.claim.name, &PostParams::default(), &lease)
                .await?;
        }
        Ok(())
    }
}

/// What this replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It waits to take over.
    StandingBy,
    /// It works.
    Leading,
}

/// Waits for the Lease, says so through `leading`, and renews it until the drain. Ends the process
/// when it is lost.
pub(crate) async fn hold(
    mut lease: Lease,
    leading: watch::Sender<Role>,
    metrics: Metrics,
    drain: Drain,
) {
    let retry = lease.claim.terms.retry_period();
    tracing::info!(identity = lease.claim.identity, "waiting for the lease");
    loop {
        match lease.claim().await {
            Ok(()) => break,
            Err(LeaseError::HeldElsewhere) => {}
            Err(error) => tracing::warn!(%error, "the lease cannot be asked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = drain.started() => return,
        }
    }
    tracing::info!("holding the lease");
    metrics.leader.set(1);
    leading.send_replace(Role::Leading);
    tokio::select! {
        () = renew(&mut lease) => lost(),
        () = drain.started() => {}
    }
    if let Err(error) = lease.give_up().await {
        tracing::warn!(%error, "the lease was not given up; it runs out by itself");
    }
}

/// Ends when the Lease could not be renewed in time.
async fn renew(lease: &mut Lease) {
    let terms = lease.claim.terms;
    let mut renewed = Instant::now();
    while renewed.elapsed() < terms.renew_deadline() {
        tokio::time::sleep(terms.retry_period()).await;
        // Counts from before the request: the answer may have taken long.
        let asked = Instant::now();
        match lease.claim().await {
            Ok(()) => renewed = asked,
            Err(LeaseError::HeldElsewhere) => return,
            Err(error) => tracing::warn!(%error, "the lease was not renewed"),
        }
    }
}

#[expect(
    clippy::exit,
    reason = "a drain would go on writing while another replica already works"
)]
fn lost() -> ! {
    tracing::error!("the lease is lost; ending at once");
    std::process::exit(1)
}

fn wall_clock() -> MicroTime {
    let now = i64::try_from(clock::now_ms()).ok();
    MicroTime(
        now.and_then(|now| Timestamp::from_millisecond(now).ok())
            .unwrap_or_default(),
    )
}

/// The decisions about a Lease, without any I/O.
#[derive(Clone, Debug)]
struct Claim {
    name: String,
    identity: String,
    terms: Terms,
    /// The version of the Lease that was seen last, and since when it has not changed.
    seen: Option<(String, Instant)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Decision {
    Create(LeaseObject),
    Replace(LeaseObject),
    Wait,
}

impl Claim {
    fn decide(&mut self, stored: Option<LeaseObject>, now: Instant, wall: MicroTime) -> Decision {
        let Some(mut lease) = stored else {
            return Decision::Create(LeaseObject {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.terms_in_force(None, wall)),
            });
        };
        self.saw(&lease, now);
        let spec = lease.spec.take().unwrap_or_default();
        if !self.is_mine(&spec) && self.is_held(&spec, now) {
            return Decision::Wait;
        }
        lease.spec = Some(self.terms_in_force(Some(spec), wall));
        Decision::Replace(lease)
    }

    /// Notes when the Lease changed last.
    fn saw(&mut self, lease: &LeaseObject, now: Instant) {
        let version = lease.meta().resource_version.clone().unwrap_or_default();
        if self
            .seen
            .as_ref()
            .is_none_or(|(known, _)| *known != version)
        {
            self.seen = Some((version, now));
        }
    }

    fn is_mine(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_deref() == Some(&self.identity)
    }

    fn is_held(&self, spec: &LeaseSpec, now: Instant) -> bool {
        let held = spec
            .holder_identity
            .as_deref()
            .is_some_and(|holder| !holder.is_empty());
        let seconds = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.terms.duration, Duration::from_secs);
        let unchanged = self
            .seen
            .as_ref()
            .map(|(_, since)| now.saturating_duration_since(*since));
        held && unchanged.is_none_or(|unchanged| unchanged < duration)
    }

    fn terms_in_force(&self, previous: Option<LeaseSpec>, wall: MicroTime) -> LeaseSpec {
        let previous = previous.unwrap_or_default();
        let mine = self.is_mine(&previous);
        let transitions = previous.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok(),
            acquire_time: previous
                .acquire_time
                .filter(|_| mine)
                .or_else(|| Some(wall.clone())),
            renew_time: Some(wall),
            lease_transitions: Some(if mine {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..previous
        }
    }

    /// The Lease without a holder, if this replica holds it.
    fn released(&self, mut lease: LeaseObject) -> Option<LeaseObject> {
        let spec = lease.spec.take().filter(|spec| self.is_mine(spec))?;
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            ..spec
        });
        Some(lease)
    }
}

#[cfg(test)]
mod tests;
