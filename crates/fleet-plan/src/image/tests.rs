#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use crd::FirmwareImageStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

const DIGEST: Digest = Digest([0xa5; Digest::BYTES]);
const OCI: &str = "{ociRef: {repository: registry.example.com/m200, digest: 'sha256:1'}}";

fn image(source: &str) -> FirmwareImage {
    let text = format!(
        "{{apiVersion: drover.dev/v1alpha1, kind: FirmwareImage, metadata: {{name: a, generation: 3}}, spec: \
         {{source: {source}, packageName: p, version: 1.0.0, sizeBytes: 9, digest: '{DIGEST}'}}}}"
    );
    serde_yaml_ng::from_str(&text).unwrap()
}

fn change(image: &FirmwareImage, observed: &Observed) -> Option<FirmwareImageStatus> {
    status_change(image, observed, &Time(Timestamp::UNIX_EPOCH))
}

fn status(image: &FirmwareImage, references: Option<i32>) -> Option<FirmwareImageStatus> {
    let observed = Observed {
        references,
        ..Observed::default()
    };
    change(image, &observed)
}

/// Takes the status that it should have.
fn told(image: &mut FirmwareImage, observed: &Observed) -> [(String, String); 2] {
    if let Some(status) = change(image, observed) {
        image.status = Some(status);
    }
    ["Verified", "Available"].map(|kind| {
        let (status, reason) = condition(image.status.as_ref().unwrap(), kind);
        (status.to_owned(), reason.to_owned())
    })
}

fn says(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn condition<'a>(status: &'a FirmwareImageStatus, kind: &str) -> (&'a str, &'a str) {
    let found = status
        .conditions
        .iter()
        .find(|one| one.type_ == kind)
        .unwrap();
    (&found.status, &found.reason)
}

#[test]
fn an_image_is_accepted_and_not_called_verified() {
    for scheme in SCHEMES {
        let image = image(&format!("{{uri: '{scheme}://a/b'}}"));
        let status = status(&image, Some(2)).unwrap();
        assert_eq!(condition(&status, "Accepted"), ("True", "Accepted"));
        assert_eq!(condition(&status, "Verified"), ("Unknown", "NotChecked"));
        assert_eq!(condition(&status, "Available"), ("Unknown", "NotChecked"));
        assert_eq!(status.references, Some(2));
        assert_eq!(status.observed_generation, Some(3));
    }
}

#[test]
fn what_is_for_fetching_is_refused_where_devices_fetch() {
    let mut image = image("{uri: 'https://a/b'}");
    image.spec.credentials_secret_ref = Some(serde_yaml_ng::from_str("{name: s}").unwrap());
    let refused = status(&image, None).unwrap();
    assert_eq!(condition(&refused, "Accepted"), ("False", "Unsupported"));
    assert_eq!(condition(&refused, "Available"), ("False", "NotAccepted"));
    image.spec.source.fetched_by = Some(FetchedBy::Cluster);
    let accepted = status(&image, None).unwrap();
    assert_eq!(condition(&accepted, "Accepted"), ("True", "Accepted"));
}

#[test]
fn a_package_of_the_cluster_has_the_digest_of_the_image() {
    let other = Digest([0x5a; Digest::BYTES]);
    let wrong = image(&format!("{{uri: '{}'}}", other.package_uri()));
    let refused = status(&wrong, None).unwrap();
    assert_eq!(condition(&refused, "Accepted"), ("False", "InvalidValue"));

    let mut image = image(&format!("{{uri: '{}'}}", DIGEST.package_uri()));
    let mut observed = Observed::default();
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("Unknown", "NotChecked"), says("False", "NotStored")]
    );
    observed.stored = Some(8);
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("False", "SizeMismatch"), says("False", "NotVerified")]
    );
    let refused = usable(&image).unwrap_err();
    assert_eq!(refused.reason, Reason::ImageNotVerified);
    observed.stored = Some(9);
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("True", "Verified"), says("True", "Available")]
    );
    assert_eq!(usable(&image).unwrap().uri, DIGEST.package_uri());
    assert!(!is_to_be_fetched(&image, None));
}

