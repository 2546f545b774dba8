//! Devices that meet a condition, page by page. What a page costs is bounded whatever the condition is.

use lwm2m::{EndpointName, ObjectLinks, Value};

use super::known::Names;
use crate::enrollment::{Enrollment, EnrollmentStanding};
use crate::index::Indexed;
use crate::label::{LabelKey, LabelValue, Metadata};
use crate::name::{DeviceName, DevicePrefix};
use crate::query;
use crate::record::Registration;
use crate::selection::{Condition, DeviceFilter, DeviceTest, Pattern, TextTest};
use crate::table::{RowKey, Tables};

/// Entries of the index that are counted to tell which part of a condition leaves the fewest devices.
const PROBE: usize = 256;
/// Values of the index that are followed at once.
const MAX_LANES: usize = 32;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct DeviceQuery<'q> {
    pub filter: &'q DeviceFilter,
    /// Only these devices.
    pub prefix: &'q DevicePrefix,
    /// Only names after this one.
    pub after: Option<&'q DeviceName>,
    /// Devices of the page.
    pub limit: usize,
    /// Devices that are looked at for the page.
    pub examine: usize,
}

/// A device in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSummary {
    pub endpoint: DeviceName,
    /// `None` while the device is not registered.
    pub registration: Option<Registration>,
    pub metadata: Option<Metadata>,
}

/// A page of devices, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct DevicePage {
    pub devices: Vec<DeviceSummary>,
    /// How many were looked at.
    pub examined: usize,
    /// Where to go on (`after`); `None` at the end.
    pub next: Option<DeviceName>,
}

/// The devices of a shard that meet a condition. There can be none on a page that is not the last.
pub fn select_devices(tables: &dyn Tables, query: &DeviceQuery<'_>) -> DevicePage {
    let mut page = DevicePage {
        devices: Vec::new(),
        examined: 0,
        next: None,
    };
    let Some(beginning) = narrowed(query.filter, query.prefix.beginning()) else {
        return page;
    };
    let prefix = query.prefix.with_beginning(&beginning);
    if let Some(name) = whole_name(query.filter) {
        return only(tables, query, name);
    }
    let mut names = match best_index(tables, query) {
        Some(values) => Names::of_index(tables, &values, &prefix, query.after),
        None => Names::of_all(tables, &prefix, query.after),
    };
    while page.devices.len() < query.limit && page.examined < query.examine {
        let Some(endpoint) = names.next() else {
            page.next = None;
            return page;
        };
        page.examined += 1;
        page.next = Some(endpoint.clone());
        let device = summary(tables, endpoint);
        if query.filter.holds(&mut |test| meets(tables, &device, test)) {
            page.devices.push(device);
        }
    }
    page
}

/// Whether a device meets a condition.
pub(crate) fn meets_filter(
    tables: &dyn Tables,
    endpoint: &DeviceName,
    filter: &DeviceFilter,
) -> bool {
    let device = summary(tables, endpoint.clone());
    filter.holds(&mut |test| meets(tables, &device, test))
}

fn summary(tables: &dyn Tables, endpoint: DeviceName) -> DeviceSummary {
    DeviceSummary {
        registration: query::registration(tables, &endpoint),
        metadata: query::metadata(tables, &endpoint),
        endpoint,
    }
}

/// The one name that a device can have.
fn whole_name(filter: &DeviceFilter) -> Option<&str> {
    let conjuncts = filter.conjuncts();
    conjuncts.into_iter().find_map(|conjunct| match conjunct {
        Condition::Test(DeviceTest::Endpoint(TextTest::Is(Pattern::Whole(name)))) => {
            Some(name.as_str())
        }
        _ => None,
    })
}

/// The page with the device of this name.
fn only(tables: &dyn Tables, query: &DeviceQuery<'_>, name: &str) -> DevicePage {
    let named = EndpointName::new(name).ok();
    let named = named.and_then(|name| query.prefix.named(&name));
    let endpoint = named.filter(|endpoint| {
        query.prefix.covers(endpoint)
            && query.after.is_none_or(|after| after < endpoint)
            && query::is_known(tables, endpoint)
    });
    let devices = endpoint.map(|endpoint| summary(tables, endpoint));
    let fitting = devices.filter(|device| {
        let mut test = |test: &DeviceTest| meets(tables, device, test);
        query.filter.holds(&mut test)
    });
    DevicePage {
        devices: fitting.into_iter().collect(),
        examined: 1,
        next: None,
    }
}

/// The beginning that every name has to have; `None` if no name can have it.
fn narrowed(filter: &DeviceFilter, prefix: &str) -> Option<String> {
    let mut narrowest = prefix.to_owned();
    for conjunct in filter.conjuncts() {
        if let Condition::Test(DeviceTest::Endpoint(TextTest::Is(pattern))) = conjunct {
            let (Pattern::Whole(text) | Pattern::Beginning(text)) = pattern;
            if text.starts_with(&narrowest) {
                narrowest.clone_from(text);
            } else if !narrowest.starts_with(text) {
                return None;
            }
        }
    }
    Some(narrowest)
}

