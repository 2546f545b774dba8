//! The ingress nodes of the cluster, as this one last heard of them, and its own lease among them.
//!
//! A lease is renewed in shard 0 of the state tier, whose leader's clock ends it. A node that was let go forgets what it
//! holds: others may go on with it already.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use device_state::{Command, Member, MemberPhase, NodeId, Outcome, ShardId, Timestamp};
use forward::{Key, Rendezvous, WorkerId};
use hashbrown::HashMap;
use node_runtime::{Condition, Drain};
use state_client::Client;
use tokio::sync::mpsc;

use crate::driver::Input;
use crate::metrics::Metrics;

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_millis(500);
/// How long it lasts: a client that repeats a lost datagram for the first time, after 2 s (RFC 7252 §4.8), finds that a
/// dead owner is gone.
const LEASE: Duration = Duration::from_millis(1800);
/// After so many renewals every other node has renewed its own lease since this one joined, and knows of it. Before, they
/// would not agree on whom a handshake belongs to, and one whose datagrams come by several nodes would not come about.
const SETTLED: u32 = 3;
/// Where a lease is kept.
const SHARD: ShardId = ShardId(0);

/// Who is there.
#[derive(Debug)]
pub(crate) struct Members {
    nodes: HashMap<NodeId, Member>,
    ready: Rendezvous,
}

impl Members {
    pub(crate) fn new(key: &Key, members: Vec<Member>) -> Self {
        let ready = members
            .iter()
            .filter(|member| member.phase == MemberPhase::Ready)
            // A member has at most `Member::MAX_WORKERS`.
            .map(|member| {
                (
                    member.node.0,
                    member.workers.len().min(usize::from(u8::MAX)) as u8,
                )
            });
        Self {
            ready: Rendezvous::new(key, ready),
            nodes: members
                .into_iter()
                .map(|member| (member.node, member))
                .collect(),
        }
    }

    /// Where a worker takes forwarded datagrams; `None` if its node is gone.
    pub(crate) fn address(&self, worker: WorkerId) -> Option<SocketAddr> {
        let member = self.nodes.get(&NodeId(worker.node))?;
        member.workers.get(usize::from(worker.worker)).copied()
    }

    /// `None` if it is gone.
    pub(crate) fn phase(&self, node: NodeId) -> Option<MemberPhase> {
        Some(self.nodes.get(&node)?.phase)
    }

    /// The workers of a node that owns sessions; 0 if there is no such node.
    pub(crate) fn ready_workers(&self, node: NodeId) -> u8 {
        match self.nodes.get(&node) {
            Some(member) if member.phase == MemberPhase::Ready => member.workers.len() as u8,
            _ => 0,
        }
    }

    /// Whether a node other than `own` is there to own something.
    pub(crate) fn has_other(&self, own: NodeId) -> bool {
        self.nodes
            .values()
            .any(|member| member.node != own && member.phase == MemberPhase::Ready)
    }

    /// Who owns a peer that nothing is known of, and who succeeds to a session.
    pub(crate) fn ready(&self) -> &Rendezvous {
        &self.ready
    }
}

/// What the lease of this node is made of.
pub(crate) struct Membership {
    pub(crate) client: Client,
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// Without one there is no lease: nobody could forward anything.
    pub(crate) key: Option<Key>,
    /// Where the workers take forwarded datagrams.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) workers: Vec<mpsc::Sender<Input>>,
    /// How long datagrams are still forwarded after leaving.
    pub(crate) linger: Duration,
    pub(crate) metrics: Metrics,
    /// Met once the others know of this node, or if nobody has to.
    pub(crate) settled: Condition,
}

impl Membership {
    /// Keeps the lease until `drain` starts and for as long as the node lingers; then ends the workers.
    pub(crate) async fn run(self, drain: Drain) {
        let mut tick = tokio::time::interval(RENEWAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewals = 0_u32;
        if self.key.is_none() {
            self.settled.meet();
        }
        let mut leaving: Option<Instant> = None;
        let mut has_other = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = drain.started(), if leaving.is_none() => {
                    leaving = Some(Instant::now() + self.linger);
                    self.tell(|| Input::Leave).await;
                }
            }
            let phase = match leaving {
                None => MemberPhase::Ready,
                Some(_) => MemberPhase::Leaving,
            };
            if let Some(renewed) = self.renew(phase).await {
                has_other = renewed.members.has_other(self.node);
                if renewals > 0 && !renewed.stood {
                    tracing::warn!("others took this node for dead; it starts anew");
                    self.tell(|| Input::Fenced).await;
                }
                self.metrics.members.set(renewed.members.nodes.len() as i64);
                let members = Arc::new(renewed.members);
                self.tell(|| Input::Members(Arc::clone(&members))).await;
                renewals += 1;
                if renewals == SETTLED {
                    self.settled.meet();
                }
            }
            if leaving.is_some_and(|until| !has_other || until <= Instant::now()) {
                self.tell(|| Input::Stop).await;
                return;
            }
        }
    }

    async fn renew(&self, phase: MemberPhase) -> Option<Renewed> {
        let key = self.key.as_ref()?;
        let command = Command::RenewMembership {
            member: Member {
                node: self.node,
                name: self.name.clone(),
                phase,
                workers: self.addresses.clone(),
                lease_until: Timestamp(0),
                namespace: self.client.namespace().clone(),
            },
            lease: LEASE,
        };
        match self.client.propose(SHARD, command, LEASE).await {
            Ok(Outcome::Members { stood, mut members }) => {
                // Nodes of other namespaces own nothing that comes here.
                members.retain(|member| member.namespace == *self.client.namespace());
                Some(Renewed {
                    stood,
                    members: Members::new(key, members),
                })
            }
            Ok(outcome) => {
                tracing::warn!(?outcome, "this node cannot become a member of the cluster");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "the lease was not renewed");
                None
            }
        }
    }

    async fn tell(&self, input: impl Fn() -> Input) {
        for worker in &self.workers {
            // A worker that ended is noticed by those who wait for its thread.
            let _ended = worker.send(input()).await;
        }
    }
}

struct Renewed {
    stood: bool,
    members: Members,
}

/// The address that other nodes reach this one at: the one that the state tier is reached from.
pub(crate) async fn own_address(state: &[String]) -> anyhow::Result<IpAddr> {
    for address in state {
        let Ok(resolved) = tokio::net::lookup_host(address).await else {
            continue;
        };
        for target in resolved {
            let any = match target {
                SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
                SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
            };
            let socket = std::net::UdpSocket::bind(any)?;
            // Chooses a route; sends nothing.
            if socket.connect(target).is_ok() {
                return Ok(socket.local_addr()?.ip());
            }
        }
    }
    anyhow::bail!("no address of this node is known; set forward_advertise")
}
