//! What a device is told once.

use std::time::Duration;

use coap::Reliability;
use lwm2m::{Binding, EndpointName, Lifetime, LwM2mVersion};

use crate::fault::Fault;

/// Configuration of a [`Device`](crate::Device).
#[derive(Clone, Debug)]
pub struct Config {
    /// The name it registers under.
    pub endpoint: EndpointName,
    /// The lifetime it asks for first; the server changes it at `/1/0/1`.
    pub lifetime: Lifetime,
    /// The release it speaks.
    pub version: LwM2mVersion,
    /// Transports and queue mode. With queue mode it stops listening after `queue_window`.
    pub binding: Binding,
    /// `/1/0/0`.
    pub short_server_id: u16,
    /// Servers besides the one above, each with an instance of `/1` of its own, from 1 on. All else
    /// that is said here holds towards each of them.
    pub more_servers: Vec<ServerAccount>,
    /// What its objects say.
    pub profile: Profile,
    /// In place of the list of its objects, a name for it that the server may know.
    pub profile_id: Option<ProfileId>,
    /// Time between Updates; half of the lifetime if `None`. Up to a tenth of it is taken off at
    /// random, so that a fleet spreads.
    pub update_interval: Option<Duration>,
    /// Waits between attempts to register.
    pub retry: Retry,
    /// How long a reboot takes.
    pub reboot: Reboot,
    /// What becomes of a firmware package.
    pub firmware: FirmwareBehaviour,
    /// Bytes of the largest firmware package that it has memory for: of a larger one, the result
    /// is 3.
    pub max_package: usize,
    /// By which protocols firmware packages are pulled. Without any, they are only pushed;
    /// otherwise whoever drives the device serves [`Output::Pull`](crate::Output::Pull).
    pub pull: Vec<PullProtocol>,
    /// How long checking a package takes, and likewise installing it.
    pub firmware_step: Duration,
    /// How notifications travel where no `con` attribute says so. Non-confirmable ones are
    /// confirmable once a day (RFC 7641 §4.5).
    pub notifications: Reliability,
    /// How long a device in queue mode listens after its last message.
    pub queue_window: Duration,
    /// What it gets wrong; nothing at first.
    pub faults: Vec<Fault>,
    /// Parameters and bounds of CoAP.
    pub coap: coap::Config,
}

/// What a device knows of one of its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAccount {
    /// `/1/x/0`, another one for each server of a device.
    pub short_server_id: u16,
    /// `/1/x/1` at first.
    pub lifetime: Lifetime,
}

/// What the objects of a device say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// `/3/0/0`.
    pub manufacturer: String,
    /// `/3/0/1`.
    pub model: String,
    /// `/3/0/2`.
    pub serial: String,
    /// `/3/0/3` before any update.
    pub firmware_version: String,
    /// Latitude and longitude in degrees, `/6/0/0` and `/6/0/1`.
    pub position: (f64, f64),
    /// Instances of object 3303.
    pub temperature_sensors: u16,
    /// The first value of each of them in degrees Celsius.
    pub temperature: f64,
    /// What it has besides. Each costs memory in every device of a fleet.
    pub optional: Vec<OptionalObject>,
}

/// A name for a list of objects (LwM2M Core 1.2 §6.2.1). A device of an older release does not use
/// it; a server that refuses it gets the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileId {
    /// `pid`, for example `6:27354b9a`.
    pub id: String,
    /// Objects that are listed all the same.
    pub besides: Vec<u16>,
}

/// An object that not every device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalObject {
    /// `/2`: who may do what. At first the server may do everything, and owns the access to the
    /// temperature sensor but not that to the Device object.
    AccessControl,
    /// `/7`: counts bytes from a Start to a Stop.
    ConnectivityStatistics,
    /// `/10` and `/11`, and in `/4` what a modem knows of its network.
    Cellular,
    /// `/16`: identities, in instances that a server makes and removes.
    Portfolio,
    /// `/19`: opaque data.
    BinaryAppData,
    /// `/20`: a line per request while it runs.
    EventLog,
    /// `/25`: it is a gateway, with two devices behind it that have a temperature sensor each.
    Gateway,
    /// `/33629`: a modem and a bootloader, each with firmware of its own.
    Components,
    /// `/9`: place for a software.
    Software,
}

