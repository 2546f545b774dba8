//! The objects of a device as it leaves the factory.

use lwm2m::{Binding, LwM2mVersion, Path, QueueMode, Value};

pub(crate) mod gateway;
mod optional;

use crate::config::Config;
use crate::tree::ObjectTree;

pub(crate) use optional::{
    ACCESS_CONTROL, AVERAGE_MESSAGE, COLLECTION_PERIOD, LARGEST_MESSAGE, LOG_DATA, LOG_START,
    LOG_STATUS, LOG_STOP, RECEIVED_KILOBYTES, SENT_KILOBYTES, START_COLLECTING, STOP_COLLECTING,
};

/// Resources of the Server object, of which there is an instance per server.
pub(crate) mod server {
    pub(crate) const ID: u16 = 1;
    pub(crate) const SHORT_SERVER_ID: u16 = 0;
    pub(crate) const LIFETIME: u16 = 1;
    pub(crate) const DEFAULT_PMIN: u16 = 2;
    pub(crate) const DEFAULT_PMAX: u16 = 3;
    pub(crate) const DISABLE: u16 = 4;
    pub(crate) const DISABLE_TIMEOUT: u16 = 5;
    pub(crate) const STORING: u16 = 6;
    pub(crate) const BINDING: u16 = 7;
    pub(crate) const UPDATE_TRIGGER: u16 = 8;
    pub(crate) const BOOTSTRAP_TRIGGER: u16 = 9;
    pub(crate) const MUTE_SEND: u16 = 23;
}

pub(crate) const FIRMWARE_VERSION: Path = Path::Resource(3, 0, 3);
pub(crate) const REBOOT: Path = Path::Resource(3, 0, 4);
pub(crate) const FACTORY_RESET: Path = Path::Resource(3, 0, 5);
pub(crate) const ERROR_CODE: Path = Path::ResourceInstance(3, 0, 11, 0);
pub(crate) const ERROR_CODES: Path = Path::Resource(3, 0, 11);
pub(crate) const RESET_ERROR_CODE: Path = Path::Resource(3, 0, 12);
pub(crate) const CURRENT_TIME: Path = Path::Resource(3, 0, 13);
pub(crate) const FIRMWARE_STATE: Path = Path::Resource(5, 0, 3);
pub(crate) const FIRMWARE_RESULT: Path = Path::Resource(5, 0, 5);

pub(crate) const SOFTWARE: u16 = 9;
pub(crate) const ADVANCED_FIRMWARE: u16 = 33_629;
/// Instances of Advanced Firmware Update, if the device has them.
pub(crate) const COMPONENTS: [&str; 2] = ["modem", "bootloader"];

pub(crate) const TEMPERATURE: u16 = 3303;
pub(crate) const MINIMUM_MEASURED: u16 = 5601;
pub(crate) const MAXIMUM_MEASURED: u16 = 5602;
pub(crate) const RESET_MEASURED: u16 = 5605;
pub(crate) const SENSOR_VALUE: u16 = 5700;

/// The objects of a device as it leaves the factory.
pub(crate) fn factory(config: &Config) -> ObjectTree {
    let mut tree = ObjectTree::new(config.version);
    add_servers(&mut tree, config);
    add_device(&mut tree, config);
    add_connectivity(&mut tree);
    add_firmware(&mut tree, config);
    let (latitude, longitude) = config.profile.position;
    tree.put(Path::Resource(6, 0, 0), Value::Float(latitude));
    tree.put(Path::Resource(6, 0, 1), Value::Float(longitude));
    tree.put(Path::Resource(6, 0, 5), Value::Time(0));
    for instance in 0..config.profile.temperature_sensors {
        add_temperature(&mut tree, instance, config.profile.temperature);
    }
    optional::add(&mut tree, config);
    tree
}

/// The binding as `/1/0/7` shows it: with `Q` in LwM2M 1.0 only.
pub(crate) fn binding_text(binding: Binding, release: LwM2mVersion) -> String {
    match release {
        LwM2mVersion::V1_0 => binding.to_string(),
        LwM2mVersion::V1_1 | LwM2mVersion::V1_2 => {
            binding.with_queue_mode(QueueMode::Off).to_string()
        }
    }
}

