#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use lwm2m::{EndpointName, NotificationAttributes, WriteMode};

use super::*;
use crate::config::{Config, Profile};
use crate::objects;

fn tree(release: LwM2mVersion) -> ObjectTree {
    let mut config = Config::new(EndpointName::new("tree").unwrap());
    config.version = release;
    objects::factory(&config)
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn entry(text: &str, value: Value) -> Entry {
    Entry::new(path(text), value)
}

fn discovered(tree: &ObjectTree, at: &str, depth: Option<u8>) -> String {
    tree.discover(path(at), depth, |_| NotificationAttributes::default())
        .unwrap()
        .to_string()
}

#[test]
fn factory_objects_have_every_mandatory_resource() {
    for release in [LwM2mVersion::V1_0, LwM2mVersion::V1_1, LwM2mVersion::V1_2] {
        let mut config = Config::new(EndpointName::new("tree").unwrap());
        config.version = release;
        config.profile = Profile::full("tree");
        let tree = objects::factory(&config);
        for object in tree.objects.values() {
            for (id, instance) in &object.instances {
                for model in object
                    .model
                    .resources()
                    .iter()
                    .filter(|model| model.mandatory)
                {
                    let has = instance.contains_key(&model.id);
                    assert!(has, "{release:?} /{}/{id}/{}", object.model.id, model.id);
                }
            }
        }
    }
}

#[test]
fn a_read_of_an_instance_leaves_out_what_cannot_be_read() {
    let tree = tree(LwM2mVersion::V1_1);
    let entries = tree.read(path("/5/0")).unwrap();
    assert!(entries.iter().any(|entry| entry.path == path("/5/0/3")));
    assert!(entries.iter().all(|entry| entry.path != path("/5/0/0")));
    assert_eq!(
        tree.read(path("/5/0/0")),
        Err(Refusal::NotAllowed(path("/5/0/0")))
    );
    assert_eq!(
        tree.read(path("/3/0/4")),
        Err(Refusal::NotAllowed(path("/3/0/4")))
    );
}

#[test]
fn a_read_of_one_resource_instance_gives_only_that() {
    let tree = tree(LwM2mVersion::V1_1);
    assert_eq!(
        tree.read(path("/3/0/6/1")).unwrap(),
        [entry("/3/0/6/1", Value::Integer(5))]
    );
    assert_eq!(tree.read(path("/3/0/6")).unwrap().len(), 2);
    assert_eq!(
        tree.read(path("/3/0/6/7")),
        Err(Refusal::Missing(path("/3/0/6/7")))
    );
    assert_eq!(
        tree.read(path("/3/0/9/0")),
        Err(Refusal::Missing(path("/3/0/9/0")))
    );
}

#[test]
fn credentials_are_out_of_reach() {
    let mut tree = tree(LwM2mVersion::V1_1);
    for at in ["/0", "/0/0", "/0/0/5", "/21/0"] {
        assert_eq!(tree.read(path(at)), Err(Refusal::Credentials));
        assert_eq!(tree.delete(path(at)), Err(Refusal::Credentials));
    }
    let write = tree.write(path("/0/0/5"), WriteMode::Replace, &[]);
    assert_eq!(write, Err(Refusal::Credentials));
    assert!(!tree.registration_links().contains(Path::Object(0)));
}

#[test]
fn a_replacing_write_drops_optional_values_that_it_does_not_name() {
    let mut tree = tree(LwM2mVersion::V1_1);
    tree.put(path("/1/0/2"), Value::Integer(10));
    let values = [entry("/1/0/1", Value::Integer(60))];
    let changed = tree
        .write(path("/1/0"), WriteMode::Replace, &values)
        .unwrap();
    assert_eq!(changed, [path("/1/0/1"), path("/1/0/2"), path("/1/0/23")]);
    assert_eq!(tree.value(path("/1/0/1")), Some(&Value::Integer(60)));
    assert_eq!(tree.value(path("/1/0/2")), None);
    assert!(tree.value(path("/1/0/7")).is_some(), "it is mandatory");
    assert!(tree.is_action(path("/1/0/8")));
}

#[test]
fn an_updating_write_leaves_the_rest_alone() {
    let mut tree = tree(LwM2mVersion::V1_1);
    tree.put(path("/1/0/2"), Value::Integer(10));
    let values = [entry("/1/0/3", Value::Integer(60))];
    let changed = tree
        .write(path("/1/0"), WriteMode::Update, &values)
        .unwrap();
    assert_eq!(changed, [path("/1/0/3")]);
    assert_eq!(tree.value(path("/1/0/2")), Some(&Value::Integer(10)));
}

#[test]
fn a_write_that_fails_in_part_changes_nothing() {
    let mut tree = tree(LwM2mVersion::V1_1);
    let values = [
        entry("/3/0/14", Value::String("+02:00".to_owned())),
        entry("/3/0/9", Value::Integer(3)),
    ];
    let write = tree.write(path("/3/0"), WriteMode::Update, &values);
    assert_eq!(write, Err(Refusal::NotAllowed(path("/3/0/9"))));
    let offset = Value::String("+00:00".to_owned());
    assert_eq!(tree.value(path("/3/0/14")), Some(&offset));
}

#[test]
fn writes_say_what_is_wrong_with_them() {
    let mut tree = tree(LwM2mVersion::V1_1);
    let mut refused = |at: &str, value: Value| {
        tree.write(path(at), WriteMode::Replace, &[entry(at, value)])
            .unwrap_err()
    };
    assert_eq!(
        refused("/3/0/4", Value::Integer(1)),
        Refusal::NotAllowed(path("/3/0/4"))
    );
    assert_eq!(
        refused("/3/0/99", Value::Integer(1)),
        Refusal::Missing(path("/3/0/99"))
    );
    assert_eq!(
        refused("/3/7/14", Value::Integer(1)),
        Refusal::Missing(path("/3/7"))
    );
    assert_eq!(
        refused("/3/0/14", Value::Integer(1)),
        Refusal::BadValue(path("/3/0/14"))
    );
    assert_eq!(
        refused("/3/0/14/0", Value::Integer(1)),
        Refusal::Missing(path("/3/0/14/0"))
    );
    let long = Value::String("x".repeat(MAX_VALUE_BYTES + 1));
    assert_eq!(refused("/3/0/14", long), Refusal::TooLarge(path("/3/0/14")));
}

#[test]
fn instances_are_created_complete() {
    let mut tree = tree(LwM2mVersion::V1_1);
    let revision = tree.revision();
    assert_eq!(tree.free_instance(3303), Ok(1));
    let values = [entry("/3303/1/5701", Value::String("Cel".to_owned()))];
    tree.create(path("/3303/1"), &values).unwrap();
    assert_eq!(tree.value(path("/3303/1/5700")), Some(&Value::Float(0.0)));
    assert!(tree.is_action(path("/3303/1/5605")));
    assert_ne!(tree.revision(), revision);
    assert_eq!(
        tree.create(path("/3303/1"), &[]),
        Err(Refusal::Exists(path("/3303/1")))
    );
    tree.delete(path("/3303/1")).unwrap();
    assert_eq!(
        tree.require(path("/3303/1")),
        Err(Refusal::Missing(path("/3303/1")))
    );
}

#[test]
fn the_number_of_instances_is_bounded() {
    let mut tree = tree(LwM2mVersion::V1_1);
    for id in 1..MAX_INSTANCES as u16 {
        tree.create(Path::ObjectInstance(3303, id), &[]).unwrap();
    }
    assert_eq!(tree.free_instance(3303), Err(Refusal::Full));
    assert_eq!(tree.create(path("/3303/500"), &[]), Err(Refusal::Full));
}

#[test]
fn objects_of_the_device_itself_cannot_be_created_or_deleted() {
    let mut tree = tree(LwM2mVersion::V1_1);
    for at in ["/1/0", "/3/0", "/5/0", "/3303", "/3/0/6"] {
        assert_eq!(
            tree.delete(path(at)),
            Err(Refusal::NotAllowed(path(at))),
            "{at}"
        );
    }
    assert_eq!(
        tree.create(path("/1/1"), &[]),
        Err(Refusal::NotAllowed(path("/1")))
    );
    assert_eq!(
        tree.create(path("/3/1"), &[]),
        Err(Refusal::NotAllowed(path("/3")))
    );
}

#[test]
fn discover_lists_what_its_depth_asks_for() {
    let tree = tree(LwM2mVersion::V1_2);
    let object = discovered(&tree, "/3", None);
    assert!(
        object.contains("</3/0/6>;dim=2") && !object.contains("</3/0/6/0>"),
        "{object}"
    );
    assert_eq!(discovered(&tree, "/6", Some(0)), "</6>");
    assert_eq!(discovered(&tree, "/6", Some(1)), "</6>,</6/0>");
    assert_eq!(
        discovered(&tree, "/3/0/6", None),
        "</3/0/6>;dim=2,</3/0/6/0>,</3/0/6/1>"
    );
    assert_eq!(discovered(&tree, "/3/0/9", Some(3)), "</3/0/9>");
}

#[test]
fn a_registration_lists_instances_and_unusual_versions() {
    let links = tree(LwM2mVersion::V1_0).registration_links().to_string();
    assert!(
        links.starts_with("</>;rt=\"oma.lwm2m\";ct=11543,"),
        "{links}"
    );
    assert!(
        links.contains("</1/0>,</3/0>,</4/0>,</5/0>,</6/0>"),
        "{links}"
    );
    let links = tree(LwM2mVersion::V1_1).registration_links();
    assert!(
        links
            .content_formats()
            .any(|format| format == lwm2m::ContentFormat::SENML_CBOR)
    );
    assert_eq!(links.instances(3303).collect::<Vec<_>>(), [0]);
}

#[test]
fn setting_a_value_tells_whether_it_changed() {
    let mut tree = tree(LwM2mVersion::V1_1);
    let at = path("/3303/0/5700");
    assert_eq!(tree.set(at, Value::Float(20.0)), Ok(Change::None));
    assert_eq!(tree.set(at, Value::Integer(21)), Ok(Change::Value));
    assert_eq!(tree.value(at), Some(&Value::Float(21.0)));
    assert_eq!(
        tree.set(at, Value::Boolean(true)),
        Err(SetValueError::WrongType(at))
    );
    let missing = path("/3303/9/5700");
    assert_eq!(
        tree.set(missing, Value::Float(1.0)),
        Err(SetValueError::NoResource(missing))
    );
}
