//! What is waited for, and what comes of it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::{LocalBoxFuture, select_all};
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Io, Listener, Reader, write};

/// Names a connection of this worker, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(super) u64);

/// What the kernel had to say.
pub(crate) enum Event {
    Accepted {
        listener: usize,
        result: io::Result<(TcpStream, SocketAddr)>,
    },
    Secured {
        address: SocketAddr,
        result: io::Result<Secured>,
    },
    Read {
        id: StreamId,
        reader: Reader,
        result: io::Result<Vec<u8>>,
    },
    Written {
        id: StreamId,
        writer: WriteHalf<Io>,
        result: io::Result<()>,
    },
}

/// A connection in TLS.
pub(crate) struct Secured {
    pub(super) io: Io,
    /// The certificates that the device showed, its own first; none if it showed none.
    pub(super) chain: Vec<Vec<u8>>,
}

impl Secured {
    fn new(stream: TlsStream<TcpStream>) -> Self {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Self {
            chain: chain
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
            io: Box::new(stream),
        }
    }
}

/// Waits for a connection; `after` is when to begin with that.
pub(super) async fn accept(listeners: &[Listener], after: Option<Instant>) -> Event {
    if let Some(after) = after {
        tokio::time::sleep_until(after.into()).await;
    }
    if listeners.is_empty() {
        return std::future::pending().await;
    }
    let accepts = listeners.iter().map(|listener| Box::pin(listener.accept()));
    let (result, listener, _) = select_all(accepts).await;
    Event::Accepted { listener, result }
}

pub(super) fn secure(
    tls: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    time: Duration,
) -> LocalBoxFuture<'static, Event> {
    Box::pin(async move {
        let result = match timeout(time, tls.accept(stream)).await {
            Ok(result) => result.map(Secured::new),
            Err(late) => Err(late.into()),
        };
        Event::Secured { address, result }
    })
}

pub(super) fn read_from(id: StreamId, mut reader: Reader) -> LocalBoxFuture<'static, Event> {
    Box::pin(async move {
        let result = reader.read().await;
        Event::Read { id, reader, result }
    })
}

pub(super) fn write_to(
    id: StreamId,
    mut writer: WriteHalf<Io>,
    bytes: Vec<u8>,
    time: Duration,
) -> LocalBoxFuture<'static, Event> {
    Box::pin(async move {
        let result = match timeout(time, write(&mut writer, &bytes)).await {
            Ok(result) => result,
            Err(late) => Err(late.into()),
        };
        Event::Written { id, writer, result }
    })
}

pub(super) fn shut_down(
    id: StreamId,
    mut writer: WriteHalf<Io>,
    time: Duration,
) -> LocalBoxFuture<'static, Event> {
    Box::pin(async move {
        // That nothing can be written any more is what this is about.
        let _failed = timeout(time, writer.shutdown()).await;
        let result = Err(io::ErrorKind::BrokenPipe.into());
        Event::Written { id, writer, result }
    })
}
