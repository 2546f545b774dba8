//! How a device of a test gets a firmware package over CoAP.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use coap::{Code, Endpoint, Event, Failure, Output, Request};
use lwm2m_client::PullFailure;

/// The longest that it waits for a datagram before it looks at its timers.
const TURN: Duration = Duration::from_millis(10);

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
