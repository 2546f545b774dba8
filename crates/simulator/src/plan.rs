//! What a fleet is to be, worked out once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use coap::Reliability;
use dtls::{CidOffer, ClientConfig, Psk};
use lwm2m::{Binding, EndpointName, Lifetime, QueueMode};
use lwm2m_client::{Config, OptionalObject, Profile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::args::{Commands, FleetArgs, Notify, Register, Request, Run};
use crate::contexts::Contexts;
use crate::credentials::{Credentials, CredentialsError, numbered};
use crate::download::protocols;
use crate::report::Format;
use crate::server::{Scheme, ServerUrl};
use crate::socket::Tls;

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
    scheme: Scheme,
    credentials: Option<Credentials>,
    contexts: Option<Contexts>,
    tls: Option<Tls>,
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

/// How fast devices start that are only to be there: what a server registers easily.
const STARTS_PER_SECOND: f64 = 2_000.0;

/// What a fleet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It stays until it is told to stop.
    Live,
    /// It ends when every device has registered or failed, or after this long.
    Measure { timeout: Duration },
}

/// What one device is made of.
pub(crate) struct DevicePlan {
    pub(crate) config: Config,
    pub(crate) transport: TransportPlan,
    pub(crate) protection: Option<oscore::Client>,
    pub(crate) seed: [u8; 32],
}

/// What a device's messages travel by.
pub(crate) enum TransportPlan {
    Udp,
    Dtls(Box<ClientConfig>),
    /// Whether it is secured is the socket's matter.
    Stream,
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
        plan.template.pull = protocols(plan.scheme == Scheme::Coaps);
        plan.template.faults.clone_from(&run.faults);
        if run.all_objects {
            plan.template.profile.optional = OptionalObject::ALL.to_vec();
        }
        if run.queue_mode {
            plan.template.binding = plan.template.binding.with_queue_mode(QueueMode::On);
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

    /// The fleet of `drover-sim bench notify`.
    pub fn for_notifications(bench: &Notify) -> anyhow::Result<Self> {
        let mut plan = Self::new(&bench.fleet)?;
        plan.temperature_interval = Some(bench.interval);
        Ok(plan)
    }

    /// The fleet of `drover-sim bench commands`.
    pub fn for_commands(bench: &Commands) -> anyhow::Result<Self> {
        let mut plan = Self::new(&bench.fleet)?;
        plan.pace = Pace::Rate(STARTS_PER_SECOND);
        if bench.asleep.is_some() {
            plan.template.binding = plan.template.binding.with_queue_mode(QueueMode::On);
        }
        Ok(plan)
    }

    /// What the device at this place of the fleet is called.
    pub fn endpoint(&self, index: usize) -> anyhow::Result<String> {
        let device = self.device(index)?;
        Ok(device.config.endpoint.as_str().to_owned())
    }

    /// The devices of `drover-sim bench request`.
    pub fn for_requests(bench: &Request) -> anyhow::Result<Self> {
        Self::new(&bench.fleet)
    }

    fn new(fleet: &FleetArgs) -> anyhow::Result<Self> {
        let scheme = fleet.server.scheme();
        let credentials = credentials(fleet)?.filter(|_| scheme == Scheme::Coaps);
        ensure!(
            scheme != Scheme::Coaps || credentials.is_some(),
            "coaps needs --psk-file or --psk-key"
        );
        let tls = match scheme {
            Scheme::CoapsTcp => {
                let authorities = fleet.ca_file.as_deref();
                let authorities = authorities.context("coaps+tcp needs --ca-file")?;
                Some(tls(&fleet.server, authorities)?)
            }
            Scheme::Coap | Scheme::Coaps | Scheme::CoapTcp => None,
        };
        let listed = credentials.as_ref().and_then(Credentials::len);
        // Counted last, so that a start that fails costs none.
        let contexts = fleet.oscore_file.as_deref().map(Contexts::read);
        let contexts = contexts.transpose()?;
        let protected = contexts.as_ref().map(Contexts::len);
        let listed = listed.into_iter().chain(protected).min();
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
        if matches!(scheme, Scheme::CoapTcp | Scheme::CoapsTcp) {
            template.binding = Binding::TCP;
        }
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
            scheme,
            credentials,
            contexts,
            tls,
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
        let transport = match self.scheme {
            Scheme::Coap => TransportPlan::Udp,
            Scheme::Coaps => TransportPlan::Dtls(Box::new(self.session(number, &mut name)?)),
            Scheme::CoapTcp | Scheme::CoapsTcp => TransportPlan::Stream,
        };
        let named_by_key = self
            .credentials
            .as_ref()
            .is_some_and(|known| known.len().is_some());
        let mut protection = None;
        if let Some(contexts) = &self.contexts {
            let seed = node_runtime::random::seed();
            let (endpoint, client) = contexts
                .device(number, seed)
                .with_context(|| format!("no OSCORE context for device {number}"))?;
            ensure!(
                !named_by_key || endpoint == name,
                "device {number} is {name} in the psk file and {endpoint} in the oscore file"
            );
            endpoint.clone_into(&mut name);
            protection = Some(client?);
        }
        let endpoint = EndpointName::new(&name)
            .with_context(|| format!("bad endpoint name of device {number}"))?;
        let mut profile = Profile::new(&name);
        profile.optional.clone_from(&self.template.profile.optional);
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
            transport,
            protection,
            seed: rng.random(),
        })
    }

    /// How the device with this number makes a DTLS session. A file of keys names it.
    fn session(&self, number: usize, name: &mut String) -> anyhow::Result<ClientConfig> {
        let credentials = self.credentials.as_ref();
        let (endpoint, credential) = credentials
            .and_then(|credentials| credentials.device(number))
            .with_context(|| format!("no credential for device {number}"))?;
        if let Some(endpoint) = endpoint {
            endpoint.clone_into(name);
        }
        let psk = Psk::new(&credential.key).context("psk cannot be used")?;
        let mut config = ClientConfig::new(credential.identity, psk);
        config.cid = self.cid.clone();
        Ok(config)
    }

    /// Whether devices make connections.
    pub(crate) fn has_connections(&self) -> bool {
        matches!(self.scheme, Scheme::CoapTcp | Scheme::CoapsTcp)
    }

    /// What secures connections.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

fn tls(server: &ServerUrl, authorities: &Path) -> anyhow::Result<Tls> {
    let unreadable = || format!("cannot read {}", authorities.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities).with_context(unreadable)? {
        roots.add(certificate.with_context(unreadable)?)?;
    }
    ensure!(
        !roots.is_empty(),
        "{} has no certificate",
        authorities.display()
    );
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Tls {
        config: Arc::new(config),
        server: ServerName::try_from(server.host().to_owned())?,
    })
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
