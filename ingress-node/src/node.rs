//! Wires the parts: state tier, workers, attach stream.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use coap::reliable;
use device_state::{Artefact, Namespace, NodeId};
use lwm2m_server::bootstrap::{BootstrapConfig, BootstrapEngine};
use lwm2m_server::{Engine, MAX_BASE, Profiles};
use node_runtime::files::Reloading;
use node_runtime::tls::Connector;
use node_runtime::{Readiness, Stage, Tasks, random};
use state_client::{Client, Transport};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Endpoint;

use crate::config::{Config, Role};
use crate::cookies::Cookies;
use crate::definitions;
use crate::downlink_stream;
use crate::driver::{Application, Driver, Fresh, INPUTS, Input, Limits, Parts, Sockets, Unsecured};
use crate::members::{self, Membership};
use crate::metrics::Metrics;
use crate::packages::{PackageUris, Packages};
use crate::tcp::{self, Listener, Security};
use crate::trust::{self, TrustFiles};
use crate::udp::Socket;

/// Starts everything that serves devices; returns once the sockets are bound and the state tier has answered.
pub(crate) async fn start(
    config: &Config,
    metrics: Metrics,
    tasks: &Tasks,
    readiness: &Readiness,
) -> anyhow::Result<()> {
    ensure!(
        (1..=64).contains(&config.workers),
        "workers: {} is not between 1 and 64",
        config.workers
    );
    let profiles = Arc::new(Profiles::new(&config.profile_ids).context("profile_ids")?);
    ensure!(
        config.awake_window_seconds > 0,
        "awake_window_seconds: nothing could be sent to devices in queue mode within 0 s"
    );
    let state_tier = readiness.condition("state-tier");
    let settled = readiness.condition("members");
    let key = cluster_key(config.cluster_key_file.as_deref())?;
    let files = TrustFiles::of(config)?;
    let trust = Arc::new(files.read()?);
    let client = Client::connect(state_tier_config(config, tasks)?).context("state")?;
    let node = NodeId(random::random_u64());
    let shards = client.ready().await.shards;
    let (attachment, operations) = client.attach(node, &config.name);

    let (senders, receivers): (Vec<_>, Vec<_>) = (0..config.workers)
        .map(|_| mpsc::channel::<Input>(INPUTS))
        .unzip();
    // Without a key of the cluster everything that is derived is this node's own.
    let secret = key.unwrap_or_else(random::seed);
    ensure!(
        config.package_cache_bytes >= Artefact::MAX_SIZE,
        "package_cache_bytes: {} is less than one package may have, {}",
        config.package_cache_bytes,
        Artefact::MAX_SIZE
    );
    let packages = Packages::new(client.clone(), config.package_cache_bytes);
    let package_uris = Arc::new(package_uris(config)?);
    let mut addresses = Vec::new();
    for (index, inputs) in (0..).zip(receivers) {
        let engine = lwm2m_server::Config {
            namespace: client.namespace().clone(),
            ..engine_config(config, &profiles, node, index, shards)
        };
        let parts = Parts {
            index,
            node,
            client: client.clone(),
            packages: packages.clone(),
            package_uris: package_uris.clone(),
            inputs,
            workers: senders.clone(),
            cookies: Cookies::new(secret),
            fresh: fresh(config, engine)?,
            forward_key: forward::Key::derive(&secret),
            trust: trust.clone(),
            limits: Limits {
                commit_timeout: Duration::from_millis(config.commit_timeout_ms.into()),
                session_lifetime: hours(config.session_hours),
                resumption_lifetime: hours(config.resumption_hours),
                unsecured: if config.coap_requires_oscore {
                    Unsecured::Refused
                } else {
                    Unsecured::Served
                },
                bootstrap_for: config.bootstrap_for,
            },
            streams: stream_limits(config),
            metrics: metrics.clone(),
            attachment: attachment.clone(),
        };
        addresses.extend(spawn_worker(config, parts, tasks).await?);
    }
    if config.role == Role::Device {
        let (asked, told) = (client.clone(), senders.clone());
        tasks.spawn_service("definitions", Stage::HandOver, |drain| {
            definitions::watch(asked, told, drain)
        });
    }
    let membership = Membership {
        client,
        node,
        name: config.name.clone(),
        // A bootstrap is short, and a device that is interrupted begins another: no node goes on for another.
        key: key
            .filter(|_| config.role == Role::Device)
            .map(|key| forward::Key::derive(&key)),
        addresses: advertised(config, addresses).await?,
        workers: senders.clone(),
        linger: Duration::from_secs(config.linger_seconds),
        metrics,
        settled,
    };
    let every = Duration::from_secs(config.trust_reload_seconds.max(1));
    let (told, counted) = (senders.clone(), membership.metrics.clone());
    tasks.spawn_service("trust", Stage::HandOver, move |drain| {
        trust::watch(files, trust, every, told, counted, drain)
    });
    tasks.spawn_service("membership", Stage::HandOver, |drain| membership.run(drain));
    tasks.spawn_service("downlinks", Stage::HandOver, |drain| {
        downlink_stream::run(operations, senders, drain)
    });
    state_tier.meet();
    Ok(())
}

