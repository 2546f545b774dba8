//! Credentials: those that were stored are there, those that were deleted are not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::drover::v1::credential_id::Kind;
use proto::drover::v1::credentials_client::CredentialsClient;
use proto::drover::v1::put_credential_request::Credential as New;
use proto::drover::v1::{
    CredentialId, DeleteCredentialRequest, ListCredentialsRequest, PreSharedKey,
    PutCredentialRequest,
};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tonic::Status;

use crate::calls::{Calls, Deadline, is_mistake, request, rest};
use crate::tally::End;

pub(crate) const CALLERS: usize = 3;
const PAGE: u32 = 1_000;

/// A credential and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    identity: String,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    Deleted,
    /// A change has no definite answer, and may come yet.
    Unknown,
}

pub(crate) async fn work(caller: usize, calls: Calls, stop: Arc<AtomicBool>) -> Vec<Kept> {
    let mut rng = calls.rng();
    let mut kept = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // One endpoint may have 64.
        let number = kept.len();
        let identity = format!("key-{caller}-{number}");
        let mut fate = match put(&calls, &mut rng, &identity).await {
            Ok(()) => Fate::Stored,
            Err(_) => Fate::Unknown,
        };
        if fate == Fate::Stored && rng.random_ratio(1, 2) {
            rest(&mut rng, 20..200).await;
            fate = match delete(&calls, &mut rng, &identity).await {
                Ok(()) => Fate::Deleted,
                Err(_) => Fate::Unknown,
            };
        }
        kept.push(Kept { identity, fate });
        rest(&mut rng, 50..300).await;
    }
    kept
}

async fn put(calls: &Calls, rng: &mut ChaCha8Rng, identity: &str) -> Result<(), Status> {
    let key = PreSharedKey {
        identity: identity.as_bytes().to_vec(),
        key: vec![7; 16],
    };
    let put = PutCredentialRequest {
        endpoint: identity.to_owned(),
        credential: Some(New::PreSharedKey(key)),
        ..PutCredentialRequest::default()
    };
    let mut client = CredentialsClient::new(calls.any(rng));
    counted(calls, client.put_credential(request(put)).await.map(drop))
}

async fn delete(calls: &Calls, rng: &mut ChaCha8Rng, identity: &str) -> Result<(), Status> {
    let kind = Some(Kind::PskIdentity(identity.as_bytes().to_vec()));
    let delete = DeleteCredentialRequest {
        id: Some(CredentialId { kind }),
        ..DeleteCredentialRequest::default()
    };
    let mut client = CredentialsClient::new(calls.any(rng));
    counted(
        calls,
        client.delete_credential(request(delete)).await.map(drop),
    )
}

fn counted(calls: &Calls, result: Result<(), Status>) -> Result<(), Status> {
    calls.tally().count(match &result {
        Ok(()) => End::Acknowledged,
        Err(status) if is_mistake(status) => panic!("{status:?}"),
        Err(_) => End::Indefinite,
    });
    result
}

/// Every node lists what was stored and nothing that was deleted, soon.
pub(crate) async fn check(calls: &Calls, kept: &[Kept]) {
    let with = |fate| {
        let of_it = kept
            .iter()
            .filter(move |credential| credential.fate == fate);
        of_it.map(|credential| credential.identity.clone())
    };
    let (stored, deleted): (BTreeSet<_>, BTreeSet<_>) =
        (with(Fate::Stored).collect(), with(Fate::Deleted).collect());
    assert!(!stored.is_empty() && !deleted.is_empty());
    let mut rng = calls.rng();
    for node in 0..calls.nodes() {
        let deadline = Deadline::new();
        loop {
            let wrong = match list(calls, node).await {
                Ok(listed) => {
                    let lost: Vec<_> = stored.difference(&listed).collect();
                    let back: Vec<_> = deleted.intersection(&listed).collect();
                    if lost.is_empty() && back.is_empty() {
                        break;
                    }
                    Status::data_loss(format!("node {node}: lost {lost:?}, back {back:?}"))
                }
                Err(status) => status,
            };
            deadline.check("credentials", &wrong);
            rest(&mut rng, 200..300).await;
        }
    }
}

/// What a node lists from its own rows.
pub(crate) async fn list(calls: &Calls, node: usize) -> Result<BTreeSet<String>, Status> {
    let mut client = CredentialsClient::new(calls.node(node));
    let mut listed = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let list = ListCredentialsRequest {
            page_size: PAGE,
            page_token,
            ..ListCredentialsRequest::default()
        };
        let page = client.list_credentials(request(list)).await?.into_inner();
        let ids = page.credentials.into_iter().filter_map(|it| it.id?.kind);
        listed.extend(ids.map(|kind| match kind {
            Kind::PskIdentity(identity) => String::from_utf8(identity).unwrap(),
            other => panic!("{other:?}"),
        }));
        if page.next_page_token.is_empty() {
            return Ok(listed);
        }
        page_token = page.next_page_token;
    }
}
