//! `FirmwareImage`: what the cluster has to have of it before devices are told of it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use crd::FirmwareImage;
use crd::firmware_image::SignatureType;
use crd::reference::{PublicKeyHolder, PublicKeyReference};
use device_state::{Artefact, Digest};
use fleet_plan::image::{Fetched, Observed, Origin, origin, status_change, title};
use package_source::{Credentials, Expected, PublicKey, Signature, SignedBy, Source, Wanted};
use proto::drover::v1::GetArtefactRequest;
use serde::Serialize;
use tonic::Code;

use super::documents::Documents;
use super::{Applied, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::package::{self, Package};
use crate::time;

/// An image that the cluster has.
#[derive(Debug, Serialize)]
pub(super) struct AppliedImage {
    pub(super) name: String,
    digest: String,
    pub(super) result: Applied,
}

/// The image as rollouts are planned with it: with a status of this call alone, whatever the file was saved with, that says
/// of one that the cluster is to fetch that it is right. [`provide`] sees to it that it is.
pub(super) fn planned(image: &FirmwareImage) -> Result<FirmwareImage, Failure> {
    let mut planned = image.clone();
    planned.status = None;
    let Origin::Fetched { .. } = accepted(&planned)? else {
        return Ok(planned);
    };
    let now = time::kubernetes();
    let observed = Observed {
        stored: u64::try_from(planned.spec.size_bytes).ok(),
        fetched: Some(Fetched::Checked { at: now.clone() }),
        ..Observed::default()
    };
    planned.status = status_change(&planned, &observed, &now);
    Ok(planned)
}

fn accepted(image: &FirmwareImage) -> Result<Origin, Failure> {
    origin(image).map_err(|refusal| refused(image, &refusal.message))
}

fn refused(image: &FirmwareImage, why: &str) -> Failure {
    declared::refused(image.metadata.name.as_deref().unwrap_or_default(), why)
}

/// Fetches an image that the cluster is to fetch, checks it, and stores it; of any other there is nothing to do. What is
/// there is not fetched again, unless somebody has to have signed it: whoever has stored it need not have looked.
pub(super) async fn provide(
    api: &Api,
    image: &FirmwareImage,
    documents: &Documents,
) -> Result<Option<AppliedImage>, Failure> {
    let Origin::Fetched { source, digest } = accepted(image)? else {
        return Ok(None);
    };
    let stored = stored(api, digest).await?;
    let mut result = Applied::Unchanged;
    match stored {
        Some(size) if image.spec.signature.is_none() => {
            has_size(image, size).map_err(|why| refused(image, &why))?;
        }
        is_there => {
            let wanted = wanted(image, &source, digest, documents);
            let wanted = wanted.map_err(|why| refused(image, &format!("{why:#}")))?;
            let package = Package::fetch(&wanted).await?;
            if is_there.is_none() {
                package.titled(title(image)).store(api).await?;
                result = Applied::Created;
            }
        }
    }
    Ok(Some(AppliedImage {
        name: image.metadata.name.clone().unwrap_or_default(),
        digest: digest.to_string(),
        result,
    }))
}

/// The bytes of a package of the cluster; `None` if it is not there.
async fn stored(api: &Api, digest: Digest) -> Result<Option<u64>, Failure> {
    let request = api.request(GetArtefactRequest {
        digest: digest.to_string(),
    });
    match api.artefacts().get_artefact(request).await {
        Ok(answer) => Ok(Some(answer.into_inner().size_bytes)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(format!("look for the package {digest}"))(
            status,
        )),
    }
}

fn has_size(image: &FirmwareImage, stored: u64) -> Result<(), String> {
    let said = image.spec.size_bytes;
    if i64::try_from(stored) == Ok(said) {
        return Ok(());
    }
    Err(format!(
        "the package has {stored} bytes, spec.sizeBytes says {said}"
    ))
}

/// What is to be fetched, and what it has to be.
fn wanted(
    image: &FirmwareImage,
    source: &str,
    digest: Digest,
    documents: &Documents,
) -> anyhow::Result<Wanted> {
    let spec = &image.spec;
    let source: Source = source.parse().context("spec.source")?;
    let secret = spec.credentials_secret_ref.as_ref();
    let secret = secret.and_then(|named| documents.secret(&named.name));
    let credentials = match secret {
        Some(entries) => {
            Credentials::from_entries(&entries).context("spec.credentialsSecretRef")?
        }
        None => package::credentials(&source).map_err(anyhow::Error::from)?,
    };
    let signature = match &spec.signature {
        None => None,
        Some(signature) => Some(Signature {
            key: public_key(&signature.public_key_ref, documents)
                .context("spec.signature.publicKeyRef")?,
            by: match signature.kind {
                SignatureType::Cosign => SignedBy::Cosign,
                SignatureType::RawEd25519 => {
                    let value = signature.value.as_deref().unwrap_or_default();
                    let value = package_source::raw_signature(value);
                    SignedBy::Value(value.context("spec.signature.value")?)
                }
            },
        }),
    };
    Ok(Wanted {
        source,
        credentials,
        expected: Expected {
            size: u64::try_from(spec.size_bytes).ok(),
            digest: Some(digest),
            limit: Artefact::MAX_SIZE,
        },
        signature,
    })
}

fn public_key(reference: &PublicKeyReference, documents: &Documents) -> anyhow::Result<PublicKey> {
    let PublicKeyReference { kind, name, key } = reference;
    let entries: Option<BTreeMap<String, Vec<u8>>> = match kind {
        PublicKeyHolder::ConfigMap => documents.config_map(name),
        PublicKeyHolder::Secret => documents.secret(name),
    };
    let pem = entries.and_then(|mut entries| entries.remove(key));
    let pem =
        pem.with_context(|| format!("the {kind:?} {name} is not in this call, or has no {key}"))?;
    let key_of_file = PublicKey::from_pem(&String::from_utf8_lossy(&pem));
    key_of_file.with_context(|| format!("the {kind:?} {name}: {key}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    const EXAMPLE: &str = include_str!("../../../../../examples/resources/firmware-image.yaml");

    fn image() -> FirmwareImage {
        serde_yaml_ng::from_str(EXAMPLE).unwrap()
    }

    fn asked(image: &FirmwareImage, documents: &Documents) -> Result<Wanted, String> {
        let Ok(Origin::Fetched { source, digest }) = origin(image) else {
            panic!("the example is fetched by the cluster");
        };
        wanted(image, &source, digest, documents).map_err(|error| format!("{error:#}"))
    }

    fn with_key(pem: &str) -> Documents {
        let holder: ConfigMap = serde_yaml_ng::from_str(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: firmware-keys}}\ndata:\n  release.pem: {pem:?}\n"
        ))
        .unwrap();
        Documents {
            config_maps: vec![holder],
            ..Documents::default()
        }
    }

    #[test]
    fn a_package_has_to_be_all_that_the_object_says() {
        let mut image = image();
        image.spec.signature = None;
        let wanted = asked(&image, &Documents::default()).unwrap();
        assert_eq!(wanted.expected.size, Some(1_843_200));
        let digest = wanted.expected.digest.map(|digest| digest.to_string());
        assert_eq!(digest, Some(image.spec.digest.clone()));
        assert!(wanted.signature.is_none());
        assert_eq!(has_size(&image, 1_843_200), Ok(()));
        let other = has_size(&image, 7).unwrap_err();
        assert_eq!(
            other,
            "the package has 7 bytes, spec.sizeBytes says 1843200"
        );
    }

    #[test]
    fn the_key_of_a_signature_is_in_the_call() {
        let missing = asked(&image(), &Documents::default()).unwrap_err();
        assert_eq!(
            missing,
            "spec.signature.publicKeyRef: the ConfigMap firmware-keys is not in this call, or has no release.pem"
        );
        let unusable = asked(&image(), &with_key("none")).unwrap_err();
        assert!(
            unusable.starts_with(
                "spec.signature.publicKeyRef: the ConfigMap firmware-keys: release.pem"
            ),
            "{unusable}"
        );
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let wanted = asked(&image(), &with_key(pem)).unwrap();
        assert!(matches!(wanted.signature.unwrap().by, SignedBy::Value(_)));
    }
}
