#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

#[test]
fn the_whole_oma_table_is_read() {
    let registry = Registry::parse(OMA_OBJECTS).unwrap();
    let lines = |kind: &str| {
        OMA_OBJECTS
            .lines()
            .filter(|line| line.starts_with(kind))
            .count()
    };
    assert_eq!(registry.objects().len(), lines("O\t"));
    let resources: usize = registry
        .objects()
        .iter()
        .map(|object| object.resources().len())
        .sum();
    assert_eq!(resources, lines("R\t"));
    assert!(resources > 4_000);
}

#[test]
fn the_device_object_is_described() {
    let device = Registry::oma().object(3, None).unwrap();
    assert_eq!(device.name, "Device");
    assert!(device.mandatory && !device.multiple);
    let battery = device.resource(9).unwrap();
    assert_eq!(battery.name, "Battery Level");
    assert_eq!(battery.value_type, Some(ValueType::Integer));
    assert_eq!(battery.range.as_deref(), Some("0..100"));
    assert!(battery.operations.readable && !battery.operations.writable);
    let reboot = device.resource(4).unwrap();
    assert!(reboot.operations.executable);
    assert_eq!(reboot.value_type, None);
}

#[test]
fn versions_are_kept_apart_and_the_newest_wins() {
    let registry = Registry::oma();
    let old = registry.object(3, Some(ObjectVersion::V1_0)).unwrap();
    assert_eq!(old.version, ObjectVersion::V1_0);
    let newest = registry.object(3, None).unwrap();
    assert!(newest.version > old.version);
    assert!(
        registry
            .versions(3)
            .is_sorted_by_key(|object| object.version)
    );
    assert!(registry.object(3, Some(ObjectVersion::new(9, 9))).is_none());
    assert!(registry.object(64_999, None).is_none());
}

#[test]
fn resources_are_found_by_path() {
    let registry = Registry::oma();
    let instance = Path::ResourceInstance(3, 0, 6, 1);
    assert_eq!(
        registry.resource(instance).unwrap().name,
        "Available Power Sources"
    );
    assert!(registry.resource(instance).unwrap().multiple);
    assert_eq!(
        registry.value_type(Path::Resource(3303, 0, 5700)),
        Some(ValueType::Float)
    );
    assert_eq!(registry.resource(Path::Resource(3, 0, 60_000)), None);
    assert_eq!(registry.resource(Path::ObjectInstance(3, 0)), None);
}

#[test]
fn bootstrap_only_resources_have_no_operations() {
    let secret = Registry::oma().resource(Path::Resource(0, 0, 5)).unwrap();
    assert_eq!(secret.operations, Operations::default());
    assert_eq!(secret.value_type, Some(ValueType::Opaque));
}

#[test]
fn a_broken_table_is_refused_with_its_line() {
    let parse = Registry::parse;
    assert_eq!(
        parse("# x\nR\t0\tA\tR\tSingle\tOptional\tString\t-\t-"),
        Err(RegistryError::NoObject(2))
    );
    assert_eq!(parse("O\t1\t1.0"), Err(RegistryError::Malformed(1)));
    assert_eq!(parse("X\t1"), Err(RegistryError::Malformed(1)));
    assert_eq!(
        parse("O\t1\t1.0\t1.0\tA\tSingle\tOptional\nO\t1\t1.0\t1.0\tA\tSingle\tOptional"),
        Err(RegistryError::Repeated(2))
    );
}

#[test]
fn unnamed_versions_depend_on_the_release() {
    let version = |object, release| default_object_version(object, release).to_string();
    assert_eq!(version(1, LwM2mVersion::V1_0), "1.0");
    assert_eq!(version(1, LwM2mVersion::V1_1), "1.1");
    assert_eq!(version(1, LwM2mVersion::V1_2), "1.2");
    assert_eq!(version(3303, LwM2mVersion::V1_2), "1.0");
    for release in [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        for object in 0..=7 {
            let version = default_object_version(object, release);
            assert!(Registry::oma().object(object, Some(version)).is_some());
        }
    }
}
