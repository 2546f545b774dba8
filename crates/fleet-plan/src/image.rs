//! `FirmwareImage`: where devices get it, whether it is right, and whether a rollout can bring it to them.
//!
//! | source | who checks it |
//! |---|---|
//! | a URI, from which devices fetch it by themselves | the devices; nothing is called verified |
//! | a package of the cluster | the cluster, when it was stored |
//! | what the operator fetches, and stores in the cluster | the operator, before it stores it |

mod status;

use crd::firmware_image::{FetchedBy, FirmwareImageSpec, VersionScheme};
use crd::{ConditionStatus, ConditionType, FirmwareImage, Reason};
use device_state::campaign::{self, Image, NoUpdateObject, UpdateObject};
use device_state::{Artefact, Digest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

pub use status::{Fetched, Observed, status_change};

use crate::Refusal;
use crate::text::cut;

// LwM2M Core 1.2 §E.6, Firmware Update Protocol Support (/5/0/8).
const SCHEMES: [&str; 6] = ["coap", "coaps", "coap+tcp", "coaps+tcp", "http", "https"];

/// Where devices get an image from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From this URI, each by itself.
    Elsewhere(String),
    /// From the cluster, where somebody has stored it.
    Stored(Digest),
    /// From the cluster, once it was fetched for it and checked.
    Fetched {
        /// `http://…`, `https://…`, `oci://repository@digest` or `s3://bucket/key`.
        source: String,
        digest: Digest,
    },
}

/// Where devices get the image from, or why they cannot.
pub fn origin(image: &FirmwareImage) -> Result<Origin, Refusal> {
    let spec = &image.spec;
    compatibility(spec)?;
    if spec.version.len() > Image::MAX_VERSION {
        return Err(Refusal::invalid(
            "spec.version",
            "has more than 128 bytes, and none can be compared with what devices report",
        ));
    }
    object(spec)?;
    let origin = source(spec)?;
    if !matches!(origin, Origin::Fetched { .. }) {
        nothing_for_fetching(spec)?;
    }
    Ok(origin)
}

/// What people call the package of an image that the cluster stores.
pub fn title(image: &FirmwareImage) -> String {
    let spec = &image.spec;
    let title = format!("{} {}", spec.package_name, spec.version);
    cut(&title, Artefact::MAX_TITLE).to_owned()
}

/// An image as campaigns know it, or why devices cannot get it.
pub(crate) fn usable(image: &FirmwareImage) -> Result<Image, Refusal> {
    let uri = match origin(image)? {
        Origin::Elsewhere(uri) => uri,
        Origin::Stored(digest) => {
            if condition(image, ConditionType::Verified).is_some_and(is_false) {
                verified(image)?;
            }
            digest.package_uri()
        }
        Origin::Fetched { digest, .. } => {
            verified(image)?;
            digest.package_uri()
        }
    };
    Ok(Image {
        name: image.metadata.name.clone().unwrap_or_default(),
        version: image.spec.version.clone(),
        uri,
        object: object(&image.spec)?,
        compatibility: compatibility(&image.spec)?,
    })
}

/// What of a device the image is for.
fn object(spec: &FirmwareImageSpec) -> Result<UpdateObject, Refusal> {
    let object: Result<UpdateObject, NoUpdateObject> = spec.object.parse();
    object.map_err(|error| Refusal::invalid("spec.object", &error.to_string()))
}

/// Whether the operator has to fetch the image. `stored` says whether the cluster has the package of its digest: one that
/// somebody else has stored was not checked for a signature.
pub fn is_to_be_fetched(image: &FirmwareImage, stored: Option<u64>) -> bool {
    matches!(origin(image), Ok(Origin::Fetched { .. }))
        && (stored.is_none() || !holds(image, ConditionType::Verified))
}

fn source(spec: &FirmwareImageSpec) -> Result<Origin, Refusal> {
    let source = &spec.source;
    let fetched = |source| {
        let digest = digest(spec)?;
        Ok(Origin::Fetched { source, digest })
    };
    match (&source.uri, &source.oci_ref, &source.object_ref) {
        (Some(uri), None, None) if source.fetched_by == Some(FetchedBy::Cluster) => {
            fetched(uri.clone())
        }
        (Some(uri), None, None) => of_devices(spec, uri),
        (None, Some(oci), None) => fetched(format!("oci://{}@{}", oci.repository, oci.digest)),
        (None, None, Some(object)) => fetched(format!("s3://{}/{}", object.bucket, object.key)),
        _ => Err(Refusal::invalid(
            "spec.source",
            "has to have exactly one of uri, ociRef and objectRef",
        )),
    }
}

