//! What carries the messages of a case's device: datagrams or a stream, secured or not.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coap::reliable::{self, Capabilities, Connection};
use dtls::{ClientOutput, HandshakeFailure};
use oscore::{Carried, ContextState};
use rustls::pki_types::ServerName;

use crate::stage::SOON;

/// The longest that whoever has the channel waits for its turn.
const TURN: Duration = Duration::from_millis(10);

/// What a channel is made of.
#[derive(Clone)]
pub(crate) enum Carrier {
    Udp,
    Dtls(Box<dtls::ClientConfig>),
    /// RFC 8613 over UDP, with a context that was never used.
    Oscore(Box<ContextState>),
    Tcp,
    Tls(Arc<rustls::ClientConfig>, ServerName<'static>),
}

/// An open channel to a server.
pub(crate) struct Channel {
    server: SocketAddr,
    live: Live,
    arrived: VecDeque<Carried>,
}

enum Live {
    Datagrams(UdpSocket, Protection),
    Stream(Box<dyn Stream>, Box<Connection>, Option<Capabilities>),
}

enum Protection {
    None,
    Dtls(Box<dtls::Client>),
    Oscore(Box<oscore::Client>),
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Channel {
    /// Opens a channel; a handshake that fails is told.
    pub(crate) fn open(server: SocketAddr, carrier: &Carrier) -> Result<Self, HandshakeFailure> {
        let live = match carrier {
            Carrier::Udp => Live::Datagrams(connected(server), Protection::None),
            Carrier::Dtls(config) => {
                let mut client = dtls::Client::new((**config).clone(), rand::random());
                client.start(Instant::now());
                Live::Datagrams(connected(server), Protection::Dtls(Box::new(client)))
            }
            Carrier::Oscore(context) => {
                let config = oscore::Config::default();
                let context = (**context).clone();
                let client = oscore::Client::new(config, context, 1, rand::random()).unwrap();
                Live::Datagrams(connected(server), Protection::Oscore(Box::new(client)))
            }
            Carrier::Tcp => stream(Box::new(tcp(server))),
            Carrier::Tls(config, name) => {
                let mut client =
                    rustls::ClientConnection::new(config.clone(), name.clone()).unwrap();
                let mut tcp = tcp(server);
                // What is written before the end of the handshake is lost if a turn ends meanwhile.
                tcp.set_read_timeout(Some(SOON)).unwrap();
                while client.is_handshaking() {
                    client.complete_io(&mut tcp).unwrap();
                }
                tcp.set_read_timeout(Some(TURN)).unwrap();
                stream(Box::new(rustls::StreamOwned::new(client, tcp)))
            }
        };
        let mut channel = Self {
            server,
            live,
            arrived: VecDeque::new(),
        };
        channel.wait_until_open()?;
        Ok(channel)
    }

    fn wait_until_open(&mut self) -> Result<(), HandshakeFailure> {
        let end = Instant::now() + SOON;
        while !self.turn()? {
            assert!(Instant::now() < end, "the channel does not open");
        }
        Ok(())
    }

    /// What the server takes, on a stream.
    pub(crate) fn capabilities(&self) -> Option<Capabilities> {
        match &self.live {
            Live::Datagrams(..) => None,
            Live::Stream(_, _, capabilities) => *capabilities,
        }
    }

    /// From now on the device has another address, as behind another bearer.
    pub(crate) fn move_away(&mut self) {
        if let Live::Datagrams(socket, _) = &mut self.live {
            *socket = connected(self.server);
        }
    }

    /// What is lost is repeated by whoever sends it.
    pub(crate) fn send(&mut self, message: Carried) {
        self.protect(message);
        match &mut self.live {
            Live::Datagrams(socket, protection) => {
                // A session that has ended sends nothing more; the case notices.
                let _ended = flush(socket, protection, &mut self.arrived);
            }
            Live::Stream(stream, connection, _) => write(stream, connection),
        }
    }

    fn protect(&mut self, message: Carried) {
        match (&mut self.live, message) {
            (Live::Datagrams(socket, protection), Carried::Datagram(datagram)) => {
                match protection {
                    Protection::None => {
                        let _lost = socket.send(&datagram);
                    }
                    Protection::Dtls(client) => client.send(&datagram).unwrap(),
                    Protection::Oscore(client) => client.send(Instant::now(), &datagram).unwrap(),
                }
            }
            (Live::Stream(_, connection, _), Carried::Message(message)) => {
                connection.send(&message).unwrap();
            }
            (Live::Datagrams(..), Carried::Message(_))
            | (Live::Stream(..), Carried::Datagram(_)) => {
                unreachable!("it is of the other kind")
            }
        }
    }

    /// The next message of the server, within a turn.
    pub(crate) fn receive(&mut self) -> Option<Carried> {
        if self.arrived.is_empty() {
            // A session that has ended brings nothing more; the case notices.
            let _ended = self.turn();
        }
        self.arrived.pop_front()
    }

    /// Sends and receives; whether messages can be exchanged.
    fn turn(&mut self) -> Result<bool, HandshakeFailure> {
        match &mut self.live {
            Live::Datagrams(socket, protection) => {
                let ready = flush(socket, protection, &mut self.arrived)?;
                let mut datagram = [0; 4096];
                // A port that is closed is told as an error, as is the end of the wait.
                if let Ok(length) = socket.recv(&mut datagram) {
                    take(protection, &mut datagram[..length], &mut self.arrived);
                }
                Ok(flush(socket, protection, &mut self.arrived)? || ready)
            }
            Live::Stream(stream, connection, capabilities) => {
                write(stream, connection);
                let mut bytes = [0; 4096];
                match stream.read(&mut bytes) {
                    Ok(0) => connection.handle_end(),
                    Ok(length) => connection.handle_bytes(Instant::now(), &bytes[..length]),
                    Err(error) if is_pause(error.kind()) => {}
                    Err(error) => panic!("the connection broke: {error}"),
                }
                connection.handle_timeout(Instant::now());
                while let Some(output) = connection.poll_output() {
                    match output {
                        reliable::Output::Ready(taken) => *capabilities = Some(taken),
                        reliable::Output::Message(message) => {
                            self.arrived.push_back(Carried::Message(message));
                        }
                        reliable::Output::Closed(reason) => {
                            panic!("the connection ended: {reason}")
                        }
                    }
                }
                write(stream, connection);
                Ok(capabilities.is_some())
            }
        }
    }
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Hands a datagram to what protects it.
fn take(protection: &mut Protection, datagram: &mut [u8], arrived: &mut VecDeque<Carried>) {
    let now = Instant::now();
    match protection {
        Protection::None => arrived.push_back(Carried::Datagram(datagram.to_vec())),
        Protection::Dtls(client) => client.handle_datagram(now, datagram),
        Protection::Oscore(client) => client.handle_datagram(now, datagram),
    }
}

/// Sends what waits; whether the session is there.
fn flush(
    socket: &UdpSocket,
    protection: &mut Protection,
    arrived: &mut VecDeque<Carried>,
) -> Result<bool, HandshakeFailure> {
    match protection {
        Protection::None => Ok(true),
        Protection::Dtls(client) => {
            client.handle_timeout(Instant::now());
            let mut connected = false;
            while let Some(output) = client.poll_output() {
                match output {
                    ClientOutput::Transmit(datagram) => {
                        let _lost = socket.send(&datagram);
                    }
                    ClientOutput::Connected { .. } => connected = true,
                    ClientOutput::Plaintext(datagram) => {
                        arrived.push_back(Carried::Datagram(datagram));
                    }
                    ClientOutput::Closed(_) => {}
                    ClientOutput::Failed(failure) => return Err(failure),
                }
            }
            Ok(connected)
        }
        Protection::Oscore(client) => {
            while let Some(output) = client.poll_output() {
                match output {
                    oscore::ClientOutput::Transmit(Carried::Datagram(datagram)) => {
                        let _lost = socket.send(&datagram);
                    }
                    oscore::ClientOutput::Inner(message) => arrived.push_back(message),
                    oscore::ClientOutput::Transmit(Carried::Message(_)) => {
                        unreachable!("it is on no stream")
                    }
                }
            }
            Ok(true)
        }
    }
}

fn write(stream: &mut Box<dyn Stream>, connection: &mut Connection) {
    while let Some(bytes) = connection.poll_transmit() {
        // The end of a connection is seen when it is read.
        let _ended = stream.write_all(&bytes).and_then(|()| stream.flush());
    }
}

fn connected(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(TURN)).unwrap();
    socket
}

fn tcp(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(TURN)).unwrap();
    stream
}

fn stream(stream: Box<dyn Stream>) -> Live {
    let connection = Connection::new(Instant::now(), reliable::Config::default());
    Live::Stream(stream, Box::new(connection), None)
}
