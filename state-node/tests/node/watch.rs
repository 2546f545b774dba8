//! Watches of events: where they go on, what they begin with, and how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use device_state::{Command, DeviceName, Outcome, Timestamp, ValueOrigin};
use futures::StreamExt;
use lwm2m::{Path, RegistrationId, Value};
use proto::drover::v1 as public;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::event::Kind;
use state_client::Client;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::cluster::{Cluster, PATIENCE, Stop};
use crate::device::Ingress;
use crate::endpoint;

const VALUE: Path = Path::Resource(3303, 0, 5700);

/// A watcher that keeps its token.
struct Watcher {
    stream: Streaming<public::WatchEventsResponse>,
    token: String,
}

impl Watcher {
    async fn begin(cluster: &Cluster, node: usize, request: public::WatchEventsRequest) -> Self {
        let mut devices = DevicesClient::connect(cluster.api(node)).await.unwrap();
        let token = request.resume_token.clone();
        let stream = devices.watch_events(request).await.unwrap().into_inner();
        Self { stream, token }
    }

    async fn message(&mut self) -> Result<public::WatchEventsResponse, Status> {
        let message = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        let message = message.expect("a message in time")?;
        let message = message.expect("a watch has no end of its own");
        self.token.clone_from(&message.resume_token);
        Ok(message)
    }

    async fn event(&mut self) -> public::Event {
        loop {
            if let Some(event) = self.message().await.unwrap().event {
                return event;
            }
        }
    }

    /// The status that ends the watch, and the events before it.
    async fn end(&mut self) -> (Vec<public::Event>, Status) {
        let mut events = Vec::new();
        loop {
            match self.message().await {
                Ok(message) => events.extend(message.event),
                Err(status) => return (events, status),
            }
        }
    }
}

fn after(token: &str) -> public::WatchEventsRequest {
    public::WatchEventsRequest {
        resume_token: token.to_owned(),
        ..Default::default()
    }
}

async fn refusal(cluster: &Cluster, request: public::WatchEventsRequest) -> (Code, String) {
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    reason(&devices.watch_events(request).await.unwrap_err())
}

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info();
    (
        status.code(),
        info.map(|info| info.reason).unwrap_or_default(),
    )
}

