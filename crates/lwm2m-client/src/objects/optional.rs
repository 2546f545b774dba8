//! The objects that a device has if its profile says so.

use lwm2m::{Path, Value};

use super::{ADVANCED_FIRMWARE, COMPONENTS, SOFTWARE, add_update, gateway};
use crate::config::{Config, OptionalObject};
use crate::tree::ObjectTree;

pub(crate) const ACCESS_CONTROL: u16 = 2;

pub(crate) const SENT_KILOBYTES: Path = Path::Resource(7, 0, 2);
pub(crate) const RECEIVED_KILOBYTES: Path = Path::Resource(7, 0, 3);
pub(crate) const LARGEST_MESSAGE: Path = Path::Resource(7, 0, 4);
pub(crate) const AVERAGE_MESSAGE: Path = Path::Resource(7, 0, 5);
pub(crate) const START_COLLECTING: Path = Path::Resource(7, 0, 6);
pub(crate) const STOP_COLLECTING: Path = Path::Resource(7, 0, 7);
pub(crate) const COLLECTION_PERIOD: Path = Path::Resource(7, 0, 8);

pub(crate) const LOG_START: Path = Path::Resource(20, 0, 4011);
pub(crate) const LOG_STOP: Path = Path::Resource(20, 0, 4012);
pub(crate) const LOG_STATUS: Path = Path::Resource(20, 0, 4013);
pub(crate) const LOG_DATA: Path = Path::Resource(20, 0, 4014);

pub(super) fn add(tree: &mut ObjectTree, config: &Config) {
    for object in &config.profile.optional {
        match object {
            OptionalObject::AccessControl => add_access_control(tree, config),
            OptionalObject::ConnectivityStatistics => add_statistics(tree),
            OptionalObject::Cellular => add_cellular(tree),
            OptionalObject::Portfolio => add_portfolio(tree, config),
            OptionalObject::BinaryAppData => add_binary_data(tree),
            OptionalObject::EventLog => add_event_log(tree),
            OptionalObject::Gateway => gateway::add(tree, config),
            OptionalObject::Components => add_components(tree, config),
            OptionalObject::Software => add_software(tree),
        }
    }
}

/// Bootstrap owns the Device object; the temperature sensor is the first server's. Every server may
/// do everything with both.
fn add_access_control(tree: &mut ObjectTree, config: &Config) {
    let first = i64::from(config.short_server_id);
    let bootstrap = i64::from(u16::MAX);
    for (instance, object, owner) in [(0, 3, bootstrap), (1, 3303, first)] {
        let at = |id| Path::Resource(ACCESS_CONTROL, instance, id);
        tree.put(at(0), Value::Integer(object));
        tree.put(at(1), Value::Integer(0));
        for account in config.accounts() {
            let server = account.short_server_id;
            let rights = Path::ResourceInstance(ACCESS_CONTROL, instance, 2, server);
            tree.put(rights, Value::Integer(31));
        }
        tree.put(at(3), Value::Integer(owner));
    }
}

fn add_statistics(tree: &mut ObjectTree) {
    // Messages of SMS, which it has not.
    tree.put(Path::Resource(7, 0, 0), Value::Integer(0));
    tree.put(Path::Resource(7, 0, 1), Value::Integer(0));
    for path in [
        SENT_KILOBYTES,
        RECEIVED_KILOBYTES,
        LARGEST_MESSAGE,
        AVERAGE_MESSAGE,
        COLLECTION_PERIOD,
    ] {
        tree.put(path, Value::Integer(0));
    }
    tree.put_action(START_COLLECTING);
    tree.put_action(STOP_COLLECTING);
}

