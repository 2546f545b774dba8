//! Devices.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use proto::drover::v1::device::State;
use proto::drover::v1::{
    DesiredResource, Device, FirmwareCampaign, ObjectInstance, Presence, desired_resource,
};
use serde::Serialize;

use crate::model::object_name;
use crate::table;
use crate::time::{age, rfc3339, short};
use crate::view::bootstrap::BootstrapView;
use crate::view::campaign::device::phase_name;
use crate::view::profile::drift;
use crate::view::value::ReportedView;

/// A device as `drover devices -o json` lists it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    pub(crate) endpoint: String,
    /// `Registered` or `NotRegistered`.
    pub(crate) state: &'static str,
    registration_id: Option<String>,
    lwm2m_version: Option<String>,
    binding: Option<String>,
    lifetime_seconds: Option<i64>,
    /// `UDP` or `DTLS`.
    transport: Option<String>,
    peer: Option<String>,
    connection_id: Option<String>,
    ingress_node: Option<String>,
    registration_time: Option<String>,
    last_update_time: Option<String>,
    expire_time: Option<String>,
    /// `/3/0`, or `/5` for an object without instances.
    objects: Vec<String>,
    /// Versions by object id, announced or those of the device's release.
    object_versions: BTreeMap<u32, String>,
    /// What it turned out not to do as its release says.
    quirks: Vec<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    etag: String,
    /// The policy that it is registered by.
    enrollment_policy: Option<String>,
    quarantined: bool,
    #[serde(skip)]
    last_update: Option<prost_types::Timestamp>,
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

impl From<Device> for DeviceView {
    fn from(device: Device) -> Self {
        let state = match device.state() {
            State::Registered => "Registered",
            State::NotRegistered | State::Unspecified => "NotRegistered",
        };
        let versions = device
            .objects
            .iter()
            .filter(|object| !object.version.is_empty());
        Self {
            state,
            object_versions: versions
                .map(|object| (object.object, object.version.clone()))
                .collect(),
            objects: device.objects.iter().map(object_path).collect(),
            quirks: device.quirks,
            labels: device.labels,
            annotations: device.annotations,
            etag: device.etag,
            enrollment_policy: some(device.enrollment_policy),
            quarantined: device.quarantined,
            endpoint: device.endpoint,
            registration_id: some(device.registration_id),
            lwm2m_version: some(device.lwm2m_version),
            binding: some(device.binding),
            lifetime_seconds: device.lifetime.map(|lifetime| lifetime.seconds),
            transport: some(device.transport),
            peer: some(device.peer),
            connection_id: some(device.connection_id),
            ingress_node: some(device.ingress_node),
            registration_time: rfc3339(device.registration_time.as_ref()),
            last_update_time: rfc3339(device.last_update_time.as_ref()),
            expire_time: rfc3339(device.expire_time.as_ref()),
            last_update: device.last_update_time,
        }
    }
}

/// What is shown of each device in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    Usual,
    WithLabels,
}

/// `a=1,b=2`
fn assignments(map: &BTreeMap<String, String>) -> String {
    let texts: Vec<String> = map
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    texts.join(",")
}

/// Labels and annotations of a device.
#[derive(Debug, Serialize)]
pub(crate) struct LabelsView {
    endpoint: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    etag: String,
}

impl From<Device> for LabelsView {
    fn from(device: Device) -> Self {
        Self {
            endpoint: device.endpoint,
            labels: device.labels,
            annotations: device.annotations,
            etag: device.etag,
        }
    }
}

impl LabelsView {
    /// `KIND KEY VALUE`.
    pub(crate) fn table(&self) -> String {
        let kinds = [("label", &self.labels), ("annotation", &self.annotations)];
        let rows = kinds.into_iter().flat_map(|(kind, map)| {
            map.iter()
                .map(move |(key, value)| vec![kind.to_owned(), key.clone(), value.clone()])
        });
        table::render(&["KIND", "KEY", "VALUE"], rows)
    }
}

/// `{"devices": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct DevicesView {
    pub(crate) devices: Vec<DeviceView>,
}

