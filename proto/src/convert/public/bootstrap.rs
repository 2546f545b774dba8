//! Bootstrap profiles, and what came of bootstraps.

use device_state::{
    AccessRule, BootstrapProfile, BootstrapRecord, BootstrapResult, BootstrapServer, Command, Etag,
    Namespace,
};
use lwm2m::{Binding, Lifetime, Path};

use super::value::path;
use super::{InNamespace, timestamp};
use crate::convert::bootstrap::check;
use crate::convert::list::each;
use crate::convert::{ConvertError, Reason, Within, narrow, required};
use crate::drover::v1 as public;
use crate::storage::v1 as storage;

impl From<BootstrapProfile> for public::BootstrapProfile {
    fn from(profile: BootstrapProfile) -> Self {
        Self {
            etag: Etag::of_profile(&profile).to_string(),
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers: profile.servers.into_iter().map(Into::into).collect(),
            access: profile.access.into_iter().map(Into::into).collect(),
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

impl TryFrom<InNamespace<public::PutBootstrapProfileRequest>> for BootstrapProfile {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::PutBootstrapProfileRequest>,
    ) -> Result<Self, ConvertError> {
        let profile = required("profile", asked.request.profile)?;
        read_profile(asked.namespace, profile).within("profile")
    }
}

fn read_profile(
    namespace: Namespace,
    profile: public::BootstrapProfile,
) -> Result<BootstrapProfile, ConvertError> {
    let servers = each(
        "servers",
        profile.servers,
        BootstrapProfile::MAX_SERVERS,
        read_server,
    )?;
    let first = servers.first().map(|server| server.short_server_id);
    let profile = BootstrapProfile {
        namespace,
        access: each(
            "access",
            profile.access,
            BootstrapProfile::MAX_ACCESS,
            |rule| read_rule(rule, first),
        )?,
        servers,
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

impl From<AccessRule> for public::AccessRule {
    fn from(rule: AccessRule) -> Self {
        let path = match rule.instance {
            Some(instance) => Path::ObjectInstance(rule.object, instance),
            None => Path::Object(rule.object),
        };
        let right = |(id, bits): (u16, u8)| public::access_rule::Right {
            short_server_id: id.into(),
            letters: letters(bits),
        };
        Self {
            path: path.to_string(),
            rights: rule.rights.into_iter().map(right).collect(),
            owner: rule.owner.into(),
        }
    }
}

/// A rule; what names no owner is the first server's, and making instances nobody's.
fn read_rule(rule: public::AccessRule, first: Option<u16>) -> Result<AccessRule, ConvertError> {
    let (object, instance) = match path("path", &rule.path)? {
        Path::Object(object) => (object, None),
        Path::ObjectInstance(object, instance) => (object, Some(instance)),
        _ => return Err(ConvertError::new("path", Reason::NoInstance)),
    };
    let right = |right: public::access_rule::Right| {
        let id = narrow("short_server_id", right.short_server_id)?;
        Ok((id, bits(&right.letters)?))
    };
    Ok(AccessRule {
        object,
        instance,
        rights: each(
            "rights",
            rule.rights,
            BootstrapProfile::MAX_SERVERS + 1,
            right,
        )?,
        owner: match (rule.owner, first) {
            (0, _) if instance.is_none() => AccessRule::BOOTSTRAP_SERVER,
            (0, Some(first)) => first,
            (owner, _) => narrow("owner", owner)?,
        },
    })
}

fn letters(bits: u8) -> String {
    let has = |bit: usize| bits >> bit & 1 == 1;
    let letters = AccessRule::LETTERS.into_iter().enumerate();
    letters
        .filter_map(|(bit, letter)| has(bit).then_some(letter))
        .collect()
}

fn bits(letters: &str) -> Result<u8, ConvertError> {
    let mut bits = 0;
    for letter in letters.chars() {
        let place = AccessRule::LETTERS
            .iter()
            .position(|known| *known == letter);
        let bit = place.map_or(0, |place| 1 << place);
        if bit == 0 || bits & bit != 0 {
            return Err(ConvertError::new("letters", Reason::Rights));
        }
        bits |= bit;
    }
    Ok(bits)
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

impl TryFrom<InNamespace<public::DeleteBootstrapProfileRequest>> for Command {
    type Error = ConvertError;

    fn try_from(
        asked: InNamespace<public::DeleteBootstrapProfileRequest>,
    ) -> Result<Self, ConvertError> {
        let InNamespace { namespace, request } = asked;
        if request.name.is_empty() {
            return Err(ConvertError::new("name", Reason::Missing));
        }
        Ok(Self::RemoveBootstrapProfile {
            namespace,
            name: request.name,
        })
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
            endpoint: record.endpoint.endpoint_str().to_owned(),
            profile: record.profile,
            outcome: outcome.into(),
            detail: record.detail,
            time: timestamp(record.at),
        }
    }
}
