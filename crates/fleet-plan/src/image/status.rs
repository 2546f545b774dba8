//! What is told of an image.

use crd::firmware_image::FirmwareImageStatus;
use crd::{ConditionStatus, ConditionType, FirmwareImage, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Origin, holds, origin};
use crate::Refusal;
use crate::conditions::{Conditions, differs};
use ConditionStatus::{False, True, Unknown};
use ConditionType::{Accepted, Available, Verified};

/// What is known of an image besides its object.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The rollouts that are not at an end and name it; `None` if nobody knows them.
    pub references: Option<i32>,
    /// The bytes of the package of its digest in the cluster; `None` if there is none.
    pub stored: Option<u64>,
    /// What came of fetching it, since the operator started.
    pub fetched: Option<Fetched>,
    /// It names something that is not there.
    pub refused: Option<Refusal>,
}

/// What came of fetching an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    Underway,
    /// It is right, and was stored.
    Checked {
        at: Time,
    },
    /// It could not be fetched, is not right, or could not be stored, and why.
    Failed {
        reason: Reason,
        message: String,
    },
}

type Said = (ConditionStatus, Reason, String);

/// The status that an image should have, if it is another one than it has.
pub fn status_change(
    image: &FirmwareImage,
    observed: &Observed,
    now: &Time,
) -> Option<FirmwareImageStatus> {
    let wanted = status(image, observed, now);
    let (known, rows) = (image.status.as_ref(), FirmwareImage::CONDITIONS);
    differs(known, &wanted, rows, |status| &mut status.conditions).then_some(wanted)
}

fn status(image: &FirmwareImage, observed: &Observed, now: &Time) -> FirmwareImageStatus {
    let generation = image.metadata.generation.unwrap_or(1);
    let rows = FirmwareImage::CONDITIONS;
    let known = image.status.clone().unwrap_or_default();
    let mut conditions = Conditions::new(known.conditions, rows, generation, now);
    let origin = match (origin(image), &observed.refused) {
        (Ok(_), Some(refusal)) => Err(refusal.clone()),
        (origin, _) => origin,
    };
    let (verified, available) = match &origin {
        Ok(origin) => {
            let message = "rollouts can bring it to devices";
            conditions.set(Accepted, True, Reason::Accepted, message);
            told(image, origin, observed)
        }
        Err(refusal) => {
            conditions.set(Accepted, False, refusal.reason, &refusal.message);
            let (verified, available) = ("nobody has looked at it", "not accepted: see Accepted");
            (
                said(Unknown, Reason::NotChecked, verified),
                said(False, Reason::NotAccepted, available),
            )
        }
    };
    let is_right = verified.0 == True;
    for (condition, (status, reason, message)) in [(Verified, verified), (Available, available)] {
        conditions.set(condition, status, reason, message);
    }
    let fetched_time = match &observed.fetched {
        Some(Fetched::Checked { at }) => Some(at.clone()),
        _ => known.fetched_time,
    };
    FirmwareImageStatus {
        observed_generation: Some(generation),
        conditions: conditions.finish(),
        observed_digest: is_right.then(|| image.spec.digest.clone()),
        fetched_time: fetched_time.filter(|_| is_right),
        references: observed.references,
        ..FirmwareImageStatus::default()
    }
}

/// Whether it is right, and whether devices can get it.
fn told(image: &FirmwareImage, origin: &Origin, observed: &Observed) -> (Said, Said) {
    let (verified, available) = match origin {
        Origin::Elsewhere(_) => elsewhere(),
        Origin::Stored(_) => stored(image.spec.size_bytes, observed.stored),
        Origin::Fetched { .. } => fetched(image, observed),
    };
    if image.spec.yanked {
        let yanked = "yanked: no further device begins with it";
        return (verified, said(False, Reason::Yanked, yanked));
    }
    (verified, available)
}

fn elsewhere() -> (Said, Said) {
    let verified = "devices fetch the image themselves and check it themselves; length and digest were not checked here";
    let available = "whether devices can reach spec.source.uri was not checked here";
    (
        said(Unknown, Reason::NotChecked, verified),
        said(Unknown, Reason::NotChecked, available),
    )
}

fn stored(size: i64, stored: Option<u64>) -> (Said, Said) {
    match stored {
        None => (
            said(Unknown, Reason::NotChecked, "the cluster does not have it"),
            said(
                False,
                Reason::NotStored,
                "the cluster has no package of this digest; store it: drover artefacts put",
            ),
        ),
        Some(stored) if i64::try_from(stored) != Ok(size) => (
            said(
                False,
                Reason::SizeMismatch,
                format!("the package has {stored} bytes, spec.sizeBytes says {size}"),
            ),
            not_verified(),
        ),
        Some(_) => (
            said(
                True,
                Reason::Verified,
                "the cluster checked the digest when the package was stored",
            ),
            in_the_cluster(),
        ),
    }
}

fn fetched(image: &FirmwareImage, observed: &Observed) -> (Said, Said) {
    let right = || {
        let by = image.spec.signature.as_ref().map(|_| " and signature");
        let message = format!("length, digest{} are right", by.unwrap_or_default());
        said(True, Reason::Verified, message)
    };
    // Somebody else may have stored what there was no room for.
    let is_there = observed.stored.is_some() && holds(image, Verified);
    match &observed.fetched {
        _ if is_there => (right(), in_the_cluster()),
        Some(Fetched::Failed { reason, message }) if *reason == Reason::StorageFull => {
            (right(), said(False, Reason::StorageFull, message))
        }
        Some(Fetched::Failed { reason, message }) => {
            (said(False, *reason, message), not_verified())
        }
        Some(Fetched::Checked { .. }) => (right(), in_the_cluster()),
        Some(Fetched::Underway) | None => (
            said(Unknown, Reason::Fetching, "it is being fetched"),
            not_verified(),
        ),
    }
}

fn in_the_cluster() -> Said {
    said(True, Reason::Available, "ingress nodes serve it")
}

fn not_verified() -> Said {
    said(False, Reason::NotVerified, "not verified: see Verified")
}

fn said(status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Said {
    (status, reason, message.into())
}
