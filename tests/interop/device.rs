//! Our device library on a socket: `lwm2m_client::Device` in a session of `dtls::Client`.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dtls::{Client, ClientConfig, ClientOutput, HandshakeFailure};
use lwm2m::{EndpointName, Path, Value};
use lwm2m_client::{Config, Device, Event, Output};

/// How often the temperature changes.
const CHANGE: Duration = Duration::from_millis(200);
const TEMPERATURE: Path = Path::Resource(3303, 0, 5700);

/// A device that is driven by [`SecuredDevice::run`].
pub(crate) struct SecuredDevice {
    socket: UdpSocket,
    client: Client,
    device: Device,
    changes_at: Instant,
    temperature: f64,
    failure: Option<HandshakeFailure>,
}

impl SecuredDevice {
    pub(crate) fn new(endpoint: &str, server: SocketAddr, security: ClientConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        let config = Config::new(EndpointName::new(endpoint).unwrap());
        Self {
            socket,
            client: Client::new(security, rand::random()),
            device: Device::new(config, rand::random()),
            changes_at: Instant::now(),
            temperature: 20.0,
            failure: None,
        }
    }

    /// Serves until `done` or until its handshake fails, which is then the answer; `done` is asked whenever something
    /// happened.
    pub(crate) fn run(&mut self, mut done: impl FnMut() -> bool) -> Option<HandshakeFailure> {
        self.client.start(Instant::now());
        let mut datagram = [0; 2048];
        while self.failure.is_none() && !done() {
            self.settle();
            let wait = self.due().saturating_duration_since(Instant::now());
            let wait = wait.max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            // A port that is closed is told as an error, as is the end of the wait.
            if let Ok(length) = self.socket.recv(&mut datagram) {
                self.client
                    .handle_datagram(Instant::now(), &mut datagram[..length]);
            }
            let now = Instant::now();
            self.client.handle_timeout(now);
            self.device.handle_timeout(now);
            if now >= self.changes_at {
                self.changes_at = now + CHANGE;
                self.temperature += 0.5;
                let value = Value::Float(self.temperature);
                self.device.set_value(now, TEMPERATURE, value).unwrap();
            }
        }
        self.failure.take()
    }

    /// When the next timer ends.
    fn due(&self) -> Instant {
        let timers = [self.client.poll_timeout(), self.device.poll_timeout()];
        let first = timers.into_iter().flatten().min();
        first.map_or(self.changes_at, |first| first.min(self.changes_at))
    }

    fn settle(&mut self) {
        loop {
            let now = Instant::now();
            if let Some(output) = self.client.poll_output() {
                match output {
                    ClientOutput::Transmit(datagram) => {
                        self.socket.send(&datagram).unwrap();
                    }
                    ClientOutput::Connected { .. } => self.device.start(now),
                    ClientOutput::Plaintext(data) => self.device.handle_datagram(now, &data),
                    ClientOutput::Failed(failure) => self.failure = Some(failure),
                    ClientOutput::Closed(reason) => panic!("the session ended: {reason}"),
                }
            } else if let Some(output) = self.device.poll_output() {
                match output {
                    Output::Transmit(datagram) => self.client.send(&datagram).unwrap(),
                    Output::Event(Event::RegistrationFailed { reason, .. }) => {
                        panic!("registration failed: {reason:?}")
                    }
                    Output::Event(_) | Output::Send(_) | Output::Pull(_) => {}
                }
            } else {
                return;
            }
        }
    }
}
