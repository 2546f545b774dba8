//! What a client resumes a session from.

use std::fmt;

use zeroize::Zeroizing;

use crate::client::config::ClientConfig;
use crate::client::server_flight::Choice;
use crate::error::HandshakeFailure;
use crate::key_schedule::{MASTER_SECRET, MasterSecret, MasterSecretKind};
use crate::suite::CipherSuite;

/// A session that a server may resume (RFC 5246 §7.3). It holds the master secret, which is wiped
/// when dropped and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientResumption {
    /// 1 to 32 bytes.
    id: Vec<u8>,
    suite: CipherSuite,
    master_secret: MasterSecretKind,
    server_name: Option<String>,
    secret: Zeroizing<[u8; MASTER_SECRET]>,
}

impl fmt::Debug for ClientResumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientResumption")
            .field("suite", &self.suite)
            .field("master_secret", &self.master_secret)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl ClientResumption {
    /// `None` when the server has given no id.
    pub(super) fn of(
        config: &ClientConfig,
        choice: &Choice,
        master: &MasterSecret,
    ) -> Option<Self> {
        (!choice.session_id.is_empty()).then(|| Self {
            id: choice.session_id.clone(),
            suite: choice.suite,
            master_secret: choice.master_secret,
            server_name: config.server_name.clone(),
            secret: master.bytes().clone(),
        })
    }

    /// What goes into a hello.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Whether a hello under `config` may ask for the session.
    pub(super) fn fits(&self, config: &ClientConfig) -> bool {
        // RFC 6066 §3: the hello has the name of the session. RFC 7627 §5.3: it offers what the
        // session has.
        self.server_name == config.server_name
            && self.master_secret == config.master_secret
            && config.usable_suites().contains(&self.suite)
    }

    /// Whether the server resumes the session; an error when it does so on other terms.
    pub(super) fn is_accepted(&self, choice: &Choice) -> Result<bool, HandshakeFailure> {
        if choice.session_id != self.id {
            return Ok(false);
        }
        // RFC 5246 §7.4.1.3: the suite is that of the session. RFC 7627 §5.3: so is the kind of
        // the master secret.
        if (choice.suite, choice.master_secret) != (self.suite, self.master_secret) {
            return Err(HandshakeFailure::IllegalParameter);
        }
        Ok(true)
    }

    pub(super) fn master(&self) -> MasterSecret {
        MasterSecret::from_bytes(self.secret.clone())
    }
}
