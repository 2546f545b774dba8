use crd::Device;
use crd::reference::ObjectReference;
use kube::runtime::watcher::Event;

use super::*;
use crate::controller::Known;
use crate::controller::rig::{NAMESPACE, device};

fn referring(name: &str, profiles: &[&str]) -> Device {
    let mut device = device();
    device.metadata.name = Some(name.to_owned());
    let reference = |name: &&str| ObjectReference {
        name: (*name).to_owned(),
    };
    device.spec.profile_refs = profiles.iter().map(reference).collect();
    device
}

fn profiles(device: &Device) -> Vec<Named> {
    let names = device.spec.profile_refs.iter();
    names.map(|one| Named::Profile(one.name.clone())).collect()
}

#[test]
fn who_names_something_is_looked_at_when_it_changes() {
    let triggers = Arc::new(Triggers::default());
    let references = References::new(Arc::clone(&triggers), profiles);
    let known = Known::default();
    let take_in = |event: Event<Device>| references.take_in(&known.take_in(&event));
    take_in(Event::Apply(referring("a", &["base", "berlin"])));
    take_in(Event::Apply(referring("b", &["base"])));
    let base = || Named::Profile("base".to_owned());
    let mut touched = references.touch(NAMESPACE, base());
    touched.sort();
    assert_eq!(touched, ["a", "b"]);
    assert_eq!(triggers.taken(), ["a", "b"]);
    assert_eq!(references.touch("other", base()), [""; 0]);
    assert_eq!(
        references.touch(NAMESPACE, Named::Secret("base".to_owned())),
        [""; 0]
    );
    assert_eq!(triggers.taken(), [""; 0]);

    take_in(Event::Apply(referring("a", &["berlin"])));
    take_in(Event::Delete(referring("b", &["base"])));
    assert_eq!(references.touch(NAMESPACE, base()), [""; 0]);
    references.touch_all();
    assert_eq!(triggers.taken(), ["a"]);
}
