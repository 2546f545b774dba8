use crd::FirmwareImage;

use super::*;

fn image(name: &str, uid: &str, generation: i64) -> FirmwareImage {
    let spec = serde_json::from_value(serde_json::json!({
        "source": {"uri": "coap://a/b"}, "packageName": "p", "version": "1.0.0", "sizeBytes": 1,
        "digest": "sha256:0",
    }));
    let mut image = FirmwareImage::new(name, spec.expect("a spec"));
    image.metadata.uid = Some(uid.to_owned());
    image.metadata.generation = Some(generation);
    image
}

fn uids(objects: &[Arc<FirmwareImage>]) -> Vec<&str> {
    let uids = objects.iter().map(|one| one.metadata.uid.as_deref());
    uids.flatten().collect()
}

#[test]
fn only_another_spec_is_a_change() {
    let known = Known::default();
    let taken = |image| known.take_in(&Event::Apply(image));
    assert!(taken(image("a", "1", 1)).changed().is_some());
    assert!(taken(image("a", "1", 1)).changed().is_none());
    assert!(taken(image("a", "1", 2)).changed().is_some());
    let mut paused = image("a", "1", 2);
    let annotation = (crd::PAUSED.to_owned(), "true".to_owned());
    paused.metadata.annotations = Some([annotation].into());
    assert!(taken(paused.clone()).changed().is_some());
    assert!(taken(paused).changed().is_none());
    assert!(taken(image("a", "1", 2)).changed().is_some());
    // Another object of the same name.
    let again = taken(image("a", "2", 2));
    assert!(again.changed().is_some());
    assert_eq!(uids(&again.gone), ["1"]);
}

#[test]
fn what_a_list_does_not_show_is_gone() {
    let known = Known::default();
    known.take_in(&Event::Apply(image("a", "1", 1)));
    known.take_in(&Event::Apply(image("b", "2", 1)));
    known.take_in(&Event::Init);
    known.take_in(&Event::InitApply(image("b", "2", 1)));
    let taken = known.take_in(&Event::InitDone);
    assert_eq!(uids(&taken.gone), ["1"]);
    assert_eq!(taken.count, 1);
    assert_eq!(uids(&known.all()), ["2"]);
}
