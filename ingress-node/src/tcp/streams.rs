//! The connections of one worker.
//!
//! 1. A connection is accepted within the bounds, and secured if the listener is for TLS. If the device showed a
//!    certificate, nothing is read before it is decided who it is.
//! 2. A read is under way as long as everything that was read is worked off, so that a device which asks faster than
//!    it is answered waits in its own TCP.
//! 3. At most one write is under way. What comes meanwhile waits in the connection, which bounds it.
//! 4. After the end, the last bytes are written, and what still comes is read for a moment: closing with unread bytes
//!    would reset the connection, and the device might not see why.

mod admission;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::Message;
use coap::reliable::{self, Connection, NotSent, Output};
use device_state::Transport;
use dtls::{HandshakeBudget, HandshakeRate};
use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use hashbrown::HashMap;
use lwm2m_server::{Origin, Principal};
use node_runtime::random;
use tokio::io::WriteHalf;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub(crate) use admission::Proved;
use admission::Undecided;

use super::event::{Event, StreamId, accept, read_from, shut_down, write_to};
use super::{Io, Listener, Reader, split};

/// How long a connection that is over may take to go.
const LINGER: Duration = Duration::from_secs(2);
/// How long nothing is accepted after an error: descriptors may have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// What the connections of one worker may take.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    /// Of one IPv4 address or IPv6 /64 network.
    pub(crate) connections_per_source: usize,
    pub(crate) handshake_time: Duration,
    /// TLS handshakes that begin; those beyond it are refused.
    pub(crate) handshake_rate: HandshakeRate,
    pub(crate) handshake_rate_per_source: HandshakeRate,
    pub(crate) write_time: Duration,
    pub(crate) connection: reliable::Config,
}

/// What was counted; all counts only grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) refused: u64,
    pub(crate) handshakes_failed: u64,
    pub(crate) not_sent: u64,
}

struct Open {
    connection: Connection,
    address: SocketAddr,
    /// This host's end.
    local: Option<SocketAddr>,
    transport: Transport,
    proved: Proved,
    /// `None` while a read is under way, and after the end of the input.
    reader: Option<Reader>,
    input: Half,
    /// `None` while a write is under way, and once nothing can be written any more.
    writer: Option<WriteHalf<Io>>,
    output: Half,
    /// Ends the read when it is dropped.
    _drop: oneshot::Sender<()>,
    /// When the connection goes at the latest; set when it is over.
    gone_at: Option<Instant>,
    timer: Option<Instant>,
    queued: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Open,
    Closed,
}

/// The connections of one worker.
pub(crate) struct Streams {
    listeners: Vec<Listener>,
    limits: Limits,
    /// What secures connections; without it, listeners for TLS serve nobody.
    tls: Option<TlsAcceptor>,
    open: HashMap<StreamId, Open>,
    undecided: HashMap<StreamId, Undecided>,
    /// Certificates that nobody has looked at yet.
    shown: VecDeque<(StreamId, Vec<Vec<u8>>)>,
    /// Connections by source, those that are not open yet too.
    sources: HashMap<IpAddr, usize>,
    handshakes: FuturesUnordered<LocalBoxFuture<'static, Event>>,
    transfers: FuturesUnordered<LocalBoxFuture<'static, Event>>,
    /// Connections that may have an output or something to write.
    queue: VecDeque<StreamId>,
    timers: BTreeSet<(Instant, StreamId)>,
    budget: HandshakeBudget,
    accept_after: Option<Instant>,
    next_id: u64,
    now: Instant,
    counters: Counters,
    anyone: Proved,
}

impl Streams {
    pub(crate) fn new(listeners: Vec<Listener>, tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        Self {
            listeners,
            limits,
            tls,
            open: HashMap::new(),
            undecided: HashMap::new(),
            shown: VecDeque::new(),
            sources: HashMap::new(),
            handshakes: FuturesUnordered::new(),
            transfers: FuturesUnordered::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            budget: HandshakeBudget::new(random::seed()),
            accept_after: None,
            next_id: 0,
            now: Instant::now(),
            counters: Counters::default(),
            anyone: Proved {
                principal: Arc::new(Principal::anyone()),
                certificate: None,
            },
        }
    }

