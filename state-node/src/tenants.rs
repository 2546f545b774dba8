//! How much a namespace may have, and how often it may call.
//!
//! Every node has a replica of every shard, so each counts for itself what there is. A count is used again for a while,
//! with what was let through meanwhile added to it: a quota can be passed by what is under way at that moment, on this
//! node between its commit and its count, and on others. What is there already is never refused.

pub(crate) mod bucket;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use device_state::{
    CredentialId, CredentialName, DeviceName, DevicePrefix, Namespace, NamespaceError, RequestId,
    Row, RowKey, Tables, query,
};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use self::bucket::{Bucket, Rate};
use crate::router::Router;

/// How long a count is used at least, and how many times as long as it took to count.
const FRESH: Duration = Duration::from_millis(500);
const COST: u32 = 20;
/// Rows that are looked at at once while operations are counted.
const CHUNK: usize = 1_024;
/// Namespaces whose counts and rates are remembered; beyond it those that nobody uses are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// What a namespace may have. What is not said is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Registered devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_devices: Option<u64>,
    /// Stored credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_credentials: Option<u64>,
    /// Operations that wait for devices or are under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queued_operations: Option<u64>,
    /// Calls of the API that each node serves in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<u32>,
    /// Calls that may come at once after a rest; twice `calls_per_second` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Quota {
    Devices,
    Credentials,
    QueuedOperations,
}

impl Quota {
    /// The key in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devices => "max_devices",
            Self::Credentials => "max_credentials",
            Self::QueuedOperations => "max_queued_operations",
        }
    }
}

/// A quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub quota: Quota,
    pub limit: u64,
}

/// Too many calls: the next one may come then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFast(pub Duration);

/// Keeps namespaces within their limits.
#[derive(Debug)]
pub struct Tenants {
    configured: BTreeMap<Namespace, TenantLimits>,
    default: TenantLimits,
    counts: Mutex<HashMap<(Namespace, Quota), Count>>,
    buckets: Mutex<HashMap<Namespace, Bucket>>,
    over_quota: Family<OverQuota, Counter>,
    too_fast: Family<Who, Counter>,
}

/// Of the namespaces that are configured, so that there are not more series than somebody wrote down; `other` else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Who {
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OverQuota {
    namespace: String,
    quota: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    rows: u64,
    /// Let through since.
    admitted: u64,
    until: Instant,
}

impl Tenants {
    pub fn new(
        configured: &BTreeMap<String, TenantLimits>,
        default: TenantLimits,
        registry: &mut Registry,
    ) -> Result<Self, NamespaceError> {
        let named = |(name, limits): (&String, &TenantLimits)| {
            Ok((Namespace::new(name)?, limits.or(default)))
        };
        let (over_quota, too_fast) = (Family::default(), Family::default());
        registry.register(
            "tenant_quota_refusals",
            "What was refused because the quota of its namespace is used up",
            over_quota.clone(),
        );
        registry.register(
            "tenant_rate_refusals",
            "Calls of the API that were refused because their namespace makes too many",
            too_fast.clone(),
        );
        Ok(Self {
            configured: configured.iter().map(named).collect::<Result<_, _>>()?,
            default,
            counts: Mutex::default(),
            buckets: Mutex::default(),
            over_quota,
            too_fast,
        })
    }

    fn limits(&self, namespace: &Namespace) -> TenantLimits {
        let configured = self.configured.get(namespace);
        configured.copied().unwrap_or(self.default)
    }

    fn label(&self, namespace: &Namespace) -> String {
        let is_configured = self.configured.contains_key(namespace);
        if is_configured {
            namespace.as_str()
        } else {
            "other"
        }
        .to_owned()
    }

