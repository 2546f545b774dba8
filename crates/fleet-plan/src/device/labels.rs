//! The labels of an object as labels of its device.

use std::collections::{BTreeMap, BTreeSet};

use crd::{Device, DeviceStatus};

use super::{Action, Observed};
use crate::Refusal;

/// Domains whose labels say something about the object, not about the device.
// Kubernetes, "Well-Known Labels", reserves the first two; tools that apply objects write the others by themselves.
const RESERVED: [&str; 6] = [
    "kubernetes.io",
    "k8s.io",
    "drover.dev",
    "fluxcd.io",
    "argoproj.io",
    "helm.sh",
];

/// The labels that the device of an object should have.
pub(super) fn wanted(device: &Device) -> Result<BTreeMap<String, String>, Refusal> {
    let given = device.metadata.labels.iter().flatten();
    let wanted: BTreeMap<String, String> = given
        .filter(|(key, _)| !is_reserved(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if wanted.len() > DeviceStatus::MAX_LABELS {
        let why = format!("a device has at most {} of them", DeviceStatus::MAX_LABELS);
        return Err(Refusal::invalid("metadata.labels", &why));
    }
    Ok(wanted)
}

fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let is_of = |reserved: &str| {
        let sub = domain.strip_suffix(reserved);
        sub.is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
    };
    RESERVED.into_iter().any(is_of)
}

/// What makes the labels of the device those of the object. Labels that others have set stay.
pub(super) fn change(
    device: &Device,
    observed: &Observed,
    wanted: &BTreeMap<String, String>,
) -> Option<Action> {
    let missing = wanted.iter().filter(|label| !is_set(observed, label));
    let set: BTreeMap<String, String> = missing
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let remove = unwanted(device, observed, wanted);
    let changes = !set.is_empty() || !remove.is_empty();
    changes.then_some(Action::SetLabels { set, remove })
}

/// What takes the labels of the object from the device that are not wanted.
pub(super) fn removal(
    device: &Device,
    observed: &Observed,
    wanted: &BTreeMap<String, String>,
) -> Option<Action> {
    let remove = unwanted(device, observed, wanted);
    let set = BTreeMap::new();
    (!remove.is_empty()).then_some(Action::SetLabels { set, remove })
}

fn unwanted(
    device: &Device,
    observed: &Observed,
    wanted: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    owned(device)
        .filter(|key| !wanted.contains_key(*key) && observed.labels.contains_key(*key))
        .cloned()
        .collect()
}

/// Of the labels that are wanted, the keys of those that the object has set or is about to: what stood before as it is
/// wanted stays when the object goes.
pub(super) fn own(
    device: &Device,
    observed: &Observed,
    wanted: &BTreeMap<String, String>,
) -> Vec<String> {
    let is_own = |label: &(&String, &String)| {
        !is_set(observed, label) || owned(device).any(|key| key == label.0)
    };
    let own = wanted.iter().filter(is_own);
    own.map(|(key, _)| key.clone()).collect()
}

fn owned(device: &Device) -> impl Iterator<Item = &String> {
    device.status.iter().flat_map(|status| &status.labels)
}

fn is_set(observed: &Observed, (key, value): &(&String, &String)) -> bool {
    observed.labels.get(*key) == Some(*value)
}
