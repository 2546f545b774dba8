//! Labels and annotations, and deleting devices.

use std::collections::BTreeMap;

use device_state::command::{Live, Missing};
use device_state::limit::{MAX_ANNOTATION_BYTES, MAX_LABELS};
use device_state::{
    Command, Effect, Event, LabelKey, LabelValue, MapChange, Metadata, Namespace, Observation,
    ObservationHolder, OperationOutcome, Outcome, Rejection, Timestamp, ValueOrigin, query,
};
use lwm2m::{NotificationAttributes, Observed, Path};

use crate::world::{BATTERY, UTC_OFFSET, World, endpoint, execute, id, text, update, write};

pub(crate) fn key(text: &str) -> LabelKey {
    LabelKey::new(text).unwrap()
}

fn map(labels: &[(&str, &str)]) -> BTreeMap<LabelKey, LabelValue> {
    let label = |(name, value): &(&str, &str)| (key(name), LabelValue::new(value).unwrap());
    labels.iter().map(label).collect()
}

/// Sets labels, and removes those without a value.
pub(crate) fn label(name: &str, set: &[(&str, &str)], remove: &[&str]) -> Command {
    Command::ChangeMetadata {
        endpoint: endpoint(name),
        labels: MapChange::Merge {
            set: map(set),
            remove: remove.iter().map(|name| key(name)).collect(),
        },
        annotations: MapChange::none(),
        missing: Missing::Allowed,
    }
}

fn forget(name: &str, live: Live) -> Command {
    Command::Forget {
        endpoint: endpoint(name),
        live,
        missing: Missing::Refused,
    }
}

fn labels(world: &World, name: &str) -> BTreeMap<LabelKey, LabelValue> {
    let metadata = query::metadata(&world.tables, &endpoint(name));
    metadata.map(|metadata| metadata.labels).unwrap_or_default()
}

#[test]
fn labels_outlive_registrations_and_are_told() {
    let mut world = World::registered("m");
    assert_eq!(
        world.run(label("m", &[("a", "1"), ("b", "2")], &[])),
        Outcome::Done
    );
    let metadata = Metadata {
        labels: map(&[("a", "1"), ("b", "2")]),
        ..Metadata::none(endpoint("m"))
    };
    assert_eq!(world.events(), [Event::MetadataChanged { metadata }]);
    world.run(label("m", &[("a", "1")], &["c"]));
    assert_eq!(world.events(), [], "nothing changed");
    world.run(label("m", &[("a", "3")], &["b"]));
    world.run(Command::Deregister {
        namespace: Namespace::default(),
        id: id(1),
        identity: crate::world::identity("m"),
    });
    assert_eq!(labels(&world, "m"), map(&[("a", "3")]));
    world.run(label("m", &[], &["a"]));
    assert!(world.device("m").is_unknown());
}

#[test]
fn a_device_of_which_nothing_is_known_gets_labels_only_if_that_is_meant() {
    let mut world = World::new();
    let change = |missing| Command::ChangeMetadata {
        endpoint: endpoint("m"),
        labels: MapChange::Replace(map(&[("a", "1")])),
        annotations: MapChange::none(),
        missing,
    };
    let refused = Outcome::Rejected(Rejection::UnknownDevice);
    assert_eq!(world.run(change(Missing::Refused)), refused);
    assert_eq!(world.run(change(Missing::Allowed)), Outcome::Done);
    assert_eq!(world.run(change(Missing::Refused)), Outcome::Done);
}

#[test]
fn labels_and_annotations_are_bounded() {
    let mut world = World::new();
    let names: Vec<String> = (0..=MAX_LABELS)
        .map(|number| format!("k{number}"))
        .collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let refused = Outcome::Rejected(Rejection::TooManyLabels);
    assert_eq!(world.run(label("m", &many, &[])), refused);
    assert_eq!(
        world.run(label("m", &many[..MAX_LABELS], &[])),
        Outcome::Done
    );
    let annotate = |length: usize| Command::ChangeMetadata {
        endpoint: endpoint("m"),
        labels: MapChange::none(),
        annotations: MapChange::Replace([(key("note"), "x".repeat(length))].into()),
        missing: Missing::Refused,
    };
    let refused = Outcome::Rejected(Rejection::AnnotationsTooLong);
    assert_eq!(world.run(annotate(MAX_ANNOTATION_BYTES - 3)), refused);
    assert_eq!(world.run(annotate(MAX_ANNOTATION_BYTES - 4)), Outcome::Done);
}

#[test]
fn a_registered_device_is_deleted_by_force_only_and_then_wholly() {
    let mut world = World::registered("m");
    world.run(label("m", &[("a", "1")], &[]));
    world.set_desired("m", 1, &[(UTC_OFFSET, "+01:00")]);
    let waiting = world.enqueue("m", execute());
    let model = Path::Resource(3, 0, 1);
    let now = world.now;
    world.run(Command::RecordValues {
        endpoint: endpoint("m"),
        registration: id(1),
        child: None,
        origin: ValueOrigin::Send,
        values: vec![(model, text("X1"), now), (BATTERY, text("9"), now)],
    });
    world.run(Command::HoldObservation {
        endpoint: endpoint("m"),
        observed: Observed::Path(BATTERY),
        parameters: NotificationAttributes::default(),
        holder: ObservationHolder::DECLARED,
        lease_until: Timestamp::NEVER,
    });
    let refused = Outcome::Rejected(Rejection::StillRegistered);
    assert_eq!(world.run(forget("m", Live::Refused)), refused);
    assert_eq!(world.run(forget("m", Live::Deregistered)), Outcome::Done);
    assert!(world.device("m").is_unknown());
    assert!(!query::is_known(&world.tables, &endpoint("m")));
    let ended = |event: &Event| {
        matches!(event, Event::OperationFinished { operation, outcome: OperationOutcome::Cancelled, .. }
            if *operation == waiting)
    };
    assert!(world.events().iter().any(ended), "whoever waits is told");
    assert_eq!(world.events().last(), Some(&Event::Forgotten));
    let unwanted = Effect::ObservationUnwanted {
        endpoint: endpoint("m"),
        observed: Observed::Path(BATTERY),
    };
    assert!(world.effects.contains(&unwanted));
    let unknown = Outcome::Rejected(Rejection::UnknownRegistration);
    assert_eq!(world.run(update("m", 1)), unknown);
    let unknown = Outcome::Rejected(Rejection::UnknownDevice);
    assert_eq!(world.run(forget("m", Live::Refused)), unknown);
}

#[test]
fn a_device_that_is_not_registered_is_deleted_without_force() {
    let mut world = World::new();
    world.enqueue("m", write("Z"));
    assert_eq!(world.run(forget("m", Live::Refused)), Outcome::Done);
    assert_eq!(world.device("m").observations, Vec::<Observation>::new());
    assert!(world.device("m").is_unknown());
}
