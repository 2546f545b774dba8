//! What the bootstrap server asks of the state tier: the accounts of a device, and their credentials.
//!
//! 1. Before a bootstrap its accounts are made: a key for each server that wants one, stored as a credential of the
//!    device. From then on the device can register with it. Those that it has meanwhile stay good.
//! 2. When the device has finished with its new accounts, the keys of earlier bootstraps are removed.
//!
//! A key of a bootstrap is known by its PSK identity, which begins with the endpoint and is never used twice.

use device_state::{
    BootstrapRecord, BootstrapResult, BootstrapSecurity, BootstrapServer, Command, CredentialId,
    CredentialKey, Secret, ShardId, query,
};
use lwm2m::EndpointName;
use node_runtime::random;
use proto::convert::{NewCredential, PreparedAccount};
use proto::rpc::v1::PrepareBootstrapResponse;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::service::keeper::{Keeper, commit};
use crate::service::status;

/// All bootstrap profiles are in this shard.
pub(crate) const PROFILES: ShardId = ShardId(0);
/// Keys of bootstraps that did not come to an end and that a device may still have taken.
const MAX_UNCERTAIN: usize = 16;
/// Endpoint names that are longer are told by their hash: a PSK identity has 128 bytes.
const MAX_NAME: usize = 100;
/// Bytes of a key, which fits any of the suites that LwM2M has for pre-shared keys.
const KEY_BYTES: usize = 16;

/// Makes the accounts of a device. One that did not prove who it is gets no keys, and costs others none.
pub(crate) async fn prepare(
    keeper: &Keeper,
    endpoint: &EndpointName,
    proved: bool,
) -> Result<PrepareBootstrapResponse, Status> {
    let profiles = keeper
        .router
        .group(PROFILES)
        .ok_or_else(|| Status::internal("there is no shard 0"))?;
    let profile = profiles
        .store()
        .read(|tables| query::bootstrap_profile(tables, endpoint));
    let profile = profile.ok_or_else(|| status::not_found("a bootstrap profile for the device"))?;
    let keys = |server: &&BootstrapServer| server.security == BootstrapSecurity::Psk;
    let wanted = profile.servers.iter().filter(keys).count();
    if wanted > 0 && !proved {
        return Err(Status::permission_denied(
            "the device did not prove who it is, and there are keys in its accounts",
        ));
    }
    drop_uncertain(keeper, endpoint).await;
    let mut accounts = Vec::with_capacity(profile.servers.len());
    for server in profile.servers {
        accounts.push(account(keeper, endpoint, server).await?.into());
    }
    Ok(PrepareBootstrapResponse {
        profile: profile.name,
        accounts,
    })
}

async fn account(
    keeper: &Keeper,
    endpoint: &EndpointName,
    server: BootstrapServer,
) -> Result<PreparedAccount, Status> {
    let psk = match server.security {
        BootstrapSecurity::NoSec => None,
        BootstrapSecurity::Psk => {
            let identity = format!(
                "{}{}/{:016x}",
                identity_prefix(endpoint),
                server.short_server_id,
                random::random_u64()
            );
            let key = random::seed()
                .into_iter()
                .take(KEY_BYTES)
                .collect::<Vec<u8>>();
            let new = NewCredential {
                endpoint: endpoint.clone(),
                id: CredentialId::PskIdentity(identity.clone().into_bytes()),
                secret: Secret::PreSharedKey(key.clone()),
            };
            keeper.store(new).await?;
            Some((identity.into_bytes(), key))
        }
    };
    Ok(PreparedAccount { server, psk })
}

/// Removes the oldest keys of bootstraps that did not come to an end, if there are too many. What the device has confirmed
/// stays.
async fn drop_uncertain(keeper: &Keeper, endpoint: &EndpointName) {
    let group = keeper.router.group_of(endpoint);
    let confirmed = group
        .store()
        .read(|tables| query::bootstrap(tables, endpoint))
        .map(|record| record.confirmed)
        .unwrap_or_default();
    let is_confirmed = |key: &CredentialKey| confirmed.iter().any(|id| id == key.id.as_bytes());
    let mut uncertain = made_keys(keeper, endpoint);
    uncertain.retain(|key| !is_confirmed(key));
    let excess = uncertain.len().saturating_sub(MAX_UNCERTAIN);
    for key in uncertain.into_iter().take(excess) {
        remove(keeper, endpoint, key).await;
    }
}

/// Removes a key. One that stays is tried again at the next bootstrap.
async fn remove(keeper: &Keeper, endpoint: &EndpointName, key: CredentialKey) {
    if let Err(error) = keeper.remove_wholly(endpoint, key).await {
        tracing::warn!(%endpoint, message = error.message(), "the key of a bootstrap was not removed");
    }
}

/// What the identities of all keys that bootstraps make for an endpoint begin with.
fn identity_prefix(endpoint: &EndpointName) -> String {
    let name = endpoint.as_str();
    if name.len() <= MAX_NAME {
        format!("{name}/")
    } else {
        format!("~{}/", hex::encode(Sha256::digest(name)))
    }
}

