//! Triggers and reconciliations at the same time.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::atomic::{AtomicUsize, Ordering};

use crd::{Device, DeviceStatus};
use futures::stream;
use kube::runtime::reflector::{self, ObjectRef};
use node_runtime::{Stage, Tasks};
use tokio::sync::Semaphore;

use super::*;
use crate::controller::rig::{self, device};
use crate::state_tier::{Credentials, StateTier};

/// Looks at objects for as long as it is told to.
struct Slow {
    shared: Shared<Device>,
    begun: AtomicUsize,
    begins: Semaphore,
    may_end: Semaphore,
}

impl Control for Slow {
    type Kind = Device;
    type Status = DeviceStatus;

    fn shared(&self) -> &Shared<Device> {
        &self.shared
    }

    fn gauge(metrics: &Metrics) -> &Gauge {
        &metrics.devices
    }

    async fn settle(&self, _: &Device) -> Result<Settled<DeviceStatus>, ReconcileError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.begins.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        Ok(Settled::Decided {
            status: None,
            again: Duration::from_secs(3_600),
        })
    }
}

#[tokio::test]
async fn what_is_triggered_while_it_is_reconciled_is_reconciled_once_more() {
    let state_tier = StateTier::new(&["127.0.0.1:1".to_owned()], &Credentials::none()).unwrap();
    let (mut shared, _api_server) = rig::shared(state_tier);
    shared.settings.debounce = Duration::from_millis(10);
    let slow = Arc::new(Slow {
        shared,
        begun: AtomicUsize::new(0),
        begins: Semaphore::new(0),
        may_end: Semaphore::new(0),
    });
    let (reader, mut writer) = reflector::store();
    for event in [Event::Init, Event::InitApply(device()), Event::InitDone] {
        writer.apply_watcher_event(&event);
    }
    let changes = stream::iter([Ok(device())]).chain(stream::pending());
    let drain = Tasks::new().drain(Stage::Intake);
    let told = async {
        let begins = || async { slow.begins.acquire().await.unwrap().forget() };
        begins().await;
        // Of all that happens meanwhile, one more look sees everything.
        for _ in 0..3 {
            let object = ObjectRef::from_obj(&device());
            slow.shared.triggers.add([object]);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(slow.begun.load(Ordering::Relaxed), 1);
        slow.may_end.add_permits(2);
        begins().await;
        let another = tokio::time::timeout(Duration::from_millis(300), begins());
        assert!(another.await.is_err());
        assert_eq!(slow.begun.load(Ordering::Relaxed), 2);
    };
    tokio::select! {
        () = run_on(Arc::clone(&slow), changes, reader, drain) => panic!("the controller ended"),
        () = told => {}
    }
}
