//! Bootstrap profiles, and what came of bootstraps.

use device_state::{
    BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity, BootstrapServer,
};

use super::list::each;
use super::record::lifetime;
use super::value::wire_enum;
use super::{ConvertError, InField, Reason, endpoint, time};
use crate::storage::v1 as wire;

wire_enum!(BootstrapSecurity, wire::BootstrapSecurity, wire_security, security, { NoSec, Psk });
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
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers,
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
    let keyless = |server: &BootstrapServer| {
        server.security == BootstrapSecurity::Psk && !server.uri.starts_with("coaps")
    };
    if profile.servers.iter().any(keyless) {
        return Err(ConvertError::new("servers", Reason::KeyWithoutSecurity));
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
    Ok(())
}

impl From<BootstrapServer> for wire::BootstrapServer {
    fn from(server: BootstrapServer) -> Self {
        Self {
            uri: server.uri,
            short_server_id: u32::from(server.short_server_id),
            security: wire_security(server.security),
            lifetime_seconds: u64::from(server.lifetime.as_secs()),
            binding: server.binding.to_string(),
        }
    }
}

impl TryFrom<wire::BootstrapServer> for BootstrapServer {
    type Error = ConvertError;

    fn try_from(server: wire::BootstrapServer) -> Result<Self, ConvertError> {
        Ok(Self {
            short_server_id: short_server_id(server.short_server_id)?,
            uri: uri(server.uri)?,
            security: security("security", server.security)?,
            lifetime: lifetime(server.lifetime_seconds)?,
            binding: server.binding.parse().in_field("binding")?,
        })
    }
}

// LwM2M Core 1.2 §E.1: 0 and 65535 are no servers.
pub(crate) fn short_server_id(number: u32) -> Result<u16, ConvertError> {
    match u16::try_from(number) {
        Ok(id) if id != 0 && id != u16::MAX => Ok(id),
        _ => Err(ConvertError::new(
            "short_server_id",
            Reason::OutOfRange(number.into()),
        )),
    }
}

pub(crate) fn uri(text: String) -> Result<String, ConvertError> {
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
            endpoint: record.endpoint.to_string(),
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

/// An account as the bootstrap server is told of it: the server, and the key in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct PreparedAccount {
    pub server: BootstrapServer,
    /// PSK identity and key; `None` without security.
    pub psk: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for PreparedAccount {
    /// Nothing that is secret gets into logs.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PreparedAccount")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl From<PreparedAccount> for crate::rpc::v1::prepare_bootstrap_response::Account {
    fn from(account: PreparedAccount) -> Self {
        let (psk_identity, psk_key) = account.psk.unwrap_or_default();
        Self {
            server: Some(account.server.into()),
            psk_identity,
            psk_key,
        }
    }
}

impl TryFrom<crate::rpc::v1::prepare_bootstrap_response::Account> for PreparedAccount {
    type Error = ConvertError;

    fn try_from(
        account: crate::rpc::v1::prepare_bootstrap_response::Account,
    ) -> Result<Self, ConvertError> {
        let server: BootstrapServer = super::message("server", account.server)?;
        let psk = match server.security {
            BootstrapSecurity::NoSec => None,
            BootstrapSecurity::Psk => Some((account.psk_identity, account.psk_key)),
        };
        Ok(Self { server, psk })
    }
}
