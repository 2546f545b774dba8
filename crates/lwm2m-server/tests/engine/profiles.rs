//! Profile ids (LwM2M Core 1.2 §6.2.1; 1.2-int-110 and 111).

use std::collections::BTreeMap;
use std::sync::Arc;

use coap::{Code, Message};
use device_state::NodeId;
use lwm2m::{NotificationAttributes, ObjectLinks, Operation, Path};
use lwm2m_server::{Config, Profiles};

use super::site::{LIST, Site, anyone, asked_of};

const METER: &str = "6:27354b9a";
const LAMP: &str = "oma:lamp";

/// A site that knows two profiles.
fn site() -> Site {
    let lists = BTreeMap::from([
        (METER.to_owned(), "</1/0>,</3/0>,</3303/0>".to_owned()),
        (
            LAMP.to_owned(),
            "</>;ct=112,</1/0>,</3/0>,</3311/0>;ver=1.1".to_owned(),
        ),
    ]);
    Site::with(Config {
        profiles: Arc::new(Profiles::new(&lists).unwrap()),
        ..Config::new(NodeId(1), 1)
    })
}

fn ask(site: &mut Site, message: &Message) -> Code {
    site.ask(&anyone(1), message).code
}

fn register(site: &mut Site, pid: &str, list: &str) -> Code {
    let message = site.register(&format!("ep=device-1&lt=600&lwm2m=1.2{pid}"), list);
    ask(site, &message)
}

fn update(site: &mut Site, query: &str, list: &str) -> Code {
    let id = site.registration("device-1").unwrap().id;
    let message = site.update(&id, query, list);
    ask(site, &message)
}