    /// Lets a call of the API through, or tells when it may come again.
    pub fn call(&self, namespace: &Namespace, now: Instant) -> Result<(), TooFast> {
        let Some(rate) = self.limits(namespace).rate() else {
            return Ok(());
        };
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_REMEMBERED && !buckets.contains_key(namespace) {
            buckets.retain(|name, bucket| {
                let rate = self.limits(name).rate();
                rate.is_some_and(|rate| !bucket.is_full(rate, now))
            });
            // So many that call at once: each begins anew, which lets a burst of each through.
            if buckets.len() >= MAX_REMEMBERED {
                buckets.clear();
            }
        }
        let bucket = buckets
            .entry(namespace.clone())
            .or_insert_with(|| Bucket::full(rate, now));
        let taken = bucket.take(rate, now);
        drop(buckets);
        taken.map_err(|after| {
            let namespace = self.label(namespace);
            self.too_fast.get_or_create(&Who { namespace }).inc();
            TooFast(after)
        })
    }

    /// Lets a device register: one that is registered always, another one while there is room.
    pub fn register(&self, router: &Router, device: &DeviceName) -> Result<(), Exceeded> {
        let store = router.group_of(device).store();
        self.admit(router, &device.namespace(), Quota::Devices, || {
            store.read(|tables| query::registration(tables, device).is_some())
        })
    }

    /// Lets a credential be stored: one that replaces another always, another one while there is room.
    pub fn store(&self, router: &Router, name: &CredentialName) -> Result<(), Exceeded> {
        let shard = device_state::ShardId::of_credential(name, router.shards());
        self.admit(router, &name.namespace, Quota::Credentials, || {
            router.group(shard).is_some_and(|group| {
                group
                    .store()
                    .read(|tables| query::credential(tables, name).is_some())
            })
        })
    }

    /// Lets an operation be enqueued while there is room, and always if the same request has enqueued it already.
    pub fn enqueue(
        &self,
        router: &Router,
        device: &DeviceName,
        request: Option<RequestId>,
    ) -> Result<(), Exceeded> {
        let store = router.group_of(device).store();
        let is_repeated =
            || request.is_some_and(|id| store.read(|tables| query::is_remembered(tables, id)));
        self.admit(
            router,
            &device.namespace(),
            Quota::QueuedOperations,
            is_repeated,
        )
    }

    fn admit(
        &self,
        router: &Router,
        namespace: &Namespace,
        quota: Quota,
        is_there: impl FnOnce() -> bool,
    ) -> Result<(), Exceeded> {
        let Some(limit) = self.limits(namespace).of(quota) else {
            return Ok(());
        };
        if is_there() {
            return Ok(());
        }
        let key = (namespace.clone(), quota);
        let now = Instant::now();
        let known = lock(&self.counts).get(&key).copied();
        let known = known.filter(|count| now < count.until);
        let count = known.unwrap_or_else(|| counted(router, namespace, quota));
        let mut counts = lock(&self.counts);
        if counts.len() >= MAX_REMEMBERED {
            counts.retain(|_, count| now < count.until);
        }
        let count = match known {
            Some(_) => counts.entry(key).or_insert(count),
            None => counts.entry(key).insert_entry(count).into_mut(),
        };
        if count.rows + count.admitted < limit {
            count.admitted += 1;
            return Ok(());
        }
        drop(counts);
        let labels = OverQuota {
            namespace: self.label(namespace),
            quota: quota.name(),
        };
        self.over_quota.get_or_create(&labels).inc();
        Err(Exceeded { quota, limit })
    }
}

impl TenantLimits {
    /// These limits, and for what they leave open those.
    fn or(self, others: Self) -> Self {
        Self {
            max_devices: self.max_devices.or(others.max_devices),
            max_credentials: self.max_credentials.or(others.max_credentials),
            max_queued_operations: self.max_queued_operations.or(others.max_queued_operations),
            calls_per_second: self.calls_per_second.or(others.calls_per_second),
            burst: self.burst.or(others.burst),
        }
    }

    const fn of(&self, quota: Quota) -> Option<u64> {
        match quota {
            Quota::Devices => self.max_devices,
            Quota::Credentials => self.max_credentials,
            Quota::QueuedOperations => self.max_queued_operations,
        }
    }

