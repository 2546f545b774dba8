//! Artefacts of a registry with one repository, which may do anything.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::error::FetchProblem;
use crate::limits::Limits;
use crate::scripted::{Asked, Reply, Server};

const PACKAGE: &[u8] = b"firmware 1.2.3";

fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn layer(bytes: &[u8]) -> Value {
    json!({
        "mediaType": "application/octet-stream",
        "digest": digest(bytes).to_string(),
        "size": bytes.len(),
    })
}

fn manifest(layers: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "config": layer(b"{}"), "layers": layers})
        .to_string()
        .into_bytes()
}

/// What lies in the repository, by the end of its path.
#[derive(Clone, Default)]
struct Contents(BTreeMap<String, Vec<u8>>);

impl Contents {
    fn blob(mut self, bytes: &[u8]) -> Self {
        self.0
            .insert(format!("blobs/{}", digest(bytes)), bytes.to_vec());
        self
    }

    fn manifest(mut self, reference: &str, bytes: &[u8]) -> Self {
        self.0
            .insert(format!("manifests/{reference}"), bytes.to_vec());
        self
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let path = asked.path.strip_prefix("/v2/pump/firmware/");
        let found = path.and_then(|path| self.0.get(path));
        found.map_or_else(|| Reply::status(404), |bytes| Reply::ok(bytes))
    }
}

/// An artefact with these layers, in an open registry.
fn artefact(layers: &[&[u8]]) -> (Server, Digest) {
    let descriptors: Vec<Value> = layers.iter().map(|bytes| layer(bytes)).collect();
    let manifest = manifest(&descriptors);
    let blobs = layers
        .iter()
        .fold(Contents::default(), |all, bytes| all.blob(bytes));
    let contents = blobs.manifest(&digest(&manifest).to_string(), &manifest);
    let server = Server::start(move |asked| contents.answer(asked));
    (server, digest(&manifest))
}

fn repository(server: &Server) -> Repository {
    format!("{}/pump/firmware", server.host()).parse().unwrap()
}

fn user() -> Credentials {
    entries(&[("username", "user"), ("password", "pass")])
}

fn entries(entries: &[(&str, &str)]) -> Credentials {
    let entries = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect();
    Credentials::from_entries(&entries).unwrap()
}

async fn get(
    server: &Server,
    manifest: Digest,
    credentials: &Credentials,
    expected: &Expected,
) -> Result<Bytes, FetchError> {
    let web = Web::new(Limits::default()).unwrap();
    fetch(&web, &repository(server), manifest, credentials, expected).await
}

async fn get_openly(
    server: &Server,
    manifest: Digest,
    expected: &Expected,
) -> Result<Bytes, FetchError> {
    get(server, manifest, &Credentials::default(), expected).await
}

fn anything() -> Expected {
    Expected::up_to(1 << 20)
}

fn wanted(bytes: &[u8]) -> Expected {
    Expected {
        digest: Some(digest(bytes)),
        ..anything()
    }
}

