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
/// Where cosign puts a signature, in the annotations of the layer that it is of.
const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// What a bundle is about, where whoever pushed it says so.
const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

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
    let expected = CosignSignature::Layer {
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
    assert_eq!(blobs(&server), 0);
}

const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An artefact that refers to the one with the digest of `b"artefact"`, in the contents and as an index has it.
fn referring(contents: Contents, bundle: &[u8], kind: &str, predicate: &str) -> (Contents, Value) {
    let mut layer = layer(bundle);
    layer["mediaType"] = json!(BUNDLE_TYPE);
    let manifest = manifest(&[layer]);
    let mut entry = entry(&manifest, kind);
    entry["annotations"] = json!({PREDICATE_ANNOTATION: predicate});
    let name = digest(&manifest).to_string();
    (contents.blob(bundle).manifest(&name, &manifest), entry)
}

/// A manifest as an index has it that says nothing of what it is about.
fn entry(manifest: &[u8], kind: &str) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest(manifest).to_string(),
        "size": manifest.len(),
        "artifactType": kind,
    })
}

fn index(entries: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "manifests": entries})
        .to_string()
        .into_bytes()
}

/// Where a registry lists what refers to the artefact, and the tag that has it elsewhere.
fn lists() -> (String, String) {
    let name = digest(b"artefact");
    (
        format!("referrers/{name}"),
        format!("sha256-{}", name.to_hex()),
    )
}

/// These contents, and what refers to the artefact.
fn listing(mut contents: Contents, entries: &[Value]) -> Server {
    contents.0.insert(lists().0, index(entries));
    Server::start(move |asked| contents.answer(asked))
}

fn good_bundle() -> CosignSignature {
    CosignSignature::Bundle(Bytes::from_static(b"{}"))
}

fn blobs(server: &Server) -> usize {
    let asked = server.asked();
    let blobs = asked.iter().filter(|asked| asked.path.contains("/blobs/"));
    blobs.count()
}

