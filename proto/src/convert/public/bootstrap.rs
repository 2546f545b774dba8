//! Bootstrap profiles, and what came of bootstraps.

use device_state::{
    BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapSecurity, BootstrapServer, Command,
};
use lwm2m::{Binding, Lifetime};

use super::timestamp;
use crate::convert::bootstrap::{check, short_server_id, uri};
use crate::convert::list::each;
use crate::convert::{ConvertError, InField, Reason, Within, required};
use crate::drover::v1 as public;

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
        use public::bootstrap_account::Security;
        let security = match server.security {
            BootstrapSecurity::NoSec => Security::NoSec,
            BootstrapSecurity::Psk => Security::Psk,
        };
        Self {
            uri: server.uri,
            short_server_id: u32::from(server.short_server_id),
            security: security.into(),
            lifetime: Some(prost_types::Duration {
                seconds: i64::from(server.lifetime.as_secs()),
                nanos: 0,
            }),
            binding: server.binding.to_string(),
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
    use public::bootstrap_account::Security;
    let uri = uri(server.uri)?;
    let security = match Security::try_from(server.security) {
        Ok(Security::NoSec) => BootstrapSecurity::NoSec,
        Ok(Security::Psk) => BootstrapSecurity::Psk,
        Ok(Security::Unspecified) if uri.starts_with("coaps") => BootstrapSecurity::Psk,
        Ok(Security::Unspecified) => BootstrapSecurity::NoSec,
        Err(_) => {
            let reason = Reason::UnknownEnum(server.security);
            return Err(ConvertError::new("security", reason));
        }
    };
    let lifetime = server.lifetime.map(lifetime);
    let binding = (!server.binding.is_empty()).then(|| server.binding.parse().in_field("binding"));
    Ok(BootstrapServer {
        short_server_id: match server.short_server_id {
            0 => 1,
            id => short_server_id(id)?,
        },
        uri,
        security,
        lifetime: lifetime.transpose()?.unwrap_or(Lifetime::DEFAULT),
        binding: binding.transpose()?.unwrap_or(Binding::UDP),
    })
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