    /// Secures connections by this from now on; those that there are stay.
    pub(crate) fn set_tls(&mut self, tls: Option<TlsAcceptor>) {
        self.tls = tls;
    }

    /// Waits for something to happen. Nothing is lost when the wait is given up.
    pub(crate) async fn event(&mut self) -> Event {
        let (listeners, after) = (&self.listeners, self.accept_after);
        tokio::select! {
            Some(event) = self.transfers.next() => event,
            Some(event) = self.handshakes.next() => event,
            event = accept(listeners, after) => event,
        }
    }

    pub(crate) fn handle_event(&mut self, now: Instant, event: Event) {
        self.now = now;
        match event {
            Event::Accepted { listener, result } => match result {
                Ok((stream, address)) => self.accepted(listener, stream, address),
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    // Whoever gives up before it is accepted must not hold up the others.
                    if error.kind() != io::ErrorKind::ConnectionAborted {
                        self.accept_after = Some(now + PAUSE);
                    }
                }
            },
            Event::Secured { address, result } => match result {
                Ok(secured) => self.secured(address, secured),
                Err(error) => {
                    tracing::debug!(%address, %error, "TLS handshake failed");
                    self.counters.handshakes_failed += 1;
                    self.release_source(address);
                }
            },
            Event::Read { id, reader, result } => self.was_read(id, reader, result),
            Event::Written { id, writer, result } => self.was_written(id, writer, result),
        }
    }

    fn next_id(&mut self) -> StreamId {
        self.next_id += 1;
        StreamId(self.next_id)
    }

    fn add(
        &mut self,
        id: StreamId,
        address: SocketAddr,
        transport: Transport,
        proved: Proved,
        io: Io,
    ) {
        let local = io.local_address();
        let (reader, writer, drop) = split(io);
        let open = Open {
            connection: Connection::new(self.now, self.limits.connection.clone()),
            address,
            local,
            transport,
            proved,
            reader: Some(reader),
            input: Half::Open,
            writer: Some(writer),
            output: Half::Open,
            _drop: drop,
            gone_at: None,
            timer: None,
            queued: false,
        };
        self.open.insert(id, open);
        self.touch(id);
    }

    fn was_read(&mut self, id: StreamId, reader: Reader, result: io::Result<Vec<u8>>) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        match result {
            Ok(bytes) if !bytes.is_empty() => {
                open.reader = Some(reader);
                open.connection.handle_bytes(self.now, &bytes);
            }
            Ok(_) | Err(_) => {
                open.input = Half::Closed;
                open.connection.handle_end();
            }
        }
        self.touch(id);
    }

    fn was_written(&mut self, id: StreamId, writer: WriteHalf<Io>, result: io::Result<()>) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if result.is_ok() {
            open.writer = Some(writer);
        } else {
            open.output = Half::Closed;
            open.connection.handle_end();
        }
        self.touch(id);
    }

    /// What the connections want, until `None`.
    pub(crate) fn poll_output(&mut self) -> Option<(StreamId, Output)> {
        while let Some(&id) = self.queue.front() {
            if let Some(open) = self.open.get_mut(&id) {
                if let Some(output) = open.connection.poll_output() {
                    if matches!(output, Output::Closed(_)) {
                        open.gone_at = Some(self.now + LINGER);
                    }
                    return Some((id, output));
                }
                open.queued = false;
                self.settle(id);
            }
            self.queue.pop_front();
        }
        None
    }

    /// Starts what the connection can do now, and sees whether it is gone.
    fn settle(&mut self, id: StreamId) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        if let Some(writer) = open.writer.take() {
            if let Some(bytes) = open.connection.poll_transmit() {
                let time = self.limits.write_time;
                self.transfers.push(write_to(id, writer, bytes, time));
            } else if open.gone_at.is_some() {
                open.output = Half::Closed;
                self.transfers.push(shut_down(id, writer, LINGER));
            } else {
                open.writer = Some(writer);
            }
        }
        if open.gone_at.is_some() && open.input == Half::Closed && open.output == Half::Closed {
            self.remove(id);
            return;
        }
        if let Some(reader) = open.reader.take() {
            self.transfers.push(read_from(id, reader));
        }
        let timer = open.gone_at.or_else(|| open.connection.poll_timeout());
        if timer != open.timer {
            if let Some(before) = std::mem::replace(&mut open.timer, timer) {
                self.timers.remove(&(before, id));
            }
            self.timers.extend(timer.map(|at| (at, id)));
        }
    }

    /// Sends on a connection. False if that is gone: then its peer is gone too.
    pub(crate) fn send(&mut self, id: StreamId, message: &Message) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        let sent = open.connection.send(message);
        self.counters.not_sent += u64::from(sent.is_err());
        self.touch(id);
        sent != Err(NotSent::Closed)
    }

    /// Announces the end of a connection.
    pub(crate) fn release(&mut self, now: Instant, id: StreamId) {
        if let Some(open) = self.open.get_mut(&id) {
            open.connection.release(now);
            self.touch(id);
        }
    }

    /// Ends a connection at once and says why.
    pub(crate) fn abort(&mut self, now: Instant, id: StreamId, diagnostic: &str) {
        self.now = now;
        if let Some(open) = self.open.get_mut(&id) {
            open.connection.abort(diagnostic);
            self.touch(id);
        }
    }

    /// The connections of the devices that `wanted` picks.
    pub(crate) fn of(&self, wanted: impl Fn(&Proved) -> bool) -> Vec<StreamId> {
        let picked = self.open.iter().filter(|(_, open)| wanted(&open.proved));
        picked.map(|(id, _)| *id).collect()
    }

    pub(crate) fn principal(&self, id: StreamId) -> Option<Arc<Principal>> {
        let open = self.open.get(&id)?;
        Some(open.proved.principal.clone())
    }

    /// No connections are accepted any more.
    pub(crate) fn stop_accepting(&mut self) {
        self.listeners.clear();
    }

    /// Announces to all devices that their connections end. Nobody decides any more who the others are: theirs end.
    pub(crate) fn release_all(&mut self, now: Instant) {
        self.forget_undecided();
        let ids: Vec<_> = self.open.keys().copied().collect();
        for id in ids {
            self.release(now, id);
        }
    }

    /// Ends all connections, and writes what is to be written for at most [`LINGER`].
    pub(crate) async fn close(mut self) {
        self.stop_accepting();
        self.release_all(Instant::now());
        // Nobody is left who would take a message.
        while self.poll_output().is_some() {}
        let written = async {
            while self
                .open
                .values()
                .any(|open| open.writer.is_none() && open.output == Half::Open)
            {
                let event = self.event().await;
                self.handle_event(Instant::now(), event);
            }
        };
        let _late = timeout(LINGER, written).await;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(open) = self.open.get_mut(&id) else {
                continue;
            };
            open.timer = None;
            if open.gone_at.is_some() {
                self.remove(id);
            } else {
                open.connection.handle_timeout(now);
                self.touch(id);
            }
        }
    }

    /// What the peer of a connection takes.
    pub(crate) fn capabilities(&self, id: StreamId) -> Option<reliable::Capabilities> {
        let open = self.open.get(&id)?;
        Some(open.connection.capabilities())
    }

    /// Where the messages of a connection come from.
    pub(crate) fn origin(&self, id: StreamId) -> Option<Origin> {
        let open = self.open.get(&id)?;
        Some(Origin {
            address: open.address,
            transport: open.transport,
            principal: open.proved.principal.clone(),
            session: None,
        })
    }

    /// Where the peer of a connection reaches this host.
    pub(crate) fn local_address(&self, id: StreamId) -> Option<SocketAddr> {
        self.open.get(&id)?.local
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len() + self.undecided.len()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    fn touch(&mut self, id: StreamId) {
        if let Some(open) = self.open.get_mut(&id).filter(|open| !open.queued) {
            open.queued = true;
            self.queue.push_back(id);
        }
    }

    fn remove(&mut self, id: StreamId) {
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        if let Some(at) = open.timer {
            self.timers.remove(&(at, id));
        }
        self.release_source(open.address);
    }
}
