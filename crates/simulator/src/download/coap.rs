//! From a CoAP server, block by block over UDP or DTLS (RFC 7252, RFC 7959).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Instant;

use coap::{Code, Endpoint, Event, Failure, Output, Request};
use dtls::{Client, ClientConfig, ClientOutput};
use lwm2m_client::{Pull, PullFailure};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::Got;
use crate::socket::datagrams;

/// RFC 7252 §6.1, §6.2
const PORT: u16 = 5683;
const SECURE_PORT: u16 = 5684;

pub(super) struct Download {
    endpoint: Endpoint<()>,
    /// What the server is asked once there is a session.
    request: Option<Request>,
    security: Option<Box<Client>>,
    socket: UdpSocket,
}

impl Download {
    /// Asks for the package. `index` is the device's place in the fleet, which says where it sends from.
    pub(super) fn begin(
        now: Instant,
        pull: &Pull,
        (index, security): (usize, Option<ClientConfig>),
        registry: &Registry,
        token: Token,
    ) -> Result<Self, PullFailure> {
        let (scheme, server, request) = request(&pull.uri).ok_or(PullFailure::InvalidUri)?;
        let security = match (scheme, security) {
            (Scheme::Coap, _) => None,
            (Scheme::Coaps, None) => return Err(PullFailure::UnsupportedProtocol),
            (Scheme::Coaps, Some(config)) => {
                let mut client = Client::new(config, node_runtime::random::seed());
                client.start(now);
                Some(Box::new(client))
            }
        };
        let config = coap::Config {
            max_body: pull.max_bytes,
            max_body_bytes: pull.max_bytes.saturating_mul(2),
            ..coap::Config::default()
        };
        let endpoint = Endpoint::new(config, node_runtime::random::random_u64());
        let socket = datagrams(server, index).and_then(|mut socket| {
            registry.register(&mut socket, token, Interest::READABLE)?;
            Ok(socket)
        });
        let mut download = Self {
            endpoint,
            request: Some(request),
            security,
            socket: socket.map_err(|_| PullFailure::ConnectionLost)?,
        };
        if download.security.is_none() {
            download.ask(now)?;
        }
        Ok(download)
    }

