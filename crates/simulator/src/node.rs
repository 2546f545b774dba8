//! A device with its socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use lwm2m::{Path, Value};
use lwm2m_client::Event;
use mio::net::UdpSocket;
use rand_chacha::ChaCha8Rng;

use crate::link::{Link, LinkOutput};
use crate::stats::Stats;
use crate::walk::Walk;

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

/// Devices that share a loopback address. Far below the number of ports, and few enough that
/// limits per source address do not strike.
const DEVICES_PER_ADDRESS: usize = 64;

pub(crate) struct Node {
    pub(crate) link: Link,
    pub(crate) socket: UdpSocket,
    pub(crate) phase: Phase,
    /// The time for which this node is in the heap of timers.
    pub(crate) armed: Option<Instant>,
    pub(crate) walk: Option<Walk>,
    registered: Presence,
}

/// How far a node is with its first registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    Starting { since: Instant },
    Registered,
    Failed,
    Deregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Registered,
    Absent,
}

impl Node {
    pub(crate) fn new(link: Link, socket: UdpSocket) -> Self {
        Self {
            link,
            socket,
            phase: Phase::Waiting,
            armed: None,
            walk: None,
            registered: Presence::Absent,
        }
    }

    /// Receives one datagram; `None` if there is none.
    pub(crate) fn receive(&mut self, now: Instant, buffer: &mut [u8], stats: &Stats) -> Option<()> {
        match self.socket.recv(buffer) {
            Ok(length) => {
                stats.datagrams_received.increment();
                if let Some(datagram) = buffer.get_mut(..length) {
                    self.link.handle_datagram(now, datagram);
                }
                Some(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // ICMP says that nobody listens: the server is down, which timers will find out.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Some(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(()),
            Err(_) => None,
        }
    }

    pub(crate) fn transmit(&self, datagram: &[u8], stats: &Stats) {
        // A refusal that is due to an earlier datagram hits this one, so it gets a second chance.
        let sent = self
            .socket
            .send(datagram)
            .or_else(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => self.socket.send(datagram),
                _ => Err(error),
            });
        match sent {
            Ok(_) => stats.datagrams_sent.increment(),
            Err(_) => stats.datagrams_dropped.increment(),
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Waiting {
            return None;
        }
        let walk = self.walk.as_ref().map(Walk::next);
        [self.link.poll_timeout(), walk].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut ChaCha8Rng) {
        if let Some(value) = self.walk.as_mut().and_then(|walk| walk.step(now, rng)) {
            self.link.with_device(now, |device| {
                // A server may have deleted the sensor; then there is nothing to move.
                let _ = device.set_value(now, TEMPERATURE, Value::Float(value));
            });
        }
        if self.link.poll_timeout().is_some_and(|at| at <= now) {
            self.link.handle_timeout(now);
        }
    }

    pub(crate) fn temperature(&self) -> Option<f64> {
        match self.link.device().value(TEMPERATURE) {
            Some(Value::Float(value)) => Some(*value),
            _ => None,
        }
    }

    /// Counts what happened.
    pub(crate) fn count(&mut self, output: &LinkOutput, stats: &Stats) {
        match output {
            LinkOutput::Transmit(_) => {}
            LinkOutput::Connected => stats.handshakes.increment(),
            LinkOutput::HandshakeFailed(_) => stats.handshake_failures.increment(),
            LinkOutput::SessionEnded(_) => stats.sessions_lost.increment(),
            LinkOutput::Device(event) => match event {
                Event::Registered { .. } => {
                    stats.registrations.increment();
                    self.set_registered(Presence::Registered, stats);
                }
                Event::RegistrationFailed { .. } => {
                    stats.registration_failures.increment();
                    self.set_registered(Presence::Absent, stats);
                }
                Event::Updated => stats.updates.increment(),
                Event::UpdateFailed { .. } => stats.update_failures.increment(),
                Event::Notified { .. } => stats.notifications.increment(),
                Event::Executed { .. } => stats.executed.increment(),
                Event::Written { .. } => stats.written.increment(),
                Event::RebootStarted => {
                    stats.reboots.increment();
                    self.set_registered(Presence::Absent, stats);
                }
                Event::Deregistered => self.set_registered(Presence::Absent, stats),
                _ => {}
            },
        }
    }

    fn set_registered(&mut self, registered: Presence, stats: &Stats) {
        match (self.registered, registered) {
            (Presence::Absent, Presence::Registered) => stats.registered.increment(),
            (Presence::Registered, Presence::Absent) => stats.registered.decrement(),
            _ => {}
        }
        self.registered = registered;
    }
}

/// A socket towards the server.
pub(crate) fn connect(server: SocketAddr, index: usize) -> io::Result<UdpSocket> {
    let bound = bind(server, index)?;
    bound.connect(server)?;
    bound.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(bound))
}

/// A socket of an address of its own where the server is on loopback.
pub(crate) fn bind(server: SocketAddr, index: usize) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    match loopback_source(server, index) {
        // Not every system has all of 127.0.0.0/8.
        Some(source) => {
            std::net::UdpSocket::bind((source, 0)).or_else(|_| std::net::UdpSocket::bind((any, 0)))
        }
        None => std::net::UdpSocket::bind((any, 0)),
    }
}

/// 127.64.0.1 and up.
fn loopback_source(server: SocketAddr, index: usize) -> Option<IpAddr> {
    let IpAddr::V4(address) = server.ip() else {
        return None;
    };
    let first = u32::from(Ipv4Addr::new(127, 64, 0, 1));
    let offset = u32::try_from(index / DEVICES_PER_ADDRESS).ok()?;
    address
        .is_loopback()
        .then(|| Ipv4Addr::from(first + offset % (1 << 22)).into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn loopback_devices_spread_over_addresses() {
        let server = "127.0.0.1:5683".parse().unwrap();
        let source = |index| loopback_source(server, index).unwrap().to_string();
        assert_eq!(source(0), "127.64.0.1");
        assert_eq!(source(63), "127.64.0.1");
        assert_eq!(source(64), "127.64.0.2");
        assert_eq!(loopback_source("192.0.2.1:5683".parse().unwrap(), 0), None);
    }
}
