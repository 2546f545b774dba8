//! Packages from a web server, which may do anything.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::time::Duration;

use device_state::Digest;
use free_port::free_port;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::error::{FetchProblem, RedirectFault};
use crate::scripted::{Reply, Server};
use crate::{Measured, Source};

const PACKAGE: &[u8] = b"firmware 1.2.3";

fn anything() -> Expected {
    Expected::up_to(1 << 20)
}

fn user() -> Credentials {
    let entry = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
    let entries = BTreeMap::from([entry("username", "user"), entry("password", "pass")]);
    Credentials::from_entries(&entries).unwrap()
}

async fn fetch_as(
    url: &str,
    credentials: &Credentials,
    expected: &Expected,
) -> Result<Bytes, FetchError> {
    let source: Source = url.parse().unwrap();
    let fetcher = Fetcher::new().unwrap();
    fetcher.fetch(&source, credentials, expected).await
}

async fn fetch(url: &str, expected: &Expected) -> Result<Bytes, FetchError> {
    fetch_as(url, &Credentials::default(), expected).await
}

/// The failure of a server that answers any request like this.
async fn failure(answer: fn() -> Reply, expected: &Expected) -> FetchError {
    let server = Server::start(move |_| answer());
    fetch(&server.url("/x"), expected).await.unwrap_err()
}