fn fault(error: FetchError) -> RegistryFault {
    match error {
        FetchError::Registry { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_one_layer_of_an_artefact_is_the_package() {
    let (server, manifest) = artefact(&[PACKAGE]);
    for expected in [anything(), wanted(PACKAGE)] {
        let package = get_openly(&server, manifest, &expected).await;
        assert_eq!(package.unwrap(), PACKAGE);
    }
}

#[tokio::test]
async fn of_several_layers_the_expected_one_is_the_package() {
    let (server, manifest) = artefact(&[b"notes", PACKAGE]);
    let package = get_openly(&server, manifest, &wanted(PACKAGE)).await;
    assert_eq!(package.unwrap(), PACKAGE);
    let error = get_openly(&server, manifest, &anything()).await;
    assert_eq!(
        fault(error.unwrap_err()),
        RegistryFault::Layers { count: 2 }
    );
    let error = get_openly(&server, manifest, &wanted(b"other")).await;
    let missing = RegistryFault::NoSuchLayer {
        count: 2,
        digest: digest(b"other"),
    };
    assert_eq!(fault(error.unwrap_err()), missing);
}

#[tokio::test]
async fn an_artefact_that_cannot_be_the_package_is_not_downloaded() {
    let (server, manifest) = artefact(&[PACKAGE]);
    let error = get_openly(&server, manifest, &wanted(b"other")).await;
    assert_eq!(error.unwrap_err().problem(), FetchProblem::Digest);
    let expected = Expected {
        size: Some(15),
        ..anything()
    };
    let error = get_openly(&server, manifest, &expected).await;
    assert_eq!(error.unwrap_err().problem(), FetchProblem::Size);
    let error = get_openly(&server, manifest, &Expected::up_to(13)).await;
    assert_eq!(error.unwrap_err().problem(), FetchProblem::Size);
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.path.contains("/manifests/"))
    );
}

#[tokio::test]
async fn neither_another_manifest_nor_another_blob_is_taken() {
    let real = manifest(&[layer(PACKAGE)]);
    let other = manifest(&[layer(b"something else")]);
    let name = digest(&real);
    let contents = Contents::default()
        .manifest(&name.to_string(), &other)
        .blob(b"something else");
    let server = Server::start(move |asked| contents.answer(asked));
    let error = get_openly(&server, name, &anything()).await.unwrap_err();
    assert!(matches!(error, FetchError::DigestMismatch { expected, .. } if expected == name));

    let server = Server::start(move |asked| {
        let manifest = asked.path.contains("/manifests/");
        Reply::ok(if manifest { &real } else { b"something else" })
    });
    let error = get_openly(&server, name, &anything()).await.unwrap_err();
    let package = digest(PACKAGE);
    assert!(matches!(error, FetchError::DigestMismatch { expected, .. } if expected == package));
}

#[tokio::test]
async fn manifests_of_something_else_say_so() {
    for (text, expected) in [
        (
            r#"{"schemaVersion": 2, "manifests": []}"#,
            RegistryFault::Index,
        ),
        (
            r#"{"schemaVersion": 2, "layers": []}"#,
            RegistryFault::NoLayer,
        ),
        (
            r#"{"schemaVersion": 1, "fsLayers": []}"#,
            RegistryFault::Manifest,
        ),
        ("<html>", RegistryFault::Manifest),
        (
            r#"{"layers": [{"digest": "sha512:00", "size": 1}]}"#,
            RegistryFault::LayerDigest,
        ),
    ] {
        let name = digest(text.as_bytes());
        let contents = Contents::default().manifest(&name.to_string(), text.as_bytes());
        let server = Server::start(move |asked| contents.answer(asked));
        let error = get_openly(&server, name, &anything()).await.unwrap_err();
        assert!(error.to_string().starts_with("oci://"), "{error}");
        assert_eq!(fault(error), expected, "{text}");
    }
}

#[tokio::test]
async fn a_manifest_without_an_end_is_given_up() {
    let endless = vec![b' '; 5 << 20];
    let server = Server::start(move |_| {
        Reply::held([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &endless].concat())
    });
    let error = get_openly(&server, digest(b""), &anything()).await;
    let limit = MANIFEST_LIMIT;
    assert!(matches!(error, Err(FetchError::TooLarge { limit: l, .. }) if l == limit));
}

/// A registry that wants a token, and the service that gives it out to `user`.
fn guarded(token_answer: &'static str) -> (Server, Digest) {
    let manifest = manifest(&[layer(PACKAGE)]);
    let name = digest(&manifest);
    let contents = Contents::default()
        .manifest(&name.to_string(), &manifest)
        .blob(PACKAGE);
    let server = Server::start(move |asked| {
        let authorization = asked.header("authorization");
        if asked.path.starts_with("/token") {
            return match authorization {
                Some("Basic dXNlcjpwYXNz") => Reply::ok(token_answer.as_bytes()),
                _ => Reply::status(401),
            };
        }
        if authorization == Some("Bearer t0ken") {
            return contents.answer(asked);
        }
        let host = asked.header("host").unwrap();
        let challenge =
            format!("Bearer realm=\"http://{host}/token?a=b\",service=\"the registry\"");
        Reply::with(401, &[("www-authenticate", &challenge)], b"")
    });
    (server, name)
}

#[tokio::test]
async fn a_registry_that_wants_a_token_gets_the_one_of_its_service() {
    for answer in [r#"{"token": "t0ken"}"#, r#"{"access_token": "t0ken"}"#] {
        let (server, manifest) = guarded(answer);
        let package = get(&server, manifest, &user(), &anything()).await;
        assert_eq!(package.unwrap(), PACKAGE);
        let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
        let token = "/token?a=b&service=the+registry&scope=repository%3Apump%2Ffirmware%3Apull";
        assert_eq!(paths[1], token);
        assert_eq!(
            paths.len(),
            4,
            "the token does for the blob, too: {paths:?}"
        );
    }
}

#[tokio::test]
async fn a_token_of_the_secret_is_used_as_it_is() {
    let (server, manifest) = guarded("");
    let package = get(
        &server,
        manifest,
        &entries(&[("token", "t0ken")]),
        &anything(),
    )
    .await;
    assert_eq!(package.unwrap(), PACKAGE);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn who_may_not_read_is_denied() {
    let (server, manifest) = guarded(r#"{"token": "another"}"#);
    for credentials in [
        Credentials::default(),
        user(),
        entries(&[("token", "wrong")]),
    ] {
        let error = get(&server, manifest, &credentials, &anything()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, FetchError::Denied { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_an_error_and_not_shown() {
    for answer in [
        "hunter2",
        r#"{"hunter2": 1}"#,
        r#"{"token": "hunter2\r\nx: y"}"#,
    ] {
        let (server, manifest) = guarded(answer);
        let error = get(&server, manifest, &user(), &anything()).await;
        let error = error.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert_eq!(fault(error), RegistryFault::Token);
    }
}

#[tokio::test]
async fn a_log_in_goes_nowhere_in_the_clear() {
    let server = Server::start(|_| {
        let challenge = "Bearer realm=\"http://registry.example/token\"";
        Reply::with(401, &[("www-authenticate", challenge)], b"")
    });
    let error = get(&server, digest(b""), &user(), &anything()).await;
    assert_eq!(fault(error.unwrap_err()), RegistryFault::Realm);
}

#[tokio::test]
async fn a_registry_that_wants_the_log_in_gets_it() {
    let manifest = manifest(&[layer(PACKAGE)]);
    let name = digest(&manifest);
    let contents = Contents::default()
        .manifest(&name.to_string(), &manifest)
        .blob(PACKAGE);
    let server = Server::start(move |asked| match asked.header("authorization") {
        Some("Basic dXNlcjpwYXNz") => contents.answer(asked),
        _ => Reply::with(401, &[("www-authenticate", "Basic realm=\"x\"")], b""),
    });
    let package = get(&server, name, &user(), &anything()).await;
    assert_eq!(package.unwrap(), PACKAGE);
    let error = get_openly(&server, name, &anything()).await;
    assert!(matches!(error, Err(FetchError::Denied { .. })));
}

#[tokio::test]
async fn whoever_keeps_the_blobs_is_told_nothing() {
    let manifest = manifest(&[layer(PACKAGE)]);
    let name = digest(&manifest);
    let asks = "Bearer realm=\"http://127.0.0.1:1/token\"";
    let storage = Server::start(move |asked| match asked.path.as_str() {
        "/open" => Reply::ok(PACKAGE),
        _ => Reply::with(401, &[("www-authenticate", asks)], b""),
    });
    for (path, given) in [("/open", true), ("/closed", false)] {
        let (to, manifest) = (storage.url(path), manifest.clone());
        let server = Server::start(move |asked| {
            if asked.path.contains("/manifests/") {
                Reply::ok(&manifest)
            } else {
                Reply::redirect(&to)
            }
        });
        let package = get(&server, name, &user(), &anything()).await;
        assert_eq!(package.is_ok(), given);
        if let Err(error) = package {
            assert!(matches!(error, FetchError::Denied { .. }), "{error}");
        }
    }
    let none = |asked: &Asked| asked.header("authorization").is_none();
    assert!(storage.asked().iter().all(none));
}

/// The artefact in which cosign keeps signatures of the one with the digest of `b"artefact"`.
fn signed(layers: &[Value]) -> Server {
    let tag = format!("sha256-{}.sig", digest(b"artefact").to_hex());
    let contents = Contents::default()
        .manifest(&tag, &manifest(layers))
        .blob(b"payload");
    Server::start(move |asked| contents.answer(asked))
}

async fn signatures(server: &Server) -> Result<Vec<CosignSignature>, FetchError> {
    let web = Web::new(Limits::default()).unwrap();
    let repository = repository(server);
    let credentials = Credentials::default();
    cosign_signatures(&web, &repository, digest(b"artefact"), &credentials).await
}

#[tokio::test]
async fn the_signatures_of_cosign_are_found_next_to_the_artefact() {
    let mut with = layer(b"payload");
    with["annotations"] = json!({"dev.cosignproject.cosign/signature": "c2lnbmVk", "other": "x"});
    let server = signed(&[layer(b"no signature"), with]);
    let found = signatures(&server).await.unwrap();
    let expected = CosignSignature {
        payload: Bytes::from_static(b"payload"),
        signature: "c2lnbmVk".to_owned(),
    };
    assert_eq!(found, [expected]);
}

#[tokio::test]
async fn an_artefact_that_nobody_signed_has_no_signatures() {
    let (server, _) = artefact(&[PACKAGE]);
    assert_eq!(signatures(&server).await.unwrap(), []);
    let error = signatures(&Server::start(|_| Reply::status(503))).await;
    assert!(error.unwrap_err().is_transient());
}

#[tokio::test]
async fn not_any_number_of_signatures_is_fetched() {
    let many: Vec<Value> = (0..=SIGNATURES).map(|_| layer(b"payload")).collect();
    let server = signed(&many);
    let error = signatures(&server).await.unwrap_err();
    assert_eq!(
        fault(error),
        RegistryFault::Signatures { limit: SIGNATURES }
    );
    assert_eq!(server.asked().len(), 1);
}
