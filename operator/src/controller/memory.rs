//! What is remembered of an object between two reconciliations; lost without harm on a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleet_plan::budget::Budget;
use kube::runtime::reflector::ObjectRef;

use crate::kubernetes::Kind;

/// Statuses that one object may get at once, and how often one more after that.
const STATUS_BURST: u32 = 10;
const STATUS_INTERVAL: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Bounded by the objects that the API server has.
pub(crate) struct Memory<K: Kind> {
    objects: Mutex<HashMap<ObjectRef<K>, Remembered<K>>>,
}

struct Remembered<K> {
    failures: u32,
    budget: Option<Budget>,
    written: Option<Written<K>>,
}

/// The object after its status was written, until the watch shows anything newer than `based_on`.
struct Written<K> {
    based_on: Option<String>,
    object: Arc<K>,
}

impl<K: Kind> Default for Memory<K> {
    fn default() -> Self {
        Self {
            objects: Mutex::default(),
        }
    }
}

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self {
            failures: 0,
            budget: None,
            written: None,
        }
    }
}

impl<K: Kind> Memory<K> {
    fn with<T>(&self, object: &K, work: impl FnOnce(&mut Remembered<K>) -> T) -> T {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        work(objects.entry(ObjectRef::from_obj(object)).or_default())
    }

    /// The object as it is after the last write: the watch may not show that one yet, and a plan
    /// that does not know it would write the same again with a later transition time.
    pub(crate) fn freshest(&self, object: Arc<K>) -> Arc<K> {
        self.with(&object, |remembered| {
            let same = |written: &&Written<K>| written.based_on == object.meta().resource_version;
            let written = remembered.written.as_ref().filter(same);
            written.map_or_else(
                || Arc::clone(&object),
                |written| Arc::clone(&written.object),
            )
        })
    }

    /// Notes that writing the status of `before`, as the watch showed it, gave `after`.
    pub(crate) fn wrote(&self, before: &K, after: K) {
        let based_on = before.meta().resource_version.clone();
        self.with(before, |remembered| {
            remembered.written = Some(Written {
                based_on,
                object: Arc::new(after),
            });
        });
    }

    /// Whether a status may be written now, or else when.
    pub(crate) fn take_budget(&self, object: &K, now: Instant) -> Result<(), Duration> {
        self.with(object, |remembered| {
            let full = || Budget::new(STATUS_BURST, STATUS_INTERVAL, now);
            remembered.budget.get_or_insert_with(full).take(now)
        })
    }

    /// How long no status may be written, if so.
    pub(crate) fn until_budget(&self, object: &K, now: Instant) -> Option<Duration> {
        self.with(object, |remembered| {
            let mut budget = remembered.budget.clone()?;
            budget.take(now).err()
        })
    }

    pub(crate) fn succeeded(&self, object: &K) {
        self.with(object, |remembered| remembered.failures = 0);
    }

    /// Counts a failure and says how long to wait before the next attempt.
    pub(crate) fn failed(&self, object: &K) -> Duration {
        self.with(object, |remembered| {
            let factor = 2_u32.saturating_pow(remembered.failures);
            remembered.failures = remembered.failures.saturating_add(1);
            FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY)
        })
    }

    pub(crate) fn forget(&self, object: &K) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.remove(&ObjectRef::from_obj(object));
    }
}

#[cfg(test)]
mod tests {
    use crd::Device;

    use super::*;

    fn device(version: &str) -> Arc<Device> {
        let mut device = Device::new(
            "a",
            crd::DeviceSpec {
                endpoint_name: "ep".to_owned(),
                ..crd::DeviceSpec::default()
            },
        );
        device.metadata.resource_version = Some(version.to_owned());
        Arc::new(device)
    }

    #[test]
    fn attempts_become_rarer_until_one_succeeds() {
        let (memory, device) = (Memory::<Device>::default(), device("1"));
        let waits: Vec<u64> = (0..12).map(|_| memory.failed(&device).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        memory.succeeded(&device);
        assert_eq!(memory.failed(&device), FIRST_RETRY);
    }

    #[test]
    fn a_written_object_counts_until_the_watch_shows_something_newer() {
        let memory = Memory::<Device>::default();
        memory.wrote(&device("1"), (*device("2")).clone());
        let fresh = |seen: &str| {
            memory
                .freshest(device(seen))
                .metadata
                .resource_version
                .clone()
        };
        assert_eq!(fresh("1").as_deref(), Some("2"));
        assert_eq!(fresh("2").as_deref(), Some("2"));
        assert_eq!(fresh("3").as_deref(), Some("3"));
    }
}
