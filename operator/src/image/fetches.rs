//! Fetching images beside the controller: no reconciliation waits for a server.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crd::{FirmwareImage, Reason};
use fleet_plan::image::Fetched;
use futures::StreamExt;
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use futures::stream::FuturesUnordered;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::order::Failure;
use crate::controller::{Triggers, jittered, now};

/// Images that are fetched at the same time, of a namespace one: each is in memory as a whole.
const AT_ONCE: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// A server may be repaired, or what lies there replaced.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// What became of images, by the uid of the object. Bounded by the objects that the API server has; lost without harm on a
/// restart, as what was found right stands in the status.
pub(crate) struct Fetches<O> {
    known: Mutex<Known<O>>,
    begun: Notify,
}

struct Known<O> {
    fetches: HashMap<String, Fetch>,
    waiting: VecDeque<Waiting<O>>,
    /// By uid, with their namespaces.
    running: HashMap<String, (Option<String>, AbortHandle)>,
}

struct Waiting<O> {
    uid: String,
    object: ObjectRef<FirmwareImage>,
    order: O,
}

struct Fetch {
    state: State,
    /// Without a success between them.
    failures: u32,
}

#[derive(Clone)]
enum State {
    /// What the last attempt failed of is told until this one has ended.
    Underway {
        before: Option<(Reason, String)>,
    },
    Checked(Fetched),
    Failed {
        reason: Reason,
        message: String,
        retry_at: Instant,
    },
}

impl<O> Default for Fetches<O> {
    fn default() -> Self {
        let known = Known {
            fetches: HashMap::new(),
            waiting: VecDeque::new(),
            running: HashMap::new(),
        };
        Self {
            known: Mutex::new(known),
            begun: Notify::new(),
        }
    }
}

impl<O> Fetches<O> {
    fn known(&self) -> MutexGuard<'_, Known<O>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an order may be given, for an image that is to be fetched by what its object says. `stored` says whether the
    /// cluster has the package: what was just checked does not stand in the object yet.
    pub(super) fn is_due(&self, uid: &str, stored: bool, now: Instant) -> bool {
        match self.known().fetches.get(uid).map(|fetch| &fetch.state) {
            Some(State::Underway { .. }) => false,
            Some(State::Failed { retry_at, .. }) => *retry_at <= now,
            Some(State::Checked(_)) => !stored,
            None => true,
        }
    }

    pub(super) fn begin(&self, image: &FirmwareImage, order: O) {
        let (uid, object) = (image.uid().unwrap_or_default(), ObjectRef::from_obj(image));
        let mut known = self.known();
        let before = known.fetches.remove(&uid);
        let failures = before.as_ref().map_or(0, |fetch| fetch.failures);
        let before = match before.map(|fetch| fetch.state) {
            Some(State::Failed {
                reason, message, ..
            }) => Some((reason, message)),
            _ => None,
        };
        let state = State::Underway { before };
        known.fetches.insert(uid.clone(), Fetch { state, failures });
        known.waiting.push_back(Waiting { uid, object, order });
        self.begun.notify_one();
    }

    /// What is to be told of an image.
    pub(super) fn told(&self, uid: &str) -> Option<Fetched> {
        let known = self.known();
        Some(match known.fetches.get(uid)?.state.clone() {
            State::Underway { before: None } => Fetched::Underway,
            State::Underway {
                before: Some((reason, message)),
            }
            | State::Failed {
                reason, message, ..
            } => Fetched::Failed { reason, message },
            State::Checked(checked) => checked,
        })
    }

    /// How long until an image that could not be fetched is tried again; `None` if that is not the time that it waits for.
    pub(super) fn until_retry(&self, uid: &str, now: Instant) -> Option<Duration> {
        match self.known().fetches.get(uid)?.state {
            State::Failed { retry_at, .. } if retry_at > now => Some(retry_at - now),
            State::Failed { .. } | State::Underway { .. } | State::Checked(_) => None,
        }
    }

    /// The object is gone or held, or its image came into the cluster in another way.
    pub(super) fn forget(&self, uid: &str) {
        let mut known = self.known();
        known.fetches.remove(uid);
        known.waiting.retain(|waiting| waiting.uid != uid);
        if let Some((_, running)) = known.running.remove(uid) {
            running.abort();
        }
    }

    /// What is next, of a namespace that nothing is fetched for: a slow server is waited for by those who named it.
    fn take(&self) -> Option<(Waiting<O>, AbortRegistration)> {
        let mut known = self.known();
        let is_free = |waiting: &Waiting<O>| {
            let mut running = known.running.values();
            running.all(|(namespace, _)| *namespace != waiting.object.namespace)
        };
        let at = known.waiting.iter().position(is_free)?;
        let waiting = known.waiting.remove(at)?;
        let (abort, registration) = AbortHandle::new_pair();
        let running = (waiting.object.namespace.clone(), abort);
        known.running.insert(waiting.uid.clone(), running);
        Some((waiting, registration))
    }

    fn ended(&self, uid: &str, result: Result<(), Failure>, at: Instant) {
        let mut known = self.known();
        known.running.remove(uid);
        let Some(fetch) = known.fetches.get_mut(uid) else {
            return;
        };
        fetch.state = match result {
            Ok(()) => {
                fetch.failures = 0;
                State::Checked(Fetched::Checked { at: now() })
            }
            Err(Failure { reason, message }) => {
                fetch.failures = fetch.failures.saturating_add(1);
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(fetch.failures.min(10) - 1);
                State::Failed {
                    reason,
                    message,
                    retry_at: at + jittered(pause.min(LONGEST_PAUSE)),
                }
            }
        };
    }

    /// Carries orders out, for ever. Whose ends is looked at again.
    pub(super) async fn run<F>(
        &self,
        carry_out: impl Fn(O) -> F,
        triggers: &Triggers<FirmwareImage>,
    ) where
        F: Future<Output = Result<(), Failure>>,
    {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < AT_ONCE
                && let Some((Waiting { uid, object, order }, registration)) = self.take()
            {
                let carried_out = Abortable::new(carry_out(order), registration);
                running.push(async move { (uid, object, carried_out.await) });
            }
            tokio::select! {
                Some((uid, object, result)) = running.next() => {
                    // It was forgotten.
                    let Ok(result) = result else { continue };
                    if let Err(failure) = &result {
                        tracing::warn!(image = %object, reason = failure.reason.as_str(), "{}", failure.message);
                    }
                    self.ended(&uid, result, Instant::now());
                    triggers.add([object]);
                }
                () = self.begun.notified(), if running.len() < AT_ONCE => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
