//! Reads of profiles.

use crate::name::{DeviceName, Namespace};
use crate::profile::{Profile, ProfileDevice, ProfilePart, ProfileState, ProfileTally};
use crate::range::{self, Range};
use crate::table::{Row, RowKey, Tables};

/// All profiles of a namespace, or with `None` of all, by name. In shard 0 only.
pub fn profiles(tables: &dyn Tables, namespace: Option<&Namespace>) -> Vec<Profile> {
    let (from, to): Range = namespace.map_or_else(range::all_profiles, range::profiles);
    let rows = tables.scan(&from, &to, usize::MAX).into_iter();
    let profiles = rows.filter_map(|row| match row {
        Row::Profile(profile) => Some(*profile),
        _ => None,
    });
    profiles.collect()
}

/// The profile of this name. In shard 0 only.
pub fn profile(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<Profile> {
    match tables.get(&RowKey::Profile(namespace.qualify(name))) {
        // A name that looks as if it were in another namespace names nothing.
        Some(Row::Profile(profile)) if profile.namespace == *namespace => Some(*profile),
        _ => None,
    }
}

/// What the shard goes by in a namespace: the profiles that count come first.
pub fn profile_parts(tables: &dyn Tables, namespace: &Namespace) -> Vec<ProfilePart> {
    let mut parts = parts(tables, range::profile_parts(namespace));
    parts.sort_by(|left, right| left.profile.precedence().cmp(&right.profile.precedence()));
    parts
}

/// What the shard goes by in all namespaces.
pub fn all_profile_parts(tables: &dyn Tables) -> Vec<ProfilePart> {
    parts(tables, range::all_profile_parts())
}

fn parts(tables: &dyn Tables, (from, to): Range) -> Vec<ProfilePart> {
    let rows = tables.scan(&from, &to, usize::MAX).into_iter();
    let parts = rows.filter_map(|row| match row {
        Row::ProfilePart(part) => Some(*part),
        _ => None,
    });
    parts.collect()
}

/// What the shard knows of a profile.
pub fn profile_part(tables: &dyn Tables, namespace: &Namespace, name: &str) -> Option<ProfilePart> {
    match tables.get(&RowKey::ProfilePart(namespace.qualify(name))) {
        Some(Row::ProfilePart(part)) => Some(*part),
        _ => None,
    }
}

/// How far a device is from a profile, if it has it.
pub fn profile_device(
    tables: &dyn Tables,
    profile: &Profile,
    endpoint: &DeviceName,
) -> Option<ProfileDevice> {
    match tables.get(&RowKey::ProfileDevice(profile.key(), endpoint.clone())) {
        Some(Row::ProfileDevice(device)) => Some(device),
        _ => None,
    }
}

/// How many devices a profile has in the shard.
pub fn profile_tally(tables: &dyn Tables, namespace: &Namespace, name: &str) -> ProfileTally {
    match tables.get(&RowKey::ProfileTally(namespace.qualify(name))) {
        Some(Row::ProfileTally { tally, .. }) => tally,
        _ => ProfileTally::default(),
    }
}

/// A page of the devices of a profile, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileDevicePage {
    pub devices: Vec<ProfileDevice>,
    /// Where to go on (`after`); `None` at the end.
    pub next: Option<DeviceName>,
}

/// Of the next `examine` devices of a profile those in one of these states; without any state, all.
pub fn profile_devices(
    tables: &dyn Tables,
    (namespace, name): (&Namespace, &str),
    states: &[ProfileState],
    after: Option<&DeviceName>,
    examine: usize,
) -> ProfileDevicePage {
    let mut devices = devices_after(tables, &namespace.qualify(name), after, examine);
    let next = (devices.len() == examine)
        .then(|| devices.last().map(|device| device.endpoint.clone()))
        .flatten();
    devices.retain(|device| states.is_empty() || states.contains(&device.state));
    ProfileDevicePage { devices, next }
}

/// The next devices of a profile, and who was looked at last if there may be more.
pub(crate) fn profile_members(
    tables: &dyn Tables,
    namespace: &Namespace,
    name: &str,
    after: Option<&DeviceName>,
    limit: usize,
) -> (Vec<DeviceName>, Option<DeviceName>) {
    let page = profile_devices(tables, (namespace, name), &[], after, limit);
    let devices = page.devices.into_iter().map(|device| device.endpoint);
    (devices.collect(), page.next)
}

fn devices_after(
    tables: &dyn Tables,
    profile: &str,
    after: Option<&DeviceName>,
    limit: usize,
) -> Vec<ProfileDevice> {
    let (first, to) = range::profile_devices(profile);
    let from = after.map_or(first, |after| {
        RowKey::ProfileDevice(profile.to_owned(), after.clone())
    });
    let rows = tables.scan(&from, &to, limit.saturating_add(1)).into_iter();
    let devices = rows.filter_map(|row| match row {
        Row::ProfileDevice(device) => Some(device),
        _ => None,
    });
    let mut devices: Vec<_> = devices
        .filter(|device| after.is_none_or(|after| device.endpoint != *after))
        .collect();
    devices.truncate(limit);
    devices
}
