//! Devices, their and desired state.

use std::collections::BTreeMap;

use device_state::query::{DeviceSummary, DeviceView};
use device_state::{
    DesiredOrigin, DesiredResource, DesiredState, EnrollmentStanding, Etag, LabelKey, Metadata,
    Quirks, Registration,
};
use lwm2m::{Link, LwM2mVersion, ObjectLinks};

use super::profile::{told_drift, told_goal};
use super::{coap_code, timestamp};
use crate::drover::v1 as public;

impl From<Registration> for public::Device {
    /// Without values, desired resources, labels and annotations.
    fn from(row: Registration) -> Self {
        let lifetime = row
            .lifetime
            .duration()
            .map(|lifetime| prost_types::Duration {
                seconds: lifetime.as_secs() as i64,
                nanos: 0,
            });
        let enrollment = row.enrollment;
        let quarantined = enrollment
            .as_ref()
            .is_some_and(|enrollment| enrollment.standing == EnrollmentStanding::Quarantined);
        Self {
            endpoint: row.endpoint.endpoint_str().to_owned(),
            state: public::device::State::Registered.into(),
            registration_id: row.id.to_string(),
            lwm2m_version: row.version.to_string(),
            binding: row.binding.to_string(),
            lifetime,
            registration_time: timestamp(row.registered_at),
            last_update_time: timestamp(row.updated_at),
            expire_time: timestamp(row.expires_at),
            peer: row.peer.to_string(),
            transport: row.transport.name().to_owned(),
            connection_id: row
                .session
                .map(|cid| hex::encode(cid.0))
                .unwrap_or_default(),
            objects: registered_objects(&row.links, row.version),
            ingress_node: row.owner.to_string(),
            values: Vec::new(),
            child_values: Vec::new(),
            desired: Vec::new(),
            quirks: quirk_names(row.quirks),
            bootstrap: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            etag: String::new(),
            enrollment_policy: enrollment
                .map(|enrollment| enrollment.policy)
                .unwrap_or_default(),
            quarantined,
            firmware_campaign: None,
        }
    }
}

/// What a device does not do, for people and scripts.
fn quirk_names(quirks: Quirks) -> Vec<String> {
    let named = |is: bool, name: &str| is.then(|| name.to_owned());
    let mislabels = quirks
        .mislabelled
        .map(|(label, actual)| format!("mislabels:{}={}", label.0, actual.0));
    [
        named(quirks.no_composite, "no-composite"),
        named(quirks.no_observe_parameters, "no-observe-parameters"),
        mislabels,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The object list of a registration. It was read when the device registered; should a later release refuse it, the
/// device is shown without objects.
fn registered_objects(links: &str, release: LwM2mVersion) -> Vec<public::ObjectInstance> {
    objects(&ObjectLinks::parse(links).unwrap_or_default(), release)
}

/// What is listed of objects, each with the version that it has in a release unless the list says otherwise.
pub(super) fn objects(links: &ObjectLinks, release: LwM2mVersion) -> Vec<public::ObjectInstance> {
    let object = |link: &Link| {
        let object = link.path.object_id()?;
        Some(public::ObjectInstance {
            object: u32::from(object),
            instance: link.path.object_instance_id().map(u32::from),
            version: links.version_in(object, release).to_string(),
        })
    };
    links.iter().filter_map(object).collect()
}

impl From<DeviceSummary> for public::Device {
    /// Without values and desired resources.
    fn from(device: DeviceSummary) -> Self {
        let bare = match device.registration {
            Some(registration) => registration.into(),
            None => Self {
                endpoint: device.endpoint.endpoint_str().to_owned(),
                state: public::device::State::NotRegistered.into(),
                ..Default::default()
            },
        };
        let metadata = device
            .metadata
            .unwrap_or_else(|| Metadata::none(device.endpoint));
        Self {
            etag: Etag::of_metadata(&metadata).to_string(),
            labels: texts(&metadata.labels, |value| value.as_str()),
            annotations: texts(&metadata.annotations, String::as_str),
            ..bare
        }
    }
}

/// Labels or annotations.
pub(super) fn texts<V>(
    map: &BTreeMap<LabelKey, V>,
    text: impl Fn(&V) -> &str,
) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.to_string(), text(value).to_owned()))
        .collect()
}

/// A device with its values and desired resources, registered or not.
pub fn device(view: DeviceView) -> public::Device {
    let bare = public::Device::from(DeviceSummary {
        endpoint: view.endpoint,
        registration: view.registration,
        metadata: view.metadata,
    });
    public::Device {
        values: view.values.into_iter().map(Into::into).collect(),
        child_values: view.child_values.into_iter().map(Into::into).collect(),
        desired: view.desired.into_iter().map(Into::into).collect(),
        bootstrap: view.bootstrap.map(Into::into),
        firmware_campaign: view.firmware.map(Into::into),
        ..bare
    }
}

/// The desired set of a device.
pub fn desired_resources(
    generation: Option<u64>,
    resources: Vec<DesiredResource>,
) -> public::DesiredResources {
    let etag = Etag::of_desired(generation, &resources).to_string();
    let resources = resources.into_iter().map(Into::into).collect();
    public::DesiredResources {
        generation: generation.unwrap_or_default(),
        resources,
        etag,
    }
}

impl From<DesiredResource> for public::DesiredResource {
    fn from(row: DesiredResource) -> Self {
        let (text, presence) = told_goal(&row.goal);
        Self {
            text,
            presence: presence.into(),
            drift_policy: told_drift(row.drift).into(),
            profile: match row.origin {
                DesiredOrigin::Device => String::new(),
                DesiredOrigin::Profile(profile) => profile,
            },
            ..desired_state(row.path, row.generation, row.state)
        }
    }
}

/// A desired resource whose value is not at hand.
pub(super) fn desired_state(
    path: lwm2m::Path,
    generation: u64,
    state: DesiredState,
) -> public::DesiredResource {
    use public::desired_resource::State;
    let bare = public::DesiredResource {
        path: path.to_string(),
        generation,
        ..Default::default()
    };
    match state {
        DesiredState::Pending { .. } => public::DesiredResource {
            state: State::Pending.into(),
            ..bare
        },
        DesiredState::InSync { since } => public::DesiredResource {
            state: State::InSync.into(),
            since: timestamp(since),
            ..bare
        },
        DesiredState::Drifted { since } => public::DesiredResource {
            state: State::Drifted.into(),
            since: timestamp(since),
            ..bare
        },
        DesiredState::Rejected {
            code,
            diagnostic,
            since,
        } => public::DesiredResource {
            state: State::Rejected.into(),
            coap_code: coap_code(code),
            diagnostic,
            since: timestamp(since),
            ..bare
        },
    }
}
