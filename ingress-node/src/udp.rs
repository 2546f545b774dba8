//! UDP sockets that several workers share by SO_REUSEPORT, read and written in batches of datagrams.

mod local;

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use local::LocalAddresses;
use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockFlag,
    SockType, SockaddrStorage, bind, recvmmsg, sendmmsg, setsockopt, socket, sockopt,
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
    /// On a socket of all addresses. Nobody waits for the lock: one worker has the socket.
    local: Option<Mutex<LocalAddresses>>,
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
            headers: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(in6_pktinfo))),
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

    /// Where a peer reaches this socket; `None` if it is not known to.
    pub(crate) fn reached_by(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let bound = self.local_addr().ok()?;
        match &self.local {
            None => Some(bound),
            Some(_) => Some(SocketAddr::new(self.local_of(peer)?, bound.port())),
        }
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
        let everywhere = address.ip().is_unspecified();
        match address {
            _ if !everywhere => {}
            SocketAddr::V4(_) => setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        let inner = UdpSocket::from_std(fd.into())?;
        Ok(Self {
            inner,
            outgoing: Vec::with_capacity(BATCH),
            local: everywhere.then(Mutex::default),
        })
    }

    /// Waits for datagrams and reads up to [`BATCH`] of them.
    pub(crate) async fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        loop {
            self.inner.readable().await?;
            match self
                .inner
                .try_io(Interest::READABLE, || self.receive_now(batch))
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
        let from = |peer: &(SocketAddr, Vec<u8>)| self.local_of(peer.0);
        let runs = self.outgoing.chunk_by(|one, next| from(one) == from(next));
        for chunk in runs.flat_map(|run| run.chunks(BATCH)) {
            let from = chunk.first().and_then(from);
            let mut rest = chunk;
            while !rest.is_empty() {
                match send_now(&self.inner, rest, from) {
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

    /// Where a datagram to `peer` leaves from, if that is not for the kernel to choose.
    fn local_of(&self, peer: SocketAddr) -> Option<IpAddr> {
        let local = self.local.as_ref()?;
        let local = local.lock().unwrap_or_else(PoisonError::into_inner);
        local.of(peer)
    }

    fn receive_now(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let local = self.local.as_ref();
        let mut local = local.map(|local| local.lock().unwrap_or_else(PoisonError::into_inner));
        receive_now(&self.inner, batch, local.as_deref_mut())
    }
}

/// Sends datagrams, from one address.
fn send_now(
    socket: &UdpSocket,
    datagrams: &[(SocketAddr, Vec<u8>)],
    from: Option<IpAddr>,
) -> nix::Result<usize> {
    let (v4, v6) = match from {
        Some(IpAddr::V4(ip)) => (Some(packet_info_v4(ip)), None),
        Some(IpAddr::V6(ip)) => (None, Some(packet_info_v6(ip))),
        None => (None, None),
    };
    let v4 = v4.iter().map(ControlMessage::Ipv4PacketInfo);
    let v6 = v6.iter().map(ControlMessage::Ipv6PacketInfo);
    let control: Vec<ControlMessage<'_>> = v4.chain(v6).collect();
    let room = match from {
        Some(IpAddr::V4(_)) => Some(cmsg_space!(in_pktinfo)),
        Some(IpAddr::V6(_)) => Some(cmsg_space!(in6_pktinfo)),
        None => None,
    };
    let mut headers = MultiHeaders::preallocate(datagrams.len(), room);
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
        &control,
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

fn packet_info_v4(source: Ipv4Addr) -> in_pktinfo {
    let s_addr = u32::from_ne_bytes(source.octets());
    in_pktinfo {
        // Whichever interface leads to the peer.
        ipi_ifindex: 0,
        ipi_spec_dst: in_addr { s_addr },
        ipi_addr: in_addr { s_addr: 0 },
    }
}

fn packet_info_v6(source: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr {
            s6_addr: source.octets(),
        },
        ipi6_ifindex: 0,
    }
}

/// The address of this host that a datagram came to.
fn local_address(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    let local = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let octets = info.ipi_spec_dst.s_addr.to_ne_bytes();
            Some(IpAddr::from(octets))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    })?;
    // Nothing can leave from the address of a group.
    (!local.to_canonical().is_multicast()).then_some(local)
}

fn receive_now(
    socket: &UdpSocket,
    batch: &mut ReceiveBatch,
    mut local: Option<&mut LocalAddresses>,
) -> io::Result<()> {
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
        if let (Some(peer), Some(local)) = (peer, &mut local)
            && let Some(address) = local_address(&message)
        {
            local.learn(peer, address);
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::time::Duration;

    use super::*;

    /// Asks at each of `hosts`, where one socket listens at all addresses.
    async fn ask(everywhere: &str, hosts: &[&str]) {
        let mut server = Socket::bind(everywhere.parse().unwrap()).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut batch = ReceiveBatch::default();
        // The second time around, the socket has answered from elsewhere meanwhile.
        for host in [hosts, hosts].concat() {
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            // Takes datagrams from there only.
            client.connect((host, port)).unwrap();
            client.send(b"question").unwrap();
            server.receive(&mut batch).await.unwrap();
            let received: Vec<_> = batch
                .datagrams()
                .map(|(peer, datagram)| (peer, datagram.to_vec()))
                .collect();
            for (peer, datagram) in received {
                server.queue(peer, datagram);
            }
            assert_eq!(server.flush(), 0, "{host}");
            let mut answer = [0; 16];
            client
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            assert_eq!(client.recv(&mut answer).unwrap(), 8, "{host}");
        }
    }

    #[tokio::test]
    async fn an_answer_leaves_from_the_address_that_was_asked() {
        let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
        ask("0.0.0.0:0", &hosts).await;
        ask("[::]:0", &hosts).await;
    }
}