/// The digest of an image that the cluster is to store.
fn digest(spec: &FirmwareImageSpec) -> Result<Digest, Refusal> {
    if !u64::try_from(spec.size_bytes).is_ok_and(|size| (1..=Artefact::MAX_SIZE).contains(&size)) {
        let why = format!(
            "the cluster stores 1 to {} bytes; give a spec.source.uri from which devices fetch it themselves",
            Artefact::MAX_SIZE
        );
        return Err(Refusal::invalid("spec.sizeBytes", &why));
    }
    let digest = spec.digest.parse();
    digest.map_err(|_| Refusal::invalid("spec.digest", "is not sha256: and 64 hex digits"))
}

fn nothing_for_fetching(spec: &FirmwareImageSpec) -> Result<(), Refusal> {
    let given = [
        (
            "spec.credentialsSecretRef",
            spec.credentials_secret_ref.is_some(),
        ),
        ("spec.signature", spec.signature.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((field, _)) => Err(Refusal::unsupported(
            field,
            "is for what the operator fetches: leave it out, or give spec.source.fetchedBy: Cluster, ociRef or objectRef",
        )),
    }
}

/// Whether the operator has fetched the image, found it right and stored it.
fn verified(image: &FirmwareImage) -> Result<(), Refusal> {
    if holds(image, ConditionType::Verified)
        && (image.spec.yanked || holds(image, ConditionType::Available))
    {
        return Ok(());
    }
    let told = [ConditionType::Verified, ConditionType::Available];
    let told = told.into_iter().find(|kind| !holds(image, *kind));
    let known = told.and_then(|kind| condition(image, kind));
    Err(Refusal {
        reason: Reason::ImageNotVerified,
        message: known.map_or_else(
            || "it has not been fetched yet".to_owned(),
            |known| format!("{}: {}", known.reason, known.message),
        ),
    })
}

fn holds(image: &FirmwareImage, kind: ConditionType) -> bool {
    condition(image, kind).is_some_and(|known| known.status == ConditionStatus::True.as_str())
}

fn is_false(condition: &Condition) -> bool {
    condition.status == ConditionStatus::False.as_str()
}

fn condition(image: &FirmwareImage, kind: ConditionType) -> Option<&Condition> {
    let mut known = image.status.as_ref()?.conditions.iter();
    known.find(|known| known.type_ == kind.as_str())
}

/// Which devices the image is for, besides its models.
fn compatibility(spec: &FirmwareImageSpec) -> Result<campaign::Compatibility, Refusal> {
    let Some(given) = &spec.compatibility else {
        return Ok(campaign::Compatibility::default());
    };
    let bounds = [
        ("minimumVersion", &given.minimum_version),
        ("maximumVersion", &given.maximum_version),
    ];
    for (name, bound) in bounds {
        let field = format!("spec.compatibility.{name}");
        if bound.is_some() && spec.version_scheme == VersionScheme::Opaque {
            let why = "needs versionScheme: SemVer, because other versions are equal or not";
            return Err(Refusal::invalid(&field, why));
        }
        if !bound.as_deref().is_none_or(campaign::is_comparable) {
            return Err(Refusal::invalid(
                &field,
                "is no semantic version, such as 2.3.1",
            ));
        }
    }
    Ok(campaign::Compatibility {
        minimum_version: given.minimum_version.clone(),
        maximum_version: given.maximum_version.clone(),
        hardware_version: given.hardware_version.clone(),
    })
}

fn of_devices(spec: &FirmwareImageSpec, uri: &str) -> Result<Origin, Refusal> {
    const FIELD: &str = "spec.source.uri";
    if let Some(digest) = Digest::of_package_uri(uri) {
        if digest.to_string() != spec.digest {
            return Err(Refusal::invalid(
                FIELD,
                "names a package with another digest",
            ));
        }
        return Ok(Origin::Stored(digest));
    }
    if scheme(uri).is_none() {
        let why = "devices fetch from coap, coaps, coap+tcp, coaps+tcp, http and https only, and packages of the cluster are drover:sha256:…";
        return Err(Refusal::invalid(FIELD, why));
    }
    let fits = uri.len() <= Image::MAX_URI && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        let why = "a device takes at most 255 printable ASCII characters without spaces (/5/0/1); with spec.source.fetchedBy: Cluster it is not given to devices";
        return Err(Refusal::invalid(FIELD, why));
    }
    Ok(Origin::Elsewhere(uri.to_owned()))
}

/// The scheme of a URI, if devices have a protocol for it.
pub(crate) fn scheme(uri: &str) -> Option<&'static str> {
    let (given, _) = uri.split_once("://")?;
    SCHEMES.into_iter().find(|known| *known == given)
}

#[cfg(test)]
mod tests;
