//! Streams that break, are refused and go on.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tonic::{Code, Status};

use super::fake::{self, FakeStateTier};
use super::*;
use crate::controller::rig::Calls;
use crate::metrics::{Metrics, StateLabel, TriggerLabel};

const TERMS: Terms = Terms {
    first_pause: Duration::from_millis(10),
    longest_pause: Duration::from_millis(20),
    denied: Duration::from_millis(30),
    silence: Duration::from_secs(30),
    linger: Duration::from_millis(30),
};

/// A listener that writes down what it is told.
#[derive(Clone, Default)]
struct Witness(Calls);

impl Listener for Witness {
    fn audience(&self) -> Audience {
        Audience::Devices
    }

    fn hear(&self, namespace: &Namespace, event: &api::Event) -> usize {
        self.0.add(format!("hear {namespace}/{}", event.endpoint));
        usize::from(event.endpoint == "described")
    }

    fn miss(&self, namespace: &Namespace) {
        self.0.add(format!("miss {namespace}"));
    }

    fn lose_sight(&self, namespace: &Namespace) {
        self.0.add(format!("lose sight of {namespace}"));
    }
}

struct Rig {
    feed: Feed,
    fake: FakeStateTier,
    witness: Witness,
    metrics: Metrics,
}

impl Rig {
    /// Follows the events of acme for as long as the test goes on.
    async fn run<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        Self::run_on(TERMS, test).await;
    }

    async fn run_on<F: Future<Output = ()>>(terms: Terms, test: impl FnOnce(Self) -> F) {
        let (state_tier, fake) = fake::start().await;
        let rig = Self {
            feed: Feed::default(),
            fake,
            witness: Witness::default(),
            metrics: Metrics::register(&mut Registry::default()),
        };
        let follower = Follower {
            feed: rig.feed.clone(),
            state_tier,
            listeners: vec![Arc::new(rig.witness.clone())],
            metrics: rig.metrics.clone(),
            terms,
        };
        rig.feed.want(Audience::Devices, &acme(), Depth::Course);
        tokio::select! {
            () = follower.run() => {}
            () = test(rig) => {}
        }
    }

    /// Waits until the listener was told all this.
    async fn told(&self, all: &[&str]) {
        until(|| self.witness.0.all() == all).await;
    }

    /// Waits until a stream is asked for with this token.
    async fn asked(&self, turn: usize, resume_token: &str) {
        until(|| self.fake.calls().len() > turn).await;
        let expected = format!("watch acme/{resume_token:?} course");
        assert_eq!(self.fake.calls()[turn], expected);
    }

    fn streams(&self, state: &'static str) -> i64 {
        let label = StateLabel { state };
        self.metrics.event_streams.get_or_create(&label).get()
    }
}

fn acme() -> Namespace {
    Namespace::new("acme").unwrap()
}

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came so far");
}

fn away() -> Status {
    Status::new(Code::Unavailable, "the node stops")
}

