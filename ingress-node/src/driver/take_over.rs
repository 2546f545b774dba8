//! Records with a Connection ID that this worker does not hold.
//!
//! ```text
//!  stray record ─▶ stored session? ─ none ─▶ a handshake not yet done: to the owner of the peer's address
//!                        ├─ of this node ─▶ other workers in turn
//!                        │                  └─ none has it: it was idle and let go
//!                        │                            ▼
//!                        ├─ of a node that is gone ─▶ does the record authenticate? ─▶ claim ─▶ import ─▶ handled
//!                        │                                                              └─ lost: look again
//!                        └─ of a node that is there ─▶ forwarded to it
//! ```
//!
//! A node claims a session, by a compare-and-swap in the state tier, before it sends its first record: the generation
//! that it gets stands in its write sequence, so no nonce is used twice whoever believes to own the session. It claims
//! only for a record that the session's client sealed, so nobody else can move a session.

mod claim;

use std::sync::Arc;
use std::time::{Duration, Instant};

use device_state::{MemberPhase, NodeId, Session};
use dtls::ConnectionId;
use hashbrown::HashMap;
use lwm2m_server::Now;

use super::route::Arrival;
use super::session::{Bound, session_cid};
use super::state_tier::Resolved;
use super::{Driver, Input, Peer};
pub(super) use claim::Claimed;

/// Sessions that are looked for at the same time; records of others are dropped, and their clients repeat them.
const MAX_SOUGHT: usize = 16_384;
/// Datagrams of one session that wait.
const MAX_WAITING: usize = 8;
/// Claims of one session that may be lost before its records are dropped.
const MAX_CLAIMS: u8 = 3;
/// Answers that are remembered.
const MAX_REMEMBERED: usize = 262_144;
/// How long an answer is remembered: so often at most does a stray Connection ID cost a query.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A record on its way to the worker that holds its session.
#[derive(Debug)]
pub(crate) struct Stray {
    cid: ConnectionId,
    arrival: Arrival,
    datagram: Vec<u8>,
    /// Workers of this node that do not hold its session.
    tried: u8,
}

impl Stray {
    pub(super) fn new(cid: ConnectionId, arrival: Arrival, datagram: Vec<u8>) -> Self {
        Self {
            cid,
            arrival,
            datagram,
            tried: 1,
        }
    }
}

/// Stray records, and what is known of their sessions.
#[derive(Debug, Default)]
pub(super) struct Strays {
    sought: HashMap<ConnectionId, Search>,
    /// Sessions that are not taken over now, and until when this is not asked again.
    remembered: HashMap<ConnectionId, (Place, Instant)>,
}

/// A session that is looked for.
#[derive(Debug, Default)]
struct Search {
    waiting: Vec<Stray>,
    /// Claims that were lost.
    claims: u8,
}

/// Where the records of a session go that this worker does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OtherWorkers,
    Node(NodeId),
    /// There is no such session, or it is just coming about.
    OwnerOfPeer,
}

/// Whose a session is.
pub(super) enum Whose {
    Nobodys,
    /// Another worker of this node has it.
    OfThisNode,
    /// None of this node's workers has it.
    NotHere(Box<Session>),
    /// The state tier did not answer.
    Unknown,
}

impl Strays {
    fn place(&self, cid: ConnectionId, now: Instant) -> Option<Place> {
        let (place, until) = self.remembered.get(&cid)?;
        (now < *until).then_some(*place)
    }

    /// Ends the search; what waited for it.
    fn take(&mut self, cid: ConnectionId) -> Vec<Stray> {
        let search = self.sought.remove(&cid);
        search.unwrap_or_default().waiting
    }

    fn remember(&mut self, cid: ConnectionId, place: Place, now: Instant) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.retain(|_, (_, until)| now < *until);
        }
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.insert(cid, (place, now + REMEMBERED));
        }
    }
}

impl Driver {
    /// A record arrived for a session that this worker does not hold.
    pub(super) fn stray(&mut self, stray: Stray) {
        match self.strays.place(stray.cid, super::now().instant) {
            Some(place) => self.pass_on(place, stray),
            None => self.seek(stray, self.is_alone()),
        }
    }

    /// A record that another worker of this node does not know.
    pub(super) fn stray_of_sibling(&mut self, mut stray: Stray) {
        if self.dtls.session_of(stray.cid).is_some() {
            return self.accept(super::now(), &stray.arrival, &mut stray.datagram);
        }
        stray.tried += 1;
        if usize::from(stray.tried) < self.workers.len() {
            self.to_next_worker(stray);
        } else {
            self.seek(stray, true);
        }
    }

    /// Whether no other worker of this node can hold a session.
    const fn is_alone(&self) -> bool {
        self.workers.len() == 1
    }

    /// Looks for the session of a record; `not_here` if no worker of this node holds it.
    fn seek(&mut self, stray: Stray, not_here: bool) {
        let cid = stray.cid;
        if let Some(search) = self.strays.sought.get_mut(&cid) {
            if search.waiting.len() < MAX_WAITING {
                search.waiting.push(stray);
            } else {
                self.metrics.datagrams_lost.inc();
            }
        } else if self.strays.sought.len() < MAX_SOUGHT {
            let (waiting, claims) = (vec![stray], 0);
            self.strays.sought.insert(cid, Search { waiting, claims });
            self.locate(cid, not_here);
        } else {
            self.metrics.datagrams_lost.inc();
        }
    }

