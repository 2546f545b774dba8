//! One worker: the only place that loops over the engines' outputs.
//!
//! ```text
//!  coaps socket ─▶ dtls::Server ─▶ plaintext ─┐
//!  connections ─▶ tcp::Streams ─▶ messages ───┤
//!  coap socket ───────────────────────────────┴▶ lwm2m_server::Engine ─▶ commits, look-ups ─▶ state tier
//!  sockets ◀── dtls::Server ◀── datagrams ◀────────────┘      ▲
//!  attach stream ─▶ operations ───────────────────────────────┘
//! ```
//!
//! Before a datagram reaches an engine, `route.rs` finds out whether it belongs to this worker.
//!
//! A worker is a thread with its own runtime, sockets (SO_REUSEPORT), engines and devices; nothing in it is locked.

mod application;
mod bootstrap;
mod carrier;
mod contact;
mod contexts;
mod leave;
mod operation;
mod pace;
mod package;
mod principal;
mod resumption;
mod revocation;
mod route;
mod session;
mod state_tier;
mod stream;
mod take_over;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use device_state::{Attempt, NodeId, Timestamp};
use forward::{Channel, WorkerId};
use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use lwm2m_server::{Now, Output, Principal};
use node_runtime::clock;
use oscore::Carried;
use state_client::{AttachHandle, Client};
use tokio::sync::mpsc;

use crate::config::BootstrapFor;
use crate::cookies::{Cookies, Period};
use crate::metrics::Metrics;
use crate::packages::{PackageUris, Packages};
use crate::tcp::event::StreamId;
use crate::tcp::streams::Streams;
use crate::tcp::{self, Listener};
use crate::trust::Trust;
use crate::udp::{ReceiveBatch, Socket};

pub(crate) use application::Application;
use application::Wanted;
pub(crate) use carrier::Carrier;
pub(crate) use contact::Inquiring;
use contexts::Contexts;
pub(crate) use operation::{Input, Passing};
use pace::Pace;
use revocation::Revocations;
use route::Routes;
use session::Sessions;
use state_tier::Resolved;

/// Messages from other threads that wait for a worker.
pub(crate) const INPUTS: usize = 4096;

/// How often a worker that leaves looks whether exchanges are still under way.
const LEAVING_CHECK: Duration = Duration::from_millis(50);

/// How often a worker's own counts are exported.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(1);

/// A peer of the CoAP layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    Dtls(dtls::SessionId),
    Udp(SocketAddr),
    Stream(StreamId),
    Oscore(oscore::ContextId),
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) index: u8,
    pub(crate) node: NodeId,
    pub(crate) client: Client,
    pub(crate) packages: Packages,
    /// Where devices find packages, if not where they find this node.
    pub(crate) package_uris: Arc<PackageUris>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    /// All workers' inputs, this one's too, by index.
    pub(crate) workers: Vec<mpsc::Sender<Input>>,
    /// Makes the engines, without sessions and devices.
    pub(crate) fresh: Box<dyn Fn() -> Fresh + Send>,
    pub(crate) forward_key: forward::Key,
    pub(crate) trust: Arc<Trust>,
    pub(crate) cookies: Cookies,
    pub(crate) limits: Limits,
    pub(crate) streams: tcp::streams::Limits,
    pub(crate) metrics: Metrics,
    pub(crate) attachment: AttachHandle,
}

/// Engines without sessions and devices.
pub(crate) struct Fresh {
    pub(crate) dtls: dtls::Server,
    pub(crate) oscore: oscore::Server<Carrier>,
    pub(crate) application: Application,
}

/// The sockets of a worker.
pub(crate) struct Sockets {
    pub(crate) coaps: Socket,
    pub(crate) coap: Option<Socket>,
    /// Takes what other nodes forward.
    pub(crate) forward: Option<Socket>,
    pub(crate) listeners: Vec<Listener>,
}

/// What becomes of CoAP messages that nothing secures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsecured {
    Served,
    /// Requests are answered 4.01.
    Refused,
}

/// Times and rules that the driver keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) commit_timeout: Duration,
    pub(crate) session_lifetime: Duration,
    pub(crate) resumption_lifetime: Duration,
    pub(crate) unsecured: Unsecured,
    pub(crate) bootstrap_for: BootstrapFor,
}

