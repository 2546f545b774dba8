#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use kube::runtime::controller::Action;
use proto::drover::v1::campaign::State;

use super::*;
use crate::controller::reconcile;
use crate::rollout::rig::{Rig, image, rollout};

impl Rig {
    async fn reconciled(&self, rollout: &FirmwareRollout) -> Result<Action, ReconcileError> {
        reconcile(Arc::new(rollout.clone()), Arc::clone(&self.context)).await
    }

    /// Reconciles, and answers the one status that is written.
    async fn written(&mut self, rollout: &FirmwareRollout) -> FirmwareRollout {
        let context = Arc::clone(&self.context);
        let reconciled = Box::pin(reconcile(Arc::new(rollout.clone()), context));
        let (outcome, (patched, ..)) =
            tokio::join!(reconciled, self.api_server.answer_patch(rollout));
        outcome.unwrap();
        patched
    }
}

fn reason(rollout: &FirmwareRollout, kind: &str) -> String {
    let conditions = &rollout.status.as_ref().unwrap().conditions;
    let found = conditions.iter().find(|one| one.type_ == kind);
    found.map(|one| one.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_rollout_is_made_once_and_then_followed() {
    let mut rig = Rig::new().await;
    rig.list_images(vec![image()]);
    let written = rig.written(&rollout()).await;
    assert_eq!(rig.fake.calls(), ["create acme/m200-2-3-1"]);
    assert_eq!(reason(&written, "Progressing"), "Evaluating");

    // Nothing has changed: nothing is asked for, and nothing written.
    rig.reconciled(&written).await.unwrap();
    assert_eq!(rig.context.shared.metrics.status_writes.get(), 1);

    rig.fake.change("m200-2-3-1", |campaign| {
        campaign.set_state(State::Succeeded);
        campaign.members = 3;
    });
    let written = rig.written(&written).await;
    assert_eq!(reason(&written, "Ready"), "Complete");
    rig.reconciled(&written).await.unwrap();
    assert_eq!(rig.context.shared.metrics.status_writes.get(), 2);
    assert_eq!(rig.fake.calls().len(), 1);
}

#[tokio::test]
async fn what_people_say_is_passed_on() {
    let mut rig = Rig::new().await;
    rig.list_images(vec![image()]);
    let mut rollout = rig.written(&rollout()).await;
    rollout.spec.paused = true;
    rollout.spec.approved_through = Some("canary".to_owned());
    let mut rollout = rig.written(&rollout).await;
    assert_eq!(reason(&rollout, "Paused"), "UserPaused");
    rollout.spec.abort = true;
    let rollout = rig.written(&rollout).await;
    assert_eq!(reason(&rollout, "Progressing"), "Aborted");
    let calls = rig.fake.calls();
    let said = calls.iter().map(|call| call.split(' ').next().unwrap());
    assert_eq!(
        said.collect::<Vec<_>>(),
        ["create", "pause", "approve", "abort"]
    );
}

#[tokio::test]
async fn before_the_images_are_listed_nothing_is_decided() {
    let rig = Rig::new().await;
    rig.reconciled(&rollout()).await.unwrap();
    assert_eq!(rig.fake.calls(), Vec::<String>::new());
    assert_eq!(rig.context.shared.metrics.reconciliations.get(), 0);
}

#[tokio::test]
async fn an_image_that_appears_lets_it_begin() {
    let mut rig = Rig::new().await;
    rig.list_images(Vec::new());
    let rollout = rig.written(&rollout()).await;
    assert_eq!(reason(&rollout, "Accepted"), "ImageNotFound");
    rig.list_images(vec![image()]);
    let rollout = rig.written(&rollout).await;
    assert_eq!(reason(&rollout, "Accepted"), "Accepted");
}

#[tokio::test]
async fn what_the_state_tier_refuses_stands_in_the_status() {
    let mut rig = Rig::new().await;
    rig.list_images(vec![image()]);
    let mut refused = rollout();
    refused.metadata.uid = Some("refused".to_owned());
    let written = rig.written(&refused).await;
    assert_eq!(reason(&written, "Accepted"), "InvalidValue");
}

#[tokio::test]
async fn a_campaign_of_somebody_else_is_left_alone() {
    let mut rig = Rig::new().await;
    rig.list_images(vec![image()]);
    rig.fake.put("m200-2-3-1", "", State::Running);
    let written = rig.written(&rollout()).await;
    assert_eq!(reason(&written, "Accepted"), "IdentityConflict");
    assert_eq!(rig.fake.calls(), Vec::<String>::new());
}
