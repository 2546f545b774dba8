//! The `Device` objects of devices that are registered by a policy.
//!
//! A policy makes them and leaves them alone then: they are for people to change, and stay when the device or the policy goes.
//! One that somebody deletes comes again with the next registration of its device.

use std::collections::BTreeMap;

use crd::enrollment_policy::Materialize;
use crd::{Device, DeviceSpec, EnrollmentPolicy};
use device_state::label::is_dns_name;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// What of an endpoint name stays readable in a name that is made of it.
const MAX_READABLE: usize = 45;
/// Bytes of the hash that tells such names from each other, so many that nobody finds two endpoint names with the same one.
const HASHED: usize = 8;
/// Before the hash.
const MARK: &str = "--";

/// What has come of a policy that makes objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Materialized {
    /// Objects with its label.
    pub objects: usize,
    /// Devices have none because there are so many.
    pub is_full: bool,
    /// Devices whose objects the API server does not take.
    pub refused: Option<Refused>,
    /// There are devices that were not looked at yet.
    pub has_more: bool,
}

/// Objects that are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub objects: usize,
    /// Why the first of them is not.
    pub first: String,
}

/// How many objects a policy makes at most; `None` if it makes none.
pub fn most_objects(policy: &EnrollmentPolicy) -> Option<usize> {
    let spec = &policy.spec;
    match spec.materialize {
        Materialize::Never => None,
        Materialize::OnRegistration => {
            let most = spec.maximum_objects.unwrap_or(EnrollmentPolicy::OBJECTS);
            Some(usize::try_from(most).unwrap_or(0))
        }
    }
}

/// Whether a policy of this name has made an object.
pub fn is_made_by(device: &Device, policy: &str) -> bool {
    let labels = device.metadata.labels.as_ref();
    let made_by = labels.and_then(|labels| labels.get(EnrollmentPolicy::MADE_BY));
    made_by.is_some_and(|made_by| made_by == policy)
}

/// The object of a device that is registered by `policy`. It declares nothing of the device: the labels of the policy are those
/// that a device gets which has none, and those of an object are put over the ones that people have given it.
pub fn object(policy: &EnrollmentPolicy, endpoint: &str) -> Device {
    let made_by = policy.metadata.name.clone().unwrap_or_default();
    let labels = BTreeMap::from([(EnrollmentPolicy::MADE_BY.to_owned(), made_by)]);
    Device {
        metadata: ObjectMeta {
            name: Some(object_name(endpoint)),
            namespace: policy.metadata.namespace.clone(),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: DeviceSpec {
            endpoint_name: endpoint.to_owned(),
            ..DeviceSpec::default()
        },
        status: None,
    }
}

/// An endpoint name as the name of its object: itself if it can be, else what is readable of it and a hash. No two endpoint names
/// become the same one, so that no device takes the name of another.
pub fn object_name(endpoint: &str) -> String {
    if is_dns_name(endpoint) && !looks_hashed(endpoint) {
        return endpoint.to_owned();
    }
    let readable = readable(endpoint);
    let hash = hex::encode(&Sha256::digest(endpoint)[..HASHED]);
    if readable.is_empty() {
        format!("device{MARK}{hash}")
    } else {
        format!("{readable}{MARK}{hash}")
    }
}

/// Whether it ends as the names do that are made here.
fn looks_hashed(name: &str) -> bool {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let hash = name.rsplit_once(MARK).map(|(_, hash)| hash);
    hash.is_some_and(|hash| hash.len() == 2 * HASHED && hash.bytes().all(is_hex))
}

fn readable(endpoint: &str) -> String {
    let mut readable = String::with_capacity(MAX_READABLE);
    for letter in endpoint.chars() {
        let letter = letter.to_ascii_lowercase();
        if readable.len() == MAX_READABLE {
            break;
        }
        if letter.is_ascii_alphanumeric() {
            readable.push(letter);
        } else if !readable.is_empty() && !readable.ends_with('-') {
            readable.push('-');
        }
    }
    readable.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_one_stays() {
        for name in ["meter-0001", "a.b-c.7", &"a".repeat(63)] {
            assert_eq!(object_name(name), name);
        }
    }

    #[test]
    fn other_names_stay_readable_and_apart() {
        let name = object_name("urn:imei:490154203237518");
        assert!(name.starts_with("urn-imei-490154203237518--"), "{name}");
        assert_ne!(object_name("Meter 1"), object_name("meter:1"));
        for endpoint in [
            "", "-", "a.", ".a", "a..b", "-a", "Ä", "é~~", "UPPER", "a_b",
        ] {
            let name = object_name(endpoint);
            assert!(is_dns_name(&name), "{endpoint:?} as {name:?}");
        }
        let long = object_name(&"long:".repeat(60));
        assert!(is_dns_name(&long) && long.len() <= 63, "{long}");
    }

    #[test]
    fn no_device_takes_the_name_of_another() {
        let victim = object_name("urn:imei:490154203237518");
        assert!(is_dns_name(&victim));
        assert_ne!(object_name(&victim), victim);
        // A serial number of sixteen digits stays as it is.
        assert_eq!(
            object_name("meter-00124b0001234567"),
            "meter-00124b0001234567"
        );
    }
}
