//! What the kinds have in common that the state tier keeps under a name: groups, profiles and definitions.

use device_state::selection::DeviceFilter;
use fleet_plan::{APPLIED, Refusal};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};

use super::Applied;
use crate::failure::Failure;

/// The object as one of a file, which is what it says of itself in the state tier.
pub(super) fn of_file(metadata: &mut ObjectMeta) {
    metadata.uid = Some(APPLIED.to_owned());
}

/// What an object of Kubernetes has made is changed there: its operator would put it back.
pub(super) fn not_of_kubernetes(
    maker: Option<&str>,
    kind: &str,
    name: &str,
) -> Result<(), Failure> {
    match maker {
        Some(uid) if uid != APPLIED => Err(Failure::usage(
            format!("{name}: a {kind} of Kubernetes says what it is"),
            format!("change it there: kubectl edit {kind} {name}"),
        )),
        _ => Ok(()),
    }
}

/// Fails if the spec is not accepted.
pub(super) fn accepted(name: &str, conditions: &[Condition]) -> Result<(), Failure> {
    let mut refusals = conditions.iter().filter(|condition| {
        let (kind, status) = (condition.type_.as_str(), condition.status.as_str());
        (kind, status) == ("Accepted", "False")
    });
    match refusals.next() {
        None => Ok(()),
        Some(refusal) => Err(refused(name, &refusal.message)),
    }
}

/// Nothing comes of the object.
pub(super) fn refused(name: &str, why: &str) -> Failure {
    Failure::usage(format!("{name}: {why}"), "it was not changed")
}

/// The name that something gets in the state tier.
pub(super) fn name(
    metadata: &ObjectMeta,
    checked: Result<String, Refusal>,
) -> Result<String, Failure> {
    let given = metadata.name.as_deref().unwrap_or_default();
    checked.map_err(|refusal| refused(given, &refusal.message))
}

/// What became of something that was put.
pub(super) const fn put_over(is_there: bool) -> Applied {
    if is_there {
        Applied::Configured
    } else {
        Applied::Created
    }
}

/// The language of filters.
pub(super) fn read_filter(text: &str) -> Result<DeviceFilter, String> {
    proto::convert::public::device_filter(text).map_err(|error| error.to_string())
}