/// The values of the index by which the fewest devices are found; `None` if the condition has none that all devices
/// must have.
fn best_index(tables: &dyn Tables, query: &DeviceQuery<'_>) -> Option<Vec<(Indexed, String)>> {
    let conjuncts = query.filter.conjuncts();
    let mut choices: Vec<_> = conjuncts.into_iter().filter_map(indexed).collect();
    if choices.len() > 1 {
        choices.sort_by_cached_key(|values| {
            let count = |(attribute, value): &(Indexed, String)| {
                probe(tables, query.prefix, attribute, value)
            };
            values.iter().map(count).sum::<usize>()
        });
    }
    choices.into_iter().next()
}

fn probe(tables: &dyn Tables, prefix: &DevicePrefix, attribute: &Indexed, value: &str) -> usize {
    let key = |endpoint| RowKey::Index(attribute.clone(), value.to_owned(), endpoint);
    let (from, to) = (key(prefix.first()), key(prefix.last()));
    tables.scan(&from, &to, PROBE).len()
}

/// The values of which a device has one if it meets the condition.
fn indexed(condition: &DeviceFilter) -> Option<Vec<(Indexed, String)>> {
    match condition {
        Condition::Test(DeviceTest::Label(key, TextTest::Is(Pattern::Whole(value)))) => {
            entry(Indexed::Label(LabelKey::clone(key)), value)
        }
        Condition::Test(DeviceTest::Value(attribute, TextTest::Is(Pattern::Whole(value)))) => {
            entry(attribute.clone(), value)
        }
        Condition::Any(parts) => {
            let values: Option<Vec<_>> = parts.iter().map(indexed).collect();
            let values: Vec<_> = values?.into_iter().flatten().collect();
            (values.len() <= MAX_LANES).then_some(values)
        }
        _ => None,
    }
}

fn entry(attribute: Indexed, value: &str) -> Option<Vec<(Indexed, String)>> {
    Indexed::takes(value).then(|| vec![(attribute, value.to_owned())])
}

fn meets(tables: &dyn Tables, device: &DeviceSummary, test: &DeviceTest) -> bool {
    let live = device.registration.as_ref();
    let label = |key: &LabelKey| device.metadata.as_ref()?.labels.get(key);
    match test {
        DeviceTest::Endpoint(test) => test.holds(Some(device.endpoint.endpoint_str())),
        DeviceTest::Label(key, test) => test.holds(label(key).map(LabelValue::as_str)),
        DeviceTest::HasLabel(key) => label(key).is_some(),
        DeviceTest::Registered => live.is_some(),
        DeviceTest::Version(test) => test.holds(live.map(|live| live.version)),
        DeviceTest::Binding(test) => {
            test.holds(live.map(|live| live.binding.to_string()).as_deref())
        }
        DeviceTest::Transport(test) => test.holds(live.map(|live| live.transport.name())),
        DeviceTest::IngressNode(test) => {
            test.holds(live.map(|live| live.owner.to_string()).as_deref())
        }
        DeviceTest::EnrollmentPolicy(test) => {
            test.holds(enrollment(live).map(|enrollment| enrollment.policy.as_str()))
        }
        DeviceTest::Quarantined => enrollment(live)
            .is_some_and(|enrollment| enrollment.standing == EnrollmentStanding::Quarantined),
        DeviceTest::RegisteredAt(test) => test.holds(live.map(|live| live.registered_at)),
        DeviceTest::UpdatedAt(test) => test.holds(live.map(|live| live.updated_at)),
        DeviceTest::ExpiresAt(test) => {
            let ends = live.map(|live| live.expires_at);
            test.holds(ends.filter(|at| *at != crate::id::Timestamp::NEVER))
        }
        DeviceTest::Object(object, instance) => {
            live.is_some_and(|live| has_object(live, *object, *instance))
        }
        DeviceTest::Value(attribute, test) => {
            let path = attribute.path();
            let known = path.and_then(|path| query::last_value(tables, &device.endpoint, path));
            match known.map(|known| known.value) {
                Some(Value::String(text)) => test.holds(Some(&text)),
                _ => false,
            }
        }
    }
}

fn enrollment(live: Option<&Registration>) -> Option<&Enrollment> {
    live?.enrollment.as_ref()
}

/// Whether a device registered with an object, or with this instance of it.
pub(crate) fn has_object(registration: &Registration, object: u16, instance: Option<u16>) -> bool {
    let links = ObjectLinks::parse(&registration.links).unwrap_or_default();
    links.iter().any(|link| {
        link.path.object_id() == Some(object)
            && (instance.is_none() || link.path.object_instance_id() == instance)
    })
}
