//! What a hello and the server agree on.

use crate::credentials::{CertificateType, Credential, ServerCredentials};
use crate::error::HandshakeFailure;
use crate::extension::Extensions;
use crate::handshake::client_hello::{ClientHello, RENEGOTIATION_SCSV};
use crate::key_agreement::NamedGroup;
use crate::key_schedule::MasterSecretKind;
use crate::record::{MAX_CID, VERSION};
use crate::resumption::ResumptionExport;
use crate::signature;
use crate::suite::{CipherSuite, KeyExchange};
use crate::wire::Reader;

/// What the major version byte of every DTLS version makes of the smallest version number.
const LOWEST_VERSION: u16 = 0xFE00;

/// What a hello settles for a full and for an abbreviated handshake.
pub(super) struct Terms<'a> {
    extensions: Extensions<'a>,
    pub(super) master_secret: MasterSecretKind,
    pub(super) renegotiation_info: Option<&'static [u8]>,
    pub(super) client_cid: Option<&'a [u8]>,
}

pub(super) struct Agreement {
    pub(super) suite: CipherSuite,
    pub(super) exchange: Exchange,
    /// RFC 8422 §5.2: answered when the suite has an ephemeral key and the client asked.
    pub(super) point_formats: bool,
}

/// What the key exchange needs.
pub(super) enum Exchange {
    Psk,
    EcdhePsk(NamedGroup),
    EcdheEcdsa {
        group: NamedGroup,
        credential: Credential,
        /// Whether the client's server name decided.
        by_name: bool,
        client_type: CertificateType,
        /// Whether the client sent the extensions that negotiate the types.
        client_type_offered: bool,
        server_type_offered: bool,
    },
}

impl<'a> Terms<'a> {
    pub(super) fn read(hello: &ClientHello<'a>) -> Result<Self, HandshakeFailure> {
        // DTLS versions count downwards.
        if !(LOWEST_VERSION..=VERSION).contains(&hello.version) {
            return Err(HandshakeFailure::UnsupportedVersion);
        }
        if !hello.compression.contains(&0) {
            return Err(HandshakeFailure::IllegalParameter);
        }
        let extensions = hello
            .extensions()
            .map_err(|_| HandshakeFailure::Malformed)?;
        // RFC 5746 §3.6: empty in an initial handshake, and ours always are.
        let renegotiation_info: Option<&'static [u8]> = match extensions.renegotiation_info {
            Some([]) => Some(&[]),
            Some(_) => return Err(HandshakeFailure::IllegalParameter),
            None if hello.suites().any(|code| code == RENEGOTIATION_SCSV) => Some(&[]),
            None => None,
        };
        Ok(Self {
            master_secret: if extensions.extended_master_secret {
                MasterSecretKind::Extended
            } else {
                MasterSecretKind::Classic
            },
            renegotiation_info,
            // Going without Connection IDs is all that a server can do about one it will not keep.
            client_cid: extensions.connection_id.filter(|cid| cid.len() <= MAX_CID),
            extensions,
        })
    }

    /// The host name that the client asks for.
    pub(super) fn server_name(&self) -> Result<Option<&'a str>, HandshakeFailure> {
        let name = self.extensions.host_name();
        name.map_err(|_| HandshakeFailure::Malformed)
    }

    fn offers(&self, hello: &ClientHello<'_>, suite: CipherSuite) -> bool {
        hello.suites().any(|code| code == suite.code())
            && (self.extensions.encrypt_then_mac || !suite.needs_encrypt_then_mac())
    }
}

/// How a full handshake goes.
pub(super) fn agree(
    suites: &[CipherSuite],
    credentials: &ServerCredentials,
    hello: &ClientHello<'_>,
    terms: &Terms<'_>,
) -> Result<Agreement, HandshakeFailure> {
    let (suite, exchange) = choose(suites, credentials, hello, terms)?;
    let asked = terms.extensions.point_formats.is_some();
    Ok(Agreement {
        suite,
        point_formats: asked && !matches!(exchange, Exchange::Psk),
        exchange,
    })
}

