#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use k8s_openapi::jiff::SignedDuration;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::controller::{reconcile, take_in};
use crate::operation::{fake, withdraw};

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-operation.yaml");

/// The example, of the devices of one site.
fn of_site(parallelism: i32) -> DeviceOperation {
    let mut operation: DeviceOperation = stored(EXAMPLE, "uid-1");
    operation.metadata.creation_timestamp = Some(now());
    let spec = &mut operation.spec;
    spec.endpoint_name = None;
    spec.selector = serde_yaml_ng::from_str("{matchLabels: {site: north}}").unwrap();
    spec.parallelism = parallelism;
    operation
}

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    operation: &DeviceOperation,
) -> DeviceOperation {
    let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(context));
    let (outcome, (patched, _, patch)) =
        tokio::join!(reconciled, api_server.answer_patch(operation));
    outcome.unwrap();
    // It is written over nothing else.
    assert_eq!(
        patch["metadata"]["resourceVersion"].as_str(),
        operation.metadata.resource_version.as_deref()
    );
    patched
}

/// Reconciles, and answers nothing.
async fn looked_at(context: &Arc<Context>, operation: &DeviceOperation) {
    let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(context));
    reconciled.await.unwrap();
}

fn counts(operation: &DeviceOperation) -> [i64; 4] {
    let counts = operation.status.as_ref().unwrap().counts.unwrap();
    [
        counts.pending,
        counts.active,
        counts.succeeded,
        counts.failed,
    ]
}

/// All that was asked of devices.
fn asked(fake: &fake::FakeStateTier) -> Vec<String> {
    let calls = fake.calls().into_iter();
    calls.filter(|call| !call.starts_with("list ")).collect()
}

#[tokio::test]
async fn devices_of_a_set_are_asked_in_order_and_not_before_the_status_says_so() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(&["c", "a", "b"]);
    fake.wake_up();
    let operation = written(&context, &mut api_server, &of_site(2)).await;
    assert_eq!(fake.calls()[0], "list acme/labels.site = \"north\"");
    assert_eq!(asked(&fake), Vec::<String>::new());
    assert_eq!(counts(&operation), [1, 2, 0, 0]);
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(counts(&operation), [0, 1, 2, 0]);
    let operation = written(&context, &mut api_server, &operation).await;
    assert_eq!(condition(&operation, "Succeeded"), "True/Complete");
    let mut asked = asked(&fake);
    asked[..2].sort();
    assert_eq!(
        asked,
        [
            "execute acme/a/3/0/4",
            "execute acme/b/3/0/4",
            "execute acme/c/3/0/4"
        ]
    );
    // The members were listed once, page by page.
    assert_eq!(fake.calls().len(), 6);
}

#[tokio::test]
async fn another_operator_asks_by_the_same_id_and_follows() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(&["a", "b"]);
    let entered = written(&context, &mut api_server, &of_site(1)).await;
    let asked_of_a = written(&context, &mut api_server, &entered).await;
    let requests = fake.requests();
    assert_eq!(requests.len(), 1);
    // It ended before it could write, and another one goes on with what was written before.
    let (other, mut others_api_server) = fake.restart().await;
    // Listing takes its time: nothing is decided in that round.
    looked_at(&other, &entered).await;
    let again = written(&other, &mut others_api_server, &entered).await;
    assert_eq!(fake.requests(), requests);
    assert_eq!(
        again.status.as_ref().unwrap().progress,
        asked_of_a.status.as_ref().unwrap().progress
    );
    // What was entered too long ago, and may have been asked, is not asked again.
    let mut old = entered.clone();
    let start = old.status.as_mut().unwrap().start_time.as_mut().unwrap();
    start.0 -= SignedDuration::from_secs(600);
    let (third, mut its_api_server) = fake.restart().await;
    looked_at(&third, &old).await;
    let lost = written(&third, &mut its_api_server, &old).await;
    assert_eq!(counts(&lost), [0, 1, 0, 1]);
    assert_eq!(fake.requests(), requests);
}

#[tokio::test]
async fn while_no_status_may_be_written_nobody_is_asked() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(&["a"]);
    let operation = written(&context, &mut api_server, &of_site(1)).await;
    while context
        .shared
        .memory
        .take_budget(&operation, Instant::now())
        .is_ok()
    {}
    looked_at(&context, &operation).await;
    assert_eq!(asked(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_deleted_object_has_asked_of_a_set_is_cancelled() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(&["a", "b"]);
    let entered = written(&context, &mut api_server, &of_site(2)).await;
    written(&context, &mut api_server, &entered).await;
    // The watch has not shown yet what was asked.
    take_in(&*context, &Event::Apply(entered.clone()));
    take_in(&*context, &Event::Delete(entered));
    let cancelled = async {
        for _ in 0..1_000 {
            if asked(&fake).len() == 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not all was cancelled: {:?}", asked(&fake));
    };
    tokio::select! {
        () = withdraw::run(&context) => {}
        () = cancelled => {}
    }
    let mut cancelled = asked(&fake).split_off(2);
    cancelled.sort();
    assert_eq!(cancelled, ["cancel acme/1-1", "cancel acme/1-2"]);
}

#[tokio::test]
async fn a_group_names_the_devices() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.have_devices(&["a"]);
    let mut operation = of_site(1);
    operation.spec.selector = None;
    operation.spec.group_ref = Some(crd::reference::ObjectReference {
        name: "north".to_owned(),
    });
    let group = include_str!("../../../../examples/resources/device-group.yaml");
    let group: DeviceGroup = stored(group, "uid-2");
    for (group, says) in [
        (None, "False/GroupNotFound"),
        (Some(group), "True/Accepted"),
    ] {
        let reconciled = reconcile(Arc::new(operation.clone()), Arc::clone(&context));
        let answers = async {
            api_server.answer(group.as_ref()).await;
            api_server.answer_patch(&operation).await
        };
        let (_, (patched, ..)) = tokio::join!(reconciled, answers);
        operation = patched;
        assert_eq!(condition(&operation, "Accepted"), says);
    }
    assert_eq!(counts(&operation), [0, 1, 0, 0]);
}
