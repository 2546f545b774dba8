//! Devices that may be without an object, of the policies that make some.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crd::EnrollmentPolicy;
use fleet_plan::enrollment::materialize::{Materialized, Refused};
use kube::runtime::reflector::ObjectRef;

/// More devices of a policy are not remembered: its devices are listed again once these have objects.
const MAX_REMEMBERED: usize = 1_000;
/// So many objects that are not taken have one reason: no more are tried then.
const MAX_REFUSED: usize = 100;
/// For how long the watch of the objects may be behind.
const LAG: Duration = Duration::from_secs(60);

pub(super) type PolicyRef = ObjectRef<EnrollmentPolicy>;

/// Has the policies that make objects and no others. Bounded by the objects that the API server has.
#[derive(Default)]
pub(super) struct Arrivals {
    inner: Mutex<HashMap<PolicyRef, Arrived>>,
}

/// What is known of a policy's devices.
#[derive(Debug, Default)]
struct Arrived {
    /// They may be without an object.
    endpoints: BTreeSet<String>,
    /// Others may be, too.
    missed: bool,
    /// When all devices were listed.
    listed: Option<Instant>,
    /// Devices are left without an object, as there are so many.
    is_full: bool,
    refused: Refusals,
    /// Devices whose objects are being deleted.
    leaving: BTreeSet<String>,
    /// Objects that were made, and when: the watch may not have shown them yet.
    made: HashMap<String, Instant>,
}

/// Devices whose objects are not taken.
#[derive(Debug, Default)]
struct Refusals {
    endpoints: BTreeSet<String>,
    /// Why the first of them is not.
    first: String,
    /// When one was last tried.
    tried: Option<Instant>,
    /// The one that is tried again.
    retried: Option<String>,
}

/// When a policy's devices are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) now: Instant,
    /// All of them, if that was longer ago.
    pub(super) resync: Duration,
    /// Whether objects are taken that were not, if that was longer ago.
    pub(super) retry: Duration,
    /// Whether nothing tells that devices register.
    pub(super) is_untold: bool,
    /// Whether there may be more objects.
    pub(super) has_room: bool,
}

impl Arrived {
    /// One that begins, or begins anew.
    fn anew(made: HashMap<String, Instant>) -> Self {
        Self {
            missed: true,
            made,
            ..Self::default()
        }
    }

    /// Returns whether there was room for it.
    fn remember(&mut self, endpoint: String) -> bool {
        if self.refused.endpoints.contains(&endpoint) {
            return true;
        }
        let has_room = self.endpoints.len() < MAX_REMEMBERED;
        if has_room {
            self.endpoints.insert(endpoint);
        } else {
            self.missed = true;
        }
        has_room
    }

    /// Lets one of those be tried again that were refused, which says whether the others are.
    fn retry(&mut self, terms: &Terms) {
        let refused = &mut self.refused;
        let is_time = |tried: &Instant| terms.now.duration_since(*tried) >= terms.retry;
        if refused.tried.as_ref().is_some_and(is_time)
            && let Some(first) = refused.endpoints.pop_first()
        {
            refused.tried = Some(terms.now);
            refused.retried = Some(first.clone());
            self.endpoints.insert(first);
        }
    }

    fn is_stuck(&self) -> bool {
        self.refused.endpoints.len() >= MAX_REFUSED
    }
}

