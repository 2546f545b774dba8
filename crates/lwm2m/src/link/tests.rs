#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> ObjectLinks {
    ObjectLinks::parse(text).unwrap()
}

fn printed(text: &str) -> String {
    parse(text).to_string()
}

#[test]
fn a_plain_list_is_read() {
    let links = parse("</>;rt=\"oma.lwm2m\";ct=\"110 112 60\",</1/0>,</1/1>,</3/0>,</5>");
    assert!(links.alternate_path().is_root());
    assert_eq!(links.len(), 5);
    assert_eq!(links.instances(1).collect::<Vec<_>>(), [0, 1]);
    assert!(links.contains(Path::Object(5)) && links.contains(Path::Object(3)));
    assert_eq!(links.instances(5).count(), 0);
    let formats: Vec<u16> = links.content_formats().map(|format| format.0).collect();
    assert_eq!(formats, [110, 112, 60]);
}

#[test]
fn versions_are_found_on_objects_and_instances() {
    let links = parse("</1>;ver=1.1,</3>;ver=\"1.2\",</3/0>,</44/0>;ver=2.2,</5/0>,</6>;ver=x");
    assert_eq!(links.version(1), Some(ObjectVersion::new(1, 1)));
    assert_eq!(links.version(3), Some(ObjectVersion::new(1, 2)));
    assert_eq!(links.version(44), Some(ObjectVersion::new(2, 2)));
    assert_eq!(links.version(5), None);
    assert_eq!(links.version(6), None);
}

#[test]
fn an_object_without_a_version_has_that_of_the_release() {
    let links = parse("</1/0>,</3/0>;ver=1.0,</3303/0>,</3311>;ver=1.1,</3311/0>");
    let versions = |release| [1, 3, 3303, 3311].map(|id| links.version_in(id, release).to_string());
    assert_eq!(versions(LwM2mVersion::V1_0), ["1.0", "1.0", "1.0", "1.1"]);
    assert_eq!(versions(LwM2mVersion::V1_1), ["1.1", "1.0", "1.0", "1.1"]);
    assert_eq!(versions(LwM2mVersion::V1_2), ["1.2", "1.0", "1.0", "1.1"]);
}

