//! The sockets of devices: one for datagrams, or a connection, secured or not.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mio::net::{TcpStream, UdpSocket};
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Devices that share a loopback address. Far below the number of ports, and few enough that limits per source address
/// do not strike.
const DEVICES_PER_ADDRESS: usize = 64;

/// What secures connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server: ServerName<'static>,
}

pub(crate) enum Socket {
    Datagrams(UdpSocket),
    /// `None` between two connections.
    Stream(Option<Stream>),
}

/// A connection.
pub(crate) struct Stream {
    inner: TcpStream,
    tls: Option<Box<ClientConnection>>,
    phase: Phase,
    /// Of an unsecured connection: what waits to be written.
    output: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Securing,
    Open,
}

/// What happened on a connection.
pub(crate) enum Arrived<'a> {
    /// It is made, and secured if it is to be.
    Connected,
    Bytes(&'a [u8]),
    /// It ended, or was not made.
    End,
}

impl Stream {
    /// Begins to connect, from the address that the device has.
    pub(crate) fn connect(server: SocketAddr, index: usize, tls: Option<&Tls>) -> io::Result<Self> {
        let tls = tls.map(|tls| ClientConnection::new(tls.config.clone(), tls.server.clone()));
        let tls = tls.transpose().map_err(io::Error::other)?;
        Ok(Self {
            inner: connect_from(server, loopback_source(server, index))?,
            tls: tls.map(Box::new),
            phase: Phase::Connecting,
            output: Vec::new(),
        })
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.inner, token, interest)
    }

    /// What has happened since the last call; `None` if nothing can be done now.
    pub(crate) fn poll<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Arrived<'a>> {
        match self.advance(buffer) {
            Ok(arrived) => arrived,
            Err(error) if is_later(&error) => None,
            Err(_) => Some(Arrived::End),
        }
    }

    fn advance<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<Option<Arrived<'a>>> {
        if self.phase == Phase::Connecting {
            if let Some(error) = self.inner.take_error()? {
                return Err(error);
            }
            match self.inner.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(None),
                Err(error) => return Err(error),
            }
            let _ = self.inner.set_nodelay(true);
            self.phase = Phase::Securing;
        }
        self.flush()?;
        let length = match &mut self.tls {
            None if self.phase == Phase::Securing => return Ok(Some(self.open())),
            None => self.inner.read(buffer)?,
            Some(tls) => loop {
                if self.phase == Phase::Securing && !tls.is_handshaking() {
                    return Ok(Some(self.open()));
                }
                match tls.reader().read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    length => break length?,
                }
                if tls.read_tls(&mut self.inner)? == 0 {
                    return Ok(Some(Arrived::End));
                }
                let processed = tls.process_new_packets();
                write_secured(tls, &mut self.inner)?;
                processed.map_err(io::Error::other)?;
            },
        };
        Ok(Some(match buffer.get(..length) {
            Some(bytes) if !bytes.is_empty() => Arrived::Bytes(bytes),
            _ => Arrived::End,
        }))
    }

    fn open<'a>(&mut self) -> Arrived<'a> {
        self.phase = Phase::Open;
        Arrived::Connected
    }

    /// Writes as much as is taken now; the rest follows when the socket can be written to. An error shows when it is
    /// read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // A vector takes everything.
            Some(tls) => drop(tls.writer().write_all(bytes)),
            None => self.output.extend_from_slice(bytes),
        }
        let _ = self.flush();
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            return write_secured(tls, &mut self.inner);
        }
        while !self.output.is_empty() {
            match self.inner.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn write_secured(tls: &mut ClientConnection, inner: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(inner) {
            Ok(_) => {}
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_later(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted)
}

/// A socket towards the server.
pub(crate) fn datagrams(server: SocketAddr, index: usize) -> io::Result<UdpSocket> {
    let bound = bind(server, index)?;
    bound.connect(server)?;
    Ok(UdpSocket::from_std(bound))
}

/// A non-blocking socket, with an address of its own where the server is on loopback.
pub(crate) fn bind(server: SocketAddr, index: usize) -> io::Result<std::net::UdpSocket> {
    let any = unspecified(server);
    let bound = match loopback_source(server, index) {
        // Not every system has all of 127.0.0.0/8.
        Some(source) => std::net::UdpSocket::bind((source, 0))
            .or_else(|_| std::net::UdpSocket::bind((any, 0)))?,
        None => std::net::UdpSocket::bind((any, 0))?,
    };
    bound.set_nonblocking(true)?;
    Ok(bound)
}

/// The same as a connection.
fn connect_from(server: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = match server {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        // Not every system has all of 127.0.0.0/8; then the kernel chooses.
        let _ = bind(&socket, &SocketAddr::new(source, 0));
    }
    match connect(&socket, &server) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn unspecified(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
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
