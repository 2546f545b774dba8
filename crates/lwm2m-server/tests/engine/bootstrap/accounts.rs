//! What plans hold, against the definitions of the objects.

use std::collections::BTreeSet;
use std::time::Duration;

use lwm2m::{Path, Registry, Value};
use lwm2m_client::bootstrap::{BootstrapConfig as ClientConfig, StoredRetry};
use lwm2m_server::bootstrap::{BootstrapPlan, BootstrapWrite, RetryPolicy};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

use super::pair::{Pair, client_config};
use super::plans::{access, every_account, plan, psk};

const DAY: Duration = Duration::from_hours(24);

#[test]
fn every_value_is_what_its_object_has_at_that_place() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let plan = BootstrapPlan::new(&every_account(), &[access()], &mut rng);
    assert_eq!(plan.validate(), Ok(()));
    for write in &plan.writes {
        for entry in &write.values {
            let model = Registry::oma().resource(entry.path);
            let model = model.unwrap_or_else(|| panic!("{} is not known", entry.path));
            assert_eq!(
                Some(entry.value.value_type()),
                model.value_type,
                "{}",
                entry.path
            );
            let is_instance = entry.path.resource_instance_id().is_some();
            assert_eq!(is_instance, model.multiple, "{}", entry.path);
        }
        check_complete(write);
    }
}

fn check_complete(write: &BootstrapWrite) {
    let object = write.path.object_id().unwrap();
    let model = Registry::oma().object(object, None).unwrap();
    let written: BTreeSet<_> = write
        .values
        .iter()
        .filter_map(|entry| entry.path.resource_id())
        .collect();
    let needed = model
        .resources()
        .iter()
        .filter(|resource| resource.mandatory && resource.value_type.is_some());
    for resource in needed {
        assert!(
            written.contains(&resource.id),
            "{}/{}",
            write.path,
            resource.id
        );
    }
}

fn stored_retry(config: ClientConfig, plan: BootstrapPlan) -> StoredRetry {
    let mut pair = Pair::with_plan(config, plan);
    pair.run();
    pair.accounts()[0].retry
}

/// Rule 38a: with LwM2M's defaults a device whose server is away for half an hour is lost for a day or goes to its
/// bootstrap server. With ours it does neither for a day, and is never silent for as long as half an hour.
#[test]
fn an_outage_does_not_silence_a_device() {
    let mut unset = plan(&[psk()]);
    for write in &mut unset.writes {
        let is_retry = |path: Path| matches!(path, Path::Resource(1, _, 13..=20));
        write.values.retain(|entry| !is_retry(entry.path));
    }
    let defaults = stored_retry(client_config(), unset);
    let until_bootstrap: Duration = defaults.waits().sum();
    assert_eq!(
        until_bootstrap,
        Duration::from_secs(60 + 120 + 240 + 480 + 960)
    );
    assert_eq!(defaults.sequence_delay, DAY);

    let ours = stored_retry(client_config(), plan(&[psk()]));
    assert!(ours.waits().sum::<Duration>() >= DAY * 3 / 4);
    // The last wait of a sequence and the pause after it, both with their jitter.
    let longest = Duration::from_secs(960 + 300) * 5 / 4;
    assert!(ours.waits().max().unwrap() <= longest);
    assert!(ours.bootstrap_on_failure);
}

#[test]
fn devices_do_not_come_back_in_step() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut timers = BTreeSet::new();
    let mut delays = BTreeSet::new();
    for _ in 0..1_000 {
        let plan = BootstrapPlan::new(&[psk()], &[], &mut rng);
        let values = plan.writes.iter().flat_map(|write| &write.values);
        for entry in values {
            match (entry.path, &entry.value) {
                (Path::Resource(1, 0, 18), Value::Unsigned(seconds)) => timers.insert(*seconds),
                (Path::Resource(1, 0, 14), Value::Unsigned(seconds)) => delays.insert(*seconds),
                _ => false,
            };
        }
    }
    assert_eq!(timers.first().zip(timers.last()), Some((&45, &75)));
    assert_eq!(delays.first().zip(delays.last()), Some((&0, &10)));
    assert_eq!(RetryPolicy::default().jitter, 25);
}
