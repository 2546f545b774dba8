//! Bootstrap profiles, and what came of bootstraps.

use std::collections::BTreeSet;

use device_state::{
    AccessRule, BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity,
    BootstrapServer, CertificateUse, ServerCertificate,
};

use super::list::{MAX_VALUES, each};
use super::record::lifetime;
use super::value::wire_enum;
use super::{ConvertError, InField, Reason, Within, endpoint, namespace, narrow, time};
use crate::storage::v1 as wire;

wire_enum!(CertificateUse, wire::CertificateUse, wire_use, certificate_use, {
    CaConstraint,
    ServiceCertificateConstraint,
    TrustAnchorAssertion,
    DomainIssuedCertificate,
});
wire_enum!(BootstrapResult, wire::BootstrapResult, wire_result, result, {
    Finished,
    PackDelivered,
    Failed,
});

impl From<BootstrapProfile> for wire::BootstrapProfile {
    fn from(profile: BootstrapProfile) -> Self {
        Self {
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers: profile.servers.into_iter().map(Into::into).collect(),
            access: profile.access.into_iter().map(Into::into).collect(),
            namespace: profile.namespace.stored().to_owned(),
        }
    }
}

impl TryFrom<wire::BootstrapProfile> for BootstrapProfile {
    type Error = ConvertError;

    fn try_from(profile: wire::BootstrapProfile) -> Result<Self, ConvertError> {
        let servers = each(
            "servers",
            profile.servers,
            Self::MAX_SERVERS,
            BootstrapServer::try_from,
        )?;
        let profile = Self {
            namespace: namespace(&profile.namespace)?,
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers,
            access: each(
                "access",
                profile.access,
                Self::MAX_ACCESS,
                AccessRule::try_from,
            )?,
        };
        check(&profile)?;
        Ok(profile)
    }
}

/// What holds of every profile, wherever it comes from.
pub(crate) fn check(profile: &BootstrapProfile) -> Result<(), ConvertError> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let length = profile.name.len();
    if !(1..=BootstrapProfile::MAX_NAME).contains(&length) || !profile.name.bytes().all(letter) {
        return Err(ConvertError::new("name", Reason::ProfileName));
    }
    if profile.endpoint_prefix.len() > BootstrapProfile::MAX_PREFIX {
        let length = profile.endpoint_prefix.len();
        return Err(ConvertError::new("endpoint_prefix", Reason::Length(length)));
    }
    if profile.servers.is_empty() {
        return Err(ConvertError::new("servers", Reason::Missing));
    }
    let servers = || profile.servers.iter();
    let is_secured = |server: &BootstrapServer| server.uri.starts_with("coaps");
    if servers().any(|server| server.security.is_of_transport() && !is_secured(server)) {
        return Err(ConvertError::new("servers", Reason::KeyWithoutSecurity));
    }
    if servers().any(|server| server.security == BootstrapSecurity::Oscore && is_secured(server)) {
        return Err(ConvertError::new("servers", Reason::OscoreOverSecurity));
    }
    let mut ids: Vec<u16> = profile
        .servers
        .iter()
        .map(|server| server.short_server_id)
        .collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ConvertError::new("servers", Reason::RepeatedShortId));
    }
    check_access(profile, &ids).within("access")
}