fn add_servers(tree: &mut ObjectTree, config: &Config) {
    let binding = binding_text(config.binding, config.version);
    for (instance, account) in (0..).zip(config.accounts()) {
        let at = |id| Path::Resource(server::ID, instance, id);
        let id = i64::from(account.short_server_id);
        let lifetime = i64::from(account.lifetime.as_secs());
        tree.put(at(server::SHORT_SERVER_ID), Value::Integer(id));
        tree.put(at(server::LIFETIME), Value::Integer(lifetime));
        tree.put(at(server::STORING), Value::Boolean(false));
        tree.put(at(server::BINDING), Value::String(binding.clone()));
        tree.put_action(at(server::DISABLE));
        tree.put_action(at(server::UPDATE_TRIGGER));
        if config.version != LwM2mVersion::V1_0 {
            // Whoever drives the device goes to its bootstrap server.
            tree.put_action(at(server::BOOTSTRAP_TRIGGER));
        }
        tree.put(at(server::MUTE_SEND), Value::Boolean(false));
    }
}

fn add_device(tree: &mut ObjectTree, config: &Config) {
    let profile = &config.profile;
    let texts = [
        (0, profile.manufacturer.clone()),
        (1, profile.model.clone()),
        (2, profile.serial.clone()),
        (3, profile.firmware_version.clone()),
        (14, "+00:00".to_owned()),
        (15, "Etc/UTC".to_owned()),
        (16, binding_text(config.binding, config.version)),
        (17, "simulated".to_owned()),
        (18, "1".to_owned()),
    ];
    for (id, text) in texts {
        tree.put(Path::Resource(3, 0, id), Value::String(text));
    }
    for action in [REBOOT, FACTORY_RESET, RESET_ERROR_CODE] {
        tree.put_action(action);
    }
    for (id, instance, number) in [
        (6, 0, 1),
        (6, 1, 5),
        (7, 0, 3800),
        (7, 1, 5000),
        (8, 0, 125),
        (8, 1, 900),
    ] {
        let path = Path::ResourceInstance(3, 0, id, instance);
        tree.put(path, Value::Integer(number));
    }
    for (id, number) in [(9, 100), (10, 15_360), (20, 0), (21, 65_536)] {
        tree.put(Path::Resource(3, 0, id), Value::Integer(number));
    }
    tree.put(ERROR_CODE, Value::Integer(0));
}

fn add_connectivity(tree: &mut ObjectTree) {
    // Bearer 6 is LTE-M/NB-IoT of LwM2M 1.1 and LTE-TDD of 1.0.
    tree.put(Path::Resource(4, 0, 0), Value::Integer(6));
    tree.put(Path::ResourceInstance(4, 0, 1, 0), Value::Integer(6));
    tree.put(Path::Resource(4, 0, 2), Value::Integer(-85));
    tree.put(Path::Resource(4, 0, 3), Value::Integer(70));
    let address = Value::String("192.0.2.10".to_owned());
    tree.put(Path::ResourceInstance(4, 0, 4, 0), address);
    tree.put(Path::Resource(4, 0, 8), Value::Integer(1));
}

fn add_firmware(tree: &mut ObjectTree, config: &Config) {
    add_update(tree, config, |id| Path::Resource(5, 0, id));
}

/// What Firmware Update and Advanced Firmware Update have in common.
fn add_update(tree: &mut ObjectTree, config: &Config, at: impl Fn(u16) -> Path) {
    tree.put(at(0), Value::Opaque(Vec::new()));
    tree.put_action(at(2));
    for id in [1, 6, 7] {
        tree.put(at(id), Value::String(String::new()));
    }
    for id in [3, 5] {
        tree.put(at(id), Value::Integer(0));
    }
    for (instance, protocol) in (0..).zip(&config.pull) {
        if let Path::Resource(object, place, _) = at(8) {
            let path = Path::ResourceInstance(object, place, 8, instance);
            tree.put(path, Value::Integer(*protocol as i64));
        }
    }
    // 1: packages are pushed; 2: they are pushed or pulled.
    let delivery = if config.pull.is_empty() { 1 } else { 2 };
    tree.put(at(9), Value::Integer(delivery));
    tree.put_action(at(10));
}

fn add_temperature(tree: &mut ObjectTree, instance: u16, temperature: f64) {
    let at = |id| Path::Resource(TEMPERATURE, instance, id);
    for id in [SENSOR_VALUE, MINIMUM_MEASURED, MAXIMUM_MEASURED] {
        tree.put(at(id), Value::Float(temperature));
    }
    tree.put(at(5603), Value::Float(-40.0));
    tree.put(at(5604), Value::Float(85.0));
    tree.put(at(5701), Value::String("Cel".to_owned()));
    tree.put_action(at(RESET_MEASURED));
}