/// A worker.
pub(crate) struct Driver {
    index: u8,
    node: NodeId,
    coaps: Socket,
    coap: Option<Socket>,
    streams: Streams,
    client: Client,
    packages: Packages,
    package_uris: Arc<PackageUris>,
    inputs: mpsc::Receiver<Input>,
    workers: Vec<mpsc::Sender<Input>>,
    dtls: dtls::Server,
    application: Application,
    /// Those under way, of a bootstrap server.
    bootstraps: bootstrap::Bootstraps,
    fresh: Box<dyn Fn() -> Fresh + Send>,
    routes: Routes,
    /// When a node that leaves forgets what it still holds.
    let_go_at: Option<Instant>,
    sessions: Sessions,
    contexts: Contexts,
    trust: Arc<Trust>,
    cookies: Cookies,
    /// Whose cookies the DTLS server gives out.
    period: Period,
    revocations: Revocations,
    pace: Pace,
    /// Of messages without security.
    anyone: Arc<Principal>,
    strays: take_over::Strays,
    operations: operation::Operations,
    refusals: contact::Refusals,
    /// Calls to the state tier under way.
    calls: FuturesUnordered<LocalBoxFuture<'static, Resolved>>,
    limits: Limits,
    metrics: Metrics,
    attachment: AttachHandle,
    /// When the engines' own counts were last taken over.
    observed: Instant,
}

/// Room for what the sockets take.
#[derive(Default)]
struct Batches {
    secured: ReceiveBatch,
    plain: ReceiveBatch,
    forwarded: ReceiveBatch,
}

/// What woke the worker up.
enum Wake {
    Coaps,
    Coap,
    Forwarded,
    Stream(tcp::event::Event),
    Resolved(Resolved),
    Inputs,
    Timeout,
}

impl Driver {
    pub(crate) fn new(parts: Parts, sockets: Sockets) -> Self {
        let Sockets {
            coaps,
            coap,
            forward,
            listeners,
        } = sockets;
        let Fresh {
            mut dtls,
            oscore,
            application,
        } = (parts.fresh)();
        dtls.set_credentials(parts.trust.credentials.clone());
        let period = Period::at(now().wall);
        parts.cookies.set(&mut dtls, period);
        let own = WorkerId {
            node: parts.node.0,
            worker: parts.index,
        };
        Self {
            index: parts.index,
            node: parts.node,
            coaps,
            coap,
            streams: Streams::new(listeners, parts.trust.tls.clone(), parts.streams),
            client: parts.client,
            packages: parts.packages,
            package_uris: parts.package_uris,
            inputs: parts.inputs,
            workers: parts.workers,
            dtls,
            application,
            bootstraps: bootstrap::Bootstraps::default(),
            fresh: parts.fresh,
            routes: Routes::new(&parts.forward_key, own, forward),
            let_go_at: None,
            sessions: Sessions::default(),
            contexts: Contexts::new(oscore),
            trust: parts.trust,
            cookies: parts.cookies,
            period,
            revocations: Revocations::default(),
            pace: Pace::default(),
            anyone: Arc::new(Principal::anyone()),
            strays: take_over::Strays::default(),
            operations: operation::Operations::default(),
            refusals: contact::Refusals::default(),
            calls: FuturesUnordered::new(),
            limits: parts.limits,
            metrics: parts.metrics,
            attachment: parts.attachment,
            observed: Instant::now(),
        }
    }

    /// Serves until [`Input::Stop`].
    pub(crate) async fn run(mut self) {
        let mut batches = Batches::default();
        let mut inputs = Vec::with_capacity(256);
        loop {
            self.settle();
            match self.wake(&mut batches, &mut inputs).await {
                Wake::Coaps => self.received(Channel::Secured, &mut batches.secured),
                Wake::Coap => self.received(Channel::Plain, &mut batches.plain),
                Wake::Forwarded => {
                    let now = now();
                    for (_, packed) in batches.forwarded.datagrams() {
                        self.forwarded(now, packed);
                    }
                }
                Wake::Stream(event) => self.stream_event(event),
                Wake::Resolved(resolved) => {
                    self.resolved(resolved);
                    // What else is answered already leaves in the same system call.
                    while let Some(Some(resolved)) = self.calls.next().now_or_never() {
                        self.resolved(resolved);
                    }
                }
                Wake::Inputs => {
                    for input in inputs.drain(..) {
                        if matches!(input, Input::Stop) {
                            // Sessions stay stored: the node that hears of them next goes on with them.
                            self.settle();
                            return self.streams.close().await;
                        }
                        self.handle_input(input);
                    }
                    self.end_revoked();
                }
                Wake::Timeout => {
                    let now = now();
                    self.dtls.handle_timeout(now.instant);
                    self.application.handle_timeout(now);
                    self.let_go_when_due(now.instant);
                    self.streams.handle_timeout(now.instant);
                }
            }
        }
    }

    fn received(&mut self, channel: Channel, batch: &mut ReceiveBatch) {
        let now = now();
        for (peer, datagram) in batch.datagrams() {
            self.metrics.datagrams_received.inc();
            let arrival = self.routes.direct(channel, peer);
            self.arrived(now, &arrival, datagram);
        }
    }

