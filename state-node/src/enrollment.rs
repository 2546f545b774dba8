//! Which devices may register, and as what: the policies of namespaces, put into practice before a registration is
//! proposed.
//!
//! ```text
//!  Register ──▶ policies of the namespace (a copy, renewed every second) ──▶ denied, full, too fast: refused
//!                     │ none is about it           │ admitted, quarantined
//!                     ▼                            ▼
//!             proposed as it is          proposed with the name of the policy
//!
//!  Update ───▶ decided otherwise by now? ──▶ the device is told 4.04 and registers anew; one that is denied is
//!                                            not registered from now on
//! ```
//!
//! Bounds are for devices that are not registered: one that is registered already is never refused for them. How many are
//! registered by a policy is counted by every shard; this node reads its own replicas now and then, and adds whom it has let
//! in since, so that a bound can be passed by what others let in meanwhile.

mod rules;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use device_state::{
    Enrollment, EnrollmentPolicy, EnrollmentTally, FeatureLevel, Namespace, Registration,
    SecurityIdentity, query,
};
use lwm2m::RegistrationId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use self::rules::Rules;
use crate::raft::group::Group;
use crate::router::Router;
use crate::tenants::bucket::{Bucket, Rate};

pub use self::rules::{PatternError, check_pattern};

/// How long a copy of the policies is used.
const FRESH: Duration = Duration::from_secs(1);
/// How long a count of the devices of a policy is used.
const COUNTED: Duration = Duration::from_millis(500);
/// Namespaces and policies that are remembered; beyond it everything is looked up anew.
const MAX_REMEMBERED: usize = 10_000;

/// Decides about devices that register through this node.
#[derive(Debug, Default)]
pub struct Enrollments {
    known: Mutex<HashMap<Namespace, Known>>,
    policies: Mutex<HashMap<PolicyName, Practice>>,
    refused: Family<Why, Counter>,
}

type PolicyName = (Namespace, String);

#[derive(Clone, Debug)]
struct Known {
    rules: Arc<Rules>,
    until: Instant,
}

/// What a policy has done at this node.
#[derive(Debug, Default)]
struct Practice {
    denied: u64,
    bucket: Option<Bucket>,
    count: Option<Count>,
}

/// Devices of a policy, with those that this node has let in since they were counted.
#[derive(Clone, Copy, Debug)]
struct Count {
    devices: u64,
    until: Instant,
}

/// Why a device may not register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Denied,
    /// The policy has as many devices as it may have.
    Full,
    /// More devices come by the policy than may come at once.
    TooFast,
    /// What is decided is not known here yet.
    Unknown,
}

/// What is to become of a registration about which policies decide otherwise by now.
#[derive(Clone, Debug, PartialEq)]
pub enum Outdated {
    /// The device has to register again.
    Anew,
    /// It may not be registered.
    Ended(Box<Registration>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Full => "full",
            Self::TooFast => "too_fast",
            Self::Unknown => "unknown",
        }
    }
}