/// Where devices find packages, if not where they find this node.
fn package_uris(config: &Config) -> anyhow::Result<PackageUris> {
    const SCHEMES: [&str; 4] = ["coap", "coaps", "coap+tcp", "coaps+tcp"];
    for (scheme, base) in &config.package_uris {
        ensure!(
            SCHEMES.contains(&scheme.as_str()),
            "package_uris: {scheme} is none of {}",
            SCHEMES.join(", ")
        );
        let rest = base
            .split_once("://")
            .filter(|(scheme, _)| SCHEMES.contains(scheme));
        ensure!(
            base.len() <= MAX_BASE,
            "package_uris.{scheme}: has more than {MAX_BASE} bytes, and devices take URIs of 255"
        );
        ensure!(
            rest.is_some_and(|(_, host)| !host.trim_end_matches('/').is_empty()),
            "package_uris.{scheme}: {base:?} does not begin with one of {} and a host",
            SCHEMES.join(", ")
        );
    }
    Ok(config.package_uris.clone())
}

/// How state nodes are reached.
fn state_tier_config(config: &Config, tasks: &Tasks) -> anyhow::Result<state_client::Config> {
    let plaintext = state_client::Config {
        namespace: Namespace::new(&config.namespace).context("namespace")?,
        ..state_client::Config::new(config.state.clone())
    };
    let Some(tls) = &config.internal_tls else {
        return Ok(plaintext);
    };
    let every = Duration::from_secs(config.trust_reload_seconds.max(1));
    let reloading = Reloading::new(tasks, every);
    let connector = Connector::between_nodes(tls, &reloading).context("internal_tls")?;
    let connect = move |endpoint: Endpoint| endpoint.connect_with_connector_lazy(connector.clone());
    Ok(state_client::Config {
        transport: Transport::Secured(Arc::new(connect)),
        ..plaintext
    })
}

fn stream_limits(config: &Config) -> tcp::streams::Limits {
    tcp::streams::Limits {
        connections: config.max_connections,
        connections_per_source: config.max_connections_per_source,
        handshake_time: Duration::from_secs(10),
        handshake_rate: rate(config.handshakes_per_second),
        handshake_rate_per_source: rate(config.handshakes_per_second_per_source),
        write_time: Duration::from_secs(30),
        connection: reliable::Config {
            idle_timeout: Duration::from_secs(config.connection_idle_seconds),
            ..reliable::Config::default()
        },
    }
}

/// The addresses at which other nodes reach the workers.
async fn advertised(config: &Config, bound: Vec<SocketAddr>) -> anyhow::Result<Vec<SocketAddr>> {
    let ip = match config.forward_advertise {
        Some(ip) => ip,
        None if config.forward_listen.ip().is_unspecified() => {
            members::own_address(&config.state).await?
        }
        None => config.forward_listen.ip(),
    };
    let at = |address: SocketAddr| SocketAddr::new(ip, address.port());
    Ok(bound.into_iter().map(at).collect())
}

/// Starts a worker's thread, and waits until its sockets are bound. Where it takes what other nodes forward, if it does.
async fn spawn_worker(
    config: &Config,
    parts: Parts,
    tasks: &Tasks,
) -> anyhow::Result<Option<SocketAddr>> {
    let (bound, told) = oneshot::channel();
    let listen = Listen::of(config, parts.index);
    let name = format!("worker-{}", parts.index);
    let (ended, wait) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
                let _inside = runtime.enter();
                let sockets = listen.bind()?;
                let forward = sockets.forward.as_ref().map(Socket::local_addr);
                Ok((forward.transpose()?, Driver::new(parts, sockets), runtime))
            });
            match outcome {
                Ok((forward, driver, runtime)) => {
                    // Nobody waits any more only when the node is ending already.
                    let _unheard = bound.send(Ok(forward));
                    runtime.block_on(driver.run());
                }
                Err(error) => {
                    let _unheard = bound.send(Err(error));
                }
            }
            let _unheard = ended.send(());
        })?;
    let forward = told.await??;
    tasks.spawn_service(&name, Stage::HandOver, move |_drain| async move {
        // Also ends when the thread panicked: then the node stops, as for any service that ends early.
        let _ended = wait.await;
    });
    Ok(forward)
}

