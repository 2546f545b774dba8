#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::ObjectModel;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::rig::stored;
use crate::controller::take_in;
use crate::model::fake;

const EXAMPLE: &str = include_str!("../../../../examples/resources/object-model.yaml");

#[tokio::test]
async fn only_definitions_of_objects_that_are_gone_go() {
    let (context, _api_server, fake) = fake::start().await;
    let mut model: ObjectModel = stored(EXAMPLE, "uid-1");
    model.metadata.namespace = None;
    take_in(&*context, &Event::Apply(model.clone()));
    fake.put(26_241, "objectmodels.drover.dev/uid-1");
    fake.put(26_242, "Moves water.\nobjectmodels.drover.dev/uid-0");
    fake.put(26_243, "Moves water.");
    assert_eq!(context.sweep("").await.unwrap(), Left::Nothing);
    assert_eq!(fake.calls(), ["delete 26242/1.0"]);

    take_in(&*context, &Event::Delete(model));
    let departed = context.shared.departures.take();
    assert_eq!(departed.into_iter().collect::<Vec<_>>(), [""]);
    context.sweep("").await.unwrap();
    assert_eq!(fake.calls().last().unwrap(), "delete 26241/1.0");
}
