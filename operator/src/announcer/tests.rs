#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::Device;
use http::Method;
use node_runtime::{Stage, Tasks};
use prometheus_client::registry::Registry;

use super::*;
use crate::controller::rig::{self, device};

fn announcement(urgency: Urgency) -> Announcement {
    Announcement {
        urgency,
        action: "Write",
        reason: "InSync",
        note: "2 of 2 in sync".to_owned(),
    }
}

fn metrics() -> Metrics {
    Metrics::register(&mut Registry::default())
}

#[tokio::test]
async fn what_is_told_is_published_and_repetitions_become_a_series() {
    let (client, mut api_server) = rig::api_server();
    let metrics = metrics();
    let (announcer, told) = Announcer::new(metrics.clone());
    let tasks = Tasks::new();
    let publisher = Publisher::new(client, metrics.clone());
    let published = async {
        announcer.tell(&device(), vec![announcement(Urgency::Information)]);
        let (method, uri, event) = api_server.echo(None).await;
        assert_eq!(method, Method::POST);
        assert!(uri.starts_with("/apis/events.k8s.io/v1/namespaces/acme/events?"));
        assert_eq!(event["type"], "Normal");
        assert_eq!(event["reason"], "InSync");
        assert_eq!(event["action"], "Write");
        assert_eq!(event["note"], "2 of 2 in sync");
        assert_eq!(event["reportingController"], "drover-operator");
        assert_eq!(event["regarding"]["kind"], "Device");
        assert_eq!(event["regarding"]["name"], "meter-1");
        assert_eq!(event["regarding"]["uid"], "uid-1");

        // The object was written meanwhile.
        let mut again = device();
        again.metadata.resource_version = Some("2".to_owned());
        announcer.tell(&again, vec![announcement(Urgency::Information)]);
        let (method, _, repeated) = api_server.echo(None).await;
        assert_eq!(method, Method::PATCH);
        assert_eq!(repeated["metadata"]["name"], event["metadata"]["name"]);
        assert_eq!(repeated["series"]["count"], 2);

        // What the API server does not take keeps nothing from coming after it.
        announcer.tell(&device(), vec![announcement(Urgency::Warning)]);
        api_server.echo(Some((403, "Forbidden", ""))).await;
        announcer.tell(&device(), vec![announcement(Urgency::Warning)]);
        let (method, _, event) = api_server.echo(None).await;
        assert_eq!(
            (method, event["type"].as_str()),
            (Method::POST, Some("Warning"))
        );
    };
    tokio::select! {
        () = publisher.run(told, tasks.drain(Stage::Flush)) => panic!("it ended"),
        () = published => {}
    }
    assert_eq!(metrics.events_failed.get(), 1);
    assert_eq!(metrics.events_dropped.get(), 0);
}

#[tokio::test]
async fn what_was_told_before_the_end_is_published_still() {
    let (client, mut api_server) = rig::api_server();
    let metrics = metrics();
    let (announcer, told) = Announcer::new(metrics.clone());
    announcer.tell(&device(), vec![announcement(Urgency::Warning)]);
    drop(announcer);
    let tasks = Tasks::new();
    let publisher = Publisher::new(client, metrics.clone());
    let drain = tasks.drain(Stage::Flush);
    let ends = async {
        tasks
            .shut_down(Duration::from_secs(10), std::future::pending())
            .await;
    };
    let ((), (), _) = tokio::join!(publisher.run(told, drain), ends, api_server.echo(None));
    assert_eq!(metrics.events_published.get(), 1);
}

#[test]
fn what_comes_too_fast_is_dropped_and_drowns_no_warning() {
    let metrics = metrics();
    let (announcer, mut told) = Announcer::new(metrics.clone());
    let begun = Instant::now();
    for _ in 0..100 {
        announcer.tell(&device(), vec![announcement(Urgency::Information)]);
    }
    announcer.tell(&device(), vec![announcement(Urgency::Warning)]);
    let taken: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    // However slow this is.
    let earned = begun.elapsed().as_millis() / INTERVAL.as_millis();
    let most = u128::from(BURST) + earned + 1;
    assert!(taken.len() > BURST as usize && taken.len() as u128 <= most);
    assert_eq!(taken.last().unwrap().announcement.urgency, Urgency::Warning);
    let dropped = usize::try_from(metrics.events_dropped.get()).unwrap();
    assert_eq!(dropped + taken.len(), 101);
}

#[test]
fn a_queue_that_nobody_empties_is_bounded() {
    let metrics = metrics();
    let (announcer, told) = Announcer::new(metrics.clone());
    drop(told);
    announcer.tell(&device(), vec![announcement(Urgency::Warning)]);
    assert_eq!(metrics.events_dropped.get(), 1);
}

#[tokio::test]
async fn what_hinders_is_said_once_until_it_changes() {
    let (client, _api_server) = rig::api_server();
    let mut publisher = Publisher::new(client, metrics());
    let mut said = |namespace: &str, hindrance| publisher.note(namespace, hindrance);
    let missing = said("acme", Some(Hindrance::Forbidden)).unwrap();
    assert!(missing.contains("create and patch on events"), "{missing}");
    assert_eq!(said("acme", Some(Hindrance::Forbidden)), None);
    assert!(said("other", Some(Hindrance::Forbidden)).is_some());
    assert!(said("acme", Some(Hindrance::Unreachable)).is_some());
    assert_eq!(said("acme", None), None);
    assert!(said("acme", Some(Hindrance::Unreachable)).is_some());
    // It goes by itself.
    assert_eq!(said("acme", Some(Hindrance::Ending)), None);
}

#[tokio::test]
async fn a_namespace_that_ends_is_told_from_a_missing_permission() {
    for (cause, expected) in [
        ("NamespaceTerminating", Hindrance::Ending),
        ("", Hindrance::Forbidden),
    ] {
        let (client, mut api_server) = rig::api_server();
        let api: kube::Api<Device> = kube::Api::namespaced(client, rig::NAMESPACE);
        let (params, device) = (kube::api::PostParams::default(), device());
        let (answer, _) = tokio::join!(
            api.create(&params, &device),
            api_server.echo(Some((403, "Forbidden", cause)))
        );
        assert_eq!(Hindrance::from(&answer.unwrap_err()), expected);
    }
}