    fn ask(&mut self, now: Instant) -> Result<(), PullFailure> {
        let Some(request) = self.request.take() else {
            return Ok(());
        };
        let sent = self.endpoint.send_request(now, (), request);
        sent.map(drop).map_err(|_| PullFailure::InvalidUri)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let security = self.security.as_ref();
        let security = security.and_then(|client| client.poll_timeout());
        [self.endpoint.poll_timeout(), security]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes what has come, and does what is due. What came of it once it has ended.
    pub(super) fn go_on(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Got> {
        while let Some(length) = self.receive(buffer) {
            if let Some(datagram) = buffer.get_mut(..length) {
                match &mut self.security {
                    Some(client) => client.handle_datagram(now, datagram),
                    None => self.endpoint.handle_datagram(now, (), datagram),
                }
            }
            if let Some(got) = self.drain(now) {
                return Some(got);
            }
        }
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle_timeout(now);
            if let Some(client) = &mut self.security {
                client.handle_timeout(now);
            }
        }
        self.drain(now)
    }

    fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match self.socket.recv(buffer) {
                Ok(length) => return Some(length),
                // ICMP says that nobody listens: retransmissions run out if that stays so.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused
                    ) => {}
                Err(_) => return None,
            }
        }
    }

    fn drain(&mut self, now: Instant) -> Option<Got> {
        loop {
            if let Some(output) = self
                .security
                .as_mut()
                .and_then(|client| client.poll_output())
            {
                if let Err(failure) = self.secured(now, output) {
                    return Some(Err(failure));
                }
                continue;
            }
            match self.endpoint.poll_output()? {
                Output::Transmit { datagram, .. } => self.transmit(&datagram),
                Output::Event(Event::Response { response, .. }) => {
                    self.close();
                    return Some(match response.code {
                        Code::CONTENT_2_05 => Ok(response.payload),
                        _ => Err(PullFailure::InvalidUri),
                    });
                }
                Output::Event(Event::Failed { reason, .. }) => return Some(Err(failure(reason))),
                Output::Event(_) | Output::Send { .. } => {}
            }
        }
    }

    /// What the session wants.
    fn secured(&mut self, now: Instant, output: ClientOutput) -> Result<(), PullFailure> {
        match output {
            ClientOutput::Transmit(datagram) => {
                // What is lost is sent again.
                let _ = self.socket.send(&datagram);
                Ok(())
            }
            ClientOutput::Connected { .. } => self.ask(now),
            ClientOutput::Plaintext(datagram) => {
                self.endpoint.handle_datagram(now, (), &datagram);
                Ok(())
            }
            ClientOutput::Closed(_) | ClientOutput::Failed(_) => Err(PullFailure::ConnectionLost),
        }
    }

    fn transmit(&mut self, datagram: &[u8]) {
        // What is lost is sent again.
        if let Some(client) = &mut self.security {
            let _ = client.send(datagram);
        } else {
            let _ = self.socket.send(datagram);
        }
    }

    /// The server need not keep the session.
    fn close(&mut self) {
        let Some(client) = &mut self.security else {
            return;
        };
        client.close();
        while let Some(output) = client.poll_output() {
            if let ClientOutput::Transmit(datagram) = output {
                let _ = self.socket.send(&datagram);
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Coap,
    Coaps,
}

impl Scheme {
    const fn port(self) -> u16 {
        match self {
            Self::Coap => PORT,
            Self::Coaps => SECURE_PORT,
        }
    }
}

fn failure(reason: Failure) -> PullFailure {
    match reason {
        Failure::BodyTooLarge => PullFailure::OutOfMemory,
        Failure::BlockwiseFailed | Failure::BadOption => PullFailure::UnsupportedProtocol,
        _ => PullFailure::ConnectionLost,
    }
}

/// RFC 7252 §6.4. A host that has no address is as a URI with nothing behind it.
fn request(uri: &str) -> Option<(Scheme, SocketAddr, Request)> {
    let url = Url::parse(uri).ok()?;
    let scheme = match url.scheme() {
        "coap" => Scheme::Coap,
        "coaps" => Scheme::Coaps,
        _ => return None,
    };
    if url.fragment().is_some() {
        return None;
    }
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port().unwrap_or_else(|| scheme.port());
    let server = (bare, port).to_socket_addrs().ok()?.next()?;
    let segments = url.path_segments().into_iter().flatten();
    let path: Vec<String> = segments.map(decoded).collect::<Option<_>>()?;
    // A lone slash is no segment.
    let path = if path == [""] { Vec::new() } else { path };
    let query = url.query().into_iter().flat_map(|query| query.split('&'));
    let mut request = Request::new(Code::GET, path);
    request.query = query.map(decoded).collect::<Option<_>>()?;
    request.host = match Host::parse(host) {
        Ok(Host::Domain(name)) => Some(name),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => None,
    };
    Some((scheme, server, request))
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn uris_become_requests() {
        let (_, server, asked) = request("coap://127.0.0.1:7000/fw/a%20b?x=1&y=%26").unwrap();
        assert_eq!(server.to_string(), "127.0.0.1:7000");
        assert_eq!(asked.path, ["fw", "a b"]);
        assert_eq!(asked.query, ["x=1", "y=&"]);
        assert_eq!(asked.host, None);
        let (scheme, server, asked) = request("coaps://[::1]/").unwrap();
        assert_eq!(scheme, Scheme::Coaps);
        assert_eq!(server.to_string(), "[::1]:5684");
        assert!(asked.path.is_empty());
        let (_, _, asked) = request("coap://localhost/fw").unwrap();
        assert_eq!(asked.host.as_deref(), Some("localhost"));
        for uri in [
            "http://127.0.0.1/fw",
            "coap://127.0.0.1/a#b",
            "coap:///fw",
            "fw",
        ] {
            assert!(request(uri).is_none(), "{uri}");
        }
    }
}