#[tokio::test]
async fn bundles_are_found_by_what_refers_to_the_artefact() {
    let (contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    let (contents, built) = referring(
        contents,
        b"built",
        BUNDLE_TYPE,
        "https://slsa.dev/provenance/v1",
    );
    let (contents, notes) = referring(contents, b"notes", "text/plain", SIGNED);
    let server = listing(contents, &[built, signed, notes]);
    assert_eq!(signatures(&server).await.unwrap(), [good_bundle()]);
    assert_eq!(blobs(&server), 1);
}

#[tokio::test]
async fn bundles_are_found_by_a_tag_where_a_registry_lists_nothing() {
    let (contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    let contents = contents.manifest(&lists().1, &index(&[signed]));
    for status in [200, 400, 403, 404, 405, 406, 410, 501] {
        let contents = contents.clone();
        let server = Server::start(move |asked| {
            if asked.path.contains("/referrers/") {
                Reply::with(status, &[], b"<html>")
            } else {
                contents.answer(asked)
            }
        });
        let found = signatures(&server).await.unwrap();
        assert_eq!(found, [good_bundle()], "{status}");
    }
}

#[tokio::test]
async fn a_tag_that_is_no_index_says_that_nothing_refers_to_the_artefact() {
    let artefact = manifest(&[layer(PACKAGE)]);
    for body in [artefact.as_slice(), b"<html>"] {
        let contents = Contents::default().manifest(&lists().1, body);
        let server = Server::start(move |asked| contents.answer(asked));
        assert_eq!(signatures(&server).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_an_index_does_not_say_is_looked_for_in_the_manifest() {
    let (mut contents, mut signed) = referring(Contents::default(), b"{}", EMPTY, SIGNED);
    signed["annotations"] = Value::Null;
    let mut built = layer(b"built");
    built["mediaType"] = json!(BUNDLE_TYPE);
    let built = json!({
        "layers": [built],
        "annotations": {PREDICATE_ANNOTATION: "https://slsa.dev/provenance/v1"},
    });
    let built = built.to_string().into_bytes();
    let notes = manifest(&[layer(b"notes")]);
    let mut entries = vec![signed];
    for manifest in [built, notes] {
        contents = contents.manifest(&digest(&manifest).to_string(), &manifest);
        let mut untyped = entry(&manifest, "");
        entries.extend([entry(&manifest, EMPTY), untyped.clone()]);
        untyped["artifactType"] = Value::Null;
        entries.push(untyped);
    }
    let server = listing(contents, &entries);
    assert_eq!(signatures(&server).await.unwrap(), [good_bundle()]);
    assert_eq!(blobs(&server), 1);
}

#[tokio::test]
async fn an_odd_referrer_does_not_hide_a_good_bundle() {
    let large = vec![b' '; BUNDLE_LIMIT as usize + 1];
    let (contents, large) = referring(Contents::default(), &large, BUNDLE_TYPE, SIGNED);
    let (contents, signed) = referring(contents, b"{}", BUNDLE_TYPE, SIGNED);
    let dangling = entry(b"not there", BUNDLE_TYPE);
    let mut undigested = dangling.clone();
    undigested["digest"] = json!("sha512:00");
    let changed = entry(b"changed", BUNDLE_TYPE);
    let mut contents = contents.manifest(&digest(b"changed").to_string(), b"other");
    let mut entries = vec![large, dangling, undigested, changed];
    for odd in [index(&[]), b"<html>".to_vec()] {
        entries.push(entry(&odd, BUNDLE_TYPE));
        contents = contents.manifest(&digest(&odd).to_string(), &odd);
    }
    entries.push(signed);
    let server = listing(contents, &entries);
    assert_eq!(signatures(&server).await.unwrap(), [good_bundle()]);
}

#[tokio::test]
async fn a_referrer_that_cannot_be_read_now_or_not_by_everybody_is_an_error() {
    let (mut contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    contents.0.insert(lists().0, index(&[signed]));
    for (status, transient) in [(503, true), (403, false)] {
        let contents = contents.clone();
        let server = Server::start(move |asked| {
            if asked.path.contains("/blobs/") {
                Reply::status(status)
            } else {
                contents.answer(asked)
            }
        });
        let error = signatures(&server).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn of_many_referrers_those_that_say_that_they_are_signatures_are_looked_at_first() {
    let (contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    let mut entries = vec![entry(b"not there", BUNDLE_TYPE); SIGNATURES];
    entries.push(signed);
    let server = listing(contents, &entries);
    let more = CosignSignature::More { limit: SIGNATURES };
    assert_eq!(signatures(&server).await.unwrap(), [good_bundle(), more]);
    // The tag of the signatures, the list, the manifests, and the one blob.
    assert_eq!(server.asked().len(), 2 + SIGNATURES + 1);
}

#[tokio::test]
async fn the_pages_of_a_list_are_asked_for_at_the_same_registry_up_to_a_bound() {
    for (host, pages) in [("127.0.0.1", PAGES), ("localhost", 1)] {
        let server = Server::start(move |asked| {
            if !asked.path.contains("/referrers/") {
                return Reply::status(404);
            }
            let port = asked.header("host").unwrap().rsplit(':').next().unwrap();
            let next = format!("<http://{host}:{port}{}?next>; rel=\"next\"", asked.path);
            let entries = [entry(b"not there", BUNDLE_TYPE)];
            Reply::with(200, &[("link", &next)], &index(&entries))
        });
        assert_eq!(signatures(&server).await.unwrap(), []);
        let asked = server.asked();
        let lists = asked.iter().filter(|one| one.path.contains("/referrers/"));
        assert_eq!(lists.count(), pages, "{host}");
    }
}

#[tokio::test]
async fn a_bundle_on_a_later_page_is_found() {
    let (mut contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    contents
        .0
        .insert("referrers/next?n=1".to_owned(), index(&[signed]));
    let server = Server::start(move |asked| {
        if asked.path.contains("/referrers/sha256:") {
            let next = "</v2/pump/firmware/referrers/next?n=1>; rel=next";
            Reply::with(200, &[("link", next)], &index(&[]))
        } else {
            contents.answer(asked)
        }
    });
    assert_eq!(signatures(&server).await.unwrap(), [good_bundle()]);
}

#[test]
fn only_a_link_to_the_next_page_is_followed() {
    assert_eq!(next_target("</a?b=c>; n=1; rel=\"next\""), Some("/a?b=c"));
    for other in ["</a>; rel=\"prev\"", "</a>", "/a; rel=\"next\"", "<", ""] {
        assert_eq!(next_target(other), None, "{other}");
    }
}

#[tokio::test]
async fn signatures_in_one_place_do_without_the_other_place() {
    let (mut contents, signed) = referring(Contents::default(), b"{}", BUNDLE_TYPE, SIGNED);
    contents.0.insert(lists().0, index(&[signed]));
    let mut old = layer(b"payload");
    old["annotations"] = json!({SIGNATURE_ANNOTATION: "c2lnbmVk"});
    let contents = contents
        .blob(b"payload")
        .manifest(&format!("{}.sig", lists().1), &manifest(&[old]));
    for (broken, found) in [(".sig", 1), ("/referrers/", 1), ("nothing", 2)] {
        let contents = contents.clone();
        let server = Server::start(move |asked| {
            if asked.path.contains(broken) {
                Reply::status(503)
            } else {
                contents.answer(asked)
            }
        });
        assert_eq!(signatures(&server).await.unwrap().len(), found, "{broken}");
    }
}

#[tokio::test]
async fn a_place_without_signatures_does_not_make_up_for_one_that_cannot_be_read() {
    for broken in [".sig", "/referrers/"] {
        let entries = vec![entry(b"not there", BUNDLE_TYPE); SIGNATURES + 1];
        let list = index(&entries);
        let server = Server::start(move |asked| {
            if asked.path.contains(broken) {
                Reply::status(503)
            } else if asked.path.contains("/referrers/") {
                Reply::ok(&list)
            } else {
                Reply::status(404)
            }
        });
        let error = signatures(&server).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
}