#[tokio::test]
async fn a_stream_that_breaks_goes_on_where_it_was() {
    Rig::run(|rig| async move {
        let (first, second) = (rig.fake.serve(), rig.fake.serve());
        first.tell("1", None).await;
        rig.told(&["miss acme"]).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Told);
        first.tell("2", Some("described")).await;
        first.tell("3", Some("other")).await;
        first.end(away()).await;
        rig.asked(1, "3").await;
        second.tell("4", Some("described")).await;
        let heard = [
            "miss acme",
            "hear acme/described",
            "hear acme/other",
            "hear acme/described",
        ];
        rig.told(&heard).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Told);
        assert_eq!((rig.streams("live"), rig.streams("broken")), (1, 0));
        assert_eq!(rig.metrics.events.get(), 3);
        assert_eq!(rig.metrics.event_streams_opened.get(), 2);
        assert_eq!(rig.metrics.event_streams_broken.get(), 1);
        let kind = "devices";
        let triggers = rig
            .metrics
            .event_triggers
            .get_or_create(&TriggerLabel { kind });
        assert_eq!(triggers.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_gone_is_made_up_for_by_a_look_at_everything() {
    Rig::run(|rig| async move {
        let first = rig.fake.serve();
        rig.fake.refuse(Status::new(Code::OutOfRange, "gone"));
        let second = rig.fake.serve();
        first.tell("1", None).await;
        rig.told(&["miss acme"]).await;
        first.end(away()).await;
        rig.asked(1, "1").await;
        rig.asked(2, "").await;
        second.tell("9", None).await;
        rig.told(&["miss acme", "miss acme"]).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Told);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_stays_away_is_told_once() {
    Rig::run(|rig| async move {
        let first = rig.fake.serve();
        rig.fake.refuse(Status::new(Code::Internal, "no"));
        rig.fake.refuse(Status::new(Code::Internal, "no"));
        let last = rig.fake.serve();
        first.tell("1", None).await;
        rig.told(&["miss acme"]).await;
        drop(first);
        rig.told(&["miss acme", "lose sight of acme"]).await;
        rig.asked(3, "1").await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Untold);
        last.tell("2", None).await;
        until(|| rig.feed.sight(&acme()) == Sight::Told).await;
        // It went on where it was.
        rig.told(&["miss acme", "lose sight of acme"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_says_nothing_is_broken() {
    let terms = Terms {
        silence: Duration::from_millis(500),
        ..TERMS
    };
    Rig::run_on(terms, |rig| async move {
        let silent = rig.fake.serve();
        silent.tell("1", None).await;
        silent.closed().await;
        rig.asked(1, "1").await;
        assert_eq!(rig.witness.0.all(), ["miss acme"]);
    })
    .await;
}

#[tokio::test]
async fn without_the_permission_objects_are_looked_at_until_it_is_there() {
    Rig::run(|rig| async move {
        let denied = Status::new(Code::PermissionDenied, "may not watch devices");
        rig.fake.refuse(denied);
        let granted = rig.fake.serve();
        until(|| rig.streams("denied") == 1).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Untold);
        granted.tell("1", None).await;
        rig.told(&["miss acme"]).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Told);
        assert_eq!((rig.streams("live"), rig.streams("denied")), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn more_is_told_once_it_is_wanted_and_nothing_once_it_is_not() {
    Rig::run(|rig| async move {
        let (course, values) = (rig.fake.serve(), rig.fake.serve());
        course.tell("1", None).await;
        rig.told(&["miss acme"]).await;
        rig.feed.want(Audience::Operations, &acme(), Depth::Course);
        rig.feed.want(Audience::Devices, &acme(), Depth::Values);
        values.tell("2", None).await;
        rig.told(&["miss acme", "miss acme"]).await;
        assert_eq!(rig.fake.calls()[1], "watch acme/\"\" values");
        rig.feed.forgo(Audience::Devices, &acme());
        values.tell("3", Some("other")).await;
        until(|| rig.witness.0.all().len() == 3).await;
        rig.feed.forgo(Audience::Operations, &acme());
        values.closed().await;
        until(|| rig.streams("live") == 0).await;
        assert_eq!(rig.feed.sight(&acme()), Sight::Untold);
        assert_eq!(rig.fake.calls().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn streams_are_bounded_and_the_default_namespace_has_one() {
    Rig::run(|rig| async move {
        for number in 0..100 {
            let namespace = Namespace::new(&format!("tenant-{number:03}")).unwrap();
            rig.feed
                .want(Audience::Operations, &namespace, Depth::Course);
        }
        let devices = Namespace::default();
        rig.feed.want(Audience::Devices, &devices, Depth::Course);
        until(|| rig.fake.calls().len() >= 64).await;
        let asked: HashSet<String> = rig.fake.calls().into_iter().collect();
        assert_eq!(asked.len(), 64);
        assert!(asked.contains("watch default/\"\" course"));
    })
    .await;
}

#[test]
fn who_wants_less_is_told_less() {
    use api::EventKind::{Registered, Updated, ValuesReported};
    assert_eq!(Depth::Arrivals.kinds(), [Registered]);
    let (course, values) = (Depth::Course.kinds(), Depth::Values.kinds());
    assert!(course.contains(&Updated) && !course.contains(&ValuesReported));
    assert!(values.contains(&Updated) && values.contains(&ValuesReported));
}