/// Whether the hello that asked for a session resumes it; if not, a full handshake follows.
pub(super) fn resumes(
    suites: &[CipherSuite],
    hello: &ClientHello<'_>,
    terms: &Terms<'_>,
    session: &ResumptionExport,
) -> Result<bool, HandshakeFailure> {
    match (session.master_secret, terms.master_secret) {
        // RFC 7627 §5.3: that is another client's session, or somebody took the extension out.
        (MasterSecretKind::Extended, MasterSecretKind::Classic) => {
            return Err(HandshakeFailure::MissingExtendedMasterSecret);
        }
        // RFC 7627 §5.3: the new session is to be better than the old one.
        (MasterSecretKind::Classic, MasterSecretKind::Extended) => return Ok(false),
        // RFC 7627 §5.4: without it, nothing may rest on the handshake's binding; there is no
        // renegotiation here, and no channel binding.
        (MasterSecretKind::Classic, MasterSecretKind::Classic)
        | (MasterSecretKind::Extended, MasterSecretKind::Extended) => {}
    }
    // RFC 6066 §3: a session of another name is not resumed.
    let has_name = session.is_for(terms.server_name()?);
    let suite = session.suite;
    Ok(has_name && suites.contains(&suite) && terms.offers(hello, suite))
}

/// The first of our suites that the client offers with all that it needs.
fn choose(
    suites: &[CipherSuite],
    credentials: &ServerCredentials,
    hello: &ClientHello<'_>,
    terms: &Terms<'_>,
) -> Result<(CipherSuite, Exchange), HandshakeFailure> {
    let mut reason = HandshakeFailure::NoCommonSuite;
    for &suite in suites {
        if !terms.offers(hello, suite) {
            continue;
        }
        match exchange(suite, credentials, &terms.extensions) {
            Ok(exchange) => return Ok((suite, exchange)),
            Err(HandshakeFailure::NoCommonSuite) => {}
            Err(other) => reason = other,
        }
    }
    Err(reason)
}

fn exchange(
    suite: CipherSuite,
    credentials: &ServerCredentials,
    extensions: &Extensions<'_>,
) -> Result<Exchange, HandshakeFailure> {
    // A device knows which curve costs it least, so its order decides.
    let groups = NamedGroup::supported(extensions.supported_groups)
        .map_err(|_| HandshakeFailure::Malformed)?;
    let group = groups
        .first()
        .copied()
        .ok_or(HandshakeFailure::NoCommonSuite);
    match suite.key_exchange() {
        KeyExchange::Psk => Ok(Exchange::Psk),
        KeyExchange::EcdhePsk => Ok(Exchange::EcdhePsk(group?)),
        // RFC 8422 §5.1.1: the list also bounds the keys of certificates, and ours are on P-256.
        KeyExchange::EcdheEcdsa if !groups.contains(&NamedGroup::Secp256r1) => {
            Err(HandshakeFailure::NoCommonSuite)
        }
        KeyExchange::EcdheEcdsa => with_keys(group?, credentials, extensions),
    }
}

fn with_keys(
    group: NamedGroup,
    credentials: &ServerCredentials,
    extensions: &Extensions<'_>,
) -> Result<Exchange, HandshakeFailure> {
    if credentials.is_empty() {
        return Err(HandshakeFailure::NoCommonSuite);
    }
    // RFC 5246 §7.4.1.4.1 makes SHA-1 of a missing list. The devices that leave it out were built
    // for CCM_8 suites, where RFC 7251 §2 demands SHA-256.
    if let Some(list) = extensions.signature_algorithms {
        let mut reader = Reader::new(list);
        let list = reader.vec16().map_err(|_| HandshakeFailure::Malformed)?;
        if !signature::is_offered(list) {
            return Err(HandshakeFailure::NoCommonSuite);
        }
    }
    let types =
        |content| CertificateType::offered(content).map_err(|_| HandshakeFailure::Malformed);
    let client_types = types(extensions.client_certificate_type)?;
    let server_types = types(extensions.server_certificate_type)?;
    let name = extensions
        .host_name()
        .map_err(|_| HandshakeFailure::Malformed)?;
    // RFC 7250 §4.2: without a type in common there is no handshake.
    let selection = credentials
        .select(&server_types, name)
        .ok_or(HandshakeFailure::NoCommonCertificateType)?;
    let client_type = client_types
        .first()
        .ok_or(HandshakeFailure::NoCommonCertificateType)?;
    Ok(Exchange::EcdheEcdsa {
        group,
        credential: selection.credential,
        by_name: selection.by_name,
        client_type: *client_type,
        client_type_offered: extensions.client_certificate_type.is_some(),
        server_type_offered: extensions.server_certificate_type.is_some(),
    })
}
