//! Observations that go on between requests: the API ends one with its call, Leshan ends it when it is told to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use lwm2m::Path;
use proto::drover::v1::{ObserveCompositeRequest, ObserveRequest, ObserveResponse};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, JoinSet};
use tonic::{Status, Streaming};

use super::answer::Answer;
use super::events::ShimEvent;
use super::node::Values;
use super::refusal::Refusal;
use crate::api::Api;

/// Observations at one time.
const MAX_OBSERVATIONS: usize = 256;
/// Notifications that a slow reader of events may be behind.
const BACKLOG: usize = 1024;

/// What is observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Observed {
    Path(Path),
    Composite(Vec<Path>),
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.fmt(f),
            Self::Composite(paths) => {
                let texts: Vec<String> = paths.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl Observed {
    /// What `POST …/observe` is answered.
    fn content(&self, values: &Values) -> Answer {
        Answer::content(match self {
            Self::Path(path) => values.node(*path),
            Self::Composite(paths) => values.nodes(paths),
        })
    }

    /// The event of a notification.
    fn notification(&self, endpoint: &str, values: &Values) -> ShimEvent {
        let data = match self {
            Self::Path(path) => json!({
                "ep": endpoint, "kind": "single", "res": path.to_string(), "val": values.node(*path),
            }),
            Self::Composite(paths) => {
                let names: Vec<String> = paths.iter().map(ToString::to_string).collect();
                json!({
                    "ep": endpoint, "kind": "composite", "val": values.nodes(paths), "paths": names,
                })
            }
        };
        ShimEvent {
            endpoint: endpoint.to_owned(),
            name: "NOTIFICATION",
            data,
        }
    }
}

#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    handles: HashMap<(String, Observed), AbortHandle>,
}

/// The observations of this process, which end with it.
pub(super) struct Observations {
    running: Mutex<Running>,
    notifications: broadcast::Sender<ShimEvent>,
}

impl Default for Observations {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            notifications: broadcast::Sender::new(BACKLOG),
        }
    }
}

impl Observations {
    /// What is notified from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<ShimEvent> {
        self.notifications.subscribe()
    }

    /// Observes, and answers with the values of now. An observation of the same is replaced.
    pub(super) async fn start(
        &self,
        api: &Api,
        endpoint: &str,
        observed: Observed,
        timeout: Duration,
    ) -> Result<Answer, Refusal> {
        let begun = async {
            let mut stream = call(api, endpoint, &observed).await?;
            let first = stream.message().await?;
            Ok::<_, Status>((stream, first.unwrap_or_default()))
        };
        let begun = tokio::time::timeout(timeout, begun).await;
        let (stream, first) = match begun.map_err(|_| Refusal::timeout())? {
            Ok(begun) => begun,
            Err(status) => return Answer::refused(status),
        };
        let answer = observed.content(&Values::reported(first.values));
        self.keep(endpoint, observed, stream)?;
        Ok(answer)
    }

    fn keep(
        &self,
        endpoint: &str,
        observed: Observed,
        stream: Streaming<ObserveResponse>,
    ) -> Result<(), Refusal> {
        let mut running = self.running();
        while running.tasks.try_join_next().is_some() {}
        running.handles.retain(|_, handle| !handle.is_finished());
        if running.handles.len() >= MAX_OBSERVATIONS {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("there are {MAX_OBSERVATIONS} observations already"),
            ));
        }
        let key = (endpoint.to_owned(), observed.clone());
        let follow = follow(
            endpoint.to_owned(),
            observed,
            stream,
            self.notifications.clone(),
        );
        let handle = running.tasks.spawn(follow);
        if let Some(replaced) = running.handles.insert(key, handle) {
            replaced.abort();
        }
        Ok(())
    }

    /// Ends an observation; whether there was one.
    pub(super) fn end(&self, endpoint: &str, observed: &Observed) -> bool {
        let key = (endpoint.to_owned(), observed.clone());
        let Some(handle) = self.running().handles.remove(&key) else {
            return false;
        };
        let was_running = !handle.is_finished();
        handle.abort();
        was_running
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn call(
    api: &Api,
    endpoint: &str,
    observed: &Observed,
) -> Result<Streaming<ObserveResponse>, Status> {
    let endpoint = endpoint.to_owned();
    let mut operations = api.operations();
    let answer = match observed {
        Observed::Path(path) => {
            let request = ObserveRequest {
                endpoint,
                path: path.to_string(),
                parameters: String::new(),
                force: true,
                child: String::new(),
            };
            operations.observe(request).await?
        }
        Observed::Composite(paths) => {
            let request = ObserveCompositeRequest {
                endpoint,
                paths: paths.iter().map(ToString::to_string).collect(),
                parameters: String::new(),
                force: true,
            };
            operations.observe_composite(request).await?
        }
    };
    Ok(answer.into_inner())
}

/// Tells of every notification until the stream ends or the observation is ended.
async fn follow(
    endpoint: String,
    observed: Observed,
    mut stream: Streaming<ObserveResponse>,
    notifications: broadcast::Sender<ShimEvent>,
) {
    while let Ok(Some(message)) = stream.message().await {
        let values = Values::reported(message.values);
        // Nobody listens: nobody is to be told.
        let _ = notifications.send(observed.notification(&endpoint, &values));
    }
}

#[cfg(test)]
mod tests {
    use lwm2m::Value;
    use proto::drover::v1::ReportedValue;

    use super::*;

    fn values() -> Values {
        let reported = |path: &str, value: Value| ReportedValue {
            path: path.to_owned(),
            value: Some(value.into()),
            ..ReportedValue::default()
        };
        Values::reported(vec![
            reported("/3/0/7/0", Value::Integer(3000)),
            reported("/1/0/1", Value::Integer(60)),
        ])
    }

    #[test]
    fn a_notification_has_leshans_shape() {
        let event = Observed::Path(Path::Resource(3, 0, 7)).notification("dev", &values());
        assert_eq!(event.name, "NOTIFICATION");
        let expected = json!({"ep": "dev", "kind": "single", "res": "/3/0/7", "val": {
            "id": 7, "kind": "multiResource", "type": "INTEGER", "values": {"0": "3000"},
        }});
        assert_eq!(event.data, expected);
    }

    #[test]
    fn a_composite_notification_has_a_node_for_each_path() {
        let paths = vec![Path::Resource(1, 0, 1), Path::Resource(3, 0, 16)];
        let event = Observed::Composite(paths).notification("dev", &values());
        let expected = json!({
            "ep": "dev", "kind": "composite", "paths": ["/1/0/1", "/3/0/16"],
            "val": {"/1/0/1": {"id": 1, "kind": "singleResource", "type": "INTEGER", "value": "60"}},
        });
        assert_eq!(event.data, expected);
    }
}