#[test]
fn an_image_is_fetched_once_and_used_when_it_is_right() {
    let mut image = image(OCI);
    let at = Time(Timestamp::UNIX_EPOCH);
    let source = "oci://registry.example.com/m200@sha256:1".to_owned();
    let digest = DIGEST;
    assert_eq!(origin(&image), Ok(Origin::Fetched { source, digest }));
    assert!(is_to_be_fetched(&image, None));
    let early = usable(&image).unwrap_err();
    assert_eq!(early.reason, Reason::ImageNotVerified);
    assert!(early.may_pass());

    let mut observed = Observed::default();
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("Unknown", "Fetching"), says("False", "NotVerified")]
    );
    observed.fetched = Some(Fetched::Failed {
        reason: Reason::DigestMismatch,
        message: "it has another one".to_owned(),
    });
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [
            says("False", "DigestMismatch"),
            says("False", "NotVerified")
        ]
    );
    let refused = usable(&image).unwrap_err().message;
    assert_eq!(refused, "DigestMismatch: it has another one");
    observed.fetched = Some(Fetched::Failed {
        reason: Reason::StorageFull,
        message: "no room".to_owned(),
    });
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("True", "Verified"), says("False", "StorageFull")]
    );
    assert!(usable(&image).is_err());
    // Somebody else stores what there was no room for.
    let meanwhile = Observed {
        stored: Some(9),
        ..observed.clone()
    };
    let found = change(&image, &meanwhile).unwrap();
    assert_eq!(condition(&found, "Available"), ("True", "Available"));

    observed.fetched = Some(Fetched::Checked { at: at.clone() });
    observed.stored = Some(9);
    let told_of = told(&mut image, &observed);
    assert_eq!(
        told_of,
        [says("True", "Verified"), says("True", "Available")]
    );
    let known = image.status.clone().unwrap();
    assert_eq!(known.observed_digest, Some(DIGEST.to_string()));
    assert_eq!(known.fetched_time, Some(at));
    assert_eq!(usable(&image).unwrap().uri, DIGEST.package_uri());
    assert!(!is_to_be_fetched(&image, Some(9)));
    // Another operator goes by the status, and fetches what is gone from the cluster.
    observed.fetched = None;
    assert_eq!(change(&image, &observed), None);
    assert!(is_to_be_fetched(&image, None));
}

#[test]
fn a_package_that_somebody_else_has_stored_is_fetched_all_the_same() {
    // Its signature was not looked at.
    let image = image(OCI);
    assert!(is_to_be_fetched(&image, Some(9)));
    let fetching = Observed {
        stored: Some(9),
        ..Observed::default()
    };
    let status = change(&image, &fetching).unwrap();
    assert_eq!(condition(&status, "Verified"), ("Unknown", "Fetching"));
}

#[test]
fn the_cluster_fetches_no_more_than_it_can_store() {
    let mut image = image(OCI);
    image.spec.size_bytes = i64::try_from(Artefact::MAX_SIZE).unwrap() + 1;
    let refused = origin(&image).unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidValue);
    assert!(
        refused.message.starts_with("spec.sizeBytes: "),
        "{refused:?}"
    );
}

#[test]
fn a_status_is_written_when_it_differs_only() {
    let mut image = image("{uri: 'coap://a/b'}");
    image.status = status(&image, Some(0));
    assert!(image.status.is_some());
    assert_eq!(status(&image, Some(0)), None);
    assert!(status(&image, Some(1)).is_some());
    image.spec.yanked = true;
    let yanked = status(&image, Some(0)).unwrap();
    assert_eq!(condition(&yanked, "Available"), ("False", "Yanked"));
}
