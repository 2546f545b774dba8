//! Devices that sleep: they listen for some seconds after their last message, and then for nothing.

use std::net::SocketAddr;
use std::time::Duration;

use lwm2m::{Binding, EndpointName, Lifetime, QueueMode};
use lwm2m_client::{Config, Device, Event};
use tests::{Drover, LiveDevice};

use super::DEVICES;
use crate::fleet::{KEY, SOON, keys};

const KIND: &str = "sleeper";
/// Longer than ingress nodes take it to be awake, so that what they send at the last moment arrives.
const AWAKE: Duration = Duration::from_secs(4);
/// How long a device may be up before it can sleep again: it waits for the answer to its Update for as long as 93 s.
const NIGHT: Duration = Duration::from_secs(150);

/// Devices that have registered over DTLS with Connection IDs, and sleep.
pub(super) fn fall_asleep(drover: &Drover, server: SocketAddr) -> Vec<LiveDevice> {
    keys(drover, KIND, DEVICES);
    let devices: Vec<LiveDevice> = (0..DEVICES)
        .map(|number| start(&format!("{KIND}-{number:06}"), server))
        .collect();
    for device in &devices {
        let registered = |event: &Event| matches!(event, Event::Registered { .. });
        device.wait_for_within(SOON, "the registration", 1, registered);
        device.wait_for_within(SOON, "sleep", 1, is_asleep);
    }
    devices
}

fn start(name: &str, server: SocketAddr) -> LiveDevice {
    let config = Config {
        binding: Binding::UDP.with_queue_mode(QueueMode::On),
        lifetime: Lifetime::from_secs(86_400),
        queue_window: AWAKE,
        ..Config::new(EndpointName::new(name).unwrap())
    };
    LiveDevice::start_secured(config, KEY, server)
}

/// Has a device say that it is there, and waits until it sleeps again.
pub(super) fn wake(device: &LiveDevice) {
    let nights = device.count(is_asleep);
    device.with(Device::update);
    device.wait_for_within(NIGHT, "sleep", nights + 1, is_asleep);
}

fn is_asleep(event: &Event) -> bool {
    *event == Event::FellAsleep
}
