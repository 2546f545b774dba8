//! Records with a Connection ID that this worker does not hold.
//!
//! ```text
//!  stray record ─▶ stored session? ─ none ─▶ dropped, and remembered for a while
//!                        ├─ of this node ─▶ other workers in turn: the kernel moved the peer's address between them
//!                        │                  └─ none has it: it was idle and let go
//!                        │                            ▼
//!                        └─ of another node ─▶ does the record authenticate? ─▶ claim ─▶ import ─▶ the record is handled
//! ```
//!
//! A node claims a session, by a compare-and-swap in the state tier, before it sends its first record: the generation
//! that it gets stands in its write sequence, so no nonce is used twice whoever believes to own the session. It claims
//! only for a record that the session's client sealed, so nobody else can move a session.

mod claim;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use device_state::Session;
use dtls::ConnectionId;
use hashbrown::HashMap;
use lwm2m_server::Now;

use super::session::{Bound, session_cid};
use super::state_tier::Resolved;
use super::{Driver, Input, Peer};
pub(super) use claim::Claimed;

/// Sessions that are looked for at the same time; records of others are dropped, and their clients repeat them.
const MAX_SOUGHT: usize = 4096;
/// Datagrams of one session that wait.
const MAX_WAITING: usize = 8;
/// Answers that are remembered.
const MAX_REMEMBERED: usize = 16_384;
/// How long an answer is remembered: so often at most does a stray Connection ID cost a query.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A record on its way through the workers of a node.
#[derive(Debug)]
pub(crate) struct Stray {
    cid: ConnectionId,
    peer: SocketAddr,
    datagram: Vec<u8>,
    /// Workers that do not hold its session.
    tried: u8,
}

impl Stray {
    fn new(cid: ConnectionId, peer: SocketAddr, datagram: Vec<u8>) -> Self {
        Self {
            cid,
            peer,
            datagram,
            tried: 1,
        }
    }
}

/// Stray records, and what is known of their sessions.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Datagrams of sessions that are looked for.
    sought: HashMap<ConnectionId, Vec<(SocketAddr, Vec<u8>)>>,
    /// Sessions that are not taken over now, and until when this is not asked again.
    remembered: HashMap<ConnectionId, (Place, Instant)>,
}

/// Where the records of a session go that this worker does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    OtherWorkers,
    Nowhere,
}

/// Whose a session is.
pub(super) enum Whose {
    Nobodys,
    /// Another worker of this node has it.
    OfThisNode,
    OfAnotherNode(Box<Session>),
    /// The state tier did not answer.
    Unknown,
}

impl Strays {
    fn place(&self, cid: ConnectionId, now: Instant) -> Option<Place> {
        let (place, until) = self.remembered.get(&cid)?;
        (now < *until).then_some(*place)
    }

    /// Ends the search; what waited for it.
    fn take(&mut self, cid: ConnectionId) -> Vec<(SocketAddr, Vec<u8>)> {
        self.sought.remove(&cid).unwrap_or_default()
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
    pub(super) fn stray(&mut self, cid: ConnectionId, peer: SocketAddr, datagram: Vec<u8>) {
        match self.strays.place(cid, super::now().instant) {
            Some(place) => self.pass_on(place, Stray::new(cid, peer, datagram)),
            None => self.seek(cid, peer, datagram, self.workers.len() == 1),
        }
    }

    /// A record that another worker of this node does not know.
    pub(super) fn stray_of_sibling(&mut self, mut stray: Stray) {
        if self.dtls.session_of(stray.cid).is_some() {
            let now = super::now().instant;
            return self
                .dtls
                .handle_datagram(now, stray.peer, &mut stray.datagram);
        }
        stray.tried += 1;
        if usize::from(stray.tried) < self.workers.len() {
            self.to_next_worker(stray);
        } else {
            self.seek(stray.cid, stray.peer, stray.datagram, true);
        }
    }

    /// Looks for the session of a record; `not_here` if no worker of this node holds it.
    fn seek(&mut self, cid: ConnectionId, peer: SocketAddr, datagram: Vec<u8>, not_here: bool) {
        if let Some(waiting) = self.strays.sought.get_mut(&cid) {
            if waiting.len() < MAX_WAITING {
                waiting.push((peer, datagram));
            } else {
                self.metrics.datagrams_lost.inc();
            }
        } else if self.strays.sought.len() < MAX_SOUGHT {
            self.strays.sought.insert(cid, vec![(peer, datagram)]);
            self.locate(cid, not_here);
        } else {
            self.metrics.datagrams_lost.inc();
        }
    }

    fn pass_on(&self, place: Place, stray: Stray) {
        match place {
            Place::OtherWorkers => self.to_next_worker(stray),
            Place::Nowhere => {
                self.metrics.datagrams_lost.inc();
            }
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
                Ok(Some(session)) => Whose::OfAnotherNode(Box::new(session)),
                Err(error) => {
                    tracing::debug!(%error, "session cannot be fetched");
                    Whose::Unknown
                }
            };
            Resolved::Located { cid, whose }
        }));
    }

    pub(super) fn located(&mut self, now: Now, cid: ConnectionId, whose: Whose) {
        match whose {
            Whose::OfAnotherNode(session) if self.has_sent(&session, cid) => {
                self.claim(cid, *session);
            }
            Whose::OfThisNode => self.scatter(cid, Some(Place::OtherWorkers), now.instant),
            Whose::Nobodys => self.scatter(cid, Some(Place::Nowhere), now.instant),
            // The next record may be the client's own, or find the state tier again.
            Whose::OfAnotherNode(_) | Whose::Unknown => self.scatter(cid, None, now.instant),
        }
    }

    /// Whether the session's client sealed one of the waiting records.
    fn has_sent(&self, session: &Session, cid: ConnectionId) -> bool {
        let Ok(export) = dtls::SessionExport::decode(&session.export) else {
            tracing::warn!(stored_at = ?session.stored_at, "a stored session cannot be read");
            return false;
        };
        let mut waiting = self.strays.sought.get(&cid).into_iter().flatten();
        waiting.any(|(_, datagram)| export.authenticates(datagram))
    }

    /// Ends the search for a session that is not taken over.
    fn scatter(&mut self, cid: ConnectionId, place: Option<Place>, now: Instant) {
        if let Some(place) = place {
            self.strays.remember(cid, place, now);
        }
        let place = place.unwrap_or(Place::Nowhere);
        for (peer, datagram) in self.strays.take(cid) {
            self.pass_on(place, Stray::new(cid, peer, datagram));
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
        let waiting = self.strays.take(cid);
        let Some(claimed) = claimed else {
            return;
        };
        let Claimed {
            session,
            endpoint,
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
                tracing::warn!(%endpoint, %error, "a session cannot be taken over");
                return;
            }
        };
        self.metrics.take_overs.inc();
        let stored = Some(session.cid);
        self.sessions.bind(
            id,
            Bound {
                endpoint,
                cid: stored,
            },
        );
        if let Some((registration, observations)) = device {
            self.engine
                .take_on(now, Peer::Dtls(id), &registration, &observations);
        }
        for (peer, mut datagram) in waiting {
            self.dtls.handle_datagram(now.instant, peer, &mut datagram);
        }
    }
}
