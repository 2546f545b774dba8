//! Whether an observed device still reports as it has to (LwM2M Core 1.2 §7.3, RFC 7641 §4.3.1).
//!
//! A notification says by its Max-Age how long it can be relied upon, but LwM2M devices leave that
//! at its default of 60 s, whatever they are told. What binds them is `pmax`: with it they notify
//! even when nothing has changed, so silence beyond it means that the observation, the device or
//! the way to it is gone.

use std::time::Duration;

use lwm2m::{NotificationAttributes, ObjectLinks, Observed, Path, Setting, Value};

use crate::id::Timestamp;
use crate::limit::EXCHANGE_GRACE;
use crate::query::DeviceView;
use crate::record::{LastValue, Observation, Registration, ValueOrigin};

/// How late a notification may be: a confirmable one is repeated for that long.
pub const MARGIN: Duration = EXCHANGE_GRACE;
/// Of the Server object: Default Minimum Period and Default Maximum Period, in seconds.
const DEFAULT_PMIN: u16 = 2;
const DEFAULT_PMAX: u16 = 3;

/// What can be said of the values of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing says when the device has to notify, or nothing has come yet.
    Unpromised,
    /// The last notification holds; the next one comes by then even if nothing changes.
    Fresh { due: Timestamp },
    /// A notification was due then and has not come.
    Stale { since: Timestamp },
}

/// What can be said at `now` of an observation that reported last at `reported_at` and has to do so
/// every `period`.
pub fn freshness(
    now: Timestamp,
    reported_at: Option<Timestamp>,
    period: Option<Duration>,
) -> Freshness {
    let (Some(reported_at), Some(period)) = (reported_at, period) else {
        return Freshness::Unpromised;
    };
    let due = reported_at.saturating_add(period);
    if now > due.saturating_add(MARGIN) {
        Freshness::Stale { since: due }
    } else {
        Freshness::Fresh { due }
    }
}

/// What can be said at `now` of one of a device's observations. Of a device that is not registered
/// nothing can.
///
/// Attributes that were written to the observed path are not known here: where they allow a longer
/// silence than the defaults of the device's Server object, give them as parameters of the
/// observation.
pub fn observation_freshness(
    device: &DeviceView,
    now: Timestamp,
    observation: &Observation,
) -> Freshness {
    let Some(registration) = &device.registration else {
        return Freshness::Unpromised;
    };
    // What the Server object of a gateway says, nobody promises for the devices behind it.
    let default = match observation.observed.child() {
        None => defaults(&device.values, registration),
        Some(_) => NotificationAttributes::default(),
    };
    let period = period(observation.parameters, default);
    // Observations end with the registration, and begin anew with the next one.
    let reported_at = reported_at(device, &observation.observed)
        .map(|reported| reported.max(registration.registered_at));
    freshness(now, reported_at, period)
}

/// How long the device may be silent.
fn period(wanted: NotificationAttributes, default: NotificationAttributes) -> Option<Duration> {
    // LwM2M-Core 1.2 §7.3: what is asked for with the observation goes before everything else, one
    // attribute at a time.
    let pmin = wanted.pmin.value().or_else(|| default.pmin.value());
    let pmax = wanted.pmax.value().or_else(|| default.pmax.value());
    let both = NotificationAttributes {
        pmin: Setting::from(pmin),
        pmax: Setting::from(pmax),
        ..NotificationAttributes::default()
    };
    let seconds = both.effective_pmax()?;
    Some(Duration::from_secs(seconds.into()))
}

/// What the device does where nothing else was said, as far as that is known.
fn defaults(values: &[LastValue], registration: &Registration) -> NotificationAttributes {
    let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
    let of_server = |resource| {
        let path = Path::Resource(1, links.own_server_instance()?, resource);
        let known = values.iter().find(|known| known.path == path)?;
        match known.value {
            Value::Integer(seconds) => u32::try_from(seconds).ok(),
            _ => None,
        }
    };
    NotificationAttributes {
        pmin: Setting::from(of_server(DEFAULT_PMIN)),
        pmax: Setting::from(of_server(DEFAULT_PMAX)),
        ..NotificationAttributes::default()
    }
}

/// When the observation last reported: of several paths, the one that has been silent longest.
fn reported_at(device: &DeviceView, observed: &Observed) -> Option<Timestamp> {
    let reports = |path: &Path| {
        let values = device.values_of(observed.child());
        let below = values.filter(|value| value.path.starts_with(*path));
        let notified = below.filter(|value| value.origin == ValueOrigin::Notify);
        notified.map(|value| value.at).max()
    };
    observed.paths().iter().filter_map(reports).min()
}
