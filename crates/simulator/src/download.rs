//! A firmware package on its way to a device.
//!
//! The device wants it once its server has written `/5/0/1`. The package comes by a connection of its own: its server need
//! not be the one that manages the device.

mod coap;
mod http;

use std::time::Instant;

use dtls::ClientConfig;
use lwm2m_client::{Pull, PullFailure, PullId, PullProtocol};
use mio::{Registry, Token};

/// What a device can get packages by: securely as it secures its own session, if it does.
pub(crate) fn protocols(has_dtls: bool) -> Vec<PullProtocol> {
    let secured = has_dtls.then_some(PullProtocol::Coaps);
    [PullProtocol::Coap, PullProtocol::Http]
        .into_iter()
        .chain(secured)
        .collect()
}

/// The package, or why there is none.
pub(crate) type Got = Result<Vec<u8>, PullFailure>;

pub(crate) struct Download {
    pub(crate) id: PullId,
    way: Way,
}

enum Way {
    Coap(Box<coap::Download>),
    Http(http::Download),
}

impl Download {
    /// Asks for the package. `index` is the device's place in the fleet, which says where it sends from; `security` is how
    /// it secures its own session.
    pub(crate) fn begin(
        now: Instant,
        pull: &Pull,
        (index, security): (usize, Option<ClientConfig>),
        registry: &Registry,
        token: Token,
    ) -> Result<Self, PullFailure> {
        let is_http = pull
            .uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
        let way = if is_http {
            http::Download::begin(pull, registry, token).map(Way::Http)
        } else {
            let begun = coap::Download::begin(now, pull, (index, security), registry, token);
            begun.map(|download| Way::Coap(Box::new(download)))
        };
        Ok(Self {
            id: pull.id,
            way: way?,
        })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.way {
            Way::Coap(download) => download.poll_timeout(),
            Way::Http(_) => None,
        }
    }

    /// Takes what has come, and does what is due. What came of it once it has ended.
    pub(crate) fn go_on(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Got> {
        match &mut self.way {
            Way::Coap(download) => download.go_on(now, buffer),
            Way::Http(download) => download.go_on(),
        }
    }
}