    async fn wake(&mut self, batches: &mut Batches, inputs: &mut Vec<Input>) -> Wake {
        // At least once an interval, so that what is exported is current.
        let engines = earlier(self.dtls.poll_timeout(), self.application.poll_timeout());
        let timeout = earlier(engines, self.streams.poll_timeout())
            .map_or(self.observed + OBSERVE_INTERVAL, |due| {
                due.min(self.observed + OBSERVE_INTERVAL)
            });
        let timeout = self.let_go_at.map_or(timeout, |at| {
            timeout.min(at).min(Instant::now() + LEAVING_CHECK)
        });
        let (coap, forward) = (self.coap.as_ref(), self.routes.socket());
        tokio::select! {
            Some(resolved) = self.calls.next(), if !self.calls.is_empty() => Wake::Resolved(resolved),
            _ = self.inputs.recv_many(inputs, 256) => Wake::Inputs,
            result = self.coaps.receive(&mut batches.secured) => received(result, Wake::Coaps),
            result = receive_on(coap, &mut batches.plain) => received(result, Wake::Coap),
            result = receive_on(forward, &mut batches.forwarded) => received(result, Wake::Forwarded),
            event = self.streams.event() => Wake::Stream(event),
            () = tokio::time::sleep_until(timeout.into()) => Wake::Timeout,
        }
    }

    /// Works off what the engines want until they want nothing, then sends.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(output) = self.dtls.poll_output() {
                idle = false;
                self.dtls_output(output);
            }
            while let Some(output) = self.contexts.layer.poll_output() {
                idle = false;
                self.oscore_output(output);
            }
            while let Some((id, output)) = self.streams.poll_output() {
                idle = false;
                self.stream_output(id, output);
            }
            while let Some(wanted) = self.application.poll_output() {
                idle = false;
                match wanted {
                    Wanted::Management(output) => self.engine_output(output),
                    Wanted::Bootstrap(output) => self.bootstrap_output(output),
                }
            }
            if idle {
                break;
            }
        }
        let lost =
            self.coaps.flush() + self.coap.as_mut().map_or(0, Socket::flush) + self.routes.flush();
        self.metrics.datagrams_lost.inc_by(lost as u64);
        if self.observed.elapsed() >= OBSERVE_INTERVAL {
            self.observed = Instant::now();
            self.look_for_revocations();
            self.rotate_cookies();
            self.metrics.observe(
                self.index,
                &self.application,
                &self.dtls,
                &self.contexts.layer,
                &self.streams,
            );
        }
    }

    fn rotate_cookies(&mut self) {
        let period = Period::at(now().wall);
        if period != self.period {
            self.period = period;
            self.cookies.set(&mut self.dtls, period);
        }
    }

    fn engine_output(&mut self, output: Output<Peer>) {
        match output {
            Output::Transmit { peer, datagram } => self.transmit_to(peer, datagram),
            Output::Send { peer, message } => self.send_to(peer, message),
            Output::Commit { id, shard, command } => self.propose(id, shard, command),
            Output::LookUp {
                registration,
                peer,
                observations,
                moved_from,
            } => self.look_up(registration, peer, (observations, moved_from)),
            Output::Address { tag, peer } => self.tell_address(tag, peer),
            Output::Package { request, digest } => self.fetch_package(request, digest),
            Output::OperationDone { tag, result } => self.operation_done(tag, result),
            Output::Awake { endpoint } => self.attachment.awake(&endpoint),
            Output::Refused {
                endpoint,
                from,
                reason,
            } => self.refused(endpoint, from, Attempt::Registration, reason),
        }
    }

    fn transmit_to(&mut self, peer: Peer, datagram: Vec<u8>) {
        match peer {
            Peer::Udp(peer) => self.transmit(Channel::Plain, peer, datagram),
            Peer::Dtls(session) => {
                // A session that is gone takes its device's messages with it.
                if self.dtls.send(session, &datagram).is_err() {
                    self.metrics.datagrams_lost.inc();
                }
            }
            Peer::Oscore(context) => self.protect(context, &Carried::Datagram(datagram)),
            Peer::Stream(id) => self.stream_gone(id),
        }
    }

    fn send_to(&mut self, peer: Peer, message: coap::Message) {
        match peer {
            Peer::Oscore(context) => self.protect(context, &Carried::Message(message)),
            Peer::Stream(id) => self.send_on_stream(id, &message),
            // Only streams are made known as such.
            Peer::Udp(_) | Peer::Dtls(_) => {}
        }
    }
}

/// Both clocks.
pub(crate) fn now() -> Now {
    Now {
        instant: Instant::now(),
        wall: Timestamp(clock::now_ms()),
    }
}

fn earlier(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

fn received(result: std::io::Result<()>, wake: Wake) -> Wake {
    match result {
        Ok(()) => wake,
        Err(error) => {
            // ICMP errors of earlier sends come up here; the socket goes on.
            tracing::debug!(%error, "receive failed");
            Wake::Timeout
        }
    }
}

async fn receive_on(socket: Option<&Socket>, batch: &mut ReceiveBatch) -> std::io::Result<()> {
    match socket {
        Some(socket) => socket.receive(batch).await,
        None => std::future::pending().await,
    }
}