    fn rate(&self) -> Option<Rate> {
        let per_second = self.calls_per_second?.max(1);
        let twice = per_second.saturating_mul(2);
        let burst = self.burst.unwrap_or(twice).max(1);
        Some(Rate { per_second, burst })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts in all shards.
fn counted(router: &Router, namespace: &Namespace, quota: Quota) -> Count {
    let begun = Instant::now();
    let (from, to) = range(namespace, quota);
    let stores = router.groups().iter().map(|group| group.store());
    let rows = stores.map(|store| {
        store.read(|tables| match quota {
            Quota::Devices | Quota::Credentials => tables.count(&from, &to),
            Quota::QueuedOperations => unfinished(tables, &from, &to),
        })
    });
    let rows = rows.sum();
    let took = begun.elapsed();
    Count {
        rows,
        admitted: 0,
        until: begun + took + FRESH.max(took * COST),
    }
}

fn range(namespace: &Namespace, quota: Quota) -> (RowKey, RowKey) {
    let all = DevicePrefix::of(namespace);
    let credential = |id| RowKey::Credential(CredentialName::new(namespace, id));
    match quota {
        Quota::Devices => (
            RowKey::Registration(all.first()),
            RowKey::Registration(all.last()),
        ),
        Quota::Credentials => (
            credential(CredentialId::PskIdentity(Vec::new())),
            credential(CredentialId::OscoreId(vec![
                u8::MAX;
                CredentialId::MAX_OSCORE_ID + 1
            ])),
        ),
        Quota::QueuedOperations => (
            RowKey::Operation(all.first(), 0),
            RowKey::Operation(all.last(), u64::MAX),
        ),
    }
}

fn unfinished(tables: &dyn Tables, from: &RowKey, to: &RowKey) -> u64 {
    let (mut from, mut found) = (from.clone(), 0);
    loop {
        let rows = tables.scan(&from, to, CHUNK);
        let is_unfinished =
            |row: &&Row| matches!(row, Row::Operation(record) if !record.is_finished());
        found += rows.iter().filter(is_unfinished).count() as u64;
        match rows.last() {
            Some(Row::Operation(last)) if rows.len() == CHUNK => {
                let next = last.id.sequence.saturating_add(1);
                from = RowKey::Operation(last.endpoint.clone(), next);
            }
            _ => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(configured: &[(&str, TenantLimits)], default: TenantLimits) -> Tenants {
        let configured = configured
            .iter()
            .map(|(name, limits)| ((*name).to_owned(), *limits))
            .collect();
        Tenants::new(&configured, default, &mut Registry::default()).expect("namespaces")
    }

    #[test]
    fn what_a_namespace_leaves_open_is_as_for_all() {
        let default = TenantLimits {
            max_devices: Some(10),
            calls_per_second: Some(5),
            ..TenantLimits::default()
        };
        let acme = TenantLimits {
            max_devices: Some(100),
            ..TenantLimits::default()
        };
        let tenants = tenants(&[("acme", acme)], default);
        let acme = tenants.limits(&Namespace::new("acme").expect("a namespace"));
        assert_eq!(
            (acme.max_devices, acme.calls_per_second),
            (Some(100), Some(5))
        );
        assert_eq!(tenants.limits(&Namespace::default()), default);
    }

    #[test]
    fn one_namespace_takes_no_calls_from_another() {
        let default = TenantLimits {
            calls_per_second: Some(1),
            burst: Some(2),
            ..TenantLimits::default()
        };
        let tenants = tenants(&[], default);
        let now = Instant::now();
        let (acme, rival) = (Namespace::new("acme"), Namespace::new("rival"));
        let (acme, rival) = (acme.expect("a namespace"), rival.expect("a namespace"));
        assert!(tenants.call(&acme, now).is_ok() && tenants.call(&acme, now).is_ok());
        assert_eq!(
            tenants.call(&acme, now),
            Err(TooFast(Duration::from_secs(1)))
        );
        assert!(tenants.call(&rival, now).is_ok());
        let who = Who {
            namespace: "other".to_owned(),
        };
        assert_eq!(tenants.too_fast.get_or_create(&who).get(), 1);
    }
}
