//! What a fleet is to be, worked out once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use coap::Reliability;
use dtls::{CidOffer, ClientConfig, Psk};
use lwm2m::{Binding, EndpointName, Lifetime};
use lwm2m_client::{Config, Profile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::args::{FleetArgs, Register, Request, Run};
use crate::credentials::{Credentials, CredentialsError, numbered};
use crate::report::Format;

/// What a fleet is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's address.
    pub server: SocketAddr,
    /// How many devices.
    pub devices: usize,
    /// How they begin.
    pub pace: Pace,
    /// What they are for.
    pub purpose: Purpose,
    /// How often temperatures move; never if `None`.
    pub temperature_interval: Option<Duration>,
    /// A line on standard output for every event of a device.
    pub events: Format,
    template: Config,
    endpoint_prefix: String,
    first: usize,
    credentials: Option<Credentials>,
    cid: CidOffer,
    seed: u64,
}

/// How the devices of a fleet begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, whatever becomes of them; all at once if 0.
    Rate(f64),
    /// A new one whenever fewer than so many are under way.
    Concurrency(usize),
}

/// What a fleet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It stays until it is told to stop.
    Live,
    /// It ends when every device has registered or failed, or after this long.
    Measure { timeout: Duration },
}

/// What one device is made of.
#[derive(Clone, Debug)]
pub(crate) struct DevicePlan {
    pub(crate) config: Config,
    pub(crate) security: Option<ClientConfig>,
    pub(crate) seed: [u8; 32],
}

impl Plan {
    /// The fleet of `drover-sim run`.
    pub fn for_run(run: &Run) -> anyhow::Result<Self> {
        let mut plan = Self::new(&run.fleet)?;
        plan.pace = Pace::Rate(f64::from(run.rate));
        plan.temperature_interval =
            (!run.temperature_interval.is_zero()).then_some(run.temperature_interval);
        plan.events = run.output;
        plan.template.firmware = run.firmware;
        if run.queue_mode {
            plan.template.binding = Binding::UDP_QUEUED;
        }
        if run.confirmable {
            plan.template.notifications = Reliability::Confirmable;
        }
        Ok(plan)
    }

    /// The fleet of `drover-sim bench register`.
    pub fn for_bench(bench: &Register) -> anyhow::Result<Self> {
        ensure!(bench.concurrency > 0, "concurrency must be at least 1");
        let mut plan = Self::new(&bench.fleet)?;
        plan.pace = Pace::Concurrency(bench.concurrency);
        plan.purpose = Purpose::Measure {
            timeout: bench.timeout,
        };
        Ok(plan)
    }

    /// The devices of `drover-sim bench request`.
    pub fn for_requests(bench: &Request) -> anyhow::Result<Self> {
        ensure!(
            bench.fleet.server.is_secured(),
            "requests are measured over coaps"
        );
        Self::new(&bench.fleet)
    }

    fn new(fleet: &FleetArgs) -> anyhow::Result<Self> {
        let credentials = credentials(fleet)?;
        if fleet.server.is_secured() && credentials.is_none() {
            bail!("coaps needs --psk-file or --psk-key");
        }
        let credentials = credentials.filter(|_| fleet.server.is_secured());
        let listed = credentials.as_ref().and_then(Credentials::len);
        let devices = fleet
            .devices
            .or_else(|| listed.map(|listed| listed.saturating_sub(fleet.first)))
            .unwrap_or(1);
        ensure!(devices > 0, "there must be at least one device");
        if let Some(listed) = listed
            && listed < fleet.first.saturating_add(devices)
        {
            let wanted = fleet.first.saturating_add(devices);
            return Err(CredentialsError::TooFew { listed, wanted }.into());
        }
        let name = numbered(&fleet.endpoint_prefix, fleet.first);
        let mut template = Config::new(EndpointName::new(&name).context("bad endpoint prefix")?);
        template.lifetime = Lifetime::from_secs(fleet.lifetime);
        template.version = fleet.release;
        Ok(Self {
            server: fleet.server.resolve()?,
            devices,
            pace: Pace::Rate(0.0),
            purpose: Purpose::Live,
            temperature_interval: None,
            events: Format::Table,
            template,
            endpoint_prefix: fleet.endpoint_prefix.clone(),
            first: fleet.first,
            credentials,
            cid: fleet.cid.clone(),
            seed: fleet.seed.unwrap_or_else(node_runtime::random::random_u64),
        })
    }

    /// What the device at this place of the fleet is made of.
    pub(crate) fn device(&self, index: usize) -> anyhow::Result<DevicePlan> {
        let number = self.first.saturating_add(index);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64);
        let mut name = numbered(&self.endpoint_prefix, number);
        let mut security = None;
        if let Some(credentials) = &self.credentials {
            let (endpoint, credential) = credentials
                .device(number)
                .with_context(|| format!("no credential for device {number}"))?;
            if let Some(endpoint) = endpoint {
                endpoint.clone_into(&mut name);
            }
            let psk = Psk::new(&credential.key).context("psk cannot be used")?;
            let mut config = ClientConfig::new(credential.identity, psk);
            config.cid = self.cid.clone();
            security = Some(config);
        }
        let endpoint = EndpointName::new(&name)
            .with_context(|| format!("bad endpoint name of device {number}"))?;
        let mut profile = Profile::new(&name);
        profile.temperature = f64::from(rng.random_range(150..250_u16)) / 10.0;
        profile.position = (
            f64::from(rng.random_range(-80_000..80_000_i32)) / 1000.0,
            f64::from(rng.random_range(-180_000..180_000_i32)) / 1000.0,
        );
        let config = Config {
            endpoint,
            profile,
            ..self.template.clone()
        };
        Ok(DevicePlan {
            config,
            security,
            seed: rng.random(),
        })
    }
}

fn credentials(fleet: &FleetArgs) -> Result<Option<Credentials>, CredentialsError> {
    if let Some(file) = &fleet.psk_file {
        return Credentials::read(file).map(Some);
    }
    let Some(key) = &fleet.psk_key else {
        return Ok(None);
    };
    let prefix = fleet
        .psk_identity_prefix
        .as_ref()
        .unwrap_or(&fleet.endpoint_prefix);
    Credentials::shared(prefix, key).map(Some)
}
