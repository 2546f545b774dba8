//! A device as Leshan describes a registration.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::Timestamp;
use proto::drover::v1::{Device, ObjectInstance};
use serde_json::{Map, Value as JsonValue, json};

/// The registration. What the API does not tell (SMS number, further attributes) is left out or empty; so is `sleeping`.
pub(super) fn registration(device: &Device) -> JsonValue {
    json!({
        "endpoint": device.endpoint,
        "registrationId": device.registration_id,
        "registrationDate": millis(device.registration_time.as_ref()),
        "lastUpdate": millis(device.last_update_time.as_ref()),
        "address": device.peer,
        "lwM2mVersion": device.lwm2m_version,
        "lifetime": lifetime(device),
        "bindingMode": device.binding.replace('Q', ""),
        "rootPath": "/",
        "objectLinks": links(&device.objects),
        "secure": is_secure(device),
        "additionalRegistrationAttributes": {},
        "queuemode": device.binding.contains('Q'),
        "availableInstances": instances(&device.objects),
    })
}

/// What an update changed, with the registration after it.
pub(super) fn update(device: &Device) -> JsonValue {
    json!({
        "registration": registration(device),
        "update": {
            "registrationId": device.registration_id,
            "address": device.peer,
            "lifetime": lifetime(device),
            "objectLinks": links(&device.objects),
            "secure": is_secure(device),
            "additionalAttributes": {},
        },
    })
}

fn lifetime(device: &Device) -> Option<i64> {
    device.lifetime.as_ref().map(|lifetime| lifetime.seconds)
}

fn is_secure(device: &Device) -> bool {
    matches!(device.transport.as_str(), "DTLS" | "TLS")
}

/// Milliseconds since 1970.
fn millis(time: Option<&Timestamp>) -> Option<i64> {
    let time = time?;
    let seconds = time.seconds.checked_mul(1000)?;
    seconds.checked_add(i64::from(time.nanos / 1_000_000))
}

fn links(objects: &[ObjectInstance]) -> Vec<JsonValue> {
    let link = |object: &ObjectInstance| {
        let url = match object.instance {
            Some(instance) => format!("/{}/{instance}", object.object),
            None => format!("/{}", object.object),
        };
        let mut attributes = Map::new();
        if !object.version.is_empty() {
            attributes.insert("ver".to_owned(), object.version.clone().into());
        }
        json!({"url": url, "attributes": attributes})
    };
    objects.iter().map(link).collect()
}

fn instances(objects: &[ObjectInstance]) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut instances: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for object in objects {
        if let Some(instance) = object.instance {
            instances.entry(object.object).or_default().insert(instance);
        }
    }
    instances
}

#[cfg(test)]
mod tests {
    use prost_types::Duration;

    use super::*;

    #[test]
    fn a_registration_has_what_the_suite_looks_at() {
        let instance = |object, instance, version: &str| ObjectInstance {
            object,
            instance,
            version: version.to_owned(),
        };
        let device = Device {
            endpoint: "client_0a".to_owned(),
            registration_id: "0001abcd".to_owned(),
            lwm2m_version: "1.1".to_owned(),
            binding: "UQ".to_owned(),
            lifetime: Some(Duration {
                seconds: 86_400,
                nanos: 0,
            }),
            registration_time: Some(Timestamp {
                seconds: 10,
                nanos: 0,
            }),
            last_update_time: Some(Timestamp {
                seconds: 20,
                nanos: 5_000_000,
            }),
            peer: "192.0.2.1:40000".to_owned(),
            transport: "DTLS".to_owned(),
            objects: vec![
                instance(1, None, "1.1"),
                instance(1, Some(0), ""),
                instance(3, Some(0), ""),
            ],
            ..Device::default()
        };
        let expected = json!({
            "endpoint": "client_0a",
            "registrationId": "0001abcd",
            "registrationDate": 10_000,
            "lastUpdate": 20_005,
            "address": "192.0.2.1:40000",
            "lwM2mVersion": "1.1",
            "lifetime": 86_400,
            "bindingMode": "U",
            "rootPath": "/",
            "objectLinks": [
                {"url": "/1", "attributes": {"ver": "1.1"}},
                {"url": "/1/0", "attributes": {}},
                {"url": "/3/0", "attributes": {}},
            ],
            "secure": true,
            "additionalRegistrationAttributes": {},
            "queuemode": true,
            "availableInstances": {"1": [0], "3": [0]},
        });
        assert_eq!(registration(&device), expected);
        assert_eq!(update(&device)["registration"], expected);
        assert_eq!(update(&device)["update"]["lifetime"], 86_400);
    }
}
