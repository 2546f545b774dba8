//! When devices in queue mode fall asleep and wake up, as their messages tell.
//!
//! The feed has no events for that. Leshan and ingress nodes go by the same rule: a device is awake for a while after each
//! message of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proto::drover::v1::Event;
use proto::drover::v1::event::Kind;

/// How long a device listens after its message.
// LwM2M-Core 1.2 §6.5: MAX_TRANSMIT_WAIT of CoAP is advised.
const AWAKE: Duration = Duration::from_secs(93);
/// Devices that are looked after for one reader of events; further ones have no such events.
const MAX_DEVICES: usize = 10_000;

/// The devices that are awake, and until when.
#[derive(Debug, Default)]
pub(super) struct Presence {
    until: HashMap<String, Instant>,
}

impl Presence {
    /// Takes notice of what a device sent; whether it woke up with that.
    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) -> bool {
        let endpoint = event.endpoint.as_str();
        match &event.kind {
            Some(Kind::Registered(device) | Kind::Updated(device)) => {
                if device.binding.contains('Q') {
                    return self.hear(now, endpoint);
                }
                self.until.remove(endpoint);
            }
            Some(Kind::Deregistered(_) | Kind::Expired(_)) => {
                self.until.remove(endpoint);
            }
            Some(Kind::ValuesReported(reported)) => {
                let mut values = reported.values.iter();
                let is_own = values.any(|value| matches!(value.origin.as_str(), "Send" | "Notify"));
                // Only a registration says that there is a queue mode.
                if is_own && self.until.contains_key(endpoint) {
                    self.hear(now, endpoint);
                }
            }
            _ => {}
        }
        false
    }

    fn hear(&mut self, now: Instant, endpoint: &str) -> bool {
        let until = now + AWAKE;
        if let Some(known) = self.until.get_mut(endpoint) {
            *known = until;
            return false;
        }
        let has_room = self.until.len() < MAX_DEVICES;
        if has_room {
            self.until.insert(endpoint.to_owned(), until);
        }
        has_room
    }

    /// When the next device falls asleep, unless it is heard of.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until.values().min().copied()
    }

    /// A device that fell asleep by now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<String> {
        let mut devices = self.until.iter();
        let asleep = devices.find(|(_, until)| **until <= now);
        let endpoint = asleep.map(|(endpoint, _)| endpoint.clone())?;
        self.until.remove(&endpoint);
        Some(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use proto::drover::v1::event::{Deregistered, ValuesReported};
    use proto::drover::v1::{Device, ReportedValue};

    use super::*;

    fn event(kind: Kind) -> Event {
        Event {
            endpoint: "dev".to_owned(),
            time: None,
            kind: Some(kind),
        }
    }

    fn updated(binding: &str) -> Event {
        event(Kind::Updated(Device {
            binding: binding.to_owned(),
            ..Device::default()
        }))
    }

    fn reported(origin: &str) -> Event {
        event(Kind::ValuesReported(ValuesReported {
            values: vec![ReportedValue {
                origin: origin.to_owned(),
                ..ReportedValue::default()
            }],
        }))
    }

    #[test]
    fn a_device_in_queue_mode_sleeps_when_it_has_been_quiet() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let mut presence = Presence::default();
        assert!(presence.handle_event(start, &updated("UQ")));
        assert!(!presence.handle_event(later, &reported("Send")));
        // What is read of a device is no message of its own.
        let quiet = later + Duration::from_secs(60);
        assert!(!presence.handle_event(quiet, &reported("Read")));
        assert_eq!(presence.handle_timeout(quiet), None);
        assert_eq!(presence.poll_timeout(), Some(later + AWAKE));
        let asleep = presence.handle_timeout(later + AWAKE);
        assert_eq!(asleep.as_deref(), Some("dev"));
        assert_eq!(presence.poll_timeout(), None);
        assert!(presence.handle_event(later + AWAKE, &updated("UQ")));
    }

    #[test]
    fn other_devices_neither_sleep_nor_wake() {
        let now = Instant::now();
        let mut presence = Presence::default();
        assert!(!presence.handle_event(now, &updated("U")));
        assert!(!presence.handle_event(now, &reported("Notify")));
        assert_eq!(presence.poll_timeout(), None);
        presence.handle_event(now, &updated("UQ"));
        presence.handle_event(now, &event(Kind::Expired(Deregistered::default())));
        assert_eq!(presence.poll_timeout(), None);
    }
}
