//! Events of Kubernetes about objects: what `kubectl describe` shows of what happened to them.
//!
//! ```text
//! a status is written ─▶ tell ─ budget ─▶ queue ─▶ Publisher ─▶ API server
//! ```
//!
//! Controllers hand over what a status says anew and go on. Nothing waits for the API server to take it: what comes too fast,
//! or while it takes nothing, is dropped and counted. Repetitions become a series of one event.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fleet_plan::announcement::{Announcement, Urgency};
use fleet_plan::budget::Budget;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use node_runtime::Drain;
use tokio::sync::mpsc;

use crate::kubernetes::Kind;
use crate::metrics::Metrics;

/// What is published at once, and how often one more after that. Warnings have as much for themselves: a fleet that comes to
/// its end must not drown what failed.
const BURST: u32 = 25;
const INTERVAL: Duration = Duration::from_millis(200);
/// What waits for the API server, in events of about 1 kB.
const QUEUED: usize = 128;
/// For how long it is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// What waits still when the node ends has so long.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Who publishes, as `kubectl describe` shows it.
const REPORTER: &str = "drover-operator";

/// Takes what is to be told; clones take it for the same publisher.
#[derive(Clone)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<Told>,
    budgets: Arc<Mutex<Budgets>>,
    metrics: Metrics,
}

/// Something that was told.
pub(crate) struct Told {
    about: ObjectReference,
    announcement: Announcement,
}

#[cfg(test)]
impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Announcement {
            urgency,
            action,
            reason,
            note,
        } = &self.announcement;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (kind, name) = (text(&self.about.kind), text(&self.about.name));
        write!(f, "{kind} {name}: {urgency:?} {action} {reason}: {note}")
    }
}

struct Budgets {
    warnings: Budget,
    information: Budget,
}

impl Announcer {
    /// What it takes comes out of the other end, if somebody [publishes](Publisher) it.
    pub(crate) fn new(metrics: Metrics) -> (Self, mpsc::Receiver<Told>) {
        let (queue, told) = mpsc::channel(QUEUED);
        let full = || Budget::new(BURST, INTERVAL, Instant::now());
        let budgets = Budgets {
            warnings: full(),
            information: full(),
        };
        let announcer = Self {
            queue,
            budgets: Arc::new(Mutex::new(budgets)),
            metrics,
        };
        (announcer, told)
    }

    /// Tells something of an object.
    pub(crate) fn tell<K: Kind>(&self, object: &K, announcements: Vec<Announcement>) {
        for announcement in announcements {
            let told = Told {
                about: object.object_ref(&()),
                announcement,
            };
            if !self.may_tell(told.announcement.urgency) || self.queue.try_send(told).is_err() {
                self.metrics.events_dropped.inc();
            }
        }
    }

    fn may_tell(&self, urgency: Urgency) -> bool {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = match urgency {
            Urgency::Warning => &mut budgets.warnings,
            Urgency::Information => &mut budgets.information,
        };
        budget.take(Instant::now()).is_ok()
    }
}

/// Gives to the API server what was told.
pub(crate) struct Publisher {
    recorder: Recorder,
    metrics: Metrics,
    /// Namespaces in which no events can be had, and why. Bounded by the namespaces that there are.
    hindered: HashMap<String, Hindrance>,
}

/// Why events cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hindrance {
    /// The operator may not.
    Forbidden,
    /// The namespace is being deleted, with all that is in it.
    Ending,
    /// Another refusal, by its code.
    Refused(u16),
    Unreachable,
}

impl Publisher {
    pub(crate) fn new(client: Client, metrics: Metrics) -> Self {
        let reporter = Reporter {
            controller: REPORTER.to_owned(),
            // The name of the pod.
            instance: std::env::var("HOSTNAME").ok(),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            metrics,
            hindered: HashMap::new(),
        }
    }

    /// Runs until the drain, and ends with what was told before that.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Told>, drain: Drain) {
        while !drain.has_started() {
            tokio::select! {
                told = queue.recv() => match told {
                    Some(told) => self.publish(told).await,
                    // Nobody is left who could tell anything: the controllers have ended.
                    None => drain.started().await,
                },
                () = drain.started() => {}
            }
        }
        queue.close();
        let last_words = async {
            while let Some(told) = queue.recv().await {
                self.publish(told).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
            tracing::info!("events about objects were left unpublished");
        }
    }

    async fn publish(&mut self, told: Told) {
        let Told {
            about,
            announcement,
        } = told;
        let event = Event {
            type_: match announcement.urgency {
                Urgency::Information => EventType::Normal,
                Urgency::Warning => EventType::Warning,
            },
            reason: announcement.reason.to_owned(),
            note: Some(announcement.note),
            action: announcement.action.to_owned(),
            secondary: None,
        };
        let published = self.recorder.publish(&event, &about);
        let hindrance = match tokio::time::timeout(PATIENCE, published).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((Hindrance::from(&error), error.to_string())),
            Err(_) => Some((
                Hindrance::Unreachable,
                "the API server does not answer".to_owned(),
            )),
        };
        let counter = match hindrance {
            None => &self.metrics.events_published,
            Some(_) => &self.metrics.events_failed,
        };
        counter.inc();
        // Those about what is in no namespace are in this one.
        let namespace = about.namespace.unwrap_or_else(|| "default".to_owned());
        if let Some(said) = self.note(&namespace, hindrance.as_ref().map(|(why, _)| *why)) {
            let error = hindrance.map(|(_, error)| error).unwrap_or_default();
            tracing::warn!(namespace, error, "{said}");
        }
    }

    /// Notes how it went, and returns what has to be said of it: once, until it goes otherwise.
    fn note(&mut self, namespace: &str, hindrance: Option<Hindrance>) -> Option<&'static str> {
        let Some(hindrance) = hindrance else {
            if self.hindered.remove(namespace).is_some() {
                tracing::info!(namespace, "events about objects are published again");
            }
            return None;
        };
        if hindrance == Hindrance::Ending {
            self.hindered.remove(namespace);
            return None;
        }
        let before = self.hindered.insert(namespace.to_owned(), hindrance);
        if before == Some(hindrance) {
            return None;
        }
        match hindrance {
            Hindrance::Forbidden => Some(
                "no events are published about objects of this namespace: the operator needs the verbs create and patch on \
                 events of the API group events.k8s.io there",
            ),
            Hindrance::Ending => None,
            Hindrance::Refused(_) => Some("the API server does not take events about objects"),
            Hindrance::Unreachable => Some("the API server cannot be given events about objects"),
        }
    }
}

impl From<&kube::Error> for Hindrance {
    fn from(error: &kube::Error) -> Self {
        const TERMINATING: &str = "NamespaceTerminating";
        let kube::Error::Api(status) = error else {
            return Self::Unreachable;
        };
        let details = status.details.iter();
        let mut causes = details.flat_map(|details| &details.causes);
        let is_ending = causes.any(|one| one.reason == TERMINATING);
        match status.code {
            403 if is_ending => Self::Ending,
            403 => Self::Forbidden,
            code => Self::Refused(code),
        }
    }
}

#[cfg(test)]
mod tests;
