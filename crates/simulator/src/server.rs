//! Where the server is.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use thiserror::Error;

/// `scheme://host[:port]`, with one of the schemes coap, coaps, coap+tcp and coaps+tcp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: Scheme,
    host: String,
    port: u16,
}

/// What devices reach the server by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// CoAP over UDP.
    Coap,
    /// CoAP over DTLS.
    Coaps,
    /// CoAP over TCP (RFC 8323).
    CoapTcp,
    /// CoAP over TLS.
    CoapsTcp,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Coap, Self::Coaps, Self::CoapTcp, Self::CoapsTcp];

    /// As it is written (RFC 7252 §6, RFC 8323 §8).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coap => "coap",
            Self::Coaps => "coaps",
            Self::CoapTcp => "coap+tcp",
            Self::CoapsTcp => "coaps+tcp",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Coap | Self::CoapTcp => 5683,
            Self::Coaps | Self::CoapsTcp => 5684,
        }
    }
}

/// Why a text is not the URL of a server, or the server cannot be found.
#[derive(Debug, Error)]
pub enum ServerUrlError {
    /// The text does not begin with a scheme that there is.
    #[error("server url begins with none of coap://, coaps://, coap+tcp:// and coaps+tcp://")]
    Scheme,
    /// There is nothing between the scheme and the port.
    #[error("server url names no host")]
    NoHost,
    /// What follows the host is no port.
    #[error("server url has a bad port")]
    Port,
    /// The name has no address.
    #[error("host of the server has no address")]
    NoAddress,
    /// The name cannot be looked up.
    #[error("host of the server cannot be looked up: {0}")]
    LookUp(#[from] std::io::Error),
}

impl ServerUrl {
    /// What devices reach it by.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its name, as the certificate of a TLS server has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The first address of the host.
    pub fn resolve(&self) -> Result<SocketAddr, ServerUrlError> {
        let mut addresses = (self.host.as_str(), self.port).to_socket_addrs()?;
        addresses.next().ok_or(ServerUrlError::NoAddress)
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ServerUrlError::Scheme)?;
        let named = Scheme::ALL.into_iter().find(|known| known.name() == scheme);
        let scheme = named.ok_or(ServerUrlError::Scheme)?;
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(ServerUrlError::NoHost)?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        if host.is_empty() {
            return Err(ServerUrlError::NoHost);
        }
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| ServerUrlError::Port)?,
            None if port.is_empty() => scheme.default_port(),
            None => return Err(ServerUrlError::Port),
        };
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn urls_have_default_ports() {
        let url: ServerUrl = "coaps://127.0.0.1".parse().unwrap();
        assert_eq!(url.scheme(), Scheme::Coaps);
        assert_eq!(url.resolve().unwrap().to_string(), "127.0.0.1:5684");
        let url: ServerUrl = "coap://[::1]:7000/".parse().unwrap();
        assert_eq!(url.resolve().unwrap().to_string(), "[::1]:7000");
        let url: ServerUrl = "coaps+tcp://127.0.0.1".parse().unwrap();
        assert_eq!((url.scheme(), url.host()), (Scheme::CoapsTcp, "127.0.0.1"));
        assert_eq!(url.resolve().unwrap().to_string(), "127.0.0.1:5684");
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "http://a",
            "coap+udp://a",
            "127.0.0.1:5683",
            "coap://",
            "coap://:5683",
            "coap://a:b",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
