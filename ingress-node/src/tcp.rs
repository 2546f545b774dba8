//! TCP and TLS: listeners that several workers share by SO_REUSEPORT, and what moves bytes.

pub(crate) mod event;
pub(crate) mod streams;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::server::TlsStream;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// Bytes read at once.
const READ: usize = 8 * 1024;

/// A byte stream in both directions, secured or not.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {
    /// This host's end of it.
    fn local_address(&self) -> Option<SocketAddr>;
}

impl Duplex for TcpStream {
    fn local_address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

impl Duplex for TlsStream<TcpStream> {
    fn local_address(&self) -> Option<SocketAddr> {
        self.get_ref().0.local_address()
    }
}

pub(crate) type Io = Box<dyn Duplex>;

/// One worker's listener on an address.
pub(crate) struct Listener {
    inner: TcpListener,
    pub(crate) security: Security,
}

/// Whether the connections of a listener are secured by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    None,
    Tls,
}

impl Listener {
    /// A listener on `address` that other listeners of this process may share.
    pub(crate) fn bind(address: SocketAddr, security: Security) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok(Self {
            inner: socket.listen(BACKLOG)?,
            security,
        })
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.inner.accept().await?;
        // Messages are small and written whole. A connection that has ended already shows that when it is read.
        let _ended = stream.set_nodelay(true);
        Ok((stream, address))
    }
}

/// The reading half; a read ends as well when the connection is dropped.
pub(crate) struct Reader {
    half: ReadHalf<Io>,
    dropped: oneshot::Receiver<()>,
}

impl Reader {
    /// The bytes that have arrived; none at the end. A buffer is only held while there are bytes, because most
    /// connections are quiet most of the time.
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let half = &mut self.half;
        let bytes = poll_fn(|context| {
            let mut space = [0; READ];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *half).poll_read(context, &mut buffer))?;
            Poll::Ready(Ok(buffer.filled().to_vec()))
        });
        tokio::select! {
            bytes = bytes => bytes,
            _ = &mut self.dropped => Ok(Vec::new()),
        }
    }
}

/// The two halves of a connection. The reader gives up when the sender is dropped.
fn split(io: Io) -> (Reader, WriteHalf<Io>, oneshot::Sender<()>) {
    let (read, write) = tokio::io::split(io);
    let (drop, dropped) = oneshot::channel();
    let reader = Reader {
        half: read,
        dropped,
    };
    (reader, write, drop)
}

async fn write(writer: &mut WriteHalf<Io>, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}