/// Rules name servers that the device knows, and each place once.
fn check_access(profile: &BootstrapProfile, ids: &[u16]) -> Result<(), ConvertError> {
    let mut places = Vec::new();
    for rule in &profile.access {
        let known = |id: u16| ids.contains(&id);
        let servers = || rule.rights.iter().map(|(id, _)| *id);
        if rule.rights.is_empty() || rule.rights.len() > BootstrapProfile::MAX_SERVERS + 1 {
            return Err(ConvertError::new(
                "rights",
                Reason::Length(rule.rights.len()),
            ));
        }
        if servers().any(|id| id != 0 && !known(id)) {
            return Err(ConvertError::new("rights", Reason::UnknownServer));
        }
        if servers().collect::<BTreeSet<u16>>().len() < rule.rights.len() {
            return Err(ConvertError::new("rights", Reason::RepeatedShortId));
        }
        if rule.owner != AccessRule::BOOTSTRAP_SERVER && !known(rule.owner) {
            return Err(ConvertError::new("owner", Reason::UnknownServer));
        }
        let (fits, owner_fits) = match rule.instance {
            // LwM2M Core 1.2 §8.1: who may make instances is the bootstrap server's to say.
            None => (
                AccessRule::CREATE,
                rule.owner == AccessRule::BOOTSTRAP_SERVER,
            ),
            Some(_) => (AccessRule::ALL_RIGHTS & !AccessRule::CREATE, true),
        };
        if rule.rights.iter().any(|(_, bits)| bits & !fits != 0) {
            return Err(ConvertError::new("rights", Reason::WrongPlace));
        }
        if !owner_fits {
            return Err(ConvertError::new("owner", Reason::NotForServers));
        }
        if rule.instance == Some(AccessRule::CREATION) {
            return Err(ConvertError::new("path", Reason::NoInstance));
        }
        if UNRULED.contains(&rule.object) {
            return Err(ConvertError::new("path", Reason::NoAccessRule(rule.object)));
        }
        places.push((rule.object, rule.instance));
    }
    places.sort_unstable();
    if places.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ConvertError::new("path", Reason::RepeatedRule));
    }
    Ok(())
}

// LwM2M Core 1.2 §8.1, §E.1: only bootstrap servers see and change them; Access Control names its owner itself.
/// Security, Access Control and OSCORE.
const UNRULED: [u16; 3] = [0, 2, 21];

impl From<AccessRule> for wire::AccessRule {
    fn from(rule: AccessRule) -> Self {
        let right = |(id, bits): (u16, u8)| wire::access_rule::Right {
            short_server_id: id.into(),
            bits: bits.into(),
        };
        Self {
            object: rule.object.into(),
            instance: rule.instance.map(u32::from),
            rights: rule.rights.into_iter().map(right).collect(),
            owner: rule.owner.into(),
        }
    }
}

impl TryFrom<wire::AccessRule> for AccessRule {
    type Error = ConvertError;

    fn try_from(rule: wire::AccessRule) -> Result<Self, ConvertError> {
        let right = |right: wire::access_rule::Right| {
            let bits: u8 = narrow("bits", right.bits)?;
            if bits > Self::ALL_RIGHTS {
                return Err(ConvertError::new("bits", Reason::OutOfRange(bits.into())));
            }
            Ok((narrow("short_server_id", right.short_server_id)?, bits))
        };
        Ok(Self {
            object: narrow("object", rule.object)?,
            instance: rule.instance.map(|id| narrow("instance", id)).transpose()?,
            rights: each("rights", rule.rights, MAX_VALUES, right)?,
            owner: narrow("owner", rule.owner)?,
        })
    }
}

impl From<BootstrapServer> for wire::BootstrapServer {
    fn from(server: BootstrapServer) -> Self {
        use wire::{BootstrapSecurity as Kind, CertificateUse as Use};
        let (security, server_key, certificate_use) = match server.security {
            BootstrapSecurity::NoSec => (Kind::NoSec, Vec::new(), None),
            BootstrapSecurity::Psk => (Kind::Psk, Vec::new(), None),
            BootstrapSecurity::RawPublicKey { server } => (Kind::RawPublicKey, server, None),
            BootstrapSecurity::Certificate(server) => {
                (Kind::Certificate, server.certificate, server.usage)
            }
            BootstrapSecurity::Oscore => (Kind::Oscore, Vec::new(), None),
        };
        Self {
            uri: server.uri,
            short_server_id: u32::from(server.short_server_id),
            security: security.into(),
            lifetime_seconds: u64::from(server.lifetime.as_secs()),
            binding: server.binding.to_string(),
            server_key,
            certificate_use: certificate_use.map_or(Use::Unspecified as i32, wire_use),
        }
    }
}

impl TryFrom<wire::BootstrapServer> for BootstrapServer {
    type Error = ConvertError;

