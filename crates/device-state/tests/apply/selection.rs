//! Lists of devices by conditions.

use device_state::command::{Live, Missing};
use device_state::query::{DevicePage, DeviceQuery, select_devices};
use device_state::selection::{Condition, DeviceFilter, DeviceTest, Pattern, TextTest};
use device_state::{Command, DeviceName, DevicePrefix, Indexed, Namespace, ValueOrigin};
use lwm2m::Path;
use proptest::prelude::*;

use crate::metadata::{key, label};
use crate::world::{World, endpoint, id, text, write};

fn names(page: &DevicePage) -> Vec<&str> {
    page.devices
        .iter()
        .map(|device| device.endpoint.stored())
        .collect()
}

fn select(world: &World, filter: &DeviceFilter, after: Option<&str>, examine: usize) -> DevicePage {
    let after = after.map(endpoint);
    let query = DeviceQuery {
        filter,
        prefix: &DevicePrefix::of(&Namespace::default()),
        after: after.as_ref(),
        limit: 100,
        examine,
    };
    select_devices(&world.tables, &query)
}

fn is(text: &str) -> TextTest {
    TextTest::Is(Pattern::Whole(text.to_owned()))
}

fn labelled(name: &str, value: &str) -> DeviceFilter {
    Condition::Test(DeviceTest::Label(key(name), is(value)))
}

/// `d0` to `d19` registered, each fifth with the label `fifth`, and one that is only known by its label.
fn world() -> World {
    let mut world = World::new();
    for number in 0..20 {
        let name = format!("d{number:02}");
        world.register(&name, number);
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        world.run(label(&name, &[("parity", parity)], &[]));
        if number % 5 == 0 {
            world.run(label(&name, &[("fifth", "yes")], &[]));
        }
    }
    world.run(label("planned", &[("fifth", "yes")], &[]));
    world
}

#[test]
fn every_known_device_is_listed_registered_or_not() {
    let mut world = world();
    world.enqueue("waits", write("Z"));
    let all = select(&world, &Condition::everything(), None, 1_000);
    assert_eq!(all.devices.len(), 22);
    assert_eq!(all.next, None);
    let absent = Condition::Not(Box::new(Condition::Test(DeviceTest::Registered)));
    assert_eq!(
        names(&select(&world, &absent, None, 1_000)),
        ["planned", "waits"]
    );
}

#[test]
fn devices_are_found_by_the_rarest_of_their_labels() {
    let world = world();
    let both = Condition::All(vec![labelled("parity", "even"), labelled("fifth", "yes")]);
    let page = select(&world, &both, None, 1_000);
    assert_eq!(names(&page), ["d00", "d10"]);
    assert_eq!(page.examined, 5, "those of the rarer label");
    let either = Condition::Any(vec![labelled("fifth", "yes"), labelled("fifth", "no")]);
    let page = select(&world, &either, Some("d05"), 1_000);
    assert_eq!(names(&page), ["d10", "d15", "planned"]);
    assert_eq!(page.examined, 3);
}

#[test]
fn a_page_is_over_when_enough_was_looked_at() {
    let world = world();
    let beginning = TextTest::IsNot(Pattern::Beginning("d".to_owned()));
    let filter = Condition::Test(DeviceTest::Endpoint(beginning));
    let page = select(&world, &filter, None, 8);
    assert_eq!((page.devices.len(), page.examined), (0, 8));
    assert_eq!(page.next, Some(endpoint("d07")));
    let page = select(&world, &filter, Some("d07"), 1_000);
    assert_eq!(names(&page), ["planned"]);
}

#[test]
fn a_name_is_looked_up_and_a_beginning_narrows() {
    let world = world();
    let test = |test| Condition::Test(DeviceTest::Endpoint(test));
    let page = select(&world, &test(is("d07")), None, 1_000);
    assert_eq!((names(&page), page.examined), (vec!["d07"], 1));
    let beginning = TextTest::Is(Pattern::Beginning("d1".to_owned()));
    let page = select(&world, &test(beginning), None, 1_000);
    assert_eq!((page.devices.len(), page.examined), (10, 10));
    assert_eq!(select(&world, &test(is("nobody")), None, 1_000).devices, []);
}

#[test]
fn devices_are_found_by_what_they_report_of_themselves() {
    let mut world = world();
    let now = world.now;
    let report = |number: u64, version: &str| Command::RecordValues {
        endpoint: endpoint(&format!("d{number:02}")),
        registration: id(number),
        child: None,
        origin: ValueOrigin::Send,
        values: vec![(Path::Resource(3, 0, 3), text(version), now)],
    };
    world.run(report(3, "1.0"));
    world.run(report(4, "1.0"));
    world.run(report(4, "1.1"));
    let firmware =
        |version: &str| Condition::Test(DeviceTest::Value(Indexed::FirmwareVersion, is(version)));
    let page = select(&world, &firmware("1.0"), None, 1_000);
    assert_eq!((names(&page), page.examined), (vec!["d03"], 1));
    // A value that no key can hold is found all the same.
    world.run(report(5, "a\u{0}b"));
    let page = select(&world, &firmware("a\u{0}b"), None, 1_000);
    assert_eq!((names(&page), page.examined), (vec!["d05"], 21));
    world.run(Command::Forget {
        endpoint: endpoint("d04"),
        live: Live::Deregistered,
        missing: Missing::Refused,
    });
    assert_eq!(select(&world, &firmware("1.1"), None, 1_000).examined, 0);
}

#[derive(Clone, Debug)]
enum Known {
    Label,
    Operation,
    Registration,
}

proptest! {
    #[test]
    fn pages_of_any_size_hold_all_known_devices_in_order(
        devices in prop::collection::btree_map("[a-c~é]{1,3}", prop_oneof![
            Just(Known::Label), Just(Known::Operation), Just(Known::Registration)
        ], 0..40),
        limit in 1_usize..9,
        examine in 1_usize..9,
    ) {
        let mut world = World::new();
        for (number, (name, known)) in (0..).zip(&devices) {
            match known {
                Known::Label => { world.run(label(name, &[("a", "1")], &[])); }
                Known::Operation => { world.enqueue(name, write("Z")); }
                Known::Registration => { world.register(name, number); }
            }
        }
        let filter = Condition::everything();
        let (mut found, mut after): (Vec<String>, Option<DeviceName>) = (Vec::new(), None);
        loop {
            let query = DeviceQuery { filter: &filter, prefix: &DevicePrefix::everything(), after: after.as_ref(), limit, examine };
            let page = select_devices(&world.tables, &query);
            found.extend(page.devices.iter().map(|device| device.endpoint.stored().to_owned()));
            after = page.next;
            if after.is_none() { break; }
        }
        prop_assert_eq!(found, devices.into_keys().collect::<Vec<_>>());
    }
}
