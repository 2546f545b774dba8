//! Accounts and plans for tests.

use lwm2m::{Binding, Lifetime, Path};
use lwm2m_client::bootstrap::{StoredAccount, StoredOscore, StoredSecurity};
use lwm2m_server::bootstrap::{
    AccessControl, AccountSecurity, BootstrapPlan, CertificateUse, KeyMaterial, MatchingType,
    OscoreAccount, ServerAccount, ServerCertificate,
};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

pub(crate) const URI: &str = "coaps://lwm2m.example.com:5684";

/// A key that is looked for where it must not be.
pub(crate) const KEY: &[u8] = b"not-to-be-seen!!";

pub(crate) fn key() -> KeyMaterial {
    KeyMaterial::new(KEY.to_vec())
}

pub(crate) fn psk() -> ServerAccount {
    let security = AccountSecurity::Psk {
        identity: b"device-1".to_vec(),
        key: key(),
    };
    ServerAccount {
        lifetime: Lifetime::from_secs(600),
        ..ServerAccount::new(URI, 1, security)
    }
}

/// An account of every kind, with every optional part.
pub(crate) fn every_account() -> Vec<ServerAccount> {
    let certificate = AccountSecurity::Certificate {
        certificate: vec![0x30; 600],
        private_key: key(),
        server: ServerCertificate {
            data: vec![0x31; 700],
            matching_type: Some(MatchingType::Exact),
            certificate_use: Some(CertificateUse::TrustAnchorAssertion),
            sni: Some("lwm2m.example.com".to_owned()),
        },
    };
    let raw_public_key = AccountSecurity::RawPublicKey {
        public_key: vec![0x32; 91],
        private_key: key(),
        server_public_key: vec![0x33; 91],
    };
    let oscore = OscoreAccount {
        instance: 0,
        master_secret: key(),
        master_salt: Some(KeyMaterial::new(vec![9; 8])),
        sender_id: vec![1],
        recipient_id: vec![2],
        id_context: Some(vec![3, 4]),
        aead_algorithm: Some(10),
        hmac_algorithm: Some(-10),
    };
    let kinds = [
        psk().security,
        raw_public_key,
        certificate,
        AccountSecurity::NoSec,
    ];
    let mut accounts: Vec<ServerAccount> = (1_u16..)
        .zip(kinds)
        .map(|(number, security)| ServerAccount {
            security_instance: number,
            server_instance: number,
            binding: Binding::UDP,
            minimum_period: Some(1),
            maximum_period: Some(300),
            hold_off: Some(std::time::Duration::from_secs(10)),
            ..ServerAccount::new(URI, number, security)
        })
        .collect();
    if let Some(last) = accounts.last_mut() {
        last.oscore = Some(oscore);
        last.retry.priority_order = Some(1);
    }
    accounts
}

pub(crate) fn plan(accounts: &[ServerAccount]) -> BootstrapPlan {
    let mut rng = ChaCha12Rng::seed_from_u64(5);
    BootstrapPlan::new(accounts, &[], &mut rng)
}

/// Rights on object 3 as in case 1.1-int-8.
pub(crate) fn access() -> AccessControl {
    AccessControl {
        instance: 0,
        object: 3,
        object_instance: 0,
        rights: vec![(2, 31)],
        owner: 65_535,
    }
}

pub(crate) fn path(text: &str) -> Path {
    text.parse().unwrap()
}

/// Whether the device has what it was to get.
pub(crate) fn agrees(stored: &StoredAccount, account: &ServerAccount) -> bool {
    let oscore = match (&stored.oscore, &account.oscore) {
        (None, None) => true,
        (Some(stored), Some(account)) => oscore_agrees(stored, account),
        _ => false,
    };
    oscore
        && security_agrees(&stored.security, &account.security)
        && stored.uri == account.uri
        && stored.short_server_id == account.short_server_id
        && stored.lifetime == account.lifetime
        && stored.binding == account.binding
        && stored.retry.sequence_retry_count == u64::from(account.retry.sequence_retry_count)
        && stored.retry.retry_count == u64::from(account.retry.retry_count)
}

fn security_agrees(stored: &StoredSecurity, account: &AccountSecurity) -> bool {
    match (stored, account) {
        (StoredSecurity::NoSec, AccountSecurity::NoSec) => true,
        (
            StoredSecurity::Psk { identity, key },
            AccountSecurity::Psk {
                identity: wanted, ..
            },
        ) => identity == wanted && key == KEY,
        (
            StoredSecurity::RawPublicKey {
                public_key,
                private_key,
                server_public_key,
            },
            AccountSecurity::RawPublicKey {
                public_key: wanted,
                server_public_key: wanted_server,
                ..
            },
        ) => public_key == wanted && server_public_key == wanted_server && private_key == KEY,
        (
            StoredSecurity::Certificate {
                certificate,
                private_key,
                server_certificate,
                matching_type,
                certificate_use,
                sni,
            },
            AccountSecurity::Certificate {
                certificate: wanted,
                server,
                ..
            },
        ) => {
            certificate == wanted
                && *server_certificate == server.data
                && private_key == KEY
                && (*matching_type, *certificate_use) == (0, 2)
                && *sni == server.sni
        }
        _ => false,
    }
}

fn oscore_agrees(stored: &StoredOscore, account: &OscoreAccount) -> bool {
    stored.master_secret == KEY
        && stored.master_salt == [9; 8]
        && stored.sender_id == account.sender_id
        && stored.recipient_id == account.recipient_id
        && stored.id_context == account.id_context
}