impl OptionalObject {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AccessControl,
        Self::ConnectivityStatistics,
        Self::Cellular,
        Self::Portfolio,
        Self::BinaryAppData,
        Self::EventLog,
        Self::Gateway,
        Self::Components,
        Self::Software,
    ];
}

/// Waits between attempts to register: each twice as long as the one before, each drawn from half
/// to one and a half of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first failure.
    pub shortest: Duration,
    /// The bound of the doubling.
    pub longest: Duration,
}

/// The phases of a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reboot {
    /// From the command until the device is off; it still answers, so that a repeated command is
    /// recognised as such.
    pub shutdown: Duration,
    /// How long it is off.
    pub off: Duration,
}

/// What becomes of a firmware package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FirmwareBehaviour {
    /// It is installed.
    #[default]
    Succeeds,
    /// This result after the download: 2 to 7, or 9 (LwM2M Core 1.2 §E.6, `/5/0/5`).
    FailsDownload(u8),
    /// Result 8 after the update was started.
    FailsUpdate,
}

/// A protocol by which a package is pulled, with its number in `/5/0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullProtocol {
    /// `coap`
    Coap = 0,
    /// `coaps`
    Coaps = 1,
    /// `http`
    Http = 2,
    /// `https`
    Https = 3,
    /// `coap+tcp`
    CoapTcp = 4,
    /// `coaps+tcp`
    CoapTls = 5,
}

impl PullProtocol {
    /// The scheme of its URIs, in lower case.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Coap => "coap",
            Self::Coaps => "coaps",
            Self::Http => "http",
            Self::Https => "https",
            Self::CoapTcp => "coap+tcp",
            Self::CoapTls => "coaps+tcp",
        }
    }
}

impl Config {
    /// A LwM2M 1.1 device with default timers and one temperature sensor.
    pub fn new(endpoint: EndpointName) -> Self {
        Self {
            profile: Profile::new(endpoint.as_str()),
            profile_id: None,
            endpoint,
            lifetime: Lifetime::from_secs(300),
            version: LwM2mVersion::V1_1,
            binding: Binding::UDP,
            short_server_id: 1,
            more_servers: Vec::new(),
            update_interval: None,
            retry: Retry {
                shortest: Duration::from_secs(2),
                longest: Duration::from_mins(5),
            },
            reboot: Reboot {
                shutdown: Duration::from_millis(500),
                off: Duration::from_secs(2),
            },
            firmware: FirmwareBehaviour::Succeeds,
            firmware_step: Duration::from_secs(1),
            max_package: MAX_BODY,
            pull: Vec::new(),
            notifications: Reliability::NonConfirmable,
            queue_window: Duration::from_secs(93),
            faults: Vec::new(),
            coap: coap_config(),
        }
    }

    /// All servers, in the order of their indices.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = ServerAccount> {
        std::iter::once(self.first_server()).chain(self.more_servers.iter().copied())
    }

    pub(crate) fn first_server(&self) -> ServerAccount {
        ServerAccount {
            short_server_id: self.short_server_id,
            lifetime: self.lifetime,
        }
    }
}

impl Profile {
    /// A device with this serial number.
    pub fn new(serial: &str) -> Self {
        Self {
            manufacturer: "Drover".to_owned(),
            model: "sim-1".to_owned(),
            serial: serial.to_owned(),
            firmware_version: "1.0.0".to_owned(),
            position: (52.52, 13.405),
            temperature_sensors: 1,
            temperature: 20.0,
            optional: Vec::new(),
        }
    }

    /// A device with this serial number that has every object.
    pub fn full(serial: &str) -> Self {
        Self {
            optional: OptionalObject::ALL.to_vec(),
            ..Self::new(serial)
        }
    }
}

/// Bytes of the largest body, which is a firmware package.
const MAX_BODY: usize = 4 << 20;

/// Bounds for an endpoint that talks to one server, large enough for a firmware package.
fn coap_config() -> coap::Config {
    coap::Config {
        max_body: MAX_BODY,
        max_body_bytes: 2 * MAX_BODY,
        max_peers: 2,
        max_exchanges: 16,
        max_exchanges_per_peer: 16,
        max_requests: 16,
        max_requests_per_peer: 16,
        // One per block of an upload within the exchange lifetime, and some for all else.
        max_remembered: 4096,
        max_remembered_bytes: 128 << 10,
        max_transfers_per_peer: 2,
        max_observations_per_peer: 32,
        ..coap::Config::default()
    }
}
