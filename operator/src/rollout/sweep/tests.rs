#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use kube::runtime::watcher::Event;
use proto::drover::v1::campaign::State;

use super::*;
use crate::controller::take_in;
use crate::rollout::rig::{Rig, rollout};

#[tokio::test]
async fn campaigns_without_their_object_end_and_go() {
    let rig = Rig::new().await;
    rig.list_rollouts(vec![rollout()]);
    let own = format!("{OWNER_PREFIX}uid-1");
    let gone = format!("{OWNER_PREFIX}uid-0");
    rig.fake.put("kept", &own, State::Running);
    rig.fake.put("ended", &gone, State::Succeeded);
    rig.fake.put("running", &gone, State::Running);
    // Made through the API, whatever its state.
    rig.fake.put("foreign", "somebody", State::Succeeded);

    let left = rig.context.sweep("acme").await.unwrap();
    assert_eq!(left, Left::Something);
    assert_eq!(
        rig.fake.calls(),
        ["delete acme/ended", "abort acme/running"]
    );
    // It comes to its end.
    assert_eq!(rig.context.sweep("acme").await.unwrap(), Left::Something);
    rig.fake
        .change("running", |campaign| campaign.set_state(State::Aborted));
    assert_eq!(rig.context.sweep("acme").await.unwrap(), Left::Something);
    assert_eq!(rig.context.sweep("acme").await.unwrap(), Left::Nothing);
    assert_eq!(rig.fake.names(), ["foreign", "kept"]);
}

#[tokio::test]
async fn the_campaign_of_an_object_that_goes_is_aborted() {
    let rig = Rig::new().await;
    rig.list_rollouts(vec![rollout()]);
    rig.fake.put(
        "m200-2-3-1",
        &format!("{OWNER_PREFIX}uid-1"),
        State::Running,
    );
    take_in(&*rig.context, &Event::Delete(rollout()));
    let departed = rig.context.shared.departures.take();
    assert_eq!(departed.into_iter().collect::<Vec<_>>(), ["acme"]);
    rig.context.sweep("acme").await.unwrap();
    assert_eq!(rig.fake.calls(), ["abort acme/m200-2-3-1"]);
}