/// The modem, its access point, and what Connectivity Monitoring knows of the network.
fn add_cellular(tree: &mut ObjectTree) {
    let at = |id| Path::Resource(10, 0, id);
    tree.put(at(0), Value::String("+430000000".to_owned()));
    tree.put(at(1), Value::Integer(0));
    tree.put(at(4), Value::Integer(3600));
    tree.put(at(5), Value::Integer(16));
    // Of version 1.0 and of 1.1, in this order.
    tree.put(at(6), Value::Integer(10));
    tree.put(at(12), Value::Unsigned(3));
    tree.put(at(13), Value::Unsigned(1));
    tree.put(at(8), Value::Opaque(vec![0x05]));
    tree.put(at(9), Value::Opaque(vec![0x05]));
    let access_point = Value::ObjectLink {
        object: 11,
        instance: 0,
    };
    tree.put(Path::ResourceInstance(10, 0, 11, 0), access_point);

    tree.put(
        Path::Resource(11, 0, 0),
        Value::String("default".to_owned()),
    );
    let name = || Value::String("iot.example".to_owned());
    tree.put(Path::Resource(11, 0, 1), name());
    tree.put(Path::Resource(11, 0, 3), Value::Boolean(true));
    tree.put(Path::Resource(11, 0, 4), Value::Integer(3));

    let router = Value::String("192.0.2.1".to_owned());
    tree.put(Path::ResourceInstance(4, 0, 5, 0), router);
    tree.put(Path::ResourceInstance(4, 0, 7, 0), name());
    for (id, number) in [(6, 5), (9, 1), (10, 232), (11, 12), (12, 4711), (13, 0)] {
        tree.put(Path::Resource(4, 0, id), Value::Integer(number));
    }
}

/// The identities are those that the registry names: host device, manufacturer, model, software.
fn add_portfolio(tree: &mut ObjectTree, config: &Config) {
    let profile = &config.profile;
    let identities = [
        format!("Host Device ID #{}", profile.serial),
        profile.manufacturer.clone(),
        profile.model.clone(),
        profile.firmware_version.clone(),
    ];
    for (instance, identity) in (0..).zip(identities) {
        let path = Path::ResourceInstance(16, 0, 0, instance);
        tree.put(path, Value::String(identity));
    }
    tree.put_action(Path::Resource(16, 0, 1));
    tree.put(Path::Resource(16, 0, 3), Value::Integer(0));
}

fn add_binary_data(tree: &mut ObjectTree) {
    let data = Value::Opaque(b"0123456789".to_vec());
    tree.put(Path::ResourceInstance(19, 0, 0, 0), data);
    tree.put(Path::Resource(19, 0, 1), Value::Integer(1));
    tree.put(Path::Resource(19, 0, 3), Value::String("sample".to_owned()));
    tree.put(Path::Resource(19, 0, 5), Value::Integer(1));
}

fn add_event_log(tree: &mut ObjectTree) {
    tree.put(Path::Resource(20, 0, 4010), Value::Integer(0));
    tree.put_action(LOG_START);
    tree.put_action(LOG_STOP);
    tree.put(LOG_STATUS, Value::Integer(0));
    tree.put(LOG_DATA, Value::Opaque(Vec::new()));
    tree.put(Path::Resource(20, 0, 4015), Value::Integer(0));
}

fn add_components(tree: &mut ObjectTree, config: &Config) {
    for (instance, name) in (0..).zip(COMPONENTS) {
        let at = |id| Path::Resource(ADVANCED_FIRMWARE, instance, id);
        add_update(tree, config, at);
        let version = config.profile.firmware_version.clone();
        tree.put(at(14), Value::String(name.to_owned()));
        tree.put(at(15), Value::String(version));
    }
}

fn add_software(tree: &mut ObjectTree) {
    let at = |id| Path::Resource(SOFTWARE, 0, id);
    for id in [0, 1, 3] {
        tree.put(at(id), Value::String(String::new()));
    }
    tree.put(at(2), Value::Opaque(Vec::new()));
    for id in [4, 6, 10, 11] {
        tree.put_action(at(id));
    }
    for id in [7, 9] {
        tree.put(at(id), Value::Integer(0));
    }
    tree.put(at(12), Value::Boolean(false));
}
