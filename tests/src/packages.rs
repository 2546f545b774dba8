//! The servers that have the firmware packages that devices pull, over CoAP and over HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event, Output, Response};

/// The longest that it waits for a datagram before it looks at its timers.
const TURN: Duration = Duration::from_millis(10);

/// Blocks that come before a server falls silent.
const BLOCKS_BEFORE_SILENCE: usize = 2;

/// Where the package of a [`PackageServer`] is.
const PATH: [&str; 2] = ["packages", "meter"];

/// A CoAP server with one package; ended when dropped.
#[derive(Debug)]
pub struct PackageServer {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PackageServer {
    /// Serves the package for as long as it lives.
    pub fn start(package: &[u8]) -> Self {
        Self::serve(package, None)
    }

    /// It says nothing more after some blocks.
    pub fn that_falls_silent(package: &[u8]) -> Self {
        Self::serve(package, Some(BLOCKS_BEFORE_SILENCE))
    }

    fn serve(package: &[u8], until_silent: Option<usize>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
        let timed = socket.set_read_timeout(Some(TURN));
        timed.expect("the timeout is not zero");
        let address = socket.local_addr().expect("the socket is bound");
        let ends = Arc::new(AtomicBool::new(false));
        let (ended, package) = (Arc::clone(&ends), package.to_vec());
        let thread = std::thread::spawn(move || {
            let mut endpoint = Endpoint::new(coap::Config::default(), rand::random());
            let mut left = until_silent.unwrap_or(usize::MAX);
            let mut datagram = [0; 2048];
            while !ended.load(Ordering::SeqCst) {
                let received = socket.recv_from(&mut datagram);
                if let Ok((length, peer)) = received
                    && left > 0
                {
                    left -= 1;
                    let datagram = datagram.get(..length).unwrap_or_default();
                    endpoint.handle_datagram(Instant::now(), peer, datagram);
                }
                endpoint.handle_timeout(Instant::now());
                settle(&mut endpoint, &socket, &package);
            }
        });
        Self {
            address,
            ends,
            thread: Some(thread),
        }
    }

    /// The URI of the package.
    pub fn uri(&self) -> String {
        self.uri_of(&PATH.join("/"))
    }

    /// A URI at this server.
    pub fn uri_of(&self, path: &str) -> String {
        format!("coap://{}/{path}", self.address)
    }
}

impl Drop for PackageServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn settle(endpoint: &mut Endpoint<SocketAddr>, socket: &UdpSocket, package: &[u8]) {
    while let Some(output) = endpoint.poll_output() {
        match output {
            Output::Transmit { peer, datagram } => {
                // What is lost is repeated.
                let _lost = socket.send_to(&datagram, peer);
            }
            Output::Event(Event::Request {
                exchange, request, ..
            }) => {
                let response = if request.method == Code::GET && request.path == PATH {
                    Response {
                        payload: package.to_vec(),
                        ..Response::new(Code::CONTENT_2_05)
                    }
                } else {
                    Response::new(Code::NOT_FOUND_4_04)
                };
                endpoint.respond(Instant::now(), exchange, response);
            }
            Output::Event(_) => {}
            Output::Send { .. } => unreachable!("it is on no stream"),
        }
    }
}

/// An HTTP server with one package; ended when dropped.
#[derive(Debug)]
pub struct HttpPackageServer {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl HttpPackageServer {
    /// Serves the package for as long as it lives.
    pub fn start(package: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("the socket is bound");
        let ends = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&served);
        let (ended, package) = (Arc::clone(&ends), Arc::new(package.to_vec()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let package = Arc::clone(&package);
                std::thread::spawn(move || answer(stream, &package));
            }
        });
        Self {
            address,
            ends,
            served,
        }
    }

    /// How often it was asked.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// The URI of the package.
    pub fn uri(&self) -> String {
        format!("http://{}/{}", self.address, PATH.join("/"))
    }
}

impl Drop for HttpPackageServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Nobody else connects any more: the server looks up once.
        let _refused = TcpStream::connect(self.address);
    }
}

/// Whatever is asked for is the package. A device that goes away asks again.
fn answer(mut stream: TcpStream, package: &[u8]) {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => request.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Ok(0) | Err(_) => return,
        }
    }
    let length = package.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _gone = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(package));
}
