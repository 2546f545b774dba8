#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::stored;
use crate::controller::take_in;
use crate::enrollment::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/enrollment-policy.yaml");

#[tokio::test]
async fn only_policies_of_objects_that_are_gone_go() {
    let (context, _api_server, fake) = fake::start().await;
    let policy: EnrollmentPolicy = stored(EXAMPLE, "uid-1");
    for event in [
        Event::Init,
        Event::InitApply(policy.clone()),
        Event::InitDone,
    ] {
        take_in(&*context, &event);
    }
    fake.put("meters", "enrollmentpolicies.drover.dev/uid-1");
    fake.put("gone", "enrollmentpolicies.drover.dev/uid-0");
    fake.put("by-hand", "for the lab");
    fake.put("of-a-file", "enrollmentpolicies.drover.dev/drover-apply");
    assert_eq!(context.sweep("acme").await.unwrap(), Left::Nothing);
    assert_eq!(fake.calls(), ["delete acme/gone"]);

    take_in(&*context, &Event::Delete(policy));
    let departed = context.shared.departures.take();
    assert_eq!(departed.into_iter().collect::<Vec<_>>(), ["acme"]);
    context.sweep("acme").await.unwrap();
    assert_eq!(fake.names(), ["by-hand", "of-a-file"]);
}