    fn try_from(server: wire::BootstrapServer) -> Result<Self, ConvertError> {
        Ok(Self {
            security: security(&server)?,
            short_server_id: short_server_id(server.short_server_id)?,
            uri: uri(server.uri)?,
            lifetime: lifetime(server.lifetime_seconds)?,
            binding: server.binding.parse().in_field("binding")?,
        })
    }
}

fn security(server: &wire::BootstrapServer) -> Result<BootstrapSecurity, ConvertError> {
    use wire::BootstrapSecurity as Kind;
    let key = || server_key(server.server_key.clone());
    match Kind::try_from(server.security) {
        Ok(Kind::NoSec) => Ok(BootstrapSecurity::NoSec),
        Ok(Kind::Psk) => Ok(BootstrapSecurity::Psk),
        Ok(Kind::RawPublicKey) => Ok(BootstrapSecurity::RawPublicKey { server: key()? }),
        Ok(Kind::Certificate) => Ok(BootstrapSecurity::Certificate(ServerCertificate {
            certificate: key()?,
            usage: match server.certificate_use {
                0 => None,
                usage => Some(certificate_use("certificate_use", usage)?),
            },
        })),
        Ok(Kind::Oscore) => Ok(BootstrapSecurity::Oscore),
        Ok(Kind::Unspecified) | Err(_) => {
            let reason = Reason::UnknownEnum(server.security);
            Err(ConvertError::new("security", reason))
        }
    }
}

/// What a device knows a server by, in DER.
fn server_key(der: Vec<u8>) -> Result<Vec<u8>, ConvertError> {
    // X.690 §8.9: a public key and a certificate are both a SEQUENCE.
    const SEQUENCE: u8 = 0x30;
    let reason = match der.first() {
        None => Reason::Missing,
        Some(_) if der.len() > BootstrapSecurity::MAX_SERVER_KEY => Reason::Length(der.len()),
        Some(&SEQUENCE) => return Ok(der),
        Some(_) => Reason::NotDer,
    };
    Err(ConvertError::new("server_key", reason))
}

// LwM2M Core 1.2 §E.1: 0 and 65535 are no servers.
fn short_server_id(number: u32) -> Result<u16, ConvertError> {
    match u16::try_from(number) {
        Ok(id) if id != 0 && id != u16::MAX => Ok(id),
        _ => Err(ConvertError::new(
            "short_server_id",
            Reason::OutOfRange(number.into()),
        )),
    }
}

fn uri(text: String) -> Result<String, ConvertError> {
    if text.len() > BootstrapServer::MAX_URI {
        return Err(ConvertError::new("uri", Reason::Length(text.len())));
    }
    let known = ["coap://", "coaps://", "coap+tcp://", "coaps+tcp://"];
    let host = known.iter().find_map(|scheme| text.strip_prefix(scheme));
    if host.is_none_or(str::is_empty) {
        return Err(ConvertError::new("uri", Reason::ServerUri));
    }
    Ok(text)
}

impl From<BootstrapRecord> for wire::BootstrapRecord {
    fn from(record: BootstrapRecord) -> Self {
        Self {
            endpoint: record.endpoint.stored().to_owned(),
            profile: record.profile,
            outcome: wire_result(record.outcome),
            detail: record.detail,
            at_ms: record.at.0,
            confirmed: record.confirmed,
        }
    }
}

impl TryFrom<wire::BootstrapRecord> for BootstrapRecord {
    type Error = ConvertError;

    fn try_from(record: wire::BootstrapRecord) -> Result<Self, ConvertError> {
        let length = record.detail.len();
        if length > Self::MAX_DETAIL {
            return Err(ConvertError::new("detail", Reason::Length(length)));
        }
        if record.profile.len() > BootstrapProfile::MAX_NAME {
            let length = record.profile.len();
            return Err(ConvertError::new("profile", Reason::Length(length)));
        }
        Ok(Self {
            endpoint: endpoint(&record.endpoint)?,
            profile: record.profile,
            outcome: result("outcome", record.outcome)?,
            detail: record.detail,
            at: time(record.at_ms),
            confirmed: each(
                "confirmed",
                record.confirmed,
                BootstrapProfile::MAX_SERVERS,
                Ok,
            )?,
        })
    }
}
