//! What the bootstrap server asks of the state tier: the accounts of a device, and their credentials.
//!
//! 1. Before a bootstrap its accounts are made: for each server that wants one a credential of the device. From then on
//!    the device can register with it. Those that it has meanwhile stay good.
//! 2. When the device has finished with its new accounts, the credentials of earlier bootstraps are removed. A
//!    registration that was made with one of them outlives it, until the device registers anew.

mod make;

use device_state::{
    BootstrapRecord, BootstrapResult, BootstrapServer, Command, CredentialId, CredentialKey,
    CredentialName, CredentialOrigin, DeviceName, SecurityIdentity, ShardId, query,
};
use proto::convert::PreparedAccount;
use proto::convert::public::Terms;
use proto::rpc::v1::PrepareBootstrapResponse;
use tonic::Status;

use self::make::Made;
use crate::service::keeper::{Keeper, commit};
use crate::service::status;

/// Keys of bootstraps that did not come to an end and that a device may still have taken.
const MAX_UNCERTAIN: usize = 16;

/// Makes the accounts of a device. One that did not prove who it is gets no keys, and costs others none.
pub(crate) async fn prepare(
    keeper: &Keeper,
    endpoint: &DeviceName,
    proved: bool,
) -> Result<PrepareBootstrapResponse, Status> {
    let profiles = keeper.router.common_group();
    let profile = profiles
        .store()
        .read(|tables| query::bootstrap_profile(tables, endpoint));
    let profile = profile.ok_or_else(|| status::not_found("a bootstrap profile for the device"))?;
    let mut servers = profile.servers.iter();
    if servers.any(|server| server.security.has_secret()) && !proved {
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
        access: profile.access.into_iter().map(Into::into).collect(),
    })
}

async fn account(
    keeper: &Keeper,
    endpoint: &DeviceName,
    server: BootstrapServer,
) -> Result<PreparedAccount, Status> {
    let Made { credential, secret } = make::of(keeper, endpoint, &server)?;
    if let Some(credential) = credential {
        keeper.store(credential, &Terms::default()).await?;
    }
    Ok(PreparedAccount { server, secret })
}

/// Removes the oldest keys of bootstraps that did not come to an end, if there are too many. What the device has confirmed
/// stays.
async fn drop_uncertain(keeper: &Keeper, endpoint: &DeviceName) {
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
async fn remove(keeper: &Keeper, endpoint: &DeviceName, key: CredentialKey) {
    let removed = if is_registered_with(keeper, endpoint, &key) {
        // LwM2M Core 1.2 §6.1.3: a bootstrap says nothing of registrations. This one the device replaces with its new
        // account, or it ends with its lifetime.
        keeper
            .retire(CredentialName::new(&endpoint.namespace(), key.id))
            .await
    } else {
        keeper.remove_wholly(endpoint, key).await
    };
    if let Err(error) = removed {
        tracing::warn!(endpoint = %endpoint.shown(), message = error.message(), "the key of a bootstrap was not removed");
    }
}

fn is_registered_with(keeper: &Keeper, endpoint: &DeviceName, key: &CredentialKey) -> bool {
    let registration = keeper
        .router
        .group_of(endpoint)
        .store()
        .read(|tables| query::registration(tables, endpoint));
    let identity = registration.map(|registration| registration.identity);
    matches!(identity, Some(SecurityIdentity::Credential(id)) if id == key.id)
}

/// The credentials that bootstraps made for an endpoint, oldest first.
fn made_keys(keeper: &Keeper, endpoint: &DeviceName) -> Vec<CredentialKey> {
    let group = keeper.router.group_of(endpoint);
    let known = group
        .store()
        .read(|tables| query::endpoint_credentials(tables, endpoint));
    known
        .into_iter()
        .filter(|bound| bound.origin == CredentialOrigin::Bootstrap)
        .map(|bound| bound.key)
        .collect()
}

/// Keeps how a bootstrap ended; what the device has no use for any more is removed.
pub(crate) async fn finish(
    keeper: &Keeper,
    record: BootstrapRecord,
    made: &[Vec<u8>],
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
        confirmed: made.to_vec(),
        ..record
    };
    commit(&keeper.router, shard, Command::RecordBootstrap { record }).await?;
    if finished {
        let mut known = made_keys(keeper, &endpoint);
        let older = older_keys(&known, made, &before);
        known.retain(|key| older.contains(&key.id));
        for key in known {
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
}
