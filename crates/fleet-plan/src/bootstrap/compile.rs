//! From a spec to a profile. Each field of a spec is carried out, or the spec is refused with its name.

use crd::bootstrap_profile::{self as spec, AccessRight, BootstrapProfileSpec};
use crd::security_profile::{
    ConnectionIdPolicy, CredentialSource, SecurityMode, SecurityProfileSpec,
};
use crd::selector::Selector;
use crd::{BootstrapProfile, Reason};
use device_state::{AccessRule, BootstrapSecurity, BootstrapServer};
use lwm2m::{Lifetime, Path};

use super::{Surroundings, name};
use crate::Refusal;

/// The profile that carries an object out, or why there can be none.
pub(super) fn compile(
    profile: &BootstrapProfile,
    around: &Surroundings<'_>,
) -> Result<device_state::BootstrapProfile, Refusal> {
    let spec = &profile.spec;
    not_yet(spec)?;
    let servers = spec.servers.iter().enumerate();
    let servers: Vec<BootstrapServer> = servers
        .map(|(place, one)| server(&format!("spec.servers[{place}]"), one, around))
        .collect::<Result<_, _>>()?;
    let first = servers.first().map(|server| server.short_server_id);
    let rules = spec.acl.iter().enumerate();
    Ok(device_state::BootstrapProfile {
        namespace: around.namespace.clone(),
        name: name(&profile.metadata),
        endpoint_prefix: String::new(),
        access: rules
            .map(|(place, one)| rule(&format!("spec.acl[{place}]"), one, first))
            .collect::<Result<_, _>>()?,
        servers,
    })
}

/// What the bootstrap server cannot do.
fn not_yet(spec: &BootstrapProfileSpec) -> Result<(), Refusal> {
    const SERVERS: usize = device_state::BootstrapProfile::MAX_SERVERS;
    const RULES: usize = device_state::BootstrapProfile::MAX_ACCESS;
    let everybody = Selector::default();
    let selector = spec.selector.as_ref();
    for (is_given, field, why) in [
        (
            selector.is_some_and(|selector| *selector != everybody),
            "spec.selector",
            "a device that bootstraps is known by its name alone; leave it out, or use `drover bootstrap add --prefix`"
                .to_owned(),
        ),
        (
            spec.priority != 0,
            "spec.priority",
            "the profile whose name comes first counts for the whole namespace; leave it out".to_owned(),
        ),
        (
            spec.delete_all,
            "spec.deleteAll",
            "accounts are replaced and everything else is left alone; leave it out".to_owned(),
        ),
        (
            spec.servers.len() > SERVERS,
            "spec.servers",
            format!("devices get at most {SERVERS} accounts; leave the others out"),
        ),
        (
            spec.acl.len() > RULES,
            "spec.acl",
            format!("there are at most {RULES} rules; leave the others out"),
        ),
    ] {
        if is_given {
            return Err(Refusal::unsupported(field, &why));
        }
    }
    Ok(())
}

fn server(
    field: &str,
    account: &spec::BootstrapAccount,
    around: &Surroundings<'_>,
) -> Result<BootstrapServer, Refusal> {
    let at = |name: &str| format!("{field}.{name}");
    let short_server_id = u16::try_from(account.short_server_id)
        .map_err(|_| Refusal::invalid(&at("shortServerID"), "is 1 to 65534"))?;
    let lifetime = u32::try_from(account.lifetime_seconds)
        .map_err(|_| Refusal::invalid(&at("lifetimeSeconds"), "is 1 to 2147483647"))?;
    let binding = account.binding.parse();
    Ok(BootstrapServer {
        uri: account.uri.clone(),
        short_server_id,
        security: security(&at("securityProfileRef"), account, around)?,
        lifetime: Lifetime::from_secs(lifetime),
        binding: binding
            .map_err(|_| Refusal::invalid(&at("binding"), "is of U and T, with Q at the end"))?,
    })
}

