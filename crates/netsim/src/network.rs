use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::Conditions;
use crate::nat::{Inbound, Nat};

/// More datagrams than this are never under way at once; what is sent beyond it is dropped, as a
/// full router would do.
pub const MAX_IN_FLIGHT: usize = 1 << 20;

/// A network between hosts with addresses of type `A`, carrying datagrams of type `T`.
#[derive(Debug)]
pub struct Network<A, T = Vec<u8>> {
    random: ChaCha8Rng,
    everywhere: Conditions,
    links: BTreeMap<(A, A), Conditions>,
    nat: Nat<A>,
    in_flight: BTreeMap<(Instant, u64), Datagram<A, T>>,
    /// When the last datagram of a link that was not held back arrives: no later one may be earlier.
    tails: BTreeMap<(A, A), Instant>,
    next_number: u64,
    counters: Counters,
}

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery<A, T = Vec<u8>> {
    /// When it was due; not after the `now` of the call that returned it.
    pub at: Instant,
    /// The sender as the receiver sees it: behind a NAT, the outside address of the time of sending.
    pub from: A,
    /// The receiver's own address.
    pub to: A,
    /// What was sent.
    pub datagram: T,
}

/// What has happened to datagrams so far. Each one that was sent is delivered, lost, unroutable,
/// overflowed or in flight; each duplicate is one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls of [`Network::send`].
    pub sent: u64,
    /// Second copies that the network made.
    pub duplicated: u64,
    /// Held back, so that later ones could overtake.
    pub reordered: u64,
    /// Given out by [`Network::poll`].
    pub delivered: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Sent to an address that no longer has a NAT binding, or never was outside.
    pub unroutable: u64,
    /// Dropped because [`MAX_IN_FLIGHT`] was reached.
    pub overflowed: u64,
}

#[derive(Debug)]
struct Datagram<A, T> {
    from: A,
    to: A,
    datagram: T,
}

/// The chances of one datagram, always drawn together and in this order.
struct Draws {
    loss: u32,
    duplicate: u32,
    reorder: u32,
    jitter: u32,
}

impl<A: Copy + Ord, T: Clone> Network<A, T> {
    /// An empty network with the same conditions on every link.
    pub fn new(seed: u64, everywhere: Conditions) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            everywhere,
            links: BTreeMap::new(),
            nat: Nat::new(),
            in_flight: BTreeMap::new(),
            tails: BTreeMap::new(),
            next_number: 0,
            counters: Counters::default(),
        }
    }

    /// Changes every link that has no conditions of its own. Datagrams under way are not affected.
    pub fn set_conditions(&mut self, everywhere: Conditions) {
        self.everywhere = everywhere;
    }

    /// Gives one direction of one link conditions of its own. The addresses are those that the
    /// sender uses: its own, and the one it sends to.
    pub fn set_link(&mut self, from: A, to: A, conditions: Conditions) {
        self.links.insert((from, to), conditions);
    }

    /// Returns one direction of one link to the conditions of all links.
    pub fn reset_link(&mut self, from: A, to: A) {
        self.links.remove(&(from, to));
    }

    /// Puts the host `inside` behind a NAT under the address `outside`, or moves it there from the
    /// outside address it had. What is under way to the old address will be unroutable.
    pub fn rebind(&mut self, inside: A, outside: A) {
        self.nat.bind(inside, outside);
    }

    /// Sends a datagram. It may come out of [`Network::poll`] once, twice or never.
    pub fn send(&mut self, now: Instant, from: A, to: A, datagram: T) {
        self.counters.sent += 1;
        let conditions = self
            .links
            .get(&(from, to))
            .copied()
            .unwrap_or(self.everywhere);
        let draws = Draws::new(&mut self.random);
        if conditions.loss.hit_by(draws.loss) {
            self.counters.lost += 1;
            return;
        }
        let transit = conditions
            .delay
            .saturating_add(share(conditions.jitter, draws.jitter));
        let held_back = transit.saturating_add(conditions.held_back);
        let copy = conditions
            .duplicate
            .hit_by(draws.duplicate)
            .then(|| datagram.clone());
        let at = if conditions.reorder.hit_by(draws.reorder) {
            self.counters.reordered += 1;
            now.checked_add(held_back)
        } else {
            now.checked_add(transit)
                .map(|at| self.in_order(now, (from, to), at))
        };
        let source = self.nat.outbound(from);
        self.carry(
            at,
            Datagram {
                from: source,
                to,
                datagram,
            },
        );
        if let Some(datagram) = copy {
            self.counters.duplicated += 1;
            self.carry(
                now.checked_add(held_back),
                Datagram {
                    from: source,
                    to,
                    datagram,
                },
            );
        }
    }

    /// The next datagram that is due at `now`, in order of arrival. Call it until it gives `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Delivery<A, T>> {
        while let Some(first) = self.in_flight.first_entry() {
            if first.key().0 > now {
                return None;
            }
            let ((at, _), Datagram { from, to, datagram }) = first.remove_entry();
            match self.nat.inbound(to) {
                Inbound::To(to) => {
                    self.counters.delivered += 1;
                    return Some(Delivery {
                        at,
                        from,
                        to,
                        datagram,
                    });
                }
                Inbound::Unbound => self.counters.unroutable += 1,
            }
        }
        None
    }

    /// When the next datagram is due, if one is under way.
    pub fn next_event(&self) -> Option<Instant> {
        self.in_flight.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many datagrams are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn in_order(&mut self, now: Instant, link: (A, A), at: Instant) -> Instant {
        // A tail matters only while its datagram is under way.
        if self.tails.len() > 2 * self.in_flight.len() + 64 {
            self.tails.retain(|_, tail| *tail > now);
        }
        let tail = self.tails.entry(link).or_insert(at);
        *tail = (*tail).max(at);
        *tail
    }

    /// `at` is `None` if the time of arrival is beyond what the clock can express: never.
    fn carry(&mut self, at: Option<Instant>, datagram: Datagram<A, T>) {
        let Some(at) = at else {
            self.counters.lost += 1;
            return;
        };
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            self.counters.overflowed += 1;
            return;
        }
        // The number keeps datagrams of the same instant in the order in which they were sent.
        self.in_flight.insert((at, self.next_number), datagram);
        self.next_number += 1;
    }
}

impl Draws {
    fn new(random: &mut ChaCha8Rng) -> Self {
        Self {
            loss: random.next_u32(),
            duplicate: random.next_u32(),
            reorder: random.next_u32(),
            jitter: random.next_u32(),
        }
    }
}

/// `draw` of 2^32 parts of `whole`.
fn share(whole: Duration, draw: u32) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(draw)) >> 32;
    u64::try_from(nanos).map_or(whole, Duration::from_nanos)
}

#[cfg(test)]
mod tests;
