//! The secrets of the stateless cookies (RFC 6347 §4.2.1): of the whole cluster, so that any node accepts another's, and
//! another one every hour.

use device_state::Timestamp;
use dtls::CookieSecret;
use sha2::{Digest, Sha256};

const PERIOD_MS: u64 = 3600 * 1000;

/// Makes a secret for each hour.
#[derive(Clone)]
pub(crate) struct Cookies {
    key: [u8; 32],
}

/// Hours since 1970. Nodes whose clocks differ are in different ones for a while: a client whose cookie is not accepted
/// is given another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(u64);

impl Period {
    pub(crate) const fn at(wall: Timestamp) -> Self {
        Self(wall.0 / PERIOD_MS)
    }
}

impl Cookies {
    /// From the cluster key, which itself seals what is stored.
    pub(crate) const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Has `server` accept the cookies of this period and the one before.
    pub(crate) fn set(&self, server: &mut dtls::Server, period: Period) {
        let before = Period(period.0.saturating_sub(1));
        server.rotate_cookie_secret(&self.secret(before));
        server.rotate_cookie_secret(&self.secret(period));
    }

    fn secret(&self, period: Period) -> CookieSecret {
        let secret = Sha256::new()
            .chain_update(b"drover dtls cookie 2")
            .chain_update(self.key)
            .chain_update(period.0.to_be_bytes());
        CookieSecret::new(secret.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use dtls::{Client, ClientConfig, ClientOutput, Output, Psk};

    use super::*;

    fn server(cookies: &Cookies, hour: u64) -> dtls::Server {
        let secret = CookieSecret::new([0; 32]);
        let mut server = dtls::Server::new(dtls::Config::default(), &secret, [1; 32]);
        cookies.set(&mut server, Period(hour));
        server
    }

    fn next(client: &mut Client) -> Vec<u8> {
        match client.poll_output() {
            Some(ClientOutput::Transmit(datagram)) => datagram,
            other => panic!("{other:?}"),
        }
    }

    /// Whether a cookie of one server, at an hour, lets a client go on at another, at an hour.
    fn goes_on(at: u64, later: u64) -> bool {
        let (now, cookies) = (Instant::now(), Cookies::new([7; 32]));
        let psk = Psk::new(b"sixteen byte key").expect("a key");
        let mut client = Client::new(ClientConfig::new(b"id".to_vec(), psk), [2; 32]);
        let address = ([192, 0, 2, 1], 5684).into();
        client.start(now);
        let mut first = server(&cookies, at);
        first.handle_datagram(now, address, &mut next(&mut client));
        let Some(Output::Transmit { mut datagram, .. }) = first.poll_output() else {
            panic!("no cookie");
        };
        client.handle_datagram(now, &mut datagram);
        let mut second = server(&cookies, later);
        second.handle_datagram(now, address, &mut next(&mut client));
        second.handshake_count() == 1
    }

    #[test]
    fn a_cookie_is_good_at_every_node_for_this_hour_and_the_next() {
        let accepted = [9, 10, 11, 12].map(|later| goes_on(10, later));
        assert_eq!(accepted, [false, true, true, false]);
    }
}
