//! What the server's flight says, from its hello to ServerHelloDone.

use crate::client::config::{ClientConfig, ClientCredentials};
use crate::credentials::CertificateType;
use crate::error::HandshakeFailure;
use crate::extension::chosen_type;
use crate::handshake::server_hello::ServerHello;
use crate::handshake::{MessageType, certificate, certificate_request, server_key_exchange};
use crate::identity::Presented;
use crate::key_agreement::PublicPoint;
use crate::key_schedule::{HelloRandom, HelloRandoms, MasterSecretKind};
use crate::reassembly::Message;
use crate::record::{MAX_CID, VERSION};
use crate::suite::{CipherSuite, KeyExchange};

/// What the server chose.
pub(super) struct Choice {
    pub(super) suite: CipherSuite,
    pub(super) master_secret: MasterSecretKind,
    pub(super) randoms: HelloRandoms,
    /// Empty when the session cannot be resumed.
    pub(super) session_id: Vec<u8>,
    pub(super) server_cid: Option<Vec<u8>>,
    client_type: CertificateType,
    server_type: CertificateType,
}

impl Choice {
    /// Checks the server's hello against what was offered.
    pub(super) fn read(
        config: &ClientConfig,
        random: &HelloRandom,
        own_cid: Option<&[u8]>,
        body: &[u8],
    ) -> Result<Self, HandshakeFailure> {
        let hello = ServerHello::parse(body).map_err(|_| HandshakeFailure::Malformed)?;
        if hello.version != VERSION {
            return Err(HandshakeFailure::UnsupportedVersion);
        }
        if hello.compression != 0 {
            return Err(HandshakeFailure::IllegalParameter);
        }
        let suite = CipherSuite::from_code(hello.suite)
            .filter(|suite| config.usable_suites().contains(suite))
            .ok_or(HandshakeFailure::IllegalParameter)?;
        let extensions = hello.extensions;
        // RFC 5746 §3.4: empty in an initial handshake.
        if extensions
            .renegotiation_info
            .is_some_and(|info| !info.is_empty())
        {
            return Err(HandshakeFailure::IllegalParameter);
        }
        let master_secret = match (extensions.extended_master_secret, config.master_secret) {
            (true, MasterSecretKind::Extended) => MasterSecretKind::Extended,
            (true, MasterSecretKind::Classic) => {
                return Err(HandshakeFailure::UnsolicitedExtension);
            }
            (false, _) => MasterSecretKind::Classic,
        };
        if suite.needs_encrypt_then_mac() && !extensions.encrypt_then_mac {
            return Err(HandshakeFailure::NoCommonSuite);
        }
        let server_cid = match (extensions.connection_id, own_cid) {
            (Some(_), None) => return Err(HandshakeFailure::UnsolicitedExtension),
            (Some(cid), Some(_)) if cid.len() > MAX_CID => {
                return Err(HandshakeFailure::IllegalParameter);
            }
            (cid, _) => cid.map(<[u8]>::to_vec),
        };
        let chosen = |content| chosen_type(content).map_err(|_| HandshakeFailure::IllegalParameter);
        Ok(Self {
            suite,
            master_secret,
            randoms: HelloRandoms {
                client: *random,
                server: hello.random,
            },
            session_id: hello.session_id.to_vec(),
            server_cid,
            client_type: chosen(extensions.client_certificate_type)?,
            server_type: chosen(extensions.server_certificate_type)?,
        })
    }
}

/// The flight as far as it was read.
pub(super) struct ServerFlight {
    pub(super) choice: Choice,
    presented: Option<Presented>,
    /// The server's ephemeral key.
    pub(super) public: Option<PublicPoint>,
    pub(super) certificate_requested: bool,
}

impl ServerFlight {
    pub(super) const fn new(choice: Choice) -> Self {
        Self {
            choice,
            presented: None,
            public: None,
            certificate_requested: false,
        }
    }

    /// Takes a message between ServerHello and ServerHelloDone, in the order of RFC 5246 §7.3.
    pub(super) fn on_message(
        &mut self,
        config: &ClientConfig,
        message: &Message,
    ) -> Result<(), HandshakeFailure> {
        let exchange = self.choice.suite.key_exchange();
        match (exchange, message.kind) {
            // RFC 4279 §2: only an identity hint, which we have no use for.
            (KeyExchange::Psk, MessageType::ServerKeyExchange) => Ok(()),
            (KeyExchange::EcdhePsk, MessageType::ServerKeyExchange) if self.public.is_none() => {
                let public = server_key_exchange::parse_psk(message.body())
                    .map_err(|_| HandshakeFailure::Malformed)?;
                self.public = Some(public.ok_or(HandshakeFailure::IllegalParameter)?);
                Ok(())
            }
            (KeyExchange::EcdheEcdsa, MessageType::Certificate) if self.presented.is_none() => {
                self.on_certificate(config, message.body())
            }
            (KeyExchange::EcdheEcdsa, MessageType::ServerKeyExchange) if self.public.is_none() => {
                self.on_signed_key(message.body())
            }
            (KeyExchange::EcdheEcdsa, MessageType::CertificateRequest)
                if self.public.is_some() && !self.certificate_requested =>
            {
                self.on_certificate_request(config, message.body())
            }
            _ => Err(HandshakeFailure::UnexpectedMessage),
        }
    }

    fn on_certificate(
        &mut self,
        config: &ClientConfig,
        body: &[u8],
    ) -> Result<(), HandshakeFailure> {
        let ClientCredentials::Key { server, .. } = &config.credentials else {
            return Err(HandshakeFailure::UnexpectedMessage);
        };
        if !server
            .certificate_types()
            .contains(&self.choice.server_type)
        {
            return Err(HandshakeFailure::NoCommonCertificateType);
        }
        let presented = certificate::parse(self.choice.server_type, body)
            .map_err(|_| HandshakeFailure::Malformed)?
            .and_then(Presented::read)
            .ok_or(HandshakeFailure::UnusableKey)?;
        server
            .judge(&presented)
            .map_err(HandshakeFailure::PeerRejected)?;
        self.presented = Some(presented);
        Ok(())
    }

    fn on_signed_key(&mut self, body: &[u8]) -> Result<(), HandshakeFailure> {
        let presented = self
            .presented
            .as_ref()
            .ok_or(HandshakeFailure::UnexpectedMessage)?;
        let signed =
            server_key_exchange::parse_signed(body).map_err(|_| HandshakeFailure::Malformed)?;
        let signature = signed.signature.ok_or(HandshakeFailure::IllegalParameter)?;
        let digest = signed.digest(&self.choice.randoms);
        if !presented.public.verifies(&digest, signature) {
            return Err(HandshakeFailure::BadSignature);
        }
        self.public = Some(signed.public.ok_or(HandshakeFailure::IllegalParameter)?);
        Ok(())
    }

    fn on_certificate_request(
        &mut self,
        config: &ClientConfig,
        body: &[u8],
    ) -> Result<(), HandshakeFailure> {
        let can_answer =
            certificate_request::parse(body).map_err(|_| HandshakeFailure::Malformed)?;
        let ClientCredentials::Key { credential, .. } = &config.credentials else {
            return Err(HandshakeFailure::UnexpectedMessage);
        };
        if !can_answer || credential.kind() != self.choice.client_type {
            return Err(HandshakeFailure::NoCommonCertificateType);
        }
        self.certificate_requested = true;
        Ok(())
    }
}
