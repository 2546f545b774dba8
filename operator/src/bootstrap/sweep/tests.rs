#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::BootstrapProfile;
use kube::runtime::watcher::Event;

use super::*;
use crate::bootstrap::fake;
use crate::controller::rig::stored;
use crate::controller::take_in;

const EXAMPLE: &str = include_str!("../../../../examples/resources/bootstrap-profile.yaml");
const UID: &str = "0f4a2c6e-7b1d-4c8e-9a53-1d2e3f405101";

#[tokio::test]
async fn only_profiles_of_objects_that_are_gone_go() {
    let (context, _api_server, fake) = fake::start().await;
    let profile: BootstrapProfile = stored(EXAMPLE, UID);
    take_in(&*context, &Event::Apply(profile.clone()));
    fake.put(&format!("meters-k8s-{UID}"));
    fake.put("gone-k8s-0f4a2c6e-7b1d-4c8e-9a53-1d2e3f405100");
    fake.put("hand");
    assert_eq!(context.sweep("acme").await.unwrap(), Left::Nothing);
    assert_eq!(fake.calls(), ["delete acme/gone"]);
    take_in(&*context, &Event::Delete(profile));
    context.sweep("acme").await.unwrap();
    assert_eq!(fake.calls().last().unwrap(), "delete acme/meters");
}
