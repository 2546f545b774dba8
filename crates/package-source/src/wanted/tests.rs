#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;
use crate::scripted::{Reply, Server};
use crate::signature::SignatureFault;
use crate::signature::tests::{ED25519_PEM, OTHER_ED25519_PEM, PACKAGE, key, raw};

async fn fetch(server: &Server, pem: &str, by: SignedBy) -> Result<Bytes, WantedError> {
    let wanted = Wanted {
        source: server.url("/pump.bin").parse().unwrap(),
        credentials: Credentials::default(),
        expected: Expected {
            size: None,
            digest: None,
            limit: 100,
        },
        signature: Some(Signature { key: key(pem), by }),
    };
    Fetcher::new().unwrap().fetch_wanted(&wanted).await
}

#[tokio::test]
async fn a_package_that_is_signed_is_given_out_and_no_other() {
    let server = Server::start(|_| Reply::ok(PACKAGE));
    let signed = SignedBy::Value(raw());
    let package = fetch(&server, ED25519_PEM, signed).await.unwrap();
    assert_eq!(package, PACKAGE);
    for (pem, by) in [
        (OTHER_ED25519_PEM, signed),
        (ED25519_PEM, SignedBy::Value([7; 64])),
    ] {
        let refused = fetch(&server, pem, by).await.unwrap_err();
        let expected = SignatureError::Invalid(SignatureFault::Package);
        assert!(matches!(refused, WantedError::Signature(error) if error == expected));
    }
}

#[tokio::test]
async fn cosign_signs_in_registries_only() {
    let server = Server::start(|_| Reply::ok(PACKAGE));
    let refused = fetch(&server, ED25519_PEM, SignedBy::Cosign).await;
    let refused = refused.unwrap_err();
    assert!(matches!(
        refused,
        WantedError::Fetch(FetchError::NoRegistry { .. })
    ));
    assert!(server.asked().is_empty());
}
