//! What a watcher wants, and what it is told first.

use std::time::Duration;

use device_state::query::DeviceView;
use device_state::{DevicePrefix, Devices, EventFilter, EventKind, Namespace, Timestamp};
use lwm2m::EndpointName;
use prost::Message;

use super::value::path;
use super::{InNamespace, device, timestamp};
use crate::convert::list::bounded;
use crate::convert::{ConvertError, Reason, device_in};
use crate::drover::v1 as public;

/// How often a watcher gets a token without an event, unless it says so itself, and the bounds of that.
const CHECKPOINT: Duration = Duration::from_secs(10);
const MIN_CHECKPOINT: Duration = Duration::from_secs(1);
const MAX_CHECKPOINT: Duration = Duration::from_mins(5);
/// More kinds than there are: repeated ones say nothing new.
const MAX_KINDS: usize = 64;

/// Bytes of values that come with a device that is there: gRPC clients take messages of 4 MiB unless they are told
/// otherwise, and a watcher that cannot take one could not go on after it either.
const MAX_PRESENT_VALUES: usize = 2 << 20;

/// What to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// What happens from now on.
    Now,
    /// The devices as they are.
    Present,
}

/// A checked [`public::WatchEventsRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    pub filter: EventFilter,
    /// Empty: none.
    pub resume_token: String,
    pub beginning: Beginning,
    pub checkpoint: Duration,
}

impl TryFrom<InNamespace<public::WatchEventsRequest>> for WatchRequest {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::WatchEventsRequest>) -> Result<Self, ConvertError> {
        let InNamespace { namespace, request } = asked;
        let beginning = if request.include_initial {
            Beginning::Present
        } else {
            Beginning::Now
        };
        Ok(Self {
            filter: filter(
                &namespace,
                &request.endpoint,
                request.filter.unwrap_or_default(),
            )?,
            resume_token: request.resume_token,
            beginning,
            checkpoint: checkpoint(request.checkpoint_interval)?,
        })
    }
}

fn filter(
    namespace: &Namespace,
    endpoint: &str,
    filter: public::EventFilter,
) -> Result<EventFilter, ConvertError> {
    let devices = devices(namespace, endpoint, filter.endpoint_prefix)?;
    bounded("filter.kinds", &filter.kinds, MAX_KINDS)?;
    let kinds: Result<_, _> = filter.kinds.into_iter().map(kind).collect();
    bounded("filter.paths", &filter.paths, EventFilter::MAX_PATHS)?;
    let paths = filter.paths.iter().map(|text| path("filter.paths", text));
    let paths: Result<_, _> = paths.collect();
    Ok(EventFilter {
        devices,
        kinds: kinds?,
        paths: paths?,
    })
}

fn devices(namespace: &Namespace, endpoint: &str, prefix: String) -> Result<Devices, ConvertError> {
    match (endpoint, prefix) {
        ("", prefix) if prefix.len() > EndpointName::MAX_BYTES => {
            let length = Reason::Length(prefix.len());
            Err(ConvertError::new("filter.endpoint_prefix", length))
        }
        ("", prefix) => Ok(Devices::Prefix(DevicePrefix::new(namespace, &prefix))),
        (name, prefix) if name.starts_with(&prefix) => {
            device_in(namespace, name).map(Devices::Named)
        }
        (_, prefix) => {
            let other = Reason::OtherPrefix { prefix };
            Err(ConvertError::new("filter.endpoint_prefix", other))
        }
    }
}

fn kind(number: i32) -> Result<EventKind, ConvertError> {
    use public::EventKind as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Registered) => EventKind::Registered,
        Ok(Wire::Updated) => EventKind::Updated,
        Ok(Wire::Deregistered) => EventKind::Deregistered,
        Ok(Wire::Expired) => EventKind::Expired,
        Ok(Wire::ValuesReported) => EventKind::ValuesReported,
        Ok(Wire::OperationFinished) => EventKind::OperationFinished,
        Ok(Wire::DesiredChanged) => EventKind::DesiredChanged,
        Ok(Wire::DesiredRemoved) => EventKind::DesiredRemoved,
        Ok(Wire::Bootstrapped) => EventKind::Bootstrapped,
        Ok(Wire::LabelsChanged) => EventKind::LabelsChanged,
        Ok(Wire::Deleted) => EventKind::Deleted,
        Ok(Wire::CampaignMoved) => EventKind::CampaignMoved,
        Ok(Wire::Unspecified) | Err(_) => {
            return Err(ConvertError::new(
                "filter.kinds",
                Reason::UnknownEnum(number),
            ));
        }
    })
}

fn checkpoint(asked: Option<prost_types::Duration>) -> Result<Duration, ConvertError> {
    let Some(asked) = asked else {
        return Ok(CHECKPOINT);
    };
    let outside = || {
        let bounds = Reason::OutsideOf {
            least: MIN_CHECKPOINT,
            most: MAX_CHECKPOINT,
        };
        ConvertError::new("checkpoint_interval", bounds)
    };
    let interval = Duration::try_from(asked).map_err(|_| outside())?;
    if (MIN_CHECKPOINT..=MAX_CHECKPOINT).contains(&interval) {
        Ok(interval)
    } else {
        Err(outside())
    }
}

/// The event that tells of a device that is there, with those of its values that the filter wants and that fit.
pub fn present(mut view: DeviceView, filter: &EventFilter, at: Timestamp) -> public::Event {
    view.values.retain(|value| filter.wants_path(value.path));
    view.child_values
        .retain(|kept| filter.wants_path(kept.value.path));
    let endpoint = view.endpoint.endpoint_str().to_owned();
    let mut device = device(view);
    let mut room = MAX_PRESENT_VALUES;
    let mut fits = |value: &public::ReportedValue| {
        let left = room.checked_sub(value.encoded_len());
        room = left.unwrap_or(room);
        left.is_some()
    };
    device.values.retain(&mut fits);
    device.child_values.retain(fits);
    public::Event {
        endpoint,
        time: timestamp(at),
        kind: Some(public::event::Kind::Present(device)),
    }
}
