//! What a bootstrap client is told once.

use std::time::Duration;

use lwm2m::{ContentFormat, EndpointName, LwM2mVersion, Path};

use super::account::{StoredOscore, StoredSecurity};

/// Configuration of a [`BootstrapClient`](super::BootstrapClient).
#[derive(Clone, Debug)]
pub struct BootstrapConfig {
    /// The name it asks for its accounts under.
    pub endpoint: EndpointName,
    /// The release it speaks.
    pub version: LwM2mVersion,
    /// How it knows the bootstrap server.
    pub account: BootstrapAccount,
    /// `pct`; LwM2M 1.0 has none.
    pub preferred_format: Option<ContentFormat>,
    /// Formats that it takes; writes in others are answered 4.15.
    pub formats: Vec<ContentFormat>,
    /// Whether it asks for a pack first.
    pub pack: PackUse,
    /// How it answers a Discover.
    pub discover: DiscoverForm,
    /// How long it waits for the next message of the server. LwM2M Core 1.2 §6.1.5: EXCHANGE_LIFETIME.
    pub give_up_after: Duration,
    /// What it does wrong.
    pub misbehaviour: Misbehaviour,
    /// Parameters and bounds of CoAP.
    pub coap: coap::Config,
}

/// The account of the bootstrap server, from the factory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapAccount {
    /// The instance of `/0`.
    pub security_instance: u16,
    /// Where the server is.
    pub uri: String,
    /// How the device and the server know each other.
    pub security: StoredSecurity,
    /// OSCORE on top of that or in its place.
    pub oscore: Option<StoredOscore>,
}

/// Whether a device asks for a pack (LwM2M 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PackUse {
    #[default]
    Never,
    /// In this format.
    First(ContentFormat),
}

/// How a device answers a Discover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DiscoverForm {
    /// LwM2M 1.0 and 1.1: `lwm2m="1.1",</0/0>,…`.
    #[default]
    Old,
    /// LwM2M 1.2: `</>;lwm2m=1.2,</0/0>;uri="coaps://…",…`.
    New,
    /// As the new one, without `uri`, with slashes behind paths and with objects that have no instance.
    Slashes,
    /// 4.05.
    Refused,
}

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Misbehaviour {
    #[default]
    None,
    /// It finds its accounts inconsistent, so many times.
    Inconsistent { times: u32 },
    /// It refuses writes at or below a path with 4.00.
    RefusesWrite(Path),
    /// It hears and says nothing any more once it has answered so many requests.
    Silent { after: u32 },
}

impl BootstrapConfig {
    /// A LwM2M 1.1 device that does nothing wrong, with an account without security in `/0/0`.
    pub fn new(endpoint: EndpointName, uri: &str) -> Self {
        Self {
            endpoint,
            version: LwM2mVersion::V1_1,
            account: BootstrapAccount {
                security_instance: 0,
                uri: uri.to_owned(),
                security: StoredSecurity::NoSec,
                oscore: None,
            },
            preferred_format: None,
            formats: vec![
                ContentFormat::TEXT,
                ContentFormat::OPAQUE,
                ContentFormat::TLV,
                ContentFormat::SENML_CBOR,
                ContentFormat::SENML_JSON,
                ContentFormat::LWM2M_CBOR,
            ],
            pack: PackUse::Never,
            discover: DiscoverForm::Old,
            give_up_after: Duration::from_secs(247),
            misbehaviour: Misbehaviour::None,
            coap: coap_config(),
        }
    }
}

/// Bounds for an endpoint that talks to one server, large enough for a few certificates.
fn coap_config() -> coap::Config {
    coap::Config {
        max_body: 32 << 10,
        max_body_bytes: 128 << 10,
        max_peers: 2,
        max_exchanges: 2,
        max_exchanges_per_peer: 2,
        max_requests: 4,
        max_requests_per_peer: 4,
        max_remembered: 512,
        max_remembered_bytes: 32 << 10,
        max_transfers_per_peer: 2,
        max_observations_per_peer: 0,
        ..coap::Config::default()
    }
}
