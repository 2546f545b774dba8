use lwm2m::Entry;

use super::*;

/// Every form of an answer to Discover that clients give: LwM2M 1.0 and 1.1, 1.2, and with trailing slashes and objects
/// without instances. All three have their bootstrap account in `/0/0` and `/21/1`.
const REPLIES: [(&str, LwM2mVersion); 4] = [
    (
        r#"lwm2m="1.1",</0/0>,</0/1>;ssid=1,</1/0>;ssid=1,</21/1>,</3/0>"#,
        LwM2mVersion::V1_1,
    ),
    (
        r#"lwm2m="1.0",</0/0>,</0/1>;ssid="101",</21/1>,</1>,</4>"#,
        LwM2mVersion::V1_0,
    ),
    (
        r#"</>;lwm2m=1.2,</0/0>;uri="coaps://bs.example.com",</0/1>;ssid=1;uri="coaps://a.example.com",</21/0>;ssid=1,</21/1>"#,
        LwM2mVersion::V1_2,
    ),
    (
        "</>;lwm2m=1.2,</0>,</0/0/>,</0/1/>;ssid=1,</1/0/>;ssid=1,</4>,</21/1/>",
        LwM2mVersion::V1_2,
    ),
];

fn write(path: Path, values: Vec<(u16, Value)>) -> BootstrapWrite {
    let values = values
        .into_iter()
        .filter_map(|(id, value)| Some(Entry::new(path.child(id)?, value)))
        .collect();
    BootstrapWrite { path, values }
}

fn link(instance: u16) -> Value {
    Value::ObjectLink {
        object: OSCORE,
        instance,
    }
}

fn plan(writes: Vec<BootstrapWrite>) -> BootstrapPlan {
    BootstrapPlan {
        discover: true,
        deletes: Vec::new(),
        writes,
        reads: Vec::new(),
        packs: false,
    }
}

#[test]
fn every_form_of_a_discover_answer_is_read() {
    let kept = [Path::ObjectInstance(0, 0), Path::ObjectInstance(21, 1)];
    for (reply, version) in REPLIES {
        let layout = Layout::new(&ObjectLinks::parse(reply).unwrap());
        assert_eq!(layout.version, Some(version), "{reply}");
        assert_eq!(layout.kept, kept, "{reply}");
    }
}

#[test]
fn accounts_make_way_for_the_bootstrap_account() {
    let layout = Layout::new(&ObjectLinks::parse(REPLIES[2].0).unwrap());
    let mut plan = plan(vec![
        write(
            Path::ObjectInstance(0, 0),
            vec![(1, Value::Boolean(false)), (17, link(1))],
        ),
        write(Path::ObjectInstance(0, 1), vec![(17, link(0))]),
        write(
            Path::ObjectInstance(21, 1),
            vec![(1, Value::Opaque(vec![1]))],
        ),
        write(
            Path::ObjectInstance(21, 0),
            vec![(1, Value::Opaque(vec![0]))],
        ),
        write(Path::ObjectInstance(1, 0), vec![(0, Value::Integer(1))]),
    ]);
    plan.deletes = vec![
        Path::Object(0),
        Path::ObjectInstance(0, 0),
        Path::ObjectInstance(0, 1),
    ];
    layout.fit(&mut plan);
    assert_eq!(plan.deletes, [Path::Object(0), Path::ObjectInstance(0, 1)]);
    let expected = [
        write(
            Path::ObjectInstance(0, 2),
            vec![(1, Value::Boolean(false)), (17, link(2))],
        ),
        write(Path::ObjectInstance(0, 1), vec![(17, link(0))]),
        write(
            Path::ObjectInstance(21, 2),
            vec![(1, Value::Opaque(vec![1]))],
        ),
        write(
            Path::ObjectInstance(21, 0),
            vec![(1, Value::Opaque(vec![0]))],
        ),
        write(Path::ObjectInstance(1, 0), vec![(0, Value::Integer(1))]),
    ];
    assert_eq!(plan.writes, expected);
}

#[test]
fn another_bootstrap_account_takes_the_place_of_the_present_one() {
    let links = ObjectLinks::parse("</>;lwm2m=1.2,</0/7>,</0/1>;ssid=1").unwrap();
    let mut plan = plan(vec![write(
        Path::ObjectInstance(0, 0),
        vec![(1, Value::Boolean(true))],
    )]);
    Layout::new(&links).fit(&mut plan);
    assert_eq!(plan.writes[0].path, Path::ObjectInstance(0, 7));
    assert_eq!(plan.writes[0].values[0].path, Path::Resource(0, 7, 1));
}

#[test]
fn an_old_client_is_not_written_what_it_cannot_know() {
    let mut plan = plan(vec![write(
        Path::ObjectInstance(1, 0),
        vec![(0, Value::Integer(1)), (17, Value::Unsigned(5))],
    )]);
    let before = plan.clone();
    let layout = |reply: &str| Layout::new(&ObjectLinks::parse(reply).unwrap());
    layout("lwm2m=\"1.1\",</0/0>").fit(&mut plan);
    assert_eq!(plan, before);
    layout("</0/0>").fit(&mut plan);
    assert_eq!(plan, before, "the version is not known");
    layout("lwm2m=\"1.0\",</0/0>").fit(&mut plan);
    assert_eq!(plan.writes[0].values.len(), 1);
}