/// The paths that are known of the device.
fn known(site: &Site) -> Vec<String> {
    let links = site.registration("device-1").unwrap().links;
    let links = ObjectLinks::parse(&links).unwrap();
    let mut paths: Vec<String> = links.iter().map(|link| link.path.to_string()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn a_known_profile_stands_for_its_list_and_is_united_with_that_of_the_device() {
    let mut site = site();
    for (pid, list, expected) in [
        ("6:27354b9a", "", &["/1/0", "/3/0", "/3303/0"][..]),
        (
            "6:27354b9a",
            "</3/0>;ver=1.2,</4/0>",
            &["/1/0", "/3/0", "/3303/0", "/4/0"],
        ),
        ("oma:lamp", "", &["/", "/1/0", "/3/0", "/3311/0"]),
        (
            "\"6:27354b9a,oma:lamp\"",
            "",
            &["/", "/1/0", "/3/0", "/3303/0", "/3311/0"],
        ),
    ] {
        let code = register(&mut site, &format!("&pid={pid}"), list);
        assert_eq!(code, Code::CREATED_2_01, "{pid} {list}");
        assert_eq!(known(&site), expected, "{pid} {list}");
    }
}

#[test]
fn what_both_name_is_as_the_device_says() {
    let mut site = site();
    register(&mut site, "&pid=oma:lamp", "</3311/0>;ver=1.2");
    let links = site.registration("device-1").unwrap().links;
    let version = ObjectLinks::parse(&links).unwrap().version(3311);
    assert_eq!(version, Some("1.2".parse().unwrap()));
}

#[test]
fn a_device_whose_objects_cannot_be_told_has_to_list_them() {
    let mut site = site();
    for (pid, list, code) in [
        ("&pid=6:00000000", "", Code::BAD_REQUEST_4_00),
        ("&pid=\"6:27354b9a,6:00000000\"", "", Code::BAD_REQUEST_4_00),
        ("&pid=", "", Code::BAD_REQUEST_4_00),
        ("", "", Code::BAD_REQUEST_4_00),
        ("", "</>;ct=110", Code::BAD_REQUEST_4_00),
        ("&pid=6:00000000", LIST, Code::CREATED_2_01),
        ("", LIST, Code::CREATED_2_01),
    ] {
        assert_eq!(register(&mut site, pid, list), code, "{pid} {list}");
    }
    assert_eq!(site.registration("device-1").unwrap().links, LIST);
}

#[test]
fn older_releases_have_no_profiles() {
    let mut site = site();
    for release in ["1.0", "1.1"] {
        let query = format!("ep=device-1&lt=600&lwm2m={release}&pid=6:27354b9a");
        let message = site.register(&query, "</1/0>,</3/0>");
        assert_eq!(ask(&mut site, &message), Code::CREATED_2_01);
        assert_eq!(known(&site), ["/1/0", "/3/0"]);
    }
}

#[test]
fn an_update_with_another_profile_takes_away_what_the_former_one_added() {
    let mut site = site();
    register(&mut site, "&pid=6:27354b9a", "</4/0>");
    assert_eq!(update(&mut site, "", ""), Code::CHANGED_2_04);
    assert_eq!(known(&site), ["/1/0", "/3/0", "/3303/0", "/4/0"]);
    let code = update(&mut site, "pid=oma:lamp", "");
    assert_eq!(code, Code::CHANGED_2_04);
    assert_eq!(known(&site), ["/", "/1/0", "/3/0", "/3311/0", "/4/0"]);
    // With a list of its own, it says all anew.
    let code = update(&mut site, "pid=6:27354b9a", "</5/0>");
    assert_eq!(code, Code::CHANGED_2_04);
    assert_eq!(known(&site), ["/1/0", "/3/0", "/3303/0", "/5/0"]);
    assert_eq!(update(&mut site, "", "</1/0>,</3/0>"), Code::CHANGED_2_04);
    assert_eq!(known(&site), ["/1/0", "/3/0"]);
}

#[test]
fn an_update_from_which_the_objects_cannot_be_told_changes_nothing() {
    let mut site = site();
    register(&mut site, "&pid=6:27354b9a", "");
    let before = site.registration("device-1");
    let code = update(&mut site, "pid=6:00000000", "");
    assert_eq!(code, Code::BAD_REQUEST_4_00);
    assert_eq!(site.registration("device-1"), before);
    // What a device listed by itself, it has to list again.
    register(&mut site, "", LIST);
    let code = update(&mut site, "pid=6:27354b9a", "");
    assert_eq!(code, Code::BAD_REQUEST_4_00);
    assert_eq!(known(&site), ["/1/0", "/3/0", "/3303/0"]);
}

#[test]
fn the_objects_of_a_profile_lie_where_the_device_says() {
    let mut site = site();
    let list = "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/4/0>";
    register(&mut site, "&pid=6:27354b9a", list);
    assert_eq!(known(&site), ["/", "/1/0", "/3/0", "/3303/0", "/4/0"]);
    let id = site.registration("device-1").unwrap().id;
    let observe = Operation::Observe {
        observed: Path::Resource(3303, 0, 5700).into(),
        parameters: NotificationAttributes::default(),
    };
    let request = asked_of(1, &site.operate(&id, observe));
    assert_eq!(
        request.options.first(coap::number::URI_PATH),
        Some(&b"lwm2m"[..])
    );
}

/// What a device reports has to be of an object that it has, by its profile or by its list (LwM2M Core 1.2 §6.4.6).
#[test]
fn a_send_may_name_the_objects_of_the_profile() {
    let mut site = site();
    register(&mut site, "&pid=6:27354b9a", "</4/0>");
    for (path, code) in [
        ("/3303/0/5700", Code::CHANGED_2_04),
        ("/4/0/2", Code::CHANGED_2_04),
        ("/3311/0/5851", Code::NOT_FOUND_4_04),
    ] {
        let mut send = site.request(Code::POST, &["dp"], &[]);
        send.options.push_uint(coap::number::CONTENT_FORMAT, 110);
        send.payload = format!(r#"[{{"n":"{path}","v":20}}]"#).into_bytes();
        assert_eq!(ask(&mut site, &send), code, "{path}");
    }
}
