//! `/api/event`: what happens to devices, as Server-Sent Events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures::Stream;
use proto::drover::v1::event::Kind;
use proto::drover::v1::{Event, WatchEventsRequest, WatchEventsResponse};
use serde_json::{Value as JsonValue, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tonic::Streaming;

use super::node::Values;
use super::presence::Presence;
use super::query::Query;
use super::refusal::Refusal;
use super::registration::{registration, update};
use super::shim::Shim;

/// Between signs of life of a stream without events.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// An event as Leshan's EventServlet sends it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShimEvent {
    pub(super) endpoint: String,
    pub(super) name: &'static str,
    pub(super) data: JsonValue,
}

impl ShimEvent {
    /// What the feed tells; `None` for what Leshan has no event for.
    ///
    /// Notifications are not taken from the feed, which does not say whose observation they are of.
    fn of_feed(event: Event) -> Option<Self> {
        let endpoint = event.endpoint;
        let (name, data) = match event.kind? {
            Kind::Registered(device) => ("REGISTRATION", registration(&device)),
            Kind::Updated(device) => ("UPDATED", update(&device)),
            Kind::Deregistered(ended) | Kind::Expired(ended) => (
                "DEREGISTRATION",
                json!({"endpoint": endpoint, "registrationId": ended.registration_id}),
            ),
            Kind::ValuesReported(reported) => {
                let sent = reported.values.into_iter();
                // Leshan knows no devices behind gateways.
                let sent = sent.filter(|value| value.origin == "Send" && value.child.is_empty());
                let sent = sent.collect();
                let values = Values::reported(sent);
                if values.is_empty() {
                    return None;
                }
                ("SEND", json!({"ep": endpoint, "val": values.each()}))
            }
            Kind::OperationFinished(_)
            | Kind::DesiredChanged(_)
            | Kind::DesiredRemoved(_)
            | Kind::Bootstrapped(_)
            | Kind::CampaignMoved(_)
            | Kind::LabelsChanged(_)
            | Kind::Deleted(_)
            // Not asked for.
            | Kind::Present(_) => return None,
        };
        Some(Self {
            endpoint,
            name,
            data,
        })
    }

    /// `AWAKE` or `SLEEPING`.
    fn of_presence(name: &'static str, endpoint: String) -> Self {
        Self {
            name,
            data: json!({"ep": endpoint}),
            endpoint,
        }
    }
}

/// `GET /api/event?ep=…`: of one device, or without `ep` of all.
pub(super) async fn events(
    State(shim): State<Arc<Shim>>,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Refusal> {
    let permit = shim.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many event streams are open",
        )
    })?;
    let endpoint = Query::new(query.as_deref())
        .get("ep")
        .unwrap_or_default()
        .to_owned();
    // Both before the answer begins: a caller who has its head misses nothing.
    let notifications = shim.observations.subscribe();
    let request = WatchEventsRequest {
        endpoint: endpoint.clone(),
        ..Default::default()
    };
    let mut devices = shim.api.devices();
    let begun = tokio::time::timeout(shim.api.timeout(), devices.watch_events(request)).await;
    let feed = begun.map_err(|_| Refusal::timeout())??.into_inner();
    let subscription = Subscription {
        endpoint,
        feed,
        notifications,
        presence: Presence::default(),
        ready: VecDeque::new(),
        _permit: permit,
    };
    let stream = futures::stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await?;
        let sse = SseEvent::default()
            .event(event.name)
            .data(event.data.to_string());
        Some((Ok(sse), subscription))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What one reader of events gets.
struct Subscription {
    /// Empty: every device.
    endpoint: String,
    feed: Streaming<WatchEventsResponse>,
    notifications: broadcast::Receiver<ShimEvent>,
    presence: Presence,
    /// At most two.
    ready: VecDeque<ShimEvent>,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    /// `None` when the feed ends, as it does with the node that it is from: the reader comes again.
    async fn next(&mut self) -> Option<ShimEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::select! {
                message = self.feed.message() => {
                    if let Some(event) = message.ok()??.event {
                        self.handle_event(event);
                    }
                }
                notification = self.notifications.recv() => match notification {
                    Ok(event) if self.endpoint.is_empty() || event.endpoint == self.endpoint => {
                        return Some(event);
                    }
                    // A reader that is too slow loses the oldest.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = until(self.presence.poll_timeout()) => {
                    let asleep = self.presence.handle_timeout(Instant::now());
                    let asleep = asleep.map(|one| ShimEvent::of_presence("SLEEPING", one));
                    self.ready.extend(asleep);
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let woke = self.presence.handle_event(Instant::now(), &event);
        let endpoint = event.endpoint.clone();
        self.ready.extend(ShimEvent::of_feed(event));
        if woke {
            self.ready
                .push_back(ShimEvent::of_presence("AWAKE", endpoint));
        }
    }
}

/// Never ends without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use lwm2m::Value;
    use proto::drover::v1::event::{Deregistered, ValuesReported};
    use proto::drover::v1::{Device, ReportedValue};

    use super::*;

    fn translated(kind: Kind) -> Option<ShimEvent> {
        ShimEvent::of_feed(Event {
            endpoint: "dev".to_owned(),
            time: None,
            kind: Some(kind),
        })
    }

    fn reported(origin: &str) -> Kind {
        let value = |path: &str, value: Value| ReportedValue {
            path: path.to_owned(),
            value: Some(value.into()),
            time: None,
            origin: origin.to_owned(),
            child: String::new(),
        };
        Kind::ValuesReported(ValuesReported {
            values: vec![
                value("/1/0/1", Value::Integer(86_400)),
                value("/3/0/11/0", Value::Integer(0)),
            ],
        })
    }

    #[test]
    fn a_send_has_a_node_for_each_value() {
        let event = translated(reported("Send")).unwrap();
        assert_eq!((event.name, event.endpoint.as_str()), ("SEND", "dev"));
        let expected = json!({"ep": "dev", "val": {
            "/1/0/1": {"id": 1, "kind": "singleResource", "type": "INTEGER", "value": "86400"},
            "/3/0/11/0": {"id": 0, "kind": "resourceInstance", "type": "INTEGER", "value": "0"},
        }});
        assert_eq!(event.data, expected);
        assert_eq!(translated(reported("Notify")), None);
        assert_eq!(translated(reported("Write")), None);
    }

    #[test]
    fn registrations_have_leshans_names() {
        let name = |kind| translated(kind).map(|event| event.name);
        assert_eq!(
            name(Kind::Registered(Device::default())),
            Some("REGISTRATION")
        );
        assert_eq!(name(Kind::Updated(Device::default())), Some("UPDATED"));
        let ended = Deregistered {
            registration_id: "0001".to_owned(),
        };
        let event = translated(Kind::Expired(ended)).unwrap();
        assert_eq!(event.name, "DEREGISTRATION");
        assert_eq!(event.data["registrationId"], "0001");
        assert_eq!(name(Kind::DesiredRemoved("/3/0/14".to_owned())), None);
    }
}