fn security(
    field: &str,
    account: &spec::BootstrapAccount,
    around: &Surroundings<'_>,
) -> Result<BootstrapSecurity, Refusal> {
    let Some(reference) = &account.security_profile_ref else {
        if account.uri.starts_with("coaps") {
            let why = "is missing: with coaps a device has to prove who it is";
            return Err(Refusal::invalid(field, why));
        }
        return Ok(BootstrapSecurity::NoSec);
    };
    let name = &reference.name;
    let is_named = |one: &&crd::SecurityProfile| one.metadata.name.as_ref() == Some(name);
    let found = around.security.iter().find(is_named);
    let found = found.ok_or_else(|| Refusal {
        reason: Reason::ProfileNotFound,
        message: format!("{field}: there is no SecurityProfile {name} in the namespace"),
    })?;
    of_profile(&found.spec)
        .map_err(|refusal| refusal.of(&format!("{field}: the SecurityProfile {name}")))
}

/// What a security profile says of an account. What devices prove themselves with is made for each.
fn of_profile(profile: &SecurityProfileSpec) -> Result<BootstrapSecurity, Refusal> {
    let unsupported = Refusal::unsupported;
    if profile.credential_source == CredentialSource::Secret {
        let why = "Secret: what a device proves itself with is made for it when it bootstraps; use StateTier";
        return Err(unsupported("spec.credentialSource", why));
    }
    if !profile.cipher_suites.is_empty() {
        let why = "devices are not told which to use; leave it out";
        return Err(unsupported("spec.cipherSuites", why));
    }
    if profile.connection_id == ConnectionIdPolicy::Required {
        let why = "Required: devices are not told to use one; use Preferred";
        return Err(unsupported("spec.connectionID", why));
    }
    let keys = "the key of the server has to be given to the device, which a SecurityProfile does not say; use `drover \
                bootstrap add --server-key`, or the mode PSK";
    match profile.mode {
        SecurityMode::PSK => Ok(BootstrapSecurity::Psk),
        SecurityMode::OSCORE => Ok(BootstrapSecurity::Oscore),
        SecurityMode::RawPublicKey => {
            Err(unsupported("spec.mode", &format!("RawPublicKey: {keys}")))
        }
        SecurityMode::Certificate => Err(unsupported("spec.mode", &format!("Certificate: {keys}"))),
    }
}

// LwM2M Core 1.2 §8.2: an instance of Access Control for each place.
fn rule(field: &str, given: &spec::AccessRule, first: Option<u16>) -> Result<AccessRule, Refusal> {
    let wrong = || Refusal::invalid(&format!("{field}.path"), "is /object or /object/instance");
    let (object, instance) = match given.path.parse() {
        Ok(Path::Object(object)) => (object, None),
        Ok(Path::ObjectInstance(object, instance)) => (object, Some(instance)),
        _ => return Err(wrong()),
    };
    let right = |grant: &spec::AccessGrant| {
        let id = u16::try_from(grant.short_server_id).map_err(|_| {
            let field = format!("{field}.access[].shortServerID");
            Refusal::invalid(&field, "is 0 to 65534")
        })?;
        let bits = grant.rights.iter().map(|right| bit(*right));
        Ok((id, bits.fold(0, |all, bit| all | bit)))
    };
    Ok(AccessRule {
        object,
        instance,
        rights: given.access.iter().map(right).collect::<Result<_, _>>()?,
        // Who may make instances is the bootstrap server's to say; all else is the first server's.
        owner: match instance {
            None => AccessRule::BOOTSTRAP_SERVER,
            Some(_) => first.unwrap_or(AccessRule::BOOTSTRAP_SERVER),
        },
    })
}

const fn bit(right: AccessRight) -> u8 {
    match right {
        AccessRight::Read => 1,
        AccessRight::Write => 1 << 1,
        AccessRight::Execute => 1 << 2,
        AccessRight::Delete => 1 << 3,
        AccessRight::Create => AccessRule::CREATE,
    }
}
