#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::sync::Arc;

use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::{ApiServer, condition, stored};
use crate::controller::{reconcile, take_in};
use crate::model::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/object-model.yaml");

/// As the API server keeps an object that is in no namespace.
fn example(uid: &str) -> ObjectModel {
    let mut model: ObjectModel = stored(EXAMPLE, uid);
    model.metadata.namespace = None;
    model
}

/// Reconciles, and answers the one status that is written.
async fn written(
    context: &Arc<Context>,
    api_server: &mut ApiServer,
    model: &ObjectModel,
) -> (ObjectModel, String) {
    let reconciled = reconcile(Arc::new(model.clone()), Arc::clone(context));
    let (outcome, (patched, uri, _)) = tokio::join!(reconciled, api_server.answer_patch(model));
    outcome.unwrap();
    (patched, uri)
}

#[tokio::test]
async fn a_definition_is_put_once() {
    let (context, mut api_server, fake) = fake::start().await;
    let (model, uri) = written(&context, &mut api_server, &example("uid-1")).await;
    assert!(uri.starts_with("/apis/drover.dev/v1alpha1/objectmodels/pump/status?"));
    assert_eq!(fake.calls(), ["put 26241/1.0"]);
    assert_eq!(condition(&model, "Accepted"), "True/Accepted");
    let again = reconcile(Arc::new(model), Arc::clone(&context));
    again.await.unwrap();
    assert_eq!(fake.calls().len(), 1);
    assert_eq!(context.shared.metrics.status_writes.get(), 1);
}

#[tokio::test]
async fn definitions_of_others_are_left_alone() {
    let (context, mut api_server, fake) = fake::start().await;
    fake.put(26_241, "Moves water.");
    let (model, _) = written(&context, &mut api_server, &example("uid-1")).await;
    assert_eq!(condition(&model, "Accepted"), "False/IdentityConflict");

    let (context, mut api_server, fake) = fake::start().await;
    fake.put(26_241, "objectmodels.drover.dev/uid-0");
    let mut other = example("uid-0");
    other.metadata.name = Some("other".to_owned());
    take_in(&*context, &Event::Apply(other.clone()));
    let (model, _) = written(&context, &mut api_server, &example("uid-1")).await;
    assert_eq!(condition(&model, "Accepted"), "False/IdentityConflict");
    assert_eq!(fake.calls(), Vec::<String>::new());
    // It goes, and this one counts.
    take_in(&*context, &Event::Delete(other));
    let (model, _) = written(&context, &mut api_server, &model).await;
    assert_eq!(condition(&model, "Accepted"), "True/Accepted");
}