/// Reports a value of a device as its own message.
async fn send(client: &Client, endpoint: &DeviceName, id: &RegistrationId, value: Value) {
    let shard = client.ready().await.shard_of(endpoint);
    let command = Command::RecordValues {
        endpoint: endpoint.clone(),
        registration: id.clone(),
        child: None,
        origin: ValueOrigin::Send,
        values: vec![(VALUE, value, Timestamp(1))],
    };
    let outcome = client.propose(shard, command, PATIENCE).await;
    assert_eq!(outcome, Ok(Outcome::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_its_token_left_off_even_on_another_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let mut watcher = Watcher::begin(&cluster, 0, after("")).await;
    let first = watcher.message().await.unwrap();
    assert_eq!(first.event, None, "a token to begin with");
    for number in 0..20 {
        ingress.register(&endpoint(number)).await;
    }
    let mut seen = Vec::new();
    while seen.len() < 10 {
        seen.push(watcher.event().await.endpoint);
    }
    let token = watcher.token.clone();
    drop(watcher);
    let mut watcher = Watcher::begin(&cluster, 1, after(&token)).await;
    while seen.len() < 20 {
        seen.push(watcher.event().await.endpoint);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20, "every registration once");

    let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    assert_eq!(refusal(&cluster, after("made-up")).await, invalid);
    // A signature that was tampered with, and a place.
    for at in [token.len() - 3, token.len() / 2] {
        let mut forged = token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(refusal(&cluster, after(&forged)).await, invalid, "{at}");
    }
    let other_watch = public::WatchEventsRequest {
        endpoint: "meter-1".to_owned(),
        ..after(&token)
    };
    assert_eq!(refusal(&cluster, other_watch).await, invalid);
    // Its history is another one.
    let other_cluster = Cluster::start(1).await;
    let expired = (Code::OutOfRange, "RESUME_TOKEN_EXPIRED".to_owned());
    assert_eq!(refusal(&other_cluster, after(&token)).await, expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leaves_out_what_is_not_wanted() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let filter =
        |kinds: Vec<public::EventKind>, prefix: &str, paths: &[&str]| public::WatchEventsRequest {
            filter: Some(public::EventFilter {
                kinds: kinds.into_iter().map(Into::into).collect(),
                endpoint_prefix: prefix.to_owned(),
                paths: paths.iter().map(ToString::to_string).collect(),
            }),
            ..Default::default()
        };
    let values = filter(vec![public::EventKind::ValuesReported], "", &["/3303"]);
    let mut values = Watcher::begin(&cluster, 0, values).await;
    let mut pumps = Watcher::begin(&cluster, 0, filter(vec![], "pump-", &[])).await;
    let pump = DeviceName::parse("pump-1").unwrap();
    let meter = endpoint(1);
    let meter_id = ingress.register(&meter).await;
    ingress
        .notify(
            &meter,
            &meter_id,
            Path::Resource(3, 0, 9),
            Value::Integer(80),
        )
        .await;
    ingress
        .notify(&meter, &meter_id, VALUE, Value::Float(20.5))
        .await;
    ingress.register(&pump).await;
    let event = values.event().await;
    assert_eq!(event.endpoint, "meter-1");
    let Some(Kind::ValuesReported(reported)) = event.kind else {
        panic!("{event:?}")
    };
    assert_eq!(reported.values[0].path, "/3303/0/5700");
    assert_eq!(pumps.event().await.endpoint, "pump-1");

    let invalid = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    let wrong = filter(vec![], "", &["3303"]);
    assert_eq!(refusal(&cluster, wrong).await, invalid);
    let wrong = filter(vec![public::EventKind::Unspecified], "", &[]);
    assert_eq!(refusal(&cluster, wrong).await, invalid);
    let too_often = public::WatchEventsRequest {
        checkpoint_interval: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    assert_eq!(refusal(&cluster, too_often).await, invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watch_gets_checkpoints_as_often_as_it_asked() {
    let cluster = Cluster::start(1).await;
    let request = public::WatchEventsRequest {
        checkpoint_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..Default::default()
    };
    let mut watcher = Watcher::begin(&cluster, 0, request).await;
    let begun = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(watcher.message().await.unwrap().event, None);
    }
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(2)..PATIENCE).contains(&took),
        "{took:?}"
    );
}

/// What a watcher has heard of each device.
#[derive(Default)]
struct Heard {
    present: BTreeMap<String, usize>,
    /// Values in their order.
    values: BTreeMap<String, Vec<i64>>,
    complete: bool,
}

impl Heard {
    fn take(&mut self, message: public::WatchEventsResponse) {
        if message.initial_complete {
            assert_eq!(message.event, None);
            self.complete = true;
        }
        let Some(event) = message.event else { return };
        let values = match event.kind {
            Some(Kind::Present(device)) => {
                *self.present.entry(event.endpoint.clone()).or_default() += 1;
                device.values
            }
            Some(Kind::ValuesReported(reported)) => reported.values,
            _ => return,
        };
        let numbers = self.values.entry(event.endpoint).or_default();
        for value in values {
            let Some(public::value::Kind::Integer(number)) = value.value.and_then(|one| one.kind)
            else {
                panic!("another value")
            };
            numbers.push(number);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_as_they_are_come_once_and_what_happens_meanwhile_is_in_order() {
    const DEVICES: u32 = 300;
    const ROUNDS: i64 = 6;
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    let mut ids = BTreeMap::new();
    for number in 0..DEVICES {
        let name = endpoint(number);
        ids.insert(name.clone(), ingress.register(&name).await);
    }
    let report = async {
        for round in 1..=ROUNDS {
            let sends = ids
                .iter()
                .map(|(name, id)| send(&client, name, id, Value::Integer(round)));
            let sends = futures::stream::iter(sends).buffer_unordered(16);
            sends.collect::<Vec<()>>().await;
        }
    };
    let watch = async {
        let mut heard = Heard::default();
        let mut token = String::new();
        let due = |heard: &Heard| {
            let last = |values: &Vec<i64>| values.last() == Some(&ROUNDS);
            heard.complete && heard.values.values().filter(|values| last(values)).count() == 300
        };
        // A token of the middle of the list goes on with the rest of it, wherever that is.
        for node in (0..3).cycle() {
            let request = public::WatchEventsRequest {
                include_initial: true,
                ..after(&token)
            };
            let mut watcher = Watcher::begin(&cluster, node, request).await;
            for _ in 0..70 {
                if due(&heard) {
                    return heard;
                }
                heard.take(watcher.message().await.unwrap());
            }
            token = watcher.token;
        }
        heard
    };
    let ((), heard) = tokio::join!(report, watch);
    let names: BTreeSet<String> = {
        let name = |device: &DeviceName| device.endpoint_str().to_owned();
        ids.keys().map(name).collect()
    };
    let present: BTreeSet<String> = heard.present.keys().cloned().collect();
    assert_eq!(present, names);
    assert!(heard.present.values().all(|times| *times == 1));
    for (name, values) in &heard.values {
        // What it was present with, and each value since, each once.
        let first = values[0];
        let expected: Vec<i64> = (first..=ROUNDS).collect();
        assert_eq!(*values, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_takes_nothing_is_cut_and_goes_on_with_the_token_it_is_told() {
    const EVENTS: usize = 400;
    let settings = [
        ("DROVER_STATE__SLOW_WATCHER_PATIENCE", "1s"),
        ("DROVER_STATE__MAX_WATCHERS", "1"),
    ];
    let cluster = Cluster::start_with(1, &settings).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let meter = endpoint(1);
    let id = ingress.register(&meter).await;
    let channel = narrow(&cluster.api(0)).await;
    let mut devices = DevicesClient::new(channel);
    let stream = devices.watch_events(after("")).await.unwrap().into_inner();
    let mut slow = Watcher {
        stream,
        token: String::new(),
    };
    slow.message().await.unwrap();
    let busy = refusal(&cluster, after("")).await;
    assert_eq!(
        busy,
        (Code::ResourceExhausted, "TOO_MANY_WATCHERS".to_owned())
    );
    for number in 0..EVENTS {
        let text = format!("{number:<9000}");
        send(&client, &meter, &id, Value::String(text)).await;
    }
    // Its seat is free once it is cut, though it has not taken a thing yet.
    let mut other = seated(&cluster).await;
    other.message().await.unwrap();
    drop(other);
    let (events, status) = slow.end().await;
    assert_eq!(
        reason(&status),
        (Code::ResourceExhausted, "SLOW_CONSUMER".to_owned())
    );
    let told = status.get_details_error_info().unwrap().metadata;
    assert_eq!(told["resume_token"], slow.token);
    let mut seen = numbers(&events);
    assert!(seen.len() < EVENTS, "{}", seen.len());
    let mut watcher = seated_after(&cluster, &told["resume_token"]).await;
    while seen.len() < EVENTS {
        seen.extend(numbers(&[watcher.event().await]));
    }
    assert_eq!(seen, (0..EVENTS).collect::<Vec<_>>());
}

/// A connection on which little is in flight.
async fn narrow(api: &str) -> Channel {
    let endpoint = Endpoint::from_shared(api.to_owned()).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535);
    endpoint.connect().await.unwrap()
}

async fn seated(cluster: &Cluster) -> Watcher {
    seated_after(cluster, "").await
}

/// A watcher that comes again until there is room for it.
async fn seated_after(cluster: &Cluster, token: &str) -> Watcher {
    let mut devices = DevicesClient::connect(cluster.api(0)).await.unwrap();
    let mut watcher = None;
    crate::cluster::eventually("room for a watcher", async || {
        let begun = devices.watch_events(after(token)).await;
        watcher = begun.ok().map(|begun| Watcher {
            stream: begun.into_inner(),
            token: token.to_owned(),
        });
        watcher.is_some()
    })
    .await;
    watcher.unwrap()
}

/// The numbers that values of these events begin with.
fn numbers(events: &[public::Event]) -> Vec<usize> {
    let number = |event: &public::Event| match &event.kind {
        Some(Kind::ValuesReported(reported)) => match &reported.values[0].value {
            Some(public::Value {
                kind: Some(public::value::Kind::String(text)),
            }) => text.trim().parse().ok(),
            _ => None,
        },
        _ => None,
    };
    events.iter().filter_map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_events_are_gone_is_told_so() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 1).await;
    let meter = endpoint(1);
    let id = ingress.register(&meter).await;
    let mut watcher = Watcher::begin(&cluster, 0, after("")).await;
    watcher.message().await.unwrap();
    let token = watcher.token.clone();
    drop(watcher);
    // More than the feed of a shard holds: device_state::limit::MAX_FEED_BYTES.
    let bytes = 60 << 10;
    let count = (device_state::limit::MAX_FEED_BYTES / bytes) as usize + 60;
    let text = "x".repeat(bytes as usize);
    let sends = (0..count).map(|_| send(&client, &meter, &id, Value::String(text.clone())));
    futures::stream::iter(sends)
        .buffer_unordered(8)
        .collect::<Vec<()>>()
        .await;
    let mut watcher = Watcher::begin(&cluster, 0, after(&token)).await;
    let (_, status) = watcher.end().await;
    let expired = (Code::OutOfRange, "RESUME_TOKEN_EXPIRED".to_owned());
    assert_eq!(reason(&status), expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hears_of_no_leader_sends_its_watchers_away() {
    let mut cluster = Cluster::start(3).await;
    let mut watcher = Watcher::begin(&cluster, 0, after("")).await;
    watcher.message().await.unwrap();
    cluster.stop(1, Stop::Kill).await;
    cluster.stop(2, Stop::Kill).await;
    let (events, status) = watcher.end().await;
    assert!(events.is_empty(), "{events:?}");
    let away = (Code::Unavailable, "NODE_OUT_OF_TOUCH".to_owned());
    assert_eq!(reason(&status), away);
    // With another node there is a quorum again, and it serves.
    cluster.restart(1).await;
    let token = watcher.token.clone();
    crate::cluster::eventually("a watch again", async || {
        let mut again = Watcher::begin(&cluster, 0, after(&token)).await;
        again.message().await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_a_token_does_not_pretend_to_know() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let ingress = Ingress::attach(&client, 3).await;
    cluster.stop(2, Stop::Terminate).await;
    let mut watcher = Watcher::begin(&cluster, 0, after("")).await;
    for number in 0..8 {
        ingress.register(&endpoint(number)).await;
    }
    for _ in 0..8 {
        watcher.event().await;
    }
    let token = watcher.token.clone();
    drop(watcher);
    // What the third node missed it cannot learn alone.
    cluster.stop(0, Stop::Kill).await;
    cluster.stop(1, Stop::Kill).await;
    cluster.restart_alone(2);
    let mut devices = None;
    crate::cluster::eventually("the API of the node", async || {
        devices = DevicesClient::connect(cluster.api(2)).await.ok();
        devices.is_some()
    })
    .await;
    let mut stream = None;
    crate::cluster::eventually("a watch", async || {
        let begun = devices.as_mut().unwrap().watch_events(after(&token)).await;
        stream = begun.ok().map(tonic::Response::into_inner);
        stream.is_some()
    })
    .await;
    let mut watcher = Watcher {
        stream: stream.unwrap(),
        token,
    };
    let (events, status) = watcher.end().await;
    assert!(events.is_empty(), "{events:?}");
    let behind = (Code::Unavailable, "NODE_BEHIND".to_owned());
    assert_eq!(reason(&status), behind);
}