impl DevicesView {
    /// The table at the time `now`.
    pub(crate) fn table(&self, columns: Columns, now: SystemTime) -> String {
        let mut headings = vec![
            "ENDPOINT",
            "STATE",
            "VERSION",
            "BINDING",
            "LIFETIME",
            "TRANSPORT",
            "PEER",
            "LAST-UPDATE",
        ];
        if columns == Columns::WithLabels {
            headings.push("LABELS");
        }
        let rows = self.devices.iter().map(|device| {
            let mut row = vec![
                device.endpoint.clone(),
                device.state.to_owned(),
                device.lwm2m_version.clone().unwrap_or_default(),
                device.binding.clone().unwrap_or_default(),
                device.lifetime(),
                device.transport.clone().unwrap_or_default(),
                device.peer.clone().unwrap_or_default(),
                age(device.last_update.as_ref(), now),
            ];
            if columns == Columns::WithLabels {
                row.push(assignments(&device.labels));
            }
            row
        });
        table::render(&headings, rows)
    }
}

impl DeviceView {
    fn lifetime(&self) -> String {
        let seconds = self
            .lifetime_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        seconds
            .map(|seconds| short(Duration::from_secs(seconds)))
            .unwrap_or_default()
    }
}

/// A desired resource, or an object instance with the value `present` or `absent`: `{"path", "value", "generation", "state", "coapCode", "diagnostic", "since", "drift",
/// "profile"}`; `state` is `Pending`, `InSync`, `Drifted` or `Rejected`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DesiredView {
    path: String,
    value: String,
    generation: u64,
    state: &'static str,
    coap_code: Option<String>,
    diagnostic: Option<String>,
    since: Option<String>,
    drift: &'static str,
    profile: Option<String>,
}

impl From<DesiredResource> for DesiredView {
    fn from(desired: DesiredResource) -> Self {
        let state = match desired.state() {
            desired_resource::State::InSync => "InSync",
            desired_resource::State::Rejected => "Rejected",
            desired_resource::State::Drifted => "Drifted",
            desired_resource::State::Pending | desired_resource::State::Unspecified => "Pending",
        };
        let presence = presence_name(desired.presence());
        Self {
            drift: drift(desired.drift_policy()),
            profile: some(desired.profile),
            path: desired.path,
            value: presence.map_or(desired.text, ToOwned::to_owned),
            generation: desired.generation,
            state,
            coap_code: some(desired.coap_code),
            diagnostic: some(desired.diagnostic),
            since: rfc3339(desired.since.as_ref()),
        }
    }
}

/// What stands in the place of a value, of an object instance.
pub(crate) const fn presence_name(presence: Presence) -> Option<&'static str> {
    match presence {
        Presence::Present => Some("present"),
        Presence::Absent => Some("absent"),
        Presence::Unspecified => None,
    }
}

impl DesiredView {
    /// `PATH VALUE STATE PROFILE CODE DIAGNOSTIC`.
    pub(crate) fn row(&self) -> Vec<String> {
        vec![
            self.path.clone(),
            self.value.clone(),
            self.state.to_owned(),
            self.profile.clone().unwrap_or_default(),
            self.coap_code.clone().unwrap_or_default(),
            self.diagnostic.clone().unwrap_or_default(),
        ]
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn state(&self) -> &'static str {
        self.state
    }
}

/// One device with its values and its desired state.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceDetailView {
    #[serde(flatten)]
    device: DeviceView,
    values: Vec<ReportedView>,
    /// Of the devices behind it, if it is a gateway.
    #[serde(rename = "childValues")]
    child_values: Vec<ReportedView>,
    desired: Vec<DesiredView>,
    bootstrap: Option<BootstrapView>,
    #[serde(rename = "firmwareCampaign")]
    firmware_campaign: Option<FirmwareView>,
}

/// The campaign that says which firmware the device should have; `phase` as of a device in a campaign.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FirmwareView {
    campaign: String,
    image: String,
    version: String,
    phase: &'static str,
    reason: Option<String>,
    phase_time: Option<String>,
}

impl From<FirmwareCampaign> for FirmwareView {
    fn from(campaign: FirmwareCampaign) -> Self {
        Self {
            phase: phase_name(campaign.phase()),
            campaign: campaign.campaign,
            image: campaign.image,
            version: campaign.version,
            reason: some(campaign.reason),
            phase_time: rfc3339(campaign.phase_time.as_ref()),
        }
    }
}

impl FirmwareView {
    /// `2.3.1 by the campaign fw231: Failed (out of memory)`
    fn line(&self) -> String {
        let reason = self.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let Self {
            version,
            campaign,
            phase,
            ..
        } = self;
        format!("{version} by the campaign {campaign}: {phase}{reason}")
    }
}

