//! The connections between the places of a simulation: bytes take their time, and ways can be cut.
//!
//! They behave as those of TCP do: what is lost is sent again, so that loss is delay, and whoever is cut off is found out by
//! the silence.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{
    AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::listen::{Connection, Connections};

/// Where a node, or whoever calls it, is.
pub(super) type Place = u64;

/// What is under way between two hops.
const BUFFER: usize = 64 << 10;
/// Milliseconds that bytes are under way at most, if nothing is wrong with them.
const LONGEST: u64 = 8;
/// Milliseconds until what was lost is sent again.
const AGAIN: std::ops::Range<u64> = 200..1_500;
/// How often somebody who is cut off tries.
const TRY: Duration = Duration::from_millis(20);
/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

struct Listener {
    place: Place,
    connections: mpsc::Sender<io::Result<Connection>>,
}

/// One direction of a connection.
struct Carrier {
    ends: (Place, Place),
    task: AbortHandle,
}

struct State {
    rng: ChaCha8Rng,
    listeners: BTreeMap<String, Listener>,
    cut: BTreeSet<(Place, Place)>,
    lost_percent: u32,
    carriers: Vec<Carrier>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
pub(super) struct Wires(Arc<Mutex<State>>);

impl Wires {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: ChaCha8Rng::seed_from_u64(seed),
            listeners: BTreeMap::new(),
            cut: BTreeSet::new(),
            lost_percent: 0,
            carriers: Vec::new(),
            tasks: JoinSet::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Nothing of what one place sends reaches the other.
    pub(super) fn cut(&self, from: Place, to: Place) {
        self.state().cut.insert((from, to));
    }

    /// Of so many parts in a hundred some was lost, and is sent again.
    pub(super) fn lose(&self, percent: u32) {
        self.state().lost_percent = percent;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.cut.clear();
        state.lost_percent = 0;
    }

    /// Whoever listens here takes connections to this address.
    pub(super) fn listen(&self, place: Place, address: &str) -> Connections {
        let (connections, accepted) = mpsc::channel(BACKLOG);
        let listener = Listener { place, connections };
        self.state().listeners.insert(address.to_owned(), listener);
        ReceiverStream::new(accepted)
    }

    /// Nobody listens at a place any more, and all its connections break.
    pub(super) fn break_off(&self, place: Place) {
        let of_it = |_: &String, listener: &mut Listener| listener.place != place;
        self.state().listeners.retain(of_it);
        self.break_connections(place);
    }

    pub(super) fn break_connections(&self, place: Place) {
        let mut state = self.state();
        state.carriers.retain(|carrier| {
            let (one, other) = carrier.ends;
            let is_of_it = one == place || other == place;
            if is_of_it {
                carrier.task.abort();
            }
            !is_of_it && !carrier.task.is_finished()
        });
    }

    /// A channel that connects from `place` when it is first used.
    pub(super) fn channel(&self, place: Place, endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(Outlet {
            wires: self.clone(),
            place,
        })
    }

    fn delay(&self) -> Duration {
        let mut state = self.state();
        let percent = state.lost_percent;
        let is_lost = state.rng.random_range(0..100) < percent;
        let range = if is_lost { AGAIN } else { 0..LONGEST };
        Duration::from_millis(state.rng.random_range(range))
    }

    /// The time that something takes from one place to the other.
    async fn pass(&self, way: (Place, Place)) {
        sleep(self.delay()).await;
        while self.state().cut.contains(&way) {
            sleep(TRY).await;
        }
    }

    fn listener(&self, address: &str) -> io::Result<(Place, mpsc::Sender<io::Result<Connection>>)> {
        let state = self.state();
        let listener = state.listeners.get(address);
        let found = listener.map(|listener| (listener.place, listener.connections.clone()));
        found.ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    async fn connect(&self, from: Place, address: &str) -> io::Result<DuplexStream> {
        let (to, _) = self.listener(address)?;
        self.pass((from, to)).await;
        self.pass((to, from)).await;
        // It may be another one by now, or none.
        let (to, connections) = self.listener(address)?;
        let (client, near) = duplex(BUFFER);
        let (far, server) = duplex(BUFFER);
        let peer = SocketAddr::from(([127, 0, 0, 1], from as u16));
        let accepted = connections.send(Ok(Connection::in_memory(server, peer)));
        accepted
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let (near_out, near_in) = split(near);
        let (far_out, far_in) = split(far);
        self.carry((from, to), near_out, far_in);
        self.carry((to, from), far_out, near_in);
        Ok(client)
    }

    fn carry(
        &self,
        ends: (Place, Place),
        source: ReadHalf<DuplexStream>,
        sink: WriteHalf<DuplexStream>,
    ) {
        let carried = carry(self.clone(), ends, source, sink);
        let mut state = self.state();
        let task = state.tasks.spawn(carried);
        state.carriers.push(Carrier { ends, task });
        while state.tasks.try_join_next().is_some() {}
    }
}

/// Until one side has no more to say, or the other does not listen any more.
async fn carry(
    wires: Wires,
    way: (Place, Place),
    mut source: ReadHalf<DuplexStream>,
    mut sink: WriteHalf<DuplexStream>,
) {
    let mut bytes = vec![0; BUFFER];
    while let Ok(length @ 1..) = source.read(&mut bytes).await {
        wires.pass(way).await;
        if sink.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    // Nobody may be left to hear it.
    let _gone = sink.shutdown().await;
}

/// Where a place connects to others.
#[derive(Clone)]
struct Outlet {
    wires: Wires,
    place: Place,
}

impl Service<Uri> for Outlet {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { wires, place } = self.clone();
        Box::pin(async move {
            let address = uri
                .authority()
                .map_or("", |authority| authority.as_str())
                .to_owned();
            wires.connect(place, &address).await.map(TokioIo::new)
        })
    }
}