/// The keys that bootstraps made for an endpoint, oldest first.
fn made_keys(keeper: &Keeper, endpoint: &EndpointName) -> Vec<CredentialKey> {
    let prefix = identity_prefix(endpoint);
    let is_made = |id: &CredentialId| match id {
        CredentialId::PskIdentity(identity) => identity
            .strip_prefix(prefix.as_bytes())
            .is_some_and(is_made_suffix),
        CredentialId::PublicKey(_) | CredentialId::OscoreId(_) => false,
    };
    let group = keeper.router.group_of(endpoint);
    let known = group
        .store()
        .read(|tables| query::endpoint_credentials(tables, endpoint));
    known.into_iter().filter(|key| is_made(&key.id)).collect()
}

/// `1/0123456789abcdef`
fn is_made_suffix(suffix: &[u8]) -> bool {
    let Some(slash) = suffix.iter().position(|byte| *byte == b'/') else {
        return false;
    };
    let (server, rest) = suffix.split_at(slash);
    let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    !server.is_empty()
        && server.iter().all(u8::is_ascii_digit)
        && rest.len() == 17
        && rest.iter().skip(1).all(is_hex)
}

/// Keeps how a bootstrap ended; what the device has no use for any more is removed.
pub(crate) async fn finish(
    keeper: &Keeper,
    record: BootstrapRecord,
    identities: &[Vec<u8>],
) -> Result<(), Status> {
    let endpoint = record.endpoint.clone();
    let shard = ShardId::of_endpoint(&endpoint, keeper.router.shards());
    let finished = record.outcome == BootstrapResult::Finished;
    let group = keeper.router.group_of(&endpoint);
    let before = group
        .store()
        .read(|tables| query::bootstrap(tables, &endpoint))
        .map(|record| record.confirmed)
        .unwrap_or_default();
    let record = BootstrapRecord {
        confirmed: identities.to_vec(),
        ..record
    };
    commit(&keeper.router, shard, Command::RecordBootstrap { record }).await?;
    if finished {
        let mut made = made_keys(keeper, &endpoint);
        let older = older_keys(&made, identities, &before);
        made.retain(|key| older.contains(&key.id));
        for key in made {
            remove(keeper, &endpoint, key).await;
        }
    }
    Ok(())
}

/// Of the keys that were made for a device, oldest first, those that it has no use for once it has confirmed `own`, having
/// confirmed `before` earlier. Those made after its own are of a bootstrap that is under way.
fn older_keys(made: &[CredentialKey], own: &[Vec<u8>], before: &[Vec<u8>]) -> Vec<CredentialId> {
    let is_in = |all: &[Vec<u8>], key: &CredentialKey| all.iter().any(|id| id == key.id.as_bytes());
    let first_own = made.iter().position(|key| is_in(own, key));
    let older = match first_own {
        Some(first) => first,
        // Its own keys are not here yet, so none that was made later is.
        None if !own.is_empty() => made.len(),
        // It has none of its own.
        None => 0,
    };
    made.iter()
        .enumerate()
        .filter(|(at, key)| !is_in(own, key) && (*at < older || is_in(before, key)))
        .map(|(_, key)| key.id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_people_added_are_not_taken_for_those_of_bootstraps() {
        assert!(is_made_suffix(b"1/0123456789abcdef"));
        for other in [
            &b""[..],
            b"1",
            b"1/",
            b"/0123456789abcdef",
            b"a/0123456789abcdef",
            b"1/0123456789abcde",
            b"1/0123456789ABCDEF",
            b"1/0123456789abcdef0",
        ] {
            assert!(!is_made_suffix(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn keys_of_earlier_bootstraps_are_removed_and_those_of_one_under_way_are_not() {
        let key = |name: &&str| CredentialKey {
            id: CredentialId::PskIdentity(name.as_bytes().to_vec()),
            serial: 1,
        };
        let older = |made: &[&str], own: &[&str], before: &[&str]| {
            let made: Vec<CredentialKey> = made.iter().map(key).collect();
            let ids = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
            let (own, before): (Vec<_>, Vec<_>) = (ids(own), ids(before));
            older_keys(&made, &own, &before)
                .iter()
                .map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(older(&["a", "b", "c"], &["b"], &["a"]), ["a"]);
        // This node does not have its own key yet.
        assert_eq!(older(&["a", "b"], &["c"], &["b"]), ["a", "b"]);
        // The profile gives no keys any more.
        assert_eq!(older(&["a", "b"], &[], &["a"]), ["a"]);
    }

    #[test]
    fn an_identity_has_at_most_128_bytes() {
        for length in [1, MAX_NAME, MAX_NAME + 1, EndpointName::MAX_BYTES] {
            let endpoint = EndpointName::new(&"e".repeat(length)).expect("a valid name");
            assert!(identity_prefix(&endpoint).len() + "65534/0123456789abcdef".len() <= 128);
        }
    }
}
