//! The labels of an object as labels of its device.

use std::collections::{BTreeMap, BTreeSet};

use crd::{Device, DeviceStatus};

use super::{Action, Observed};
use crate::Refusal;

/// Domains whose labels say something about the object, not about the device.
// Kubernetes, "Well-Known Labels": these domains are reserved, and tools write them by themselves.
const RESERVED: [&str; 2] = ["kubernetes.io", "k8s.io"];

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
    let is_set = |(key, value): &(&String, &String)| observed.labels.get(*key) == Some(*value);
    let set: BTreeMap<String, String> = wanted
        .iter()
        .filter(|label| !is_set(label))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let owned = device.status.iter().flat_map(|status| &status.labels);
    let remove: BTreeSet<String> = owned
        .filter(|key| !wanted.contains_key(*key) && observed.labels.contains_key(*key))
        .cloned()
        .collect();
    let changes = !set.is_empty() || !remove.is_empty();
    changes.then(|| Action::SetLabels { set, remove })
}
