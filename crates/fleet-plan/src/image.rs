//! `FirmwareImage`: whether a rollout can bring it to devices.
//!
//! Devices fetch an image by themselves from its URI, and check it by themselves. The operator does not have its bytes, so
//! that what asks for somebody between the image and the device is refused, and nothing is called verified. A package of
//! the cluster was checked when it was stored, and has the digest of the image.

use crd::firmware_image::{Compatibility, FirmwareImageSpec, FirmwareImageStatus};
use crd::{ConditionStatus, ConditionType, FirmwareImage, Reason};
use device_state::Digest;
use device_state::campaign::Image;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Refusal;
use crate::conditions::{Conditions, differs};

// LwM2M Core 1.2 §E.6, Firmware Update Protocol Support (/5/0/8).
const SCHEMES: [&str; 6] = ["coap", "coaps", "coap+tcp", "coaps+tcp", "http", "https"];

/// An image as campaigns know it, or why devices cannot get it.
pub(crate) fn usable(image: &FirmwareImage) -> Result<Image, Refusal> {
    let spec = &image.spec;
    nothing_in_between(spec)?;
    if let Some(compatibility) = &spec.compatibility {
        compared(compatibility)?;
    }
    if spec.version.len() > Image::MAX_VERSION {
        return Err(Refusal::invalid(
            "spec.version",
            "has more than 128 bytes, and none can be compared with what devices report",
        ));
    }
    Ok(Image {
        name: image.metadata.name.clone().unwrap_or_default(),
        version: spec.version.clone(),
        uri: uri(spec)?.to_owned(),
    })
}

fn nothing_in_between(spec: &FirmwareImageSpec) -> Result<(), Refusal> {
    let source = &spec.source;
    let fetched = "nothing fetches images for devices yet; give spec.source.uri, from where they fetch it themselves";
    for (is_given, field, why) in [
        (source.oci_ref.is_some(), "spec.source.ociRef", fetched),
        (
            source.object_ref.is_some(),
            "spec.source.objectRef",
            fetched,
        ),
        (
            spec.credentials_secret_ref.is_some(),
            "spec.credentialsSecretRef",
            "devices fetch the image themselves, and are not given credentials for it; leave it out",
        ),
        (
            spec.signature.is_some(),
            "spec.signature",
            "nothing checks signatures yet but the devices themselves; leave it out",
        ),
    ] {
        if is_given {
            return Err(Refusal::unsupported(field, why));
        }
    }
    Ok(())
}

fn compared(compatibility: &Compatibility) -> Result<(), Refusal> {
    let given = [
        ("minimumVersion", &compatibility.minimum_version),
        ("maximumVersion", &compatibility.maximum_version),
        ("hardwareVersion", &compatibility.hardware_version),
    ];
    match given.iter().find(|(_, value)| value.is_some()) {
        None => Ok(()),
        Some((field, _)) => Err(Refusal::unsupported(
            &format!("spec.compatibility.{field}"),
            "devices cannot be told apart by it yet; choose them by labels and leave it out",
        )),
    }
}

fn uri(spec: &FirmwareImageSpec) -> Result<&str, Refusal> {
    const FIELD: &str = "spec.source.uri";
    let Some(uri) = spec.source.uri.as_deref() else {
        return Err(Refusal::invalid(FIELD, "is missing"));
    };
    if let Some(digest) = Digest::of_package_uri(uri) {
        if digest.to_string() != spec.digest {
            return Err(Refusal::invalid(
                FIELD,
                "names a package with another digest",
            ));
        }
        return Ok(uri);
    }
    if scheme(uri).is_none() {
        let why = "devices fetch from coap, coaps, coap+tcp, coaps+tcp, http and https only, and packages of the cluster are drover:sha256:…";
        return Err(Refusal::invalid(FIELD, why));
    }
    let fits = uri.len() <= Image::MAX_URI && uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        let why = "a device takes at most 255 printable ASCII characters without spaces (/5/0/1)";
        return Err(Refusal::invalid(FIELD, why));
    }
    Ok(uri)
}

/// The scheme of a URI, if devices have a protocol for it.
pub(crate) fn scheme(uri: &str) -> Option<&'static str> {
    let (given, _) = uri.split_once("://")?;
    SCHEMES.into_iter().find(|known| *known == given)
}

/// The status that an image should have, if it is another one than it has.
///
/// `references` are the rollouts that are not at an end and name it; `None` if nobody knows them.
pub fn status_change(
    image: &FirmwareImage,
    references: Option<i32>,
    now: &Time,
) -> Option<FirmwareImageStatus> {
    let wanted = status(image, references, now);
    let (known, rows) = (image.status.as_ref(), FirmwareImage::CONDITIONS);
    differs(known, &wanted, rows, |status| &mut status.conditions).then_some(wanted)
}

fn status(image: &FirmwareImage, references: Option<i32>, now: &Time) -> FirmwareImageStatus {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Accepted, Available, Verified};
    let generation = image.metadata.generation.unwrap_or(1);
    let rows = FirmwareImage::CONDITIONS;
    let known = image.status.as_ref();
    let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
    let mut conditions = Conditions::new(known, rows, generation, now);
    let usable = usable(image);
    match &usable {
        Ok(_) => {
            let message = "rollouts can bring it to devices";
            conditions.set(Accepted, True, Reason::Accepted, message);
        }
        Err(refusal) => conditions.set(Accepted, False, refusal.reason, &refusal.message),
    }
    let message = "devices fetch the image themselves and check it themselves; length, digest and \
                   signature were not checked here";
    conditions.set(Verified, Unknown, Reason::NotChecked, message);
    let (status, reason, message) = if usable.is_err() {
        (False, Reason::NotAccepted, "not accepted: see Accepted")
    } else if image.spec.yanked {
        (
            False,
            Reason::Yanked,
            "yanked: no further device begins with it",
        )
    } else {
        let message = "whether devices can reach spec.source.uri was not checked here";
        (Unknown, Reason::NotChecked, message)
    };
    conditions.set(Available, status, reason, message);
    FirmwareImageStatus {
        observed_generation: Some(generation),
        conditions: conditions.finish(),
        references,
        ..FirmwareImageStatus::default()
    }
}

#[cfg(test)]
mod tests;
