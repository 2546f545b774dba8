//! The connections of a listener, with TLS or without.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use node_runtime::tls::{Acceptor, Name, Names, ServerStream};
use node_runtime::{Drain, Stage, Tasks};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

/// TLS handshakes at the same time; further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 256;
/// Connections that are ready and wait to be served.
const READY: usize = 64;
/// After an accept that failed, for want of file descriptors for example.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is on the other side of a connection.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    pub address: SocketAddr,
    /// The verified certificate that the peer showed, in DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    info: PeerInfo,
}

#[derive(Debug)]
enum Io {
    Plaintext(TcpStream),
    Tls(Box<ServerStream>),
    #[cfg(test)]
    InMemory(tokio::io::DuplexStream),
}

#[cfg(test)]
impl Connection {
    /// Within this process.
    pub(crate) fn in_memory(stream: tokio::io::DuplexStream, address: SocketAddr) -> Self {
        Self {
            io: Io::InMemory(stream),
            info: PeerInfo {
                address,
                certificate: None,
            },
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

/// What a listener gives.
pub type Connections = ReceiverStream<io::Result<Connection>>;

/// Accepts until the stage is drained.
pub fn connections(
    name: &str,
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    stage: Stage,
    tasks: &Tasks,
) -> Connections {
    let (ready, connections) = mpsc::channel(READY);
    let scoped = tasks.scoped(name);
    let listening = Listening {
        listener,
        acceptor,
        ready,
        handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
        stage,
        tasks: scoped.clone(),
    };
    scoped.spawn_service("accept", stage, |drain| listening.run(drain));
    ReceiverStream::new(connections)
}

struct Listening {
    listener: TcpListener,
    acceptor: Option<Acceptor>,
    ready: mpsc::Sender<io::Result<Connection>>,
    handshakes: Arc<Semaphore>,
    stage: Stage,
    tasks: Tasks,
}

impl Listening {
    async fn run(self, drain: Drain) {
        loop {
            let accepted = tokio::select! {
                () = drain.started() => return,
                accepted = self.listener.accept() => accepted,
            };
            let served = match accepted {
                Ok((stream, address)) => tokio::select! {
                    () = drain.started() => return,
                    served = self.serve(stream, address) => served,
                },
                Err(error) => {
                    tracing::debug!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(PAUSE).await;
                    Ok(())
                }
            };
            // Nobody serves any more: the node stops.
            if served.is_err() {
                return drain.started().await;
            }
        }
    }

    async fn serve(&self, stream: TcpStream, address: SocketAddr) -> Result<(), Closed> {
        // A connection that is gone already shows that when it is read.
        let _gone = stream.set_nodelay(true);
        let Some(acceptor) = self.acceptor.clone() else {
            let connection = Connection {
                io: Io::Plaintext(stream),
                info: PeerInfo {
                    address,
                    certificate: None,
                },
            };
            return self.ready.send(Ok(connection)).await.map_err(|_| Closed);
        };
        let permit = self.handshakes.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Closed)?;
        let ready = self.ready.clone();
        self.tasks
            .spawn_job("handshake", self.stage, move |drain| async move {
                let accepted = tokio::select! {
                    () = drain.started() => return,
                    accepted = acceptor.accept(stream) => accepted,
                };
                drop(permit);
                match accepted {
                    Ok(stream) => {
                        // Nobody serves any more when the node stops.
                        drop(ready.send(Ok(secured(stream, address))).await);
                    }
                    Err(error) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                }
            });
        Ok(())
    }
}

/// Nobody takes connections any more.
struct Closed;

fn secured(stream: ServerStream, address: SocketAddr) -> Connection {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.map(|certificate| Arc::from(certificate.as_ref()));
    Connection {
        info: PeerInfo {
            address,
            certificate,
        },
        io: Io::Tls(Box::new(stream)),
    }
}

/// Lets only peers with certain names pass; everybody where there is no TLS.
#[derive(Clone, Debug)]
pub enum OnlyFrom {
    Anybody,
    Named(Arc<[Name]>),
}

impl Interceptor for OnlyFrom {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Self::Named(names) = self else {
            return Ok(request);
        };
        let info = request.extensions().get::<PeerInfo>();
        let certificate = info.and_then(|info| info.certificate.clone());
        let is_one = certificate.is_some_and(|der| Names::of_der(&der).has_any(names));
        if is_one {
            return Ok(request);
        }
        Err(Status::permission_denied("this is for state nodes only"))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plaintext(stream) => Pin::new(stream).poll_read(cx, buffer),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(test)]
            Io::InMemory(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plaintext(stream) => Pin::new(stream).poll_write(cx, bytes),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(test)]
            Io::InMemory(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plaintext(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(test)]
            Io::InMemory(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plaintext(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
            #[cfg(test)]
            Io::InMemory(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plaintext(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(test)]
            Io::InMemory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plaintext(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(test)]
            Io::InMemory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
