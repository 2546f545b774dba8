//! Where the server is.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use thiserror::Error;

/// `coap://host[:port]` or `coaps://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Coap,
    Coaps,
}

/// Why a text is not the URL of a server, or the server cannot be found.
#[derive(Debug, Error)]
pub enum ServerUrlError {
    /// The text begins neither with `coap://` nor `coaps://`.
    #[error("server url begins neither with coap:// nor with coaps://")]
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
    /// Whether devices make a DTLS session first.
    pub fn is_secured(&self) -> bool {
        self.scheme == Scheme::Coaps
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
        let (scheme, default_port) = match scheme {
            "coap" => (Scheme::Coap, 5683),
            "coaps" => (Scheme::Coaps, 5684),
            _ => return Err(ServerUrlError::Scheme),
        };
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
            None if port.is_empty() => default_port,
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
        assert!(url.is_secured());
        assert_eq!(url.resolve().unwrap().to_string(), "127.0.0.1:5684");
        let url: ServerUrl = "coap://[::1]:7000/".parse().unwrap();
        assert_eq!(url.resolve().unwrap().to_string(), "[::1]:7000");
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "http://a",
            "127.0.0.1:5683",
            "coap://",
            "coap://:5683",
            "coap://a:b",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
