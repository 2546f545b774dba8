//! Bootstrap profiles, and what came of bootstraps.

use device_state::{BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapServer, Command};
use lwm2m::{Binding, Lifetime};

use super::timestamp;
use crate::convert::bootstrap::check;
use crate::convert::list::each;
use crate::convert::{ConvertError, Reason, Within, required};
use crate::drover::v1 as public;
use crate::storage::v1 as storage;

impl From<BootstrapProfile> for public::BootstrapProfile {
    fn from(profile: BootstrapProfile) -> Self {
        Self {
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers: profile.servers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<BootstrapServer> for public::BootstrapAccount {
    fn from(server: BootstrapServer) -> Self {
        let lifetime = prost_types::Duration {
            seconds: i64::from(server.lifetime.as_secs()),
            nanos: 0,
        };
        // The numbers of the enums are those of storage.
        let stored = storage::BootstrapServer::from(server);
        Self {
            uri: stored.uri,
            short_server_id: stored.short_server_id,
            security: stored.security,
            lifetime: Some(lifetime),
            binding: stored.binding,
            server_key: stored.server_key,
            certificate_use: stored.certificate_use,
        }
    }
}

impl TryFrom<public::PutBootstrapProfileRequest> for BootstrapProfile {
    type Error = ConvertError;

    fn try_from(request: public::PutBootstrapProfileRequest) -> Result<Self, ConvertError> {
        let profile = required("profile", request.profile)?;
        read_profile(profile).within("profile")
    }
}

fn read_profile(profile: public::BootstrapProfile) -> Result<BootstrapProfile, ConvertError> {
    let profile = BootstrapProfile {
        servers: each(
            "servers",
            profile.servers,
            BootstrapProfile::MAX_SERVERS,
            read_server,
        )?,
        name: profile.name,
        endpoint_prefix: profile.endpoint_prefix,
    };
    check(&profile)?;
    Ok(profile)
}

fn read_server(server: public::BootstrapAccount) -> Result<BootstrapServer, ConvertError> {
    use storage::BootstrapSecurity as Security;
    let lifetime = server.lifetime.map(lifetime).transpose()?;
    let security = match server.security {
        0 if server.uri.starts_with("coaps") => Security::Psk.into(),
        0 => Security::NoSec.into(),
        security => security,
    };
    let stored = storage::BootstrapServer {
        short_server_id: match server.short_server_id {
            0 => 1,
            id => id,
        },
        uri: server.uri,
        security,
        lifetime_seconds: lifetime.unwrap_or(Lifetime::DEFAULT).as_secs().into(),
        binding: match server.binding.as_str() {
            "" => Binding::UDP.to_string(),
            _ => server.binding,
        },
        server_key: server.server_key,
        certificate_use: server.certificate_use,
    };
    stored.try_into()
}

// LwM2M Core 1.2 §6.2.1: 0 is for ever, which nobody asks for by leaving something out.
fn lifetime(lifetime: prost_types::Duration) -> Result<Lifetime, ConvertError> {
    match u32::try_from(lifetime.seconds) {
        Ok(seconds) if seconds > 0 && lifetime.nanos == 0 => Ok(Lifetime::from_secs(seconds)),
        _ => Err(ConvertError::new(
            "lifetime",
            Reason::OutOfRange(lifetime.seconds.unsigned_abs()),
        )),
    }
}

impl TryFrom<public::DeleteBootstrapProfileRequest> for Command {
    type Error = ConvertError;

    fn try_from(request: public::DeleteBootstrapProfileRequest) -> Result<Self, ConvertError> {
        if request.name.is_empty() {
            return Err(ConvertError::new("name", Reason::Missing));
        }
        Ok(Self::RemoveBootstrapProfile { name: request.name })
    }
}

impl From<BootstrapRecord> for public::BootstrapRecord {
    fn from(record: BootstrapRecord) -> Self {
        use public::bootstrap_record::Outcome;
        let outcome = match record.outcome {
            BootstrapResult::Finished => Outcome::Finished,
            BootstrapResult::PackDelivered => Outcome::PackDelivered,
            BootstrapResult::Failed => Outcome::Failed,
        };
        Self {
            endpoint: record.endpoint.to_string(),
            profile: record.profile,
            outcome: outcome.into(),
            detail: record.detail,
            time: timestamp(record.at),
        }
    }
}