#[test]
fn sloppy_lists_are_read() {
    for (text, expected) in [
        ("", ""),
        (" </1/0> , </3/0/> ;x,", "</1/0>,</3/0>;x"),
        ("</1/0>;;x;", "</1/0>;x"),
        ("</1>;obs;ver=1.1", "</1>;obs;ver=1.1"),
        ("</1>;title=\"a,b;c\\\"d\"", "</1>;title=\"a,b;c\\\"d\""),
        ("</3/0/9>;pmin=10;gt=-2.5", "</3/0/9>;pmin=10;gt=-2.5"),
        ("</.well-known/core>,</3/0>,</x>,<coap://h/3>", "</3/0>"),
        ("</3/65535>,</3/0/1/2/3>,</70000>,</3/0>", "</3/0>"),
        (
            "lwm2m=\"1.1\",</0/0>;ssid=1;uri=\"coaps://h\",</0/1/>",
            "</>;lwm2m=1.1,</0/0>;ssid=1;uri=\"coaps://h\",</0/1>",
        ),
        ("</>;lwm2m=1.2,</4>", "</>;lwm2m=1.2,</4>"),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn an_alternate_path_is_taken_off() {
    let text = "</lwm2m>;rt=\"oma.lwm2m\";ct=112,</lwm2m/1/0>,</lwm2m/3/0/>,</3/1>";
    let links = parse(text);
    assert_eq!(links.alternate_path().to_string(), "/lwm2m");
    assert!(links.contains(Path::ObjectInstance(3, 0)));
    assert!(!links.contains(Path::ObjectInstance(3, 1)));
    assert_eq!(
        links.to_string(),
        "</lwm2m>;rt=\"oma.lwm2m\";ct=112,</lwm2m/1/0>,</lwm2m/3/0>"
    );
    let built = ObjectLinks::new(vec![Link::new(Path::Object(1)).with("ver", "1.1")])
        .with_alternate_path("/l".parse().unwrap());
    assert_eq!(built.to_string(), "</l>;rt=\"oma.lwm2m\",</l/1>;ver=1.1");
}

/// Found by fuzzing: without the slash the target was trimmed, and read as object 2.
#[test]
fn a_space_in_an_alternate_path_makes_it_none() {
    let links = parse("</2 />;rt=\"oma.lwm2m\",</3/0>");
    assert!(links.alternate_path().is_root());
    assert_eq!(parse(&links.to_string()), links);
}

#[test]
fn broken_lists_are_refused_with_their_place() {
    for (text, at) in [
        ("</1/0", 5),
        ("</1>x", 4),
        ("</1>;a=\"b", 9),
        ("</1>;=b", 5),
        ("</1>,x", 5),
        ("</1>;a=\"b\"c", 10),
        ("</1>;a=\"b\\", 10),
    ] {
        assert_eq!(
            ObjectLinks::parse(text),
            Err(LinkError::Malformed(at)),
            "{text}"
        );
    }
    assert_eq!(ObjectLinks::parse_bytes(&[0xff]), Err(LinkError::NotUtf8));
}

#[test]
fn lists_are_bounded() {
    let long = " ".repeat(MAX_BYTES + 1);
    assert_eq!(
        ObjectLinks::parse(&long),
        Err(LinkError::TooLong(MAX_BYTES + 1))
    );
    let many = "</1>,".repeat(MAX_LINKS + 1);
    assert_eq!(ObjectLinks::parse(&many), Err(LinkError::TooManyLinks));
    let attributes = format!("</1>{}", ";a".repeat(MAX_ATTRIBUTES + 1));
    assert_eq!(
        ObjectLinks::parse(&attributes),
        Err(LinkError::TooManyAttributes)
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[</0-9>;,=\"\\\\ aé]{0,48}") {
        if let Ok(links) = ObjectLinks::parse(&text) {
            prop_assert!(links.len() <= text.len());
        }
    }

    #[test]
    fn written_lists_are_read_back(
        links in prop::collection::vec(
            (prop::collection::vec(0_u16..65_535, 0..=4), "[a-z]{1,4}", prop::option::of("[ -~é]{0,12}")),
            0..8,
        )
    ) {
        let links = links
            .into_iter()
            .map(|(ids, name, value)| Link {
                path: Path::from_segments(&ids).unwrap(),
                attributes: vec![(format!("x{name}"), value)],
            })
            .collect();
        let list = ObjectLinks::new(links);
        prop_assert_eq!(parse(&list.to_string()), list);
    }
}

#[test]
fn a_device_that_shows_several_servers_does_not_say_which_is_the_listener() {
    let own = |text: &str| ObjectLinks::parse(text).unwrap().own_server_instance();
    assert_eq!(own("</1/0>,</3/0>"), Some(0));
    assert_eq!(
        own("</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/7>,</lwm2m/3/0>"),
        Some(7)
    );
    assert_eq!(own("</1/0>,</1/1>,</3/0>"), None);
    assert_eq!(own("</1>,</3/0>"), None);
    assert_eq!(own(""), None);
}

#[test]
fn instances_come_and_go_in_a_list() {
    let mut links = parse("</l>;rt=\"oma.lwm2m\",</l/3/0>,</l/3303/0>;ver=1.1");
    links.add_instance(Path::ObjectInstance(3303, 7));
    links.add_instance(Path::ObjectInstance(3303, 7));
    assert_eq!(links.instances(3303).collect::<Vec<_>>(), [0, 7]);
    links.remove_instance(Path::ObjectInstance(3303, 0));
    assert_eq!(links.instances(3303).collect::<Vec<_>>(), [7]);
    links.remove_instance(Path::ObjectInstance(3303, 7));
    assert_eq!(
        links.to_string(),
        "</l>;rt=\"oma.lwm2m\",</l/3/0>,</l/3303>"
    );
    let mut versioned = parse("</3303/0>;ver=1.1");
    versioned.remove_instance(Path::ObjectInstance(3303, 0));
    assert_eq!(versioned.to_string(), "</3303>;ver=1.1");
}