impl From<Device> for DeviceDetailView {
    fn from(mut device: Device) -> Self {
        let values = std::mem::take(&mut device.values);
        let child_values = std::mem::take(&mut device.child_values);
        let desired = std::mem::take(&mut device.desired);
        let bootstrap = device.bootstrap.take().map(BootstrapView::from);
        let firmware_campaign = device.firmware_campaign.take().map(FirmwareView::from);
        Self {
            device: device.into(),
            values: values.into_iter().map(ReportedView::from).collect(),
            child_values: child_values.into_iter().map(ReportedView::from).collect(),
            desired: desired.into_iter().map(DesiredView::from).collect(),
            bootstrap,
            firmware_campaign,
        }
    }
}

impl DeviceDetailView {
    /// The description for people.
    pub(crate) fn text(&self) -> String {
        let device = &self.device;
        let shown = |field: &Option<String>| table::printable(field.as_deref().unwrap_or("-"));
        let mut text = String::new();
        for (name, value) in [
            ("Endpoint", table::printable(&device.endpoint)),
            ("State", device.state.to_owned()),
            ("Registration", shown(&device.registration_id)),
            ("LwM2M", shown(&device.lwm2m_version)),
            ("Binding", shown(&device.binding)),
            ("Lifetime", device.lifetime()),
            ("Transport", shown(&device.transport)),
            ("Peer", shown(&device.peer)),
            ("Connection ID", shown(&device.connection_id)),
            ("Ingress node", shown(&device.ingress_node)),
            ("Registered", shown(&device.registration_time)),
            ("Last update", shown(&device.last_update_time)),
            ("Expires", shown(&device.expire_time)),
        ] {
            let _ = writeln!(text, "{:15} {value}", format!("{name}:"));
        }
        if !device.quirks.is_empty() {
            let quirks = table::printable(&device.quirks.join(", "));
            let _ = writeln!(text, "{:15} {quirks}", "Quirks:");
        }
        if let Some(policy) = &device.enrollment_policy {
            let standing = if device.quarantined {
                "quarantined"
            } else {
                "admitted"
            };
            let policy = table::printable(policy);
            let _ = writeln!(text, "{:15} {standing} by {policy}", "Enrollment:");
        }
        for (name, map) in [
            ("Labels:", &device.labels),
            ("Annotations:", &device.annotations),
        ] {
            if !map.is_empty() {
                let _ = writeln!(text, "{name:15} {}", table::printable(&assignments(map)));
            }
        }
        if let Some(bootstrap) = &self.bootstrap {
            let bootstrap = table::printable(&bootstrap.line());
            let _ = writeln!(text, "{:15} {bootstrap}", "Bootstrap:");
        }
        if let Some(firmware) = &self.firmware_campaign {
            let firmware = table::printable(&firmware.line());
            let _ = writeln!(text, "{:15} {firmware}", "Firmware:");
        }
        text.push_str("\nObjects:\n");
        text.push_str(&self.objects());
        text.push_str(&reported("Values", &self.values));
        text.push_str(&reported("Values of devices behind it", &self.child_values));
        if !self.desired.is_empty() {
            text.push_str("\nDesired:\n");
            let headings = ["PATH", "VALUE", "STATE", "PROFILE", "CODE", "DIAGNOSTIC"];
            text.push_str(&table::render(
                &headings,
                self.desired.iter().map(DesiredView::row),
            ));
        }
        text
    }

    /// `PATH NAME VERSION`.
    pub(crate) fn objects(&self) -> String {
        let rows = self.device.objects.iter().map(|path| {
            let object: Option<u32> = path.split('/').nth(1).and_then(|id| id.parse().ok());
            let version = object.and_then(|id| self.device.object_versions.get(&id));
            vec![
                path.clone(),
                object_name(path).unwrap_or_default().to_owned(),
                version.cloned().unwrap_or_default(),
            ]
        });
        table::render(&["PATH", "NAME", "VERSION"], rows)
    }
}

/// A table of values with a title, if there are any.
fn reported(title: &str, values: &[ReportedView]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let headings = ["PATH", "NAME", "TYPE", "VALUE", "ORIGIN", "TIME"];
    let rows = table::render(&headings, values.iter().map(ReportedView::row));
    format!("\n{title}:\n{rows}")
}

/// `/3/0`, or `/3` for an object that is listed without an instance.
pub(crate) fn object_path(object: &ObjectInstance) -> String {
    match object.instance {
        Some(instance) => format!("/{}/{instance}", object.object),
        None => format!("/{}", object.object),
    }
}

#[cfg(test)]
mod tests;
