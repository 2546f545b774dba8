use std::sync::atomic::{AtomicUsize, Ordering};

use device_state::{
    DeviceName, Namespace, NodeId, ResumptionId, SecurityIdentity, SessionCid, SessionGeneration,
    Timestamp,
};

use super::*;
use key::{Cipher, ClearKey};

#[test]
fn what_is_sealed_opens_for_its_owner_and_purpose_only() {
    let seal = Seal::new(&[7; 32]);
    let sealed = seal
        .seal(Purpose::PreSharedKey, b"identity", b"secret")
        .expect("sealed");
    assert_eq!(
        seal.open(Purpose::PreSharedKey, b"identity", &sealed),
        Ok(b"secret".to_vec())
    );
    assert_eq!(
        seal.open(Purpose::PreSharedKey, b"other", &sealed),
        Err(SealError::Unsealed)
    );
    assert_eq!(
        seal.open(Purpose::SessionExport, b"identity", &sealed),
        Err(SealError::Unsealed)
    );
    let mut damaged = sealed.clone();
    damaged[20] ^= 1;
    assert_eq!(
        seal.open(Purpose::PreSharedKey, b"identity", &damaged),
        Err(SealError::Unsealed)
    );
    assert_eq!(
        seal.open(Purpose::PreSharedKey, b"identity", &sealed[..5]),
        Err(SealError::Unsealed)
    );
}

#[test]
fn what_a_session_is_stored_and_resumed_from_goes_into_the_log_sealed() {
    let seal = Seal::new(&[7; 32]);
    let clear = (Box::new(session()), Box::new(resumption()));
    let command = Command::StoreSession {
        session: clear.0.clone(),
        resumption: Some(clear.1.clone()),
    };
    let sealed = seal.seal_command(command).expect("sealed");
    let Some(Command::StoreSession {
        mut session,
        resumption: Some(mut resumption),
    }) = sealed
    else {
        panic!("another command")
    };
    assert_ne!(session.export, clear.0.export);
    assert_ne!(resumption.state, clear.1.state);
    seal.open_session(&mut session).expect("opened");
    seal.open_resumption(&mut resumption).expect("opened");
    assert_eq!((session, resumption), clear);
    let resume = Command::Resume {
        id: clear.1.id,
        session: Some(clear.0.clone()),
    };
    let Ok(Some(Command::Resume {
        session: Some(session),
        ..
    })) = seal.seal_command(resume)
    else {
        panic!("another command")
    };
    assert_ne!(session.export, clear.0.export);
    let store = Command::StoreResumption {
        resumption: clear.1.clone(),
    };
    let Ok(Some(Command::StoreResumption { resumption })) = seal.seal_command(store) else {
        panic!("another command")
    };
    assert_ne!(resumption.state, clear.1.state);
    let remove = Command::RemoveResumption { id: clear.1.id };
    assert_eq!(seal.seal_command(remove), Ok(None));
}

fn session() -> Session {
    Session {
        namespace: Namespace::default(),
        cid: SessionCid([1; 8]),
        export: b"keys".to_vec(),
        identity: SecurityIdentity::Unauthenticated,
        peer: ([192, 0, 2, 7], 5684).into(),
        owner: NodeId(1),
        generation: SessionGeneration(0),
        stored_at: Timestamp(0),
        expires_at: Timestamp(1),
    }
}

fn resumption() -> Resumption {
    Resumption {
        namespace: Namespace::default(),
        id: ResumptionId([1; 32]),
        state: b"master secret".to_vec(),
        identity: SecurityIdentity::Unauthenticated,
        session: None,
        stored_at: Timestamp(0),
        expires_at: Timestamp(1),
    }
}

#[test]
fn fingerprints_tell_where_one_part_ends() {
    assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
}

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];
const OWNER: &[u8] = b"identity";

fn keys(keys: &[[u8; 32]], max_uses: u64) -> Seal {
    Seal::with(keys.iter().map(FileKey::new).collect(), max_uses)
}

fn psk(seal: &Seal) -> Vec<u8> {
    let sealed = seal.seal(Purpose::PreSharedKey, OWNER, b"secret");
    sealed.expect("sealed")
}

fn opened(seal: &Seal, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    seal.open(Purpose::PreSharedKey, OWNER, sealed)
}

fn header(sealed: &[u8]) -> Wrapped {
    Wrapped::decode(&sealed[1..]).expect("an envelope").0
}

