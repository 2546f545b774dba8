//! Objects of a storage on this host.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;

use super::*;
use crate::credentials::Credentials;
use crate::error::FetchProblem;
use crate::scripted::{Reply, Server};

const PACKAGE: &[u8] = b"firmware 1.2.3";

fn stored() -> Reply {
    let headers = [
        ("last-modified", "Tue, 01 Dec 2026 21:00:00 GMT"),
        ("etag", "\"1\""),
    ];
    Reply::with(200, &headers, PACKAGE)
}

async fn get(endpoint: &str, key: &str, expected: &Expected) -> Result<Bytes, FetchError> {
    let entries: BTreeMap<String, Vec<u8>> = [
        ("AWS_ACCESS_KEY_ID", "the-id"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", endpoint),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
    .collect();
    let credentials = Credentials::from_entries(&entries).unwrap();
    let object = Object {
        bucket: "firmware",
        key,
        place: format!("s3://firmware/{key}"),
    };
    let limits = Limits::default();
    let progress = Progress::default();
    let package = fetch(
        &object,
        credentials.for_storage(),
        expected,
        (limits, &progress),
    )
    .await;
    if let Ok(package) = &package {
        assert_eq!(progress.bytes(), package.len() as u64);
    }
    package
}

#[tokio::test]
async fn an_object_is_fetched_with_the_keys_of_the_secret() {
    let server = Server::start(|_| stored());
    let package = get(&server.url(""), "pump/1.2 final.bin", &Expected::up_to(100)).await;
    assert_eq!(package.unwrap(), PACKAGE);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/firmware/pump/1.2%20final.bin");
    let signed = asked.header("authorization").unwrap();
    assert!(signed.contains("Credential=the-id/") && signed.contains("/eu-central-1/s3/"));
    assert_eq!(asked.header("x-amz-security-token"), Some("session"));
    assert!(asked.header("user-agent").unwrap().starts_with("drover/"));
}

#[tokio::test]
async fn an_object_is_bounded_and_checked() {
    let server = Server::start(|_| stored());
    let other = Expected {
        digest: Some(device_state::Digest([7; 32])),
        ..Expected::up_to(100)
    };
    for (expected, problem) in [
        (Expected::up_to(13), FetchProblem::Size),
        (other, FetchProblem::Digest),
    ] {
        let error = get(&server.url(""), "pump.bin", &expected)
            .await
            .unwrap_err();
        assert_eq!(error.problem(), problem, "{error}");
    }
}

#[tokio::test]
async fn refusals_say_what_they_are() {
    for (status, transient) in [(404, false), (403, false), (401, false), (503, true)] {
        let server = Server::start(move |_| Reply::status(status));
        let error = get(&server.url(""), "pump.bin", &Expected::up_to(100)).await;
        let error = error.unwrap_err();
        let expected = match status {
            404 => matches!(error, FetchError::Missing { .. }),
            503 => matches!(error, FetchError::Storage { .. }),
            _ => matches!(error, FetchError::Denied { .. }),
        };
        assert!(expected, "{status}: {error:?}");
        assert_eq!(error.is_transient(), transient);
        assert_eq!(error.problem(), FetchProblem::Unreachable);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("s3://firmware/pump.bin") && !shown.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_refusal_without_an_end_is_given_up() {
    let server = Server::start(|_| {
        let head = b"HTTP/1.1 400 no\r\n\r\n".as_slice();
        Reply::held([head, &vec![b'x'; 2 * REFUSAL_LIMIT]].concat())
    });
    let error = get(&server.url(""), "pump.bin", &Expected::up_to(100)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, FetchError::Storage { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_nothing_else_of_it_is() {
    let server = Server::start(|_| {
        let said = "<?xml version=\"1.0\"?><Error><Code>ExpiredToken</Code><Token-0>session</Token-0></Error>";
        Reply::with(400, &[], said.as_bytes())
    });
    let error = get(&server.url(""), "pump.bin", &Expected::up_to(100)).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("ExpiredToken"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("session"),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_at_home_is_unreachable() {
    let endpoint = format!("http://127.0.0.1:{}", free_port::free_port());
    let error = get(&endpoint, "pump.bin", &Expected::up_to(100)).await;
    let error = error.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_key_that_leads_out_of_the_bucket_is_none() {
    let server = Server::start(|_| stored());
    let error = get(&server.url(""), "../other/pump.bin", &Expected::up_to(100)).await;
    assert!(matches!(error, Err(FetchError::Bucket { .. })));
    assert!(server.asked().is_empty());
}
