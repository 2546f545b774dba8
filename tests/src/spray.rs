//! The worst network between devices and ingress nodes: any datagram takes any path.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::nonces::Nonces;

/// Longer than any datagram of a device.
const MAX_DATAGRAM: usize = 4096;

/// An address translator that sends each datagram of a device to an ingress node at random, and lets nothing in from a
/// node that the device's present port has not sent to. Ends when dropped.
#[derive(Debug)]
pub struct Spray {
    address: SocketAddr,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
    rebind: mpsc::Sender<()>,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    nonces: Mutex<Nonces>,
}

impl Counts {
    fn note(&self, device: SocketAddr, datagram: &[u8]) {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.note(device, datagram);
    }
}

impl Spray {
    /// Starts between devices, which send to [`Spray::address`], and `nodes`.
    pub fn start(nodes: &[String], seed: u64) -> Self {
        let nodes = nodes.iter().map(|node| node.parse().expect("an address"));
        let nodes = Arc::new(Mutex::new(nodes.collect()));
        let counts = Arc::new(Counts::default());
        let (rebind, rebinds) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let (bound, told) = std::sync::mpsc::sync_channel(1);
        let inside = Inside {
            nodes: Arc::clone(&nodes),
            counts: Arc::clone(&counts),
            rng: ChaCha8Rng::seed_from_u64(seed),
            ports: HashMap::new(),
            answers: JoinSet::new(),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            runtime.block_on(async move {
                let front = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
                let front = Arc::new(front);
                bound.send(front.local_addr()).expect("it is waited for");
                tokio::select! {
                    ended = inside.run(front, rebinds) => panic!("{ended:?}"),
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the thread tells").expect("an address");
        Self {
            address,
            nodes,
            rebind,
            counts,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// What devices take for their server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on datagrams go to these nodes; with none they are lost.
    pub fn set_nodes(&self, nodes: &[String]) {
        let nodes = nodes.iter().map(|node| node.parse().expect("an address"));
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes.collect();
    }

    /// Gives every device another port, as a translator does that forgot its mappings.
    pub fn rebind(&self) {
        self.rebind.blocking_send(()).expect("the thread runs");
    }

    /// Datagrams sent to nodes.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Datagrams of nodes that reached their device.
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Relaxed)
    }

    /// Records to devices that differ but have the same nonce.
    pub fn repeated_nonces(&self) -> u64 {
        self.nonces().repeated
    }

    /// Records to devices from a node that was not the owner of the session any more.
    pub fn outdated_records(&self) -> u64 {
        self.nonces().outdated
    }

    fn nonces(&self) -> MutexGuard<'_, Nonces> {
        let nonces = &self.counts.nonces;
        nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Datagrams of nodes that the device's port had not sent to.
    pub fn refused(&self) -> u64 {
        self.counts.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Spray {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the translator failed");
        }
    }
}

/// A device's present port.
struct Port {
    socket: Arc<UdpSocket>,
    /// Nodes that it has sent to.
    known: Arc<Mutex<HashSet<SocketAddr>>>,
}

struct Inside {
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
    counts: Arc<Counts>,
    rng: ChaCha8Rng,
    ports: HashMap<SocketAddr, Port>,
    /// One for each port that there was.
    answers: JoinSet<()>,
}

fn note(known: &Mutex<HashSet<SocketAddr>>, node: SocketAddr) {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.insert(node);
}

impl Inside {
    fn any_node(&mut self) -> Option<SocketAddr> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.choose(&mut self.rng).copied()
    }

    async fn run(
        mut self,
        front: Arc<UdpSocket>,
        mut rebinds: mpsc::Receiver<()>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            tokio::select! {
                Some(()) = rebinds.recv() => self.ports.clear(),
                received = front.recv_from(&mut buffer) => {
                    let (length, device) = received?;
                    self.send(&front, device, buffer.get(..length).unwrap_or_default()).await?;
                }
            }
        }
    }

    async fn send(
        &mut self,
        front: &Arc<UdpSocket>,
        device: SocketAddr,
        datagram: &[u8],
    ) -> io::Result<()> {
        let Some(node) = self.any_node() else {
            return Ok(());
        };
        if !self.ports.contains_key(&device) {
            let port = self.open(front, device, node).await?;
            self.ports.insert(device, port);
        }
        let port = &self.ports[&device];
        note(&port.known, node);
        // A node that was killed refuses; the datagram is lost.
        let _lost = port.socket.send_to(datagram, node).await;
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn open(
        &mut self,
        front: &Arc<UdpSocket>,
        device: SocketAddr,
        node: SocketAddr,
    ) -> io::Result<Port> {
        // From loopback nothing goes to another machine.
        let own = if node.ip().is_loopback() {
            "127.0.0.1:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = Arc::new(UdpSocket::bind(own).await?);
        let known = Arc::new(Mutex::new(HashSet::new()));
        let back = answers(
            Arc::downgrade(&socket),
            Arc::clone(&known),
            Arc::clone(front),
            device,
            Arc::clone(&self.counts),
        );
        self.answers.spawn(back);
        Ok(Port { socket, known })
    }
}

/// Brings answers back, until the port is closed.
async fn answers(
    socket: std::sync::Weak<UdpSocket>,
    known: Arc<Mutex<HashSet<SocketAddr>>>,
    front: Arc<UdpSocket>,
    device: SocketAddr,
    counts: Arc<Counts>,
) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let Some(port) = socket.upgrade() else {
            return;
        };
        let wait = std::time::Duration::from_millis(100);
        let received = tokio::time::timeout(wait, port.recv_from(&mut buffer)).await;
        // Otherwise nothing came in a while, or an earlier datagram was refused.
        if let Ok(Ok((length, node))) = received {
            let is_known = known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&node);
            if is_known {
                counts.received.fetch_add(1, Ordering::Relaxed);
                counts.note(device, &buffer[..length]);
                let _lost = front.send_to(&buffer[..length], device).await;
            } else {
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
