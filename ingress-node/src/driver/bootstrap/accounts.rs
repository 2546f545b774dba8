//! The accounts of a device, from the state tier to the bootstrap engine.

use device_state::{AccessRule, BootstrapSecurity, OscoreSecret};
use lwm2m::Path;
use lwm2m_server::bootstrap::{
    AccessControl, AccountSecurity, BootstrapPlan, KeyMaterial, OscoreAccount, ServerAccount,
    ServerCertificate,
};
use node_runtime::random;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use state_client::{AccountSecret, PreparedAccount};

/// The accounts in the instances that a device without accounts has free. `None`: what was made for an account is of
/// another kind than its server's security.
pub(super) fn plan(
    accounts: Vec<PreparedAccount>,
    access: Vec<AccessRule>,
) -> Option<BootstrapPlan> {
    let accounts: Option<Vec<ServerAccount>> = (0..)
        .zip(accounts)
        .map(|(number, prepared)| account(number, prepared))
        .collect();
    let mut rng = ChaCha12Rng::from_seed(random::seed());
    let access: Vec<AccessControl> = (0..).zip(access).map(access_control).collect();
    let plan = BootstrapPlan::new(&accounts?, &access, &mut rng);
    if access.is_empty() {
        return Some(plan);
    }
    // LwM2M Core 1.2 §6.1.7: a pack would add to the rules that the device has, and nothing of it can be read.
    Some(BootstrapPlan {
        packs: false,
        reads: vec![Path::Object(1), Path::Object(2)],
        ..plan
    })
}

fn access_control((instance, rule): (u16, AccessRule)) -> AccessControl {
    AccessControl {
        instance,
        object: rule.object,
        object_instance: rule.instance.unwrap_or(AccessRule::CREATION),
        rights: rule.rights,
        owner: rule.owner,
    }
}

fn account(number: u16, account: PreparedAccount) -> Option<ServerAccount> {
    let PreparedAccount { server, secret } = account;
    let mut oscore = None;
    let security = match (server.security, secret) {
        (BootstrapSecurity::NoSec, AccountSecret::NoSec) => AccountSecurity::NoSec,
        (BootstrapSecurity::Psk, AccountSecret::Psk { identity, key }) => AccountSecurity::Psk {
            identity,
            key: KeyMaterial::new(key),
        },
        (BootstrapSecurity::RawPublicKey { server }, AccountSecret::KeyPair(pair)) => {
            AccountSecurity::RawPublicKey {
                public_key: pair.public_key,
                private_key: KeyMaterial::new(pair.private_key),
                server_public_key: server,
            }
        }
        (BootstrapSecurity::Certificate(server), AccountSecret::KeyPair(pair)) => {
            AccountSecurity::Certificate {
                certificate: pair.certificate,
                private_key: KeyMaterial::new(pair.private_key),
                server: ServerCertificate {
                    data: server.certificate,
                    certificate_use: server.usage,
                    ..ServerCertificate::default()
                },
            }
        }
        (BootstrapSecurity::Oscore, AccountSecret::Oscore { client_id, secret }) => {
            oscore = Some(context(number + 1, client_id, secret));
            AccountSecurity::NoSec
        }
        _ => return None,
    };
    Some(ServerAccount {
        security_instance: number + 1,
        server_instance: number,
        oscore,
        lifetime: server.lifetime,
        binding: server.binding,
        ..ServerAccount::new(&server.uri, server.short_server_id, security)
    })
}

/// An OSCORE context with the algorithms that every device has (RFC 8613 §3.2).
fn context(instance: u16, client_id: Vec<u8>, secret: OscoreSecret) -> OscoreAccount {
    OscoreAccount {
        instance,
        master_secret: KeyMaterial::new(secret.master_secret),
        master_salt: Some(KeyMaterial::new(secret.master_salt)),
        sender_id: client_id,
        recipient_id: secret.server_id,
        id_context: secret.id_context,
        aead_algorithm: None,
        hmac_algorithm: None,
    }
}
