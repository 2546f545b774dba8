#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use node_runtime::{Tasks, clock};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData};
use serde_json::{Value, json};

use super::*;

/// An issuer with a key of its own, in a file.
struct Authority {
    folder: tempfile::TempDir,
    tasks: Tasks,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
            tasks: Tasks::new(),
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        };
        authority.publish(&[("one", &authority.key)]);
        authority
    }

    fn publish(&self, keys: &[(&str, &KeyPair)]) {
        let keys: Vec<Value> = keys.iter().map(|(id, key)| jwk(id, key)).collect();
        let file = self.folder.path().join("keys.json");
        std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
    }

    fn issuers(&self) -> Issuers {
        let issuer = Issuer {
            issuer: "https://id.test".to_owned(),
            audiences: vec!["drover".to_owned()],
            jwks_url: None,
            jwks_file: Some(self.folder.path().join("keys.json")),
            authorities_file: None,
            claims: Mapping::default(),
        };
        let reloading = Reloading::new(&self.tasks, Duration::from_secs(60));
        Issuers::new(&[issuer], &reloading).unwrap()
    }

    fn token(&self, claims: &Value) -> String {
        signed(Algorithm::ES256, Some("one"), &self.key, claims)
    }
}

fn jwk(id: &str, key: &KeyPair) -> Value {
    let point = key.der_bytes();
    if key.is_compatible(&PKCS_ED25519) {
        return json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(point)});
    }
    // SEC 1 §2.3.3: 4, x, y.
    let [x, y] = [&point[1..33], &point[33..65]].map(|half| URL_SAFE_NO_PAD.encode(half));
    json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": x, "y": y})
}

fn signed(algorithm: Algorithm, id: Option<&str>, key: &KeyPair, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    let der = key.serialize_der();
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
        _ => EncodingKey::from_ec_der(&der),
    };
    encode(&header, claims, &key).unwrap()
}

/// Claims that are good, with some replaced; null takes one out.
fn claims(replaced: &Value) -> Value {
    let now = clock::now_ms() / 1_000;
    let mut claims = json!({
        "iss": "https://id.test", "aud": ["drover"], "sub": "alice", "groups": ["ops"], "exp": now + 600, "nbf": now,
    });
    for (name, value) in replaced.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn why(answer: Option<Result<Identity, Refusal>>) -> TokenRefusal {
    match answer {
        Some(Err(Refusal::Token(reason))) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_token_says_who_calls() {
    let authority = Authority::new();
    let issuers = authority.issuers();
    let token = authority.token(&claims(&json!({"aud": "drover"})));
    let found = issuers.identity(&token).await.unwrap().unwrap();
    assert_eq!(
        (found.name.as_str(), found.groups[0].as_str()),
        ("alice", "ops")
    );
    let edwards = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    authority.publish(&[("one", &authority.key), ("two", &edwards)]);
    let issuers = authority.issuers();
    for id in [Some("two"), None] {
        let token = signed(Algorithm::EdDSA, id, &edwards, &claims(&json!({})));
        assert!(issuers.identity(&token).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_says_why() {
    let authority = Authority::new();
    let issuers = authority.issuers();
    let now = clock::now_ms() / 1_000;
    for (replaced, reason) in [
        (json!({"exp": now - 61}), TokenRefusal::Expired),
        (json!({"nbf": now + 120}), TokenRefusal::NotYet),
        (json!({"aud": ["other"]}), TokenRefusal::Audience),
        (json!({"aud": null}), TokenRefusal::Incomplete),
        (json!({"exp": null}), TokenRefusal::Incomplete),
    ] {
        let token = authority.token(&claims(&replaced));
        assert_eq!(why(issuers.identity(&token).await), reason, "{replaced}");
    }
    // Clocks may be a minute apart.
    let token = authority.token(&claims(&json!({"exp": now - 30, "nbf": now + 30})));
    assert!(issuers.identity(&token).await.unwrap().is_ok());
    // Another issuer's are not for here to judge.
    let token = authority.token(&claims(&json!({"iss": "https://other.test"})));
    assert!(issuers.identity(&token).await.is_none());
    assert!(issuers.identity("junk").await.is_none());
}

#[tokio::test]
async fn only_the_issuers_own_keys_and_algorithms_count() {
    let authority = Authority::new();
    let issuers = authority.issuers();
    let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let good = claims(&json!({}));
    let forged = signed(Algorithm::ES256, Some("one"), &stranger, &good);
    assert_eq!(
        why(issuers.identity(&forged).await),
        TokenRefusal::Signature
    );
    let unknown = signed(Algorithm::ES256, Some("nine"), &stranger, &good);
    assert_eq!(why(issuers.identity(&unknown).await), TokenRefusal::Key);
    // The public key as a shared secret (RFC 8725 §2.1), and no signature at all.
    let secret = EncodingKey::from_secret(authority.key.der_bytes()).unwrap();
    let confused = encode(&Header::new(Algorithm::HS256), &good, &secret).unwrap();
    assert_eq!(
        why(issuers.identity(&confused).await),
        TokenRefusal::Algorithm
    );
    let token = authority.token(&good);
    let parts: Vec<&str> = token.split('.').collect();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let unsigned = format!("{none}.{}.", parts[1]);
    assert_eq!(why(issuers.identity(&unsigned).await), TokenRefusal::Form);
    let changed = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "root"})).to_string());
    let changed = format!("{}.{changed}.{}", parts[0], parts[2]);
    assert_eq!(
        why(issuers.identity(&changed).await),
        TokenRefusal::Signature
    );
}
