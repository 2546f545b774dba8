//! Firmware packages that a device pulls over CoAP: the server that has them, and how a device gets them.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event, Failure, Output, Request, Response};
use lwm2m_client::PullFailure;

/// The longest that either side waits for a datagram before it looks at its timers.
const TURN: Duration = Duration::from_millis(10);

/// Blocks that come before a server falls silent.
const BLOCKS_BEFORE_SILENCE: usize = 2;

/// Where the package of a [`PackageServer`] is.
const PATH: [&str; 2] = ["packages", "meter"];

/// A CoAP server with one package; ended when dropped.
pub(crate) struct PackageServer {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PackageServer {
    pub(crate) fn start(package: &[u8]) -> Self {
        Self::serve(package, None)
    }

    /// It says nothing more after some blocks.
    pub(crate) fn that_falls_silent(package: &[u8]) -> Self {
        Self::serve(package, Some(BLOCKS_BEFORE_SILENCE))
    }

    fn serve(package: &[u8], until_silent: Option<usize>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TURN)).unwrap();
        let address = socket.local_addr().unwrap();
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
                    endpoint.handle_datagram(Instant::now(), peer, &datagram[..length]);
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
    pub(crate) fn uri(&self) -> String {
        self.uri_of(&PATH.join("/"))
    }

    pub(crate) fn uri_of(&self, path: &str) -> String {
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

/// Gets what is at a `coap` URI, within seconds.
pub(crate) fn get(uri: &str, max_bytes: usize) -> Result<Vec<u8>, PullFailure> {
    let (server, request) = request(uri).ok_or(PullFailure::InvalidUri)?;
    // A server that says nothing is given up after five seconds at most.
    let config = coap::Config {
        ack_timeout: Duration::from_millis(100),
        max_body: max_bytes,
        ..coap::Config::default()
    };
    let mut endpoint = Endpoint::new(config, rand::random());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(TURN)).unwrap();
    let sent = endpoint.send_request(Instant::now(), 0_u8, request);
    sent.map_err(|_| PullFailure::InvalidUri)?;
    let mut datagram = [0; 2048];
    loop {
        while let Some(output) = endpoint.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => {
                    // What is lost is repeated.
                    let _lost = socket.send(&datagram);
                }
                Output::Event(Event::Response { response, .. }) => {
                    return match response.code {
                        Code::CONTENT_2_05 => Ok(response.payload),
                        _ => Err(PullFailure::InvalidUri),
                    };
                }
                Output::Event(Event::Failed { reason, .. }) => return Err(failure(reason)),
                Output::Event(_) | Output::Send { .. } => {}
            }
        }
        if let Ok(length) = socket.recv(&mut datagram) {
            endpoint.handle_datagram(Instant::now(), 0, &datagram[..length]);
        }
        endpoint.handle_timeout(Instant::now());
    }
}

fn failure(reason: Failure) -> PullFailure {
    match reason {
        Failure::BodyTooLarge => PullFailure::OutOfMemory,
        Failure::BlockwiseFailed | Failure::BadOption => PullFailure::UnsupportedProtocol,
        _ => PullFailure::ConnectionLost,
    }
}

/// RFC 7252 §6.4, without percent encoding.
fn request(uri: &str) -> Option<(SocketAddr, Request)> {
    let rest = uri.strip_prefix("coap://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let server = authority.to_socket_addrs().ok()?.next()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut request = Request::new(Code::GET, path.split('/').filter(|part| !part.is_empty()));
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    request.query = parameters.map(str::to_owned).collect();
    Some((server, request))
}
