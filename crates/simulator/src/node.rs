//! A device with its socket.

use std::io;
use std::time::Instant;

use lwm2m::{Path, Value};
use lwm2m_client::{Event, PullFailure, PullId};
use rand_chacha::ChaCha8Rng;

use crate::download::{Download, Got};
use crate::link::{Link, LinkOutput};
use crate::socket::{Arrived, Socket};
use crate::stats::Stats;
use crate::walk::Walk;

const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

pub(crate) struct Node {
    pub(crate) link: Link,
    pub(crate) socket: Socket,
    pub(crate) phase: Phase,
    /// The time for which this node is in the heap of timers.
    pub(crate) armed: Option<Instant>,
    pub(crate) walk: Option<Walk>,
    /// The firmware package that it gets now.
    download: Option<Box<Download>>,
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
    pub(crate) fn new(link: Link, socket: Socket) -> Self {
        Self {
            link,
            socket,
            phase: Phase::Waiting,
            armed: None,
            walk: None,
            download: None,
            registered: Presence::Absent,
        }
    }

    /// Receives one datagram, or what has come by the connection; `None` if there is nothing.
    pub(crate) fn receive(&mut self, now: Instant, buffer: &mut [u8], stats: &Stats) -> Option<()> {
        let socket = match &mut self.socket {
            Socket::Datagrams(socket) => socket,
            Socket::Stream(stream) => {
                match stream.as_mut()?.poll(buffer)? {
                    Arrived::Connected => self.link.handle_connected(now),
                    Arrived::Bytes(bytes) => {
                        stats.datagrams_received.increment();
                        self.link.handle_bytes(now, bytes);
                    }
                    Arrived::End => {
                        *stream = None;
                        self.link.handle_end(now);
                    }
                }
                return Some(());
            }
        };
        match socket.recv(buffer) {
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

    pub(crate) fn transmit(&mut self, bytes: &[u8], stats: &Stats) {
        let socket = match &mut self.socket {
            Socket::Datagrams(socket) => socket,
            Socket::Stream(stream) => {
                if let Some(stream) = stream {
                    stream.send(bytes);
                    stats.datagrams_sent.increment();
                }
                return;
            }
        };
        // A refusal that is due to an earlier datagram hits this one, so it gets a second chance.
        let sent = socket.send(bytes).or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => socket.send(bytes),
            _ => Err(error),
        });
        match sent {
            Ok(_) => stats.datagrams_sent.increment(),
            Err(_) => stats.datagrams_dropped.increment(),
        }
    }

    /// Gets a package, in place of one that was on its way.
    pub(crate) fn download(
        &mut self,
        now: Instant,
        pull: PullId,
        begun: Result<Download, PullFailure>,
        buffer: &mut [u8],
    ) {
        match begun {
            Ok(download) => {
                self.download = Some(Box::new(download));
                self.go_on_downloading(now, buffer);
            }
            Err(failure) => self.downloaded(now, pull, &Err(failure)),
        }
    }

    /// Looks at what came of the package, and what is due.
    pub(crate) fn go_on_downloading(&mut self, now: Instant, buffer: &mut [u8]) {
        if let Some(download) = &mut self.download
            && let Some(got) = download.go_on(now, buffer)
        {
            let pull = download.id;
            self.downloaded(now, pull, &got);
        }
    }

    fn downloaded(&mut self, now: Instant, pull: PullId, got: &Got) {
        self.download = None;
        self.link.handle_package(now, pull, got);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Waiting {
            return None;
        }
        let walk = self.walk.as_ref().map(Walk::next);
        let download = self.download.as_ref();
        let download = download.and_then(|download| download.poll_timeout());
        [self.link.poll_timeout(), walk, download]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut ChaCha8Rng, buffer: &mut [u8]) {
        self.go_on_downloading(now, buffer);
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
            LinkOutput::Transmit(_)
            | LinkOutput::Connect
            | LinkOutput::Disconnect
            | LinkOutput::Pull(_) => {}
            LinkOutput::Connected => stats.handshakes.increment(),
            LinkOutput::HandshakeFailed(_) | LinkOutput::ConnectionFailed => {
                stats.handshake_failures.increment();
            }
            LinkOutput::SessionEnded(_) | LinkOutput::ConnectionEnded(_) => {
                stats.sessions_lost.increment();
            }
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
