//! The stateless cookie (RFC 6347 §4.2.1).

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::handshake::client_hello::ClientHello;
use crate::prf::hmac_key;

/// 32 bytes that every node of a cluster shares, so that any node accepts any node's cookie.
pub struct CookieSecret(Zeroizing<[u8; 32]>);

impl CookieSecret {
    /// Takes bytes from a cryptographic generator.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Zeroizing::new(secret))
    }
}

/// RFC 6347 §4.2.1 made cookies of DTLS 1.0 at most 32 bytes, and some clients still reserve no
/// more.
pub(crate) type Cookie = [u8; 32];

/// The current secret and the one before it.
pub(crate) struct CookieSecrets {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl CookieSecrets {
    pub(crate) fn new(secret: &CookieSecret) -> Self {
        Self {
            current: hmac_key(&*secret.0),
            previous: None,
        }
    }

    pub(crate) fn rotate(&mut self, secret: &CookieSecret) {
        let current = hmac_key(&*secret.0);
        self.previous = Some(std::mem::replace(&mut self.current, current));
    }

    pub(crate) fn issue(&self, peer: SocketAddr, hello: &ClientHello<'_>) -> Cookie {
        cookie(&self.current, peer, hello)
    }

    pub(crate) fn accepts(&self, peer: SocketAddr, hello: &ClientHello<'_>) -> bool {
        // Most first hellos have an empty cookie, which needs no arithmetic.
        hello.cookie.len() == size_of::<Cookie>()
            && std::iter::once(&self.current)
                .chain(&self.previous)
                .any(|key| verify_slices_are_equal(&cookie(key, peer, hello), hello.cookie).is_ok())
    }
}

fn cookie(key: &hmac::Key, peer: SocketAddr, hello: &ClientHello<'_>) -> Cookie {
    let mut context = hmac::Context::with_key(key);
    match peer.ip() {
        IpAddr::V4(address) => {
            context.update(&[4]);
            context.update(&address.octets());
        }
        IpAddr::V6(address) => {
            context.update(&[6]);
            context.update(&address.octets());
        }
    }
    context.update(&peer.port().to_be_bytes());
    // RFC 6347 §4.2.1: the parameters that the second hello has to repeat.
    context.update(&hello.version.to_be_bytes());
    context.update(&hello.random);
    for field in [hello.session_id, hello.raw_suites(), hello.compression] {
        context.update(&(field.len() as u16).to_be_bytes());
        context.update(field);
    }
    let mut cookie = Cookie::default();
    cookie.copy_from_slice(context.sign().as_ref());
    cookie
}
