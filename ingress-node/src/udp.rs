//! UDP sockets that several workers share by SO_REUSEPORT, read and written in batches of datagrams.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrStorage, bind, recvmmsg,
    sendmmsg, setsockopt, socket, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Datagrams that one system call moves at most.
pub(crate) const BATCH: usize = 64;
/// Longest datagram that is read whole; longer ones are truncated and then dropped by the parsers.
const MAX_DATAGRAM: usize = 2048 + forward::OVERHEAD;
/// Kernel buffers, in bytes: a burst of a reconnecting fleet has to fit.
const SOCKET_BUFFER: usize = 4 << 20;

/// In place of a sender that is no IP address.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// One worker's socket on an address.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: UdpSocket,
    outgoing: Vec<(SocketAddr, Vec<u8>)>,
}

/// Room for a batch of received datagrams, reused from call to call.
pub(crate) struct ReceiveBatch {
    buffers: Vec<Vec<u8>>,
    headers: MultiHeaders<SockaddrStorage>,
    received: Vec<(SocketAddr, usize)>,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self {
            buffers: vec![vec![0; MAX_DATAGRAM]; BATCH],
            headers: MultiHeaders::preallocate(BATCH, None),
            received: Vec::with_capacity(BATCH),
        }
    }
}

impl ReceiveBatch {
    /// The datagrams of the last receive, each with its sender.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, &mut [u8])> {
        self.received
            .iter()
            .zip(&mut self.buffers)
            .filter_map(|((peer, length), buffer)| Some((*peer, buffer.get_mut(..*length)?)))
    }
}

impl Socket {
    /// A non-blocking socket on `address` that other sockets of this process may share.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::open(address, true)
    }

    /// A non-blocking socket on `address` that nobody shares.
    pub(crate) fn bind_alone(address: SocketAddr) -> io::Result<Self> {
        Self::open(address, false)
    }

    /// Where it takes datagrams.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn open(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let fd = socket(
            family,
            SockType::Datagram,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        setsockopt(&fd, sockopt::ReusePort, &shared)?;
        // The kernel caps both at its own limit; a smaller buffer only drops more in a burst.
        setsockopt(&fd, sockopt::RcvBuf, &SOCKET_BUFFER)?;
        setsockopt(&fd, sockopt::SndBuf, &SOCKET_BUFFER)?;
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        let inner = UdpSocket::from_std(fd.into())?;
        Ok(Self {
            inner,
            outgoing: Vec::with_capacity(BATCH),
        })
    }

    /// Waits for datagrams and reads up to [`BATCH`] of them.
    pub(crate) async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        loop {
            self.inner.readable().await?;
            match self
                .inner
                .try_io(Interest::READABLE, || receive_now(&self.inner, batch))
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Notes a datagram to be sent by the next [`Socket::flush`].
    pub(crate) fn queue(&mut self, peer: SocketAddr, datagram: Vec<u8>) {
        self.outgoing.push((peer, datagram));
    }

    /// Sends what was queued; returns how many datagrams the kernel would not take. They are lost as on the wire:
    /// CoAP and DTLS retransmit.
    pub(crate) fn flush(&mut self) -> usize {
        let mut lost = 0;
        for chunk in self.outgoing.chunks(BATCH) {
            let mut rest = chunk;
            while !rest.is_empty() {
                match send_now(&self.inner, rest) {
                    Ok(sent) => rest = rest.get(sent.max(1)..).unwrap_or_default(),
                    Err(nix::errno::Errno::EINTR) => {}
                    Err(_) => {
                        // The first datagram is at fault (unreachable peer, full buffer); the others get their turn.
                        lost += 1;
                        rest = rest.get(1..).unwrap_or_default();
                    }
                }
            }
        }
        self.outgoing.clear();
        lost
    }
}

fn send_now(socket: &UdpSocket, datagrams: &[(SocketAddr, Vec<u8>)]) -> nix::Result<usize> {
    let mut headers = MultiHeaders::preallocate(datagrams.len(), None);
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams
        .iter()
        .map(|(_, bytes)| [IoSlice::new(bytes)])
        .collect();
    let peers: Vec<Option<SockaddrStorage>> = datagrams
        .iter()
        .map(|(peer, _)| Some(SockaddrStorage::from(*peer)))
        .collect();
    let sent = sendmmsg(
        socket.as_raw_fd(),
        &mut headers,
        &slices,
        &peers,
        [],
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

fn receive_now(socket: &UdpSocket, batch: &mut ReceiveBatch) -> io::Result<()> {
    batch.received.clear();
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = batch
        .buffers
        .iter_mut()
        .map(|buffer| [IoSliceMut::new(buffer)])
        .collect();
    let messages = recvmmsg(
        socket.as_raw_fd(),
        &mut batch.headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    for message in messages {
        let peer = message.address.as_ref().and_then(socket_address);
        // Every datagram of an IP socket has a sender; one without would be empty here and dropped by the parsers.
        let length = if peer.is_some() { message.bytes } else { 0 };
        batch.received.push((peer.unwrap_or(NOBODY), length));
    }
    Ok(())
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::from((v4.ip(), v4.port())))
        .or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|v6| SocketAddr::from((v6.ip(), v6.port())))
        })
}