#[tokio::test]
async fn a_package_that_is_as_declared_is_fetched() {
    let server = Server::start(|_| Reply::ok(PACKAGE));
    let expected = Expected {
        size: Some(PACKAGE.len() as u64),
        digest: Some(Digest(Sha256::digest(PACKAGE).into())),
        limit: 100,
    };
    let source: Source = server.url("/pump.bin?v=2").parse().unwrap();
    let progress = Progress::default();
    let fetcher = Fetcher::new().unwrap().counting(progress.clone());
    let credentials = Credentials::default();
    let fetched = fetcher.fetch(&source, &credentials, &expected);
    assert_eq!(fetched.await.unwrap(), PACKAGE);
    assert_eq!(progress.bytes(), PACKAGE.len() as u64);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/pump.bin?v=2");
    assert!(asked.header("user-agent").unwrap().starts_with("drover/"));
    assert_eq!(asked.header("accept-encoding"), None);
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn another_package_is_a_mismatch_of_digests() {
    let expected = Expected {
        digest: Some(Digest([7; 32])),
        ..anything()
    };
    let error = failure(|| Reply::ok(PACKAGE), &expected).await;
    assert_eq!(error.problem(), FetchProblem::Digest);
    assert!(!error.is_transient());
    assert!(error.to_string().contains(&Digest([7; 32]).to_hex()));
}

#[tokio::test]
async fn a_body_without_an_end_is_given_up_at_the_first_byte_too_many() {
    // No length, and the connection stays open: only counting ends this.
    let endless = || Reply::held([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[0; 4096]].concat());
    let error = failure(endless, &Expected::up_to(4095)).await;
    assert!(
        matches!(error, FetchError::TooLarge { limit: 4095, .. }),
        "{error}"
    );
    assert_eq!(error.problem(), FetchProblem::Size);
    let expected = Expected {
        size: Some(100),
        ..anything()
    };
    let error = failure(endless, &expected).await;
    let actual = Measured::MoreThan(100);
    assert!(
        matches!(error, FetchError::SizeMismatch { actual: a, .. } if a == actual),
        "{error}"
    );
}

#[tokio::test]
async fn a_claim_of_too_much_is_refused_before_anything_arrives() {
    let claim = || Reply::held("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n");
    let error = failure(claim, &anything()).await;
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
    let expected = Expected {
        size: Some(14),
        ..anything()
    };
    let error = failure(claim, &expected).await;
    let actual = Measured::Exactly(99_999_999_999);
    assert!(
        matches!(error, FetchError::SizeMismatch { actual: a, .. } if a == actual),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_that_is_shorter_than_its_claim_was_broken_off() {
    let short = || Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort");
    let error = failure(short, &anything()).await;
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_package_that_is_declared_larger_than_any_may_be_is_not_asked_for() {
    let server = Server::start(|_| Reply::ok(PACKAGE));
    let expected = Expected {
        size: Some(101),
        digest: None,
        limit: 100,
    };
    let error = fetch(&server.url("/x"), &expected).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { .. }));
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn answers_that_are_no_package_say_whether_to_try_again() {
    for (status, transient) in [
        (401, false),
        (403, false),
        (404, false),
        (410, false),
        (204, false),
        (304, false),
        (408, true),
        (429, true),
        (500, true),
        (503, true),
    ] {
        let server = Server::start(move |_| Reply::status(status));
        let error = fetch(&server.url("/x"), &anything()).await.unwrap_err();
        let expected = match status {
            401 | 403 => matches!(error, FetchError::Denied { .. }),
            404 | 410 => matches!(error, FetchError::Missing { .. }),
            _ => matches!(error, FetchError::Status { .. }),
        };
        assert!(expected, "{status}: {error}");
        assert_eq!(error.is_transient(), transient, "{status}");
        assert_eq!(error.problem(), FetchProblem::Unreachable);
        let text = error.to_string();
        assert!(
            text.contains(&status.to_string()) && text.contains(&server.url("/x")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn nobody_at_home_is_unreachable() {
    let url = format!(
        "http://user:hunter2@127.0.0.1:{}/x?token=hunter2",
        free_port()
    );
    let error = fetch(&url, &anything()).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.is_transient());
    assert!(
        !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
}

/// The failure when nobody may be silent for longer than this, nor take longer in all.
async fn failure_in(silence: Duration, total: Duration, answer: fn() -> Reply) -> FetchError {
    let server = Server::start(move |_| answer());
    let limits = Limits {
        silence,
        total,
        ..Limits::default()
    };
    let fetcher = Fetcher::with_limits(limits).unwrap();
    let source = server.url("/x").parse().unwrap();
    let (nobody, expected) = (Credentials::default(), anything());
    let fetched = fetcher.fetch(&source, &nobody, &expected).await;
    fetched.unwrap_err()
}

#[tokio::test]
async fn silence_ends_before_the_answer_and_within_it() {
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(600));
    for answer in [
        || Reply::held(""),
        || Reply::held("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
    ] {
        let error = failure_in(short, long, answer).await;
        assert!(matches!(error, FetchError::Silent { .. }), "{error}");
        assert!(error.is_transient());
        let error = failure_in(long, short, answer).await;
        assert!(matches!(error, FetchError::TooSlow { .. }), "{error}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_log_in_is_sent() {
    let server = Server::start(|_| Reply::ok(PACKAGE));
    fetch_as(&server.url("/x"), &user(), &anything())
        .await
        .unwrap();
    let url = format!("http://user:pass@{}/x", server.host());
    fetch(&url, &anything()).await.unwrap();
    for asked in server.asked() {
        assert_eq!(asked.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    }
}

#[tokio::test]
async fn redirects_are_followed_and_a_log_in_stays_with_its_host() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/first" => Reply::redirect("/second"),
        "/second" => {
            let port = asked.header("host").unwrap().rsplit(':').next().unwrap();
            Reply::redirect(&format!("http://other:pw@localhost:{port}/third"))
        }
        _ => Reply::ok(PACKAGE),
    });
    let package = fetch_as(&server.url("/first"), &user(), &anything()).await;
    assert_eq!(package.unwrap(), PACKAGE);
    let asked = server.asked();
    assert_eq!(asked[1].header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(asked[2].header("host").unwrap(), server.other_host());
    assert_eq!(asked[2].header("authorization"), None);
    assert_eq!(asked[2].header("referer"), None);
}

#[tokio::test]
async fn redirects_have_an_end() {
    let server = Server::start(|_| Reply::redirect("/again?token=hunter2"));
    let error = fetch(&server.url("/x"), &anything()).await.unwrap_err();
    let too_many = RedirectFault::TooMany { limit: 5 };
    assert!(
        matches!(error, FetchError::Redirect { fault, .. } if fault == too_many),
        "{error}"
    );
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test]
async fn redirects_out_of_the_web_are_not_followed() {
    let error = failure(|| Reply::redirect("file:///etc/passwd"), &anything()).await;
    let FetchError::Redirect { fault, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(fault, RedirectFault::Scheme);
}

#[tokio::test]
async fn cosign_signs_in_registries_only() {
    let fetcher = Fetcher::new().unwrap();
    let source = "https://host/x".parse().unwrap();
    let nobody = Credentials::default();
    let found = fetcher.cosign_signatures(&source, &nobody).await;
    assert!(matches!(found, Err(FetchError::NoRegistry { .. })));
}
