//! Wires the parts: state tier, workers, attach stream.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use device_state::NodeId;
use node_runtime::{Readiness, Stage, Tasks, random};
use sha2::{Digest, Sha256};
use state_client::Client;
use tokio::sync::{mpsc, oneshot};

use crate::config::Config;
use crate::downlink_stream;
use crate::driver::{Driver, INPUTS, Input, Limits, Parts};
use crate::metrics::Metrics;
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
    let state_tier = readiness.condition("state-tier");
    let cookie_secret = cookie_secret(config.cluster_key_file.as_deref())?;
    let client =
        Client::connect(state_client::Config::new(config.state.clone())).context("state")?;
    let node = NodeId(random::random_u64());
    let shards = client.ready().await.shards;
    let (attachment, operations) = client.attach(node, &config.name);

    let (senders, receivers): (Vec<_>, Vec<_>) = (0..config.workers)
        .map(|_| mpsc::channel::<Input>(INPUTS))
        .unzip();
    for (index, inputs) in (0..).zip(receivers) {
        let parts = Parts {
            index,
            node,
            client: client.clone(),
            inputs,
            workers: senders.clone(),
            dtls: dtls_server(config, shards, &cookie_secret)?,
            engine: engine_config(config, node, index, shards),
            limits: Limits {
                commit_timeout: Duration::from_millis(config.commit_timeout_ms.into()),
                session_lifetime: Duration::from_secs(u64::from(config.session_hours) * 3600),
            },
            metrics: metrics.clone(),
            attachment: attachment.clone(),
        };
        spawn_worker(config, parts, tasks).await?;
    }
    tasks.spawn_service("downlinks", Stage::HandOver, |drain| {
        downlink_stream::run(operations, senders, drain)
    });
    state_tier.meet();
    Ok(())
}

/// Starts a worker's thread, and waits until its sockets are bound.
async fn spawn_worker(config: &Config, parts: Parts, tasks: &Tasks) -> anyhow::Result<()> {
    let (bound, told) = oneshot::channel();
    let (coaps, coap) = (config.coaps_listen, config.coap_listen);
    let name = format!("worker-{}", parts.index);
    let drain = tasks.drain(Stage::HandOver);
    let (ended, wait) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let outcome = runtime.and_then(|runtime| {
                let _inside = runtime.enter();
                let coaps = Socket::bind(coaps)?;
                let coap = coap.map(Socket::bind).transpose()?;
                Ok((Driver::new(parts, coaps, coap), runtime))
            });
            match outcome {
                Ok((driver, runtime)) => {
                    // Nobody waits any more only when the node is ending already.
                    let _unheard = bound.send(Ok(()));
                    runtime.block_on(driver.run(drain));
                }
                Err(error) => {
                    let _unheard = bound.send(Err(error));
                }
            }
            let _unheard = ended.send(());
        })?;
    told.await?
        .with_context(|| format!("cannot serve {coaps} or {coap:?}"))?;
    tasks.spawn_service(&name, Stage::HandOver, move |_drain| async move {
        // Also ends when the thread panicked: then the node stops, as for any service that ends early.
        let _ended = wait.await;
    });
    Ok(())
}

fn dtls_server(
    config: &Config,
    shards: u16,
    secret: &dtls::CookieSecret,
) -> anyhow::Result<dtls::Server> {
    let limits = dtls::Config {
        partitions: NonZeroU16::new(shards).context("the cluster has no shards")?,
        max_handshakes: config.max_handshakes,
        max_handshakes_per_source: u32::try_from(config.max_handshakes)?,
        max_sessions: config.max_devices,
        ..dtls::Config::default()
    };
    Ok(dtls::Server::new(limits, secret, random::seed()))
}

fn engine_config(config: &Config, node: NodeId, worker: u8, shards: u16) -> lwm2m_server::Config {
    lwm2m_server::Config {
        worker,
        max_devices: config.max_devices,
        ..lwm2m_server::Config::new(node, shards)
    }
}

/// The secret of the stateless cookies: of the whole cluster, so that any node accepts another's.
fn cookie_secret(key_file: Option<&Path>) -> anyhow::Result<dtls::CookieSecret> {
    let Some(path) = key_file else {
        return Ok(dtls::CookieSecret::new(random::seed()));
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
    // The cluster key itself seals what is stored; the cookies get a key of their own from it.
    let secret = Sha256::new()
        .chain_update(b"drover dtls cookie 1")
        .chain_update(key)
        .finalize();
    Ok(dtls::CookieSecret::new(secret.into()))
}
