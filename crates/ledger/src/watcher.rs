//! Somebody who follows the events of the fleet, now at this node and now at that, from where the last one left off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::event::Kind;
use proto::drover::v1::operation::State;
use proto::drover::v1::{Event, WatchEventsRequest, value};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

use crate::calls::{Calls, rest};
use crate::commands::Asked;
use crate::registers::{self, History};
use crate::wait::until_some;

/// A node tells a token every ten seconds at least.
const SILENCE: Duration = Duration::from_secs(13);

/// A device and a value that it reported.
pub type Report = (String, String);

#[derive(Debug, Default)]
struct Seen {
    beginning: Option<String>,
    token: String,
    events: Vec<Event>,
}

/// Somebody who follows all events, at one node after the other.
#[derive(Debug)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watcher {
    /// Watches, and waits until it has begun.
    pub async fn start(calls: Calls) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut task = JoinSet::new();
        let events = seen.clone();
        let follow = async move {
            let mut rng = calls.rng();
            loop {
                let client = DevicesClient::new(calls.any(&mut rng));
                let Err(status) = follow(client, &events).await else {
                    continue;
                };
                assert_ne!(
                    status.code(),
                    Code::OutOfRange,
                    "events are gone: {status:?}"
                );
                assert_ne!(status.code(), Code::InvalidArgument, "{status:?}");
                rest(&mut rng, 50..300).await;
            }
        };
        task.spawn(follow);
        let watcher = Self { seen, _task: task };
        until_some("a watch that has begun", || {
            lock(&watcher.seen).beginning.clone().ok_or(())
        })
        .await;
        watcher
    }

    /// Where the watch began.
    pub fn beginning(&self) -> String {
        lock(&self.seen).beginning.clone().unwrap()
    }

    /// Waits until every acknowledged change was told, and looks at the order and the number of what was.
    pub(crate) async fn saw_all(&self, history: &History, asked: &[Asked]) {
        let changes: BTreeSet<_> = registers::acknowledged(history)
            .map(|(endpoint, generation)| (endpoint.to_owned(), generation))
            .collect();
        let ended: BTreeSet<_> = asked.iter().map(|command| command.id.clone()).collect();
        until_some("every acknowledged change in a watch", || {
            let told = self.told();
            let lost: Vec<_> = changes.difference(&told.changes).collect();
            let unended: Vec<_> = ended
                .iter()
                .filter(|id| !told.ends.contains_key(*id))
                .collect();
            if lost.is_empty() && unended.is_empty() {
                Ok(())
            } else {
                Err(format!("never told: {lost:?}; never ended: {unended:?}"))
            }
        })
        .await;
        let told = self.told();
        for (id, ends) in &told.ends {
            assert_eq!(ends.len(), 1, "operation {id} ended as {ends:?}");
            assert!(
                ended.contains(id),
                "operation {id} was asked for by nobody: a request had two effects"
            );
        }
        for command in asked {
            if let Some(state) = command.cancelled {
                let end = told.ends[&command.id].first().unwrap().0;
                assert_eq!(end, i32::from(state), "{command:?}");
            }
        }
    }

    /// What was reported of temperatures.
    pub fn reports(&self) -> BTreeSet<Report> {
        let seen = lock(&self.seen);
        let reported = seen.events.iter().filter_map(|event| match &event.kind {
            Some(Kind::ValuesReported(reported)) => Some((event, &reported.values)),
            _ => None,
        });
        reported
            .flat_map(|(event, values)| values.iter().map(move |value| (event, value)))
            .filter_map(
                |(event, value)| match value.value.as_ref()?.kind.as_ref()? {
                    value::Kind::Float(number) => {
                        Some((event.endpoint.clone(), number.to_string()))
                    }
                    _ => None,
                },
            )
            .collect()
    }

    fn told(&self) -> Told {
        let mut told = Told::default();
        for event in &lock(&self.seen).events {
            told.take(event);
        }
        told
    }
}

/// What the events say.
#[derive(Debug, Default)]
struct Told {
    changes: BTreeSet<(String, u64)>,
    /// The newest generation of each device.
    newest: BTreeMap<String, u64>,
    /// Of commands: state and time.
    ends: BTreeMap<String, BTreeSet<(i32, String)>>,
}

impl Told {
    fn take(&mut self, event: &Event) {
        let endpoint = &event.endpoint;
        match event.kind.as_ref() {
            Some(Kind::DesiredChanged(resource)) => {
                let change = (endpoint.clone(), resource.generation);
                // What was told before may be told again: a watch is told everything at least once.
                if self.changes.insert(change) {
                    let newest = self.newest.entry(endpoint.clone()).or_default();
                    assert!(
                        resource.generation > *newest,
                        "{endpoint}: {} after {newest}",
                        resource.generation
                    );
                    *newest = resource.generation;
                }
            }
            Some(Kind::OperationFinished(operation)) if endpoint.starts_with("commanded") => {
                assert_ne!(operation.state(), State::Delivered, "{operation:?}");
                let end = (operation.state, format!("{:?}", operation.finish_time));
                self.ends
                    .entry(operation.id.clone())
                    .or_default()
                    .insert(end);
            }
            _ => {}
        }
    }
}

type Client = DevicesClient<tonic::transport::Channel>;

/// Follows at one node for as long as it tells something.
async fn follow(mut client: Client, seen: &Mutex<Seen>) -> Result<(), Status> {
    let resume_token = lock(seen).token.clone();
    let request = Request::new(WatchEventsRequest {
        resume_token,
        ..WatchEventsRequest::default()
    });
    let silent = || Status::deadline_exceeded("the node is silent");
    let begun = tokio::time::timeout(Duration::from_secs(4), client.watch_events(request)).await;
    let mut stream = begun.map_err(|_| silent())??.into_inner();
    loop {
        let message = tokio::time::timeout(SILENCE, stream.message()).await;
        let Some(message) = message.map_err(|_| silent())?? else {
            return Ok(());
        };
        let mut seen = lock(seen);
        seen.beginning
            .get_or_insert_with(|| message.resume_token.clone());
        seen.token = message.resume_token;
        seen.events.extend(message.event);
    }
}

/// All events that a node has since `beginning`, by device.
pub(crate) async fn all_events(
    calls: &Calls,
    node: usize,
    beginning: &str,
) -> Result<BTreeMap<String, Vec<Event>>, Status> {
    let mut client = DevicesClient::new(calls.node(node));
    let request = Request::new(WatchEventsRequest {
        resume_token: beginning.to_owned(),
        ..WatchEventsRequest::default()
    });
    let mut stream = client.watch_events(request).await?.into_inner();
    let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    // A token without an event comes first, and again when all events were told.
    let mut tokens = 0;
    while tokens < 2 {
        let message = stream
            .message()
            .await?
            .ok_or_else(|| Status::unavailable("it ended"))?;
        match message.event {
            Some(event) => events
                .entry(event.endpoint.clone())
                .or_default()
                .push(event),
            None => tokens += 1,
        }
    }
    Ok(events)
}
