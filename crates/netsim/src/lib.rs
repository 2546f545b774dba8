//! A seeded network between engines that do no I/O: it loses, delays, duplicates and reorders
//! datagrams, and moves hosts behind a NAT.
//!
//! ```text
//! send(now, from, to, …) ──▶ NAT of `from` ──▶ link (from, to) ──▶ in flight
//!                                              lose, duplicate,        │
//!                                              delay, reorder          ▼
//! poll(now) ◀─────────────────────────────── NAT of `to` ◀──── due at next_event()
//! ```
//!
//! [`Network`] owns the datagrams that are under way and nothing else. It never reads a clock, never
//! opens a socket and draws all chance from its seed: the same calls with the same seed give the
//! same deliveries, on every platform. Every datagram costs the same number of random draws, so
//! turning one impairment off leaves the others' decisions as they were.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use netsim::{Conditions, Network, Probability};
//!
//! # let now = Instant::now();
//! let mut network = Network::new(7, Conditions {
//!     delay: Duration::from_millis(30),
//!     loss: Probability::percent(0),
//!     ..Conditions::perfect()
//! });
//! network.send(now, "device", "server", b"hello".to_vec());
//!
//! let due = network.next_event().expect("one datagram is under way");
//! assert_eq!(due, now + Duration::from_millis(30));
//! let delivery = network.poll(due).expect("it is due");
//! assert_eq!((delivery.from, delivery.to), ("device", "server"));
//! ```

mod conditions;
mod nat;
mod network;

pub use conditions::{Conditions, Probability};
pub use network::{Counters, Delivery, MAX_IN_FLIGHT, Network};
