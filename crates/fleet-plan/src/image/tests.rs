#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use k8s_openapi::jiff::Timestamp;

use super::*;

fn image(source: &str) -> FirmwareImage {
    let text = format!(
        "{{apiVersion: drover.dev/v1alpha1, kind: FirmwareImage, metadata: {{name: a, generation: 3}}, spec: \
         {{source: {source}, packageName: p, version: 1.0.0, sizeBytes: 1, digest: 'sha256:0'}}}}"
    );
    serde_yaml_ng::from_str(&text).unwrap()
}

fn status(image: &FirmwareImage, references: Option<i32>) -> Option<FirmwareImageStatus> {
    status_change(image, references, &Time(Timestamp::UNIX_EPOCH))
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
fn an_image_that_nobody_can_fetch_is_not_accepted() {
    let image = image("{ociRef: {repository: r, digest: d}}");
    let status = status(&image, None).unwrap();
    assert_eq!(condition(&status, "Accepted"), ("False", "Unsupported"));
    assert_eq!(condition(&status, "Available"), ("False", "NotAccepted"));
}

#[test]
fn a_package_of_the_cluster_has_the_digest_of_the_image() {
    let digest = Digest([0xa5; Digest::BYTES]);
    let mut image = image(&format!("{{uri: '{}'}}", digest.package_uri()));
    let other = status(&image, None).unwrap();
    assert_eq!(condition(&other, "Accepted"), ("False", "InvalidValue"));
    image.spec.digest = digest.to_string();
    let same = status(&image, None).unwrap();
    assert_eq!(condition(&same, "Accepted"), ("True", "Accepted"));
    assert_eq!(usable(&image).unwrap().uri, digest.package_uri());
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