impl Enrollments {
    /// Tells how often devices are refused.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "enrollment_refusals",
            "Registrations that an enrollment policy has refused",
            self.refused.clone(),
        );
    }

    /// By which policy a device registers; `None` if none is about it.
    pub fn decide(
        &self,
        router: &Router,
        registration: &Registration,
    ) -> Result<Option<Enrollment>, Refusal> {
        let namespace = registration.endpoint.namespace();
        let rules = self.rules(router, &namespace).ok_or(Refusal::Unknown)?;
        let Some(policy) = rules.about(&registration.endpoint, &registration.identity) else {
            return Ok(None);
        };
        let decided = self.by(router, policy, registration);
        if let Err(refusal) = decided {
            let reason = refusal.reason();
            self.refused.get_or_create(&Why { reason }).inc();
            self.practice(policy, |practice| practice.denied += 1);
            tracing::debug!(endpoint = %registration.endpoint.shown(), policy = policy.name, reason, "a device may not register");
        }
        decided.map(Some)
    }

    fn by(
        &self,
        router: &Router,
        policy: &EnrollmentPolicy,
        registration: &Registration,
    ) -> Result<Enrollment, Refusal> {
        let standing = policy.standing_of(&registration.identity);
        let standing = standing.ok_or(Refusal::Denied)?;
        let is_bounded = policy.max_devices.is_some() || policy.registrations_per_second.is_some();
        if is_bounded && live(router, registration).is_none() {
            self.admit(router, policy)?;
        }
        Ok(Enrollment {
            policy: policy.name.clone(),
            standing,
            labels: policy.labels.clone(),
        })
    }

    /// Lets one device more in, if there is room for it.
    fn admit(&self, router: &Router, policy: &EnrollmentPolicy) -> Result<(), Refusal> {
        let now = Instant::now();
        let known = self.practice(policy, |practice| practice.count);
        let known = known.filter(|count| now < count.until);
        // All shards are read for it.
        let count = known.unwrap_or_else(|| Count {
            devices: tally(router, policy).devices(),
            until: now + COUNTED,
        });
        let rate = policy.registrations_per_second.map(|per_second| Rate {
            per_second: per_second.max(1),
            burst: per_second.max(1),
        });
        self.practice(policy, |practice| {
            // Somebody else may have been let in since.
            let count = practice
                .count
                .filter(|other| now < other.until)
                .unwrap_or(count);
            practice.count = Some(count);
            if policy.max_devices.is_some_and(|most| count.devices >= most) {
                return Err(Refusal::Full);
            }
            if let Some(rate) = rate {
                let full = || Bucket::full(rate, now);
                let bucket = practice.bucket.get_or_insert_with(full);
                bucket.take(rate, now).map_err(|_| Refusal::TooFast)?;
            }
            practice.count = Some(Count {
                devices: count.devices.saturating_add(1),
                ..count
            });
            Ok(())
        })
    }

    /// What is to become of the registration of this device, if it would be decided about it otherwise by now.
    pub fn outdated(
        &self,
        router: &Router,
        group: &Group,
        (namespace, id, identity): (&Namespace, &RegistrationId, &SecurityIdentity),
    ) -> Option<Outdated> {
        // Who registers anew could not be registered by a policy.
        if group.feature_level() < FeatureLevel::ENROLLMENT {
            return None;
        }
        let rules = self.rules(router, namespace)?;
        group.store().read(|tables| {
            // Most of the time there is no policy at all.
            if rules.is_empty() && query::counters(tables).enrolled == 0 {
                return None;
            }
            let registration = query::registration_by_id(tables, id)
                .filter(|known| known.identity == *identity && known.endpoint.is_in(namespace))?;
            let policy = rules.about(&registration.endpoint, &registration.identity);
            let decided = policy.map(|policy| (policy.name.as_str(), policy.standing_of(identity)));
            if let Some((_, None)) = decided {
                return Some(Outdated::Ended(Box::new(registration)));
            }
            let stands = registration.enrollment.as_ref();
            let stands = stands.map(|known| (known.policy.as_str(), Some(known.standing)));
            (decided != stands).then_some(Outdated::Anew)
        })
    }

    /// How many devices of all shards are registered by a policy, and how often this node has refused one.
    pub fn counts(&self, router: &Router, policy: &EnrollmentPolicy) -> (EnrollmentTally, u64) {
        let policies = lock(&self.policies);
        let practice = policies.get(&name_of(policy));
        let denied = practice.map_or(0, |practice| practice.denied);
        drop(policies);
        (tally(router, policy), denied)
    }

    /// The policies of a namespace; `None` while this node does not know them.
    fn rules(&self, router: &Router, namespace: &Namespace) -> Option<Arc<Rules>> {
        let now = Instant::now();
        let mut known = lock(&self.known);
        let before = known.get_mut(namespace).map(|known| {
            let is_fresh = now < known.until;
            if !is_fresh {
                // Others use these while they are looked at.
                known.until = now + FRESH;
            }
            (known.rules.clone(), is_fresh)
        });
        drop(known);
        if let Some((rules, true)) = before {
            return Some(rules);
        }
        let before = before.map(|(rules, _)| rules);
        let common = router.common_group();
        if !common.has_its_rows() {
            // Better as it was than as if nobody had said anything.
            return before;
        }
        let policies = common
            .store()
            .read(|tables| query::enrollment_policies(tables, namespace));
        let rules = match &before {
            Some(before) if before.are_of(&policies) => return Some(before.clone()),
            before => Arc::new(Rules::new(policies, before.as_deref())),
        };
        let mut known = lock(&self.known);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(
            namespace.clone(),
            Known {
                rules: rules.clone(),
                until: now + FRESH,
            },
        );
        Some(rules)
    }

    fn practice<T>(&self, policy: &EnrollmentPolicy, change: impl FnOnce(&mut Practice) -> T) -> T {
        let mut policies = lock(&self.policies);
        let name = name_of(policy);
        if policies.len() >= MAX_REMEMBERED && !policies.contains_key(&name) {
            policies.clear();
        }
        change(policies.entry(name).or_default())
    }
}

fn name_of(policy: &EnrollmentPolicy) -> PolicyName {
    (policy.namespace.clone(), policy.name.clone())
}

/// The registration that a device has by now, if it is the same that registers.
pub fn live(router: &Router, registration: &Registration) -> Option<Registration> {
    let endpoint = &registration.endpoint;
    let store = router.group_of(endpoint).store();
    let live = store.read(|tables| query::registration(tables, endpoint));
    live.filter(|live| live.identity == registration.identity)
}

fn tally(router: &Router, policy: &EnrollmentPolicy) -> EnrollmentTally {
    let mut all = EnrollmentTally::default();
    for group in router.groups() {
        let tally = group
            .store()
            .read(|tables| query::enrollment_tally(tables, &policy.namespace, &policy.name));
        all.admitted += tally.admitted;
        all.quarantined += tally.quarantined;
    }
    all
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