    fn pass_on(&mut self, place: Place, stray: Stray) {
        let (arrival, datagram) = (&stray.arrival, &stray.datagram);
        match place {
            Place::OtherWorkers => self.to_next_worker(stray),
            Place::Node(node) => {
                if let Some(worker) = self.routes.worker_of(node, arrival.peer) {
                    return self.pass(worker, arrival, datagram);
                }
                // It is gone since: somebody else has the session, or is to have it.
                self.strays.remembered.remove(&stray.cid);
                self.seek(stray, self.is_alone());
            }
            Place::OwnerOfPeer => match self.routes.owner_of_peer(arrival) {
                Some(worker) => self.pass(worker, arrival, datagram),
                None => {
                    self.metrics.datagrams_lost.inc();
                }
            },
        }
    }

    fn to_next_worker(&self, stray: Stray) {
        let next = (usize::from(self.index) + 1) % self.workers.len();
        let sent = self
            .workers
            .get(next)
            .is_some_and(|worker| worker.try_send(Input::Stray(stray)).is_ok());
        if !sent {
            // CoAP repeats it.
            self.metrics.datagrams_lost.inc();
        }
    }

    fn locate(&self, cid: ConnectionId, not_here: bool) {
        let (client, timeout, node) = (self.client.clone(), self.limits.commit_timeout, self.node);
        let Some(stored) = session_cid(Some(cid)) else {
            return;
        };
        self.calls.push(Box::pin(async move {
            let whose = match client.session(stored, timeout).await {
                Ok(None) => Whose::Nobodys,
                Ok(Some(session)) if session.owner == node && !not_here => Whose::OfThisNode,
                Ok(Some(session)) => Whose::NotHere(Box::new(session)),
                Err(error) => {
                    tracing::debug!(%error, "session cannot be fetched");
                    Whose::Unknown
                }
            };
            Resolved::Located { cid, whose }
        }));
    }

    pub(super) fn located(&mut self, now: Now, cid: ConnectionId, whose: Whose) {
        let place = match whose {
            Whose::OfThisNode => Some(Place::OtherWorkers),
            Whose::Nobodys => Some(Place::OwnerOfPeer),
            // The next record may find the state tier again.
            Whose::Unknown => None,
            Whose::NotHere(session) => match self.successor(&session) {
                Some(node) if node != self.node => Some(Place::Node(node)),
                Some(_) if self.has_sent(&session, cid) => return self.claim(cid, *session),
                // The next record may be the client's own.
                Some(_) | None => None,
            },
        };
        self.scatter(cid, place, now.instant);
    }

    /// The node that goes on with a session which is not here: its owner if that is there, else this node, or another
    /// one if this node leaves.
    fn successor(&self, session: &Session) -> Option<NodeId> {
        let owner = self.routes.members.phase(session.owner);
        if session.owner != self.node && owner == Some(MemberPhase::Ready) {
            return Some(session.owner);
        }
        match self.routes.phase {
            MemberPhase::Ready => Some(self.node),
            MemberPhase::Leaving => {
                let ready = self.routes.members.ready();
                let worker = ready.of_session(&session.cid.0)?;
                Some(NodeId(worker.node))
            }
        }
    }

    /// Whether the session's client sealed one of the waiting records.
    fn has_sent(&self, session: &Session, cid: ConnectionId) -> bool {
        let Ok(export) = dtls::SessionExport::decode(&session.export) else {
            tracing::warn!(stored_at = ?session.stored_at, "a stored session cannot be read");
            return false;
        };
        let search = self.strays.sought.get(&cid);
        let mut waiting = search.into_iter().flat_map(|search| &search.waiting);
        waiting.any(|stray| export.authenticates(&stray.datagram))
    }

    /// Ends the search for a session that is not taken over; `None` drops its records.
    fn scatter(&mut self, cid: ConnectionId, place: Option<Place>, now: Instant) {
        let waiting = self.strays.take(cid);
        let Some(place) = place else {
            self.metrics.datagrams_lost.inc_by(waiting.len() as u64);
            return;
        };
        self.strays.remember(cid, place, now);
        for stray in waiting {
            self.pass_on(place, stray);
        }
    }

    fn claim(&self, cid: ConnectionId, session: Session) {
        let (client, timeout, node) = (self.client.clone(), self.limits.commit_timeout, self.node);
        self.calls.push(Box::pin(async move {
            let claimed = claim::claim(&client, session, node, timeout).await;
            let claimed = claimed.map(Box::new);
            Resolved::Claimed { cid, claimed }
        }));
    }

    pub(super) fn claimed(&mut self, now: Now, cid: ConnectionId, claimed: Option<Box<Claimed>>) {
        let Some(claimed) = claimed else {
            return self.claim_lost(now, cid);
        };
        let waiting = self.strays.take(cid);
        let Claimed {
            session,
            principal,
            device,
        } = *claimed;
        let imported = dtls::SessionExport::decode(&session.export)
            .map_err(|error| error.to_string())
            .and_then(|export| {
                let imported = self.dtls.import(now.instant, export, session.generation.0);
                imported.map_err(|error| error.to_string())
            });
        let id = match imported {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(?principal, %error, "a session cannot be taken over");
                return;
            }
        };
        self.metrics.take_overs.inc();
        let stored = Some(session.cid);
        self.bind(
            id,
            Bound {
                principal: Arc::new(principal),
                cid: stored,
            },
        );
        if let Some((registration, observations)) = device
            && let Some(engine) = self.application.management()
        {
            engine.take_on(now, Peer::Dtls(id), &registration, &observations);
        }
        for mut stray in waiting {
            self.accept(now, &stray.arrival, &mut stray.datagram);
        }
    }

    /// Whoever won is to get the records: another node, or another worker of this one.
    fn claim_lost(&mut self, now: Now, cid: ConnectionId) {
        match self.strays.sought.get_mut(&cid) {
            Some(search) if search.claims < MAX_CLAIMS => {
                search.claims += 1;
                self.locate(cid, self.is_alone());
            }
            _ => self.scatter(cid, None, now.instant),
        }
    }
}
