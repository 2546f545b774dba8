#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::stored;
use crate::controller::take_in;
use crate::profile::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/device-profile.yaml");

#[tokio::test]
async fn only_profiles_of_objects_that_are_gone_go() {
    let (context, _api_server, fake) = fake::start().await;
    let profile: DeviceProfile = stored(EXAMPLE, "uid-1");
    for event in [Event::Init, Event::InitApply(profile), Event::InitDone] {
        take_in(&*context, &event);
    }
    fake.put("m200", "deviceprofiles.drover.dev/uid-1");
    fake.put("gone", "deviceprofiles.drover.dev/uid-0");
    fake.put("by-hand", "for the lab");
    assert_eq!(context.sweep("acme").await.unwrap(), Left::Nothing);
    assert_eq!(fake.calls(), ["delete acme/gone"]);
    assert_eq!(fake.names(), ["by-hand", "m200"]);
}