impl Arrivals {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<PolicyRef, Arrived>) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `None` if the policy makes no objects.
    fn with_one<T>(&self, policy: &PolicyRef, work: impl FnOnce(&mut Arrived) -> T) -> Option<T> {
        self.with(|policies| policies.get_mut(policy).map(work))
    }

    /// The policy makes objects; it is a new one, or another one than before.
    pub(super) fn begin(&self, policy: PolicyRef) {
        self.with(|policies| {
            let made = policies.remove(&policy).map(|before| before.made);
            policies.insert(policy, Arrived::anew(made.unwrap_or_default()));
        });
    }

    /// It makes none any more.
    pub(super) fn end(&self, policy: &PolicyRef) {
        self.with(|policies| policies.remove(policy));
    }

    /// Whether a policy of a namespace makes objects.
    pub(super) fn has_any(&self, namespace: &str) -> bool {
        self.with(|policies| {
            let mut policies = policies.keys();
            policies.any(|policy| policy.namespace.as_deref() == Some(namespace))
        })
    }

    /// A device has registered. Returns whether that is a reason to look: not if there may be no more objects, or all devices are
    /// looked at anyway.
    pub(super) fn add(&self, policy: &PolicyRef, endpoint: &str) -> bool {
        let added = self.with_one(policy, |arrived| {
            if arrived.missed || arrived.is_full || arrived.is_stuck() {
                arrived.missed = true;
                return false;
            }
            !arrived.refused.endpoints.contains(endpoint) && arrived.remember(endpoint.to_owned())
        });
        added.unwrap_or(false)
    }

    /// Devices of a namespace may have registered of which nothing was told.
    pub(super) fn miss(&self, namespace: &str) -> Vec<PolicyRef> {
        self.with(|policies| {
            let here = policies
                .iter_mut()
                .filter(|(policy, _)| policy.namespace.as_deref() == Some(namespace));
            let missed = here.map(|(policy, arrived)| {
                arrived.missed = true;
                policy.clone()
            });
            missed.collect()
        })
    }

    /// Begins a look. Returns whether all devices are to be listed, which was not missed from now on.
    pub(super) fn begin_look(&self, policy: &PolicyRef, terms: &Terms) -> bool {
        let is_due = self.with_one(policy, |arrived| {
            let is_old = |then: Instant| terms.now.duration_since(then) >= terms.resync;
            let is_stale = arrived.listed.is_none_or(is_old);
            if is_stale && arrived.is_stuck() {
                *arrived = Arrived::anew(std::mem::take(&mut arrived.made));
            }
            arrived.retry(terms);
            let is_shut = arrived.is_full && !terms.has_room;
            if is_shut || arrived.is_stuck() || !arrived.endpoints.is_empty() {
                return false;
            }
            if is_stale {
                arrived.refused = Refusals::default();
            }
            let is_due = arrived.missed || arrived.is_full || terms.is_untold || is_stale;
            if is_due {
                arrived.missed = false;
                arrived.listed = Some(terms.now);
            }
            is_due
        });
        is_due.unwrap_or(false)
    }

    /// Devices that are without an object. Returns whether there is room for more.
    pub(super) fn find(&self, policy: &PolicyRef, endpoints: Vec<String>) -> bool {
        let has_room = self.with_one(policy, |arrived| {
            endpoints
                .into_iter()
                .all(|endpoint| arrived.remember(endpoint))
        });
        has_room.unwrap_or(false)
    }

    /// All devices were listed, or as many as can be remembered.
    pub(super) fn listed(&self, policy: &PolicyRef) {
        self.with_one(policy, |arrived| arrived.is_full = false);
    }

    /// Not all devices were: they are the next time.
    pub(super) fn failed(&self, policy: &PolicyRef) {
        self.with_one(policy, |arrived| arrived.missed = true);
    }

    /// The next device that may be without an object; `None` also if the policy makes no more.
    pub(super) fn next(&self, policy: &PolicyRef) -> Option<String> {
        self.with_one(policy, |arrived| {
            let goes_on = !arrived.is_stuck();
            goes_on.then(|| arrived.endpoints.pop_first()).flatten()
        })
        .flatten()
    }

    /// It is still without one.
    pub(super) fn put_back(&self, policy: &PolicyRef, endpoint: String) {
        self.with_one(policy, |arrived| arrived.remember(endpoint));
    }

    /// Its object is being deleted, and it may be without one then.
    pub(super) fn wait(&self, policy: &PolicyRef, endpoint: String) {
        self.with_one(policy, |arrived| {
            if arrived.leaving.len() < MAX_REMEMBERED {
                arrived.leaving.insert(endpoint);
            } else {
                arrived.missed = true;
            }
        });
    }

    /// Remembers those devices whose objects have gone.
    pub(super) fn bring_back(&self, policy: &PolicyRef, has_object: impl Fn(&str) -> bool) {
        self.with_one(policy, |arrived| {
            let is_gone = |endpoint: &String| !has_object(endpoint);
            for endpoint in arrived.leaving.extract_if(.., is_gone).collect::<Vec<_>>() {
                arrived.remember(endpoint);
            }
        });
    }

    /// There may be no more objects.
    pub(super) fn fill(&self, policy: &PolicyRef) {
        self.with_one(policy, |arrived| {
            arrived.is_full = true;
            arrived.endpoints.clear();
        });
    }

    /// An object was made; returns whether that is news. If it was tried because it had been refused, the others that were are
    /// tried as well.
    pub(super) fn note_made(&self, policy: &PolicyRef, endpoint: String, now: Instant) -> bool {
        let is_news = self.with_one(policy, |arrived| {
            if arrived.refused.retried.as_ref() == Some(&endpoint) {
                let refused = std::mem::take(&mut arrived.refused);
                arrived.endpoints.extend(refused.endpoints);
            }
            arrived.made.insert(endpoint, now).is_none()
        });
        is_news.unwrap_or(true)
    }

    /// One was not taken.
    pub(super) fn refuse(&self, policy: &PolicyRef, endpoint: String, why: String, now: Instant) {
        self.with_one(policy, |arrived| {
            let refused = &mut arrived.refused;
            if refused.endpoints.is_empty() {
                refused.first = why;
            }
            refused.endpoints.insert(endpoint);
            refused.tried = Some(now);
        });
    }

    /// How many objects were made a moment ago of devices of which `is_shown` does not say that theirs are shown.
    pub(super) fn unshown(
        &self,
        policy: &PolicyRef,
        now: Instant,
        is_shown: impl Fn(&str) -> bool,
    ) -> usize {
        let unshown = self.with_one(policy, |arrived| {
            let is_unshown = |endpoint: &str, made: Instant| {
                now.duration_since(made) < LAG && !is_shown(endpoint)
            };
            arrived
                .made
                .retain(|endpoint, made| is_unshown(endpoint, *made));
            arrived.made.len()
        });
        unshown.unwrap_or(0)
    }

    /// What has come of the policy so far, which has so many objects.
    pub(super) fn told(&self, policy: &PolicyRef, objects: usize) -> Materialized {
        let told = self.with_one(policy, |arrived| {
            let refused = &arrived.refused;
            let waits = arrived.is_full || arrived.is_stuck();
            Materialized {
                objects,
                is_full: arrived.is_full,
                refused: (!refused.endpoints.is_empty()).then(|| Refused {
                    objects: refused.endpoints.len(),
                    first: refused.first.clone(),
                }),
                has_more: !waits && (arrived.missed || !arrived.endpoints.is_empty()),
            }
        });
        told.unwrap_or_default()
    }
}

#[cfg(test)]
impl Arrivals {
    /// As if the watch had shown everything that was made.
    pub(super) fn forget_made(&self) {
        self.with(|policies| {
            for arrived in policies.values_mut() {
                arrived.made.clear();
            }
        });
    }
}

#[cfg(test)]
mod tests;