/// Where a worker listens.
struct Listen {
    coaps: SocketAddr,
    coap: Option<SocketAddr>,
    forward: Option<SocketAddr>,
    streams: [(Option<SocketAddr>, Security); 2],
}

impl Listen {
    fn of(config: &Config, worker: u8) -> Self {
        let mut forward = config.forward_listen;
        if forward.port() != 0 {
            forward.set_port(forward.port().saturating_add(worker.into()));
        }
        Self {
            coaps: config.coaps_listen,
            coap: config.coap_listen,
            forward: config.cluster_key_file.is_some().then_some(forward),
            streams: [
                (config.coap_tcp_listen, Security::None),
                (config.coaps_tcp_listen, Security::Tls),
            ],
        }
    }

    fn bind(&self) -> anyhow::Result<Sockets> {
        let coaps = Socket::bind(self.coaps)
            .with_context(|| format!("coaps_listen: cannot serve {}", self.coaps))?;
        let coap = self.coap.map(|address| {
            Socket::bind(address).with_context(|| format!("coap_listen: cannot serve {address}"))
        });
        let forward = self.forward.map(|address| {
            Socket::bind_alone(address)
                .with_context(|| format!("forward_listen: cannot take datagrams on {address}"))
        });
        let listeners = self.streams.iter().filter_map(|(address, security)| {
            let address = (*address)?;
            let listener = Listener::bind(address, *security);
            Some(listener.with_context(|| format!("cannot serve {address} over TCP")))
        });
        Ok(Sockets {
            coaps,
            listeners: listeners.collect::<Result<_, _>>()?,
            coap: coap.transpose()?,
            forward: forward.transpose()?,
        })
    }
}

/// Makes a worker's engines, as often as it starts anew.
fn fresh(
    config: &Config,
    engine: lwm2m_server::Config,
) -> anyhow::Result<Box<dyn Fn() -> Fresh + Send>> {
    let limits = dtls_limits(config, engine.shards)?;
    let contexts = oscore::Config {
        max_contexts: config.max_devices,
        ..oscore::Config::default()
    };
    let role = config.role;
    Ok(Box::new(move || Fresh {
        // The secret is replaced before anything is received.
        dtls: dtls::Server::new(
            limits.clone(),
            &dtls::CookieSecret::new(random::seed()),
            random::seed(),
        ),
        oscore: oscore::Server::new(contexts.clone(), random::seed()),
        application: match role {
            Role::Device => {
                let engine = Engine::new(engine.clone(), random::seed());
                Application::Management(Box::new(engine))
            }
            Role::Bootstrap => {
                let engine = BootstrapEngine::new(BootstrapConfig::default(), random::seed());
                Application::Bootstrap(Box::new(engine))
            }
        },
    }))
}

fn dtls_limits(config: &Config, shards: u16) -> anyhow::Result<dtls::Config> {
    Ok(dtls::Config {
        partitions: NonZeroU16::new(shards).context("the cluster has no shards")?,
        max_handshakes: config.max_handshakes,
        max_handshakes_per_source: u32::try_from(config.max_handshakes.div_ceil(4))?,
        max_sessions: config.max_devices,
        resumption: config.resumption,
        handshake_rate: rate(config.handshakes_per_second),
        handshake_rate_per_source: rate(config.handshakes_per_second_per_source),
        ..dtls::Config::default()
    })
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3600)
}

/// After a rest, what came together during it.
const fn rate(per_second: u32) -> dtls::HandshakeRate {
    dtls::HandshakeRate::new(per_second, per_second.saturating_mul(2))
}

fn engine_config(
    config: &Config,
    profiles: &Arc<Profiles>,
    node: NodeId,
    worker: u8,
    shards: u16,
) -> lwm2m_server::Config {
    lwm2m_server::Config {
        worker,
        max_devices: config.max_devices,
        profiles: profiles.clone(),
        awake_window: Duration::from_secs(config.awake_window_seconds.into()),
        ..lwm2m_server::Config::new(node, shards)
    }
}

/// The key of the whole cluster, if there is one.
fn cluster_key(file: Option<&Path>) -> anyhow::Result<Option<[u8; 32]>> {
    let Some(path) = file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cluster_key_file: cannot read {}", path.display()))?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).with_context(|| {
        format!(
            "cluster_key_file: {} does not hold 64 hex digits",
            path.display()
        )
    })?;
    Ok(Some(key))
}