#[test]
fn a_retired_key_opens_and_the_primary_seals() {
    let (before, after) = (keys(&[OLD], MAX_USES), keys(&[NEW, OLD], MAX_USES));
    let old = psk(&before);
    assert_eq!(opened(&after, &old), Ok(b"secret".to_vec()));
    let new = psk(&after);
    assert_eq!(
        opened(&keys(&[NEW], MAX_USES), &new),
        Ok(b"secret".to_vec())
    );
    let unknown = SealError::UnknownKey(FileKey::new(&OLD).id());
    assert_eq!(opened(&keys(&[NEW], MAX_USES), &old), Err(unknown));
    let unknown = SealError::UnknownKey(FileKey::new(&NEW).id());
    assert_eq!(opened(&before, &new), Err(unknown));
    // Before the roll-out of a new key, nodes that do not seal with it yet open it.
    assert_eq!(opened(&keys(&[OLD, NEW], 1), &new), Ok(b"secret".to_vec()));
}

#[test]
fn what_was_sealed_before_there_were_data_keys_opens_with_any_key() {
    let bound = bind(Purpose::PreSharedKey, OWNER);
    let mut direct = vec![1];
    direct.extend(Cipher::new(&OLD).seal(&bound, b"secret").expect("sealed"));
    for seal in [keys(&[OLD], 1), keys(&[NEW, OLD], 1)] {
        assert_eq!(opened(&seal, &direct), Ok(b"secret".to_vec()));
    }
    assert_eq!(opened(&keys(&[NEW], 1), &direct), Err(SealError::Unsealed));
}

#[test]
fn the_bytes_of_an_envelope_do_not_change() {
    let sealed = psk(&keys(&[OLD], MAX_USES));
    assert_eq!(sealed[0], 2);
    assert_eq!(sealed[1..9], FileKey::new(&OLD).id().0);
    // A wrapped key: nonce, 32 bytes, tag.
    assert_eq!(sealed[9..11], [0, 60]);
    assert_eq!(sealed.len(), 11 + 60 + 12 + b"secret".len() + 16);
    let digest = digest::digest(&digest::SHA256, &OLD);
    assert_eq!(sealed[1..9], digest.as_ref()[..8]);
}

#[test]
fn a_secret_opens_in_its_own_namespace_only() {
    let seal = keys(&[OLD], MAX_USES);
    let secret = Secret::PreSharedKey(vec![7; 16]);
    let stored = |device: &str| Credential {
        id: CredentialId::PskIdentity(b"meter-7".to_vec()),
        endpoint: DeviceName::parse(device).expect("a name"),
        sealed_secret: Vec::new(),
        created_at: Timestamp(1),
        serial: 1,
    };
    let (ours, theirs) = (stored("meter-7"), stored("\u{1f}acme\u{1f}meter-7"));
    for (own, other) in [(&ours, &theirs), (&theirs, &ours)] {
        let sealed_secret = seal.seal_secret(&own.name(), &secret).expect("sealed");
        let with = |credential: &Credential| Credential {
            sealed_secret: sealed_secret.clone(),
            ..credential.clone()
        };
        assert_eq!(seal.open_secret(&with(own)), Ok(secret.clone()));
        assert_eq!(seal.open_secret(&with(other)), Err(SealError::Unsealed));
    }
}

#[test]
fn a_data_key_is_used_so_often_and_a_process_has_its_own() {
    let seal = keys(&[OLD], 2);
    let sealed: Vec<_> = (0..4).map(|_| psk(&seal)).collect();
    let headers: Vec<_> = sealed.iter().map(|sealed| header(sealed)).collect();
    assert_eq!(headers[0], headers[1]);
    assert_ne!(headers[1], headers[2]);
    assert_eq!(headers[2], headers[3]);
    assert_ne!(header(&psk(&keys(&[OLD], 2))), headers[0]);
    let other = keys(&[OLD], 2);
    for sealed in &sealed {
        assert_eq!(opened(&other, sealed), Ok(b"secret".to_vec()));
    }
}

/// Counts how often it is asked to unwrap.
struct Counting(FileKey, AtomicUsize);

impl KeyEncryption for Counting {
    fn id(&self) -> KeyId {
        self.0.id()
    }

    fn wrap(&self, key: &ClearKey) -> Result<Vec<u8>, SealError> {
        self.0.wrap(key)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<ClearKey, SealError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unwrap(wrapped)
    }
}

#[test]
fn a_data_key_is_unwrapped_once_and_not_for_every_secret() {
    let sealed = psk(&keys(&[OLD], MAX_USES));
    let key = Counting(FileKey::new(&OLD), AtomicUsize::new(0));
    let data = DataKeys::new(MAX_USES);
    for _ in 0..10 {
        data.open(header(&sealed), &key).expect("unwrapped");
    }
    assert_eq!(key.1.load(Ordering::Relaxed), 1);
    // More keys than are kept: they are unwrapped again, and nothing grows.
    for _ in 0..1_030 {
        let wrapped = header(&psk(&keys(&[OLD], 1)));
        data.open(wrapped, &key).expect("unwrapped");
    }
    data.open(header(&sealed), &key).expect("unwrapped");
    assert_eq!(key.1.load(Ordering::Relaxed), 1_032);
}
