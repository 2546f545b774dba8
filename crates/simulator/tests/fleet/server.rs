//! A server that accepts every registration, over real sockets.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event, Output, Request, Response};
use dtls::{Config, CookieSecret, Psk, Server, SessionId, StoreOutcome};

/// How the devices reach the server.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Plain,
    Secured { key: Vec<u8> },
}

pub(crate) struct TestServer {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Each registered device gets `downlink`, if there is one.
    pub(crate) fn start(transport: Transport, downlink: Option<Request>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || match transport {
            Transport::Plain => serve_plain(&socket, &stopped, downlink.as_ref()),
            Transport::Secured { key } => serve_secured(&socket, &stopped, &key, downlink.as_ref()),
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve_plain(socket: &UdpSocket, stop: &AtomicBool, downlink: Option<&Request>) {
    let mut coap: Endpoint<SocketAddr> = Endpoint::new(coap::Config::default(), 1);
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => coap.handle_datagram(now, peer, &buffer[..length]),
            Err(_) => coap.handle_timeout(now),
        }
        answer(&mut coap, now, downlink, |peer, datagram| {
            let _ = socket.send_to(&datagram, peer);
        });
    }
}

fn serve_secured(socket: &UdpSocket, stop: &AtomicBool, key: &[u8], downlink: Option<&Request>) {
    let psk = Psk::new(key).unwrap();
    let secret = CookieSecret::new([1; 32]);
    let mut dtls = Server::new(Config::default(), &secret, [2; 32]);
    let mut coap: Endpoint<SessionId> = Endpoint::new(coap::Config::default(), 1);
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            dtls.handle_datagram(now, peer, &mut buffer[..length]);
        } else {
            dtls.handle_timeout(now);
            coap.handle_timeout(now);
        }
        let mut outgoing = HashMap::<SessionId, Vec<Vec<u8>>>::new();
        loop {
            while let Some(output) = dtls.poll_output() {
                match output {
                    dtls::Output::Transmit { peer, datagram } => {
                        let _ = socket.send_to(&datagram, peer);
                    }
                    dtls::Output::PskNeeded { handshake, .. } => {
                        dtls.provide_psk(now, handshake, Some(&psk));
                    }
                    dtls::Output::StoreSession { handshake, .. } => {
                        dtls.session_stored(now, handshake, StoreOutcome::Stored);
                    }
                    dtls::Output::Plaintext { session, data, .. } => {
                        coap.handle_datagram(now, session, &data);
                    }
                    _ => {}
                }
            }
            answer(&mut coap, now, downlink, |session, datagram| {
                outgoing.entry(session).or_default().push(datagram);
            });
            if outgoing.is_empty() {
                break;
            }
            for (session, datagrams) in outgoing.drain() {
                for datagram in datagrams {
                    let _ = dtls.send(session, &datagram);
                }
            }
        }
    }
}

fn answer<P: coap::PeerKey>(
    coap: &mut Endpoint<P>,
    now: Instant,
    downlink: Option<&Request>,
    mut transmit: impl FnMut(P, Vec<u8>),
) {
    while let Some(output) = coap.poll_output() {
        match output {
            Output::Transmit { peer, datagram } => transmit(peer, datagram),
            Output::Event(Event::Request {
                exchange,
                request,
                peer,
                ..
            }) => {
                let response = match (request.method, request.path.len()) {
                    (Code::POST, 1) => Response {
                        location_path: vec!["rd".to_owned(), "abc".to_owned()],
                        ..Response::new(Code::CREATED_2_01)
                    },
                    (Code::DELETE, _) => Response::new(Code::DELETED_2_02),
                    _ => Response::new(Code::CHANGED_2_04),
                };
                let registered = response.code == Code::CREATED_2_01;
                coap.respond(now, exchange, response);
                if let Some(downlink) = downlink.filter(|_| registered) {
                    coap.send_request(now, peer, downlink.clone()).unwrap();
                }
            }
            Output::Event(_) | Output::Send { .. } => {}
        }
    }
}
