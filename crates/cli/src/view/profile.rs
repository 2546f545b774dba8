//! Profiles of devices.

use std::fmt::Write as _;

use proto::drover::v1::profile_device::State;
use proto::drover::v1::profile_status::Hold;
use proto::drover::v1::{
    DeviceProfile, DriftPolicy, ProfileCounts, ProfileDevice, ProfileObservation, ProfileOverlap,
    ProfileResource, ProfileRollout,
};
use serde::Serialize;

use crate::table::{self, printable};
use crate::time::rfc3339;
use crate::view::campaign::plan::WindowView;
use crate::view::device::presence_name;

/// A profile as `drover profiles get -o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileView {
    name: String,
    description: String,
    filter: String,
    group: String,
    priority: i32,
    paused: bool,
    resources: Vec<ResourceView>,
    observations: Vec<ObservationView>,
    required_objects: Vec<u32>,
    minimum_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<RolloutView>,
    etag: String,
    #[serde(flatten)]
    status: Option<StatusView>,
}

#[derive(Debug, Serialize)]
struct ResourceView {
    path: String,
    value: String,
    /// `Enforce`, `Report` or `InitOnly`.
    drift: &'static str,
}

#[derive(Debug, Serialize)]
struct ObservationView {
    paths: Vec<String>,
    parameters: String,
}

/// How a change goes through the devices.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RolloutView {
    max_concurrent: String,
    failure_threshold: String,
    windows: Vec<WindowView>,
}

#[derive(Debug, Serialize)]
struct StatusView {
    revision: u64,
    applied: bool,
    /// `Window` or `Failures`; empty if nothing holds it.
    hold: &'static str,
    counts: CountsView,
    overlaps: Vec<OverlapView>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct CountsView {
    matched: u64,
    in_sync: u64,
    pending: u64,
    drifted: u64,
    rejected: u64,
    unsupported: u64,
    superseded: u64,
    waiting: u64,
    unregistered: u64,
}

#[derive(Debug, Serialize)]
struct OverlapView {
    profile: String,
    path: String,
    wins: bool,
}

impl From<DeviceProfile> for ProfileView {
    fn from(profile: DeviceProfile) -> Self {
        let requires = profile.requires.unwrap_or_default();
        let resources = profile.resources.into_iter();
        let observations = profile.observations.into_iter();
        Self {
            name: profile.name,
            description: profile.description,
            filter: profile.filter,
            group: profile.group,
            priority: profile.priority,
            paused: profile.paused,
            resources: resources.map(ResourceView::from).collect(),
            observations: observations.map(ObservationView::from).collect(),
            required_objects: requires.objects,
            minimum_version: requires.minimum_version,
            rollout: profile.rollout.map(RolloutView::from),
            etag: profile.etag,
            status: profile.status.map(|status| StatusView {
                hold: hold_name(status.hold()),
                revision: status.revision,
                applied: status.applied,
                counts: status.counts.unwrap_or_default().into(),
                overlaps: status.overlaps.into_iter().map(Into::into).collect(),
            }),
        }
    }
}

const fn hold_name(hold: Hold) -> &'static str {
    match hold {
        Hold::Unspecified => "",
        Hold::Window => "Window",
        Hold::Failures => "Failures",
    }
}

impl From<ProfileRollout> for RolloutView {
    fn from(rollout: ProfileRollout) -> Self {
        Self {
            max_concurrent: rollout.max_concurrent,
            failure_threshold: rollout.failure_threshold,
            windows: rollout.windows.into_iter().map(Into::into).collect(),
        }
    }
}

impl RolloutView {
    /// `20 at once; until 1% refuse something; Mon,Tue 22:00-04:00 UTC`.
    fn text(&self) -> String {
        let mut parts = vec![format!("{} at once", self.max_concurrent)];
        if !self.failure_threshold.is_empty() {
            parts.push(format!("until {} refuse something", self.failure_threshold));
        }
        parts.extend(self.windows.iter().map(WindowView::text));
        parts.join("; ")
    }
}

impl From<ProfileResource> for ResourceView {
    fn from(resource: ProfileResource) -> Self {
        let drift = drift(resource.drift_policy());
        let presence = presence_name(resource.presence());
        Self {
            path: resource.path,
            value: presence.map_or(resource.text, ToOwned::to_owned),
            drift,
        }
    }
}

/// A policy as it is called in resources.
pub(crate) const fn drift(policy: DriftPolicy) -> &'static str {
    match policy {
        DriftPolicy::Unspecified | DriftPolicy::Enforce => "Enforce",
        DriftPolicy::Report => "Report",
        DriftPolicy::InitOnly => "InitOnly",
    }
}

impl From<ProfileObservation> for ObservationView {
    fn from(observation: ProfileObservation) -> Self {
        Self {
            paths: observation.paths,
            parameters: observation.parameters,
        }
    }
}

impl From<ProfileCounts> for CountsView {
    fn from(counts: ProfileCounts) -> Self {
        Self {
            matched: counts.matched,
            in_sync: counts.in_sync,
            pending: counts.pending,
            drifted: counts.drifted,
            rejected: counts.rejected,
            unsupported: counts.unsupported,
            superseded: counts.superseded,
            waiting: counts.waiting,
            unregistered: counts.unregistered,
        }
    }
}

impl From<ProfileOverlap> for OverlapView {
    fn from(overlap: ProfileOverlap) -> Self {
        Self {
            profile: overlap.profile,
            path: overlap.path,
            wins: overlap.wins,
        }
    }
}

impl ProfileView {
    /// The profile and how far its devices are.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let devices = match (self.filter.as_str(), self.group.as_str()) {
            ("", "") => "every device".to_owned(),
            (filter, "") => filter.to_owned(),
            ("", group) => format!("of the group {group}"),
            (filter, group) => format!("of the group {group}, {filter}"),
        };
        let description = match self.description.as_str() {
            "" => "-".to_owned(),
            description => printable(description),
        };
        let rollout = self.rollout.as_ref().map(RolloutView::text);
        for (name, value) in [
            ("Name", self.name.clone()),
            ("Description", description),
            ("Devices", printable(&devices)),
            ("Requires", self.requirements()),
            ("Priority", self.priority.to_string()),
            (
                "Rollout",
                rollout.unwrap_or_else(|| "all at once".to_owned()),
            ),
            ("State", self.state().to_owned()),
        ] {
            let _ = writeln!(text, "{:13} {value}", format!("{name}:"));
        }
        if let Some(status) = &self.status {
            text.push('\n');
            text.push_str(&status.counts.table());
        }
        if !self.resources.is_empty() {
            text.push('\n');
            let rows = self
                .resources
                .iter()
                .map(|one| vec![one.path.clone(), one.value.clone(), one.drift.to_owned()]);
            text.push_str(&table::render(&["PATH", "VALUE", "DRIFT"], rows));
        }
        if !self.observations.is_empty() {
            text.push('\n');
            let rows = self
                .observations
                .iter()
                .map(|one| vec![one.paths.join(", "), one.parameters.clone()]);
            text.push_str(&table::render(&["OBSERVED", "PARAMETERS"], rows));
        }
        for overlap in self.status.iter().flat_map(|status| &status.overlaps) {
            let counts = if overlap.wins {
                &overlap.profile
            } else {
                &self.name
            };
            let _ = writeln!(
                text,
                "\n{} says something of {} too; {counts} counts",
                overlap.profile, overlap.path
            );
        }
        text
    }

    fn requirements(&self) -> String {
        let mut parts: Vec<String> = self
            .required_objects
            .iter()
            .map(|object| format!("/{object}"))
            .collect();
        if !self.minimum_version.is_empty() {
            parts.push(format!("LwM2M {}", self.minimum_version));
        }
        if parts.is_empty() {
            return "-".to_owned();
        }
        parts.join(", ")
    }

    /// `Paused`, `Applying`, `Applied`, or what holds it.
    fn state(&self) -> &'static str {
        match &self.status {
            _ if self.paused => "Paused",
            Some(status) if status.hold == hold_name(Hold::Window) => "OutsideWindow",
            Some(status) if status.hold == hold_name(Hold::Failures) => "Stopped",
            Some(status) if status.applied => "Applied",
            Some(_) | None => "Applying",
        }
    }
}

impl CountsView {
    const HEADINGS: [&'static str; 9] = [
        "MATCHED",
        "IN-SYNC",
        "PENDING",
        "DRIFTED",
        "REJECTED",
        "UNSUPPORTED",
        "SUPERSEDED",
        "WAITING",
        "UNREGISTERED",
    ];

    fn row(&self) -> Vec<String> {
        [
            self.matched,
            self.in_sync,
            self.pending,
            self.drifted,
            self.rejected,
            self.unsupported,
            self.superseded,
            self.waiting,
            self.unregistered,
        ]
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    fn table(&self) -> String {
        table::render(&Self::HEADINGS, [self.row()])
    }
}

/// `{"profiles": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct ProfilesView {
    pub(crate) profiles: Vec<ProfileView>,
}

impl ProfilesView {
    pub(crate) fn table(&self) -> String {
        let rows = self.profiles.iter().map(|profile| {
            let mut row = vec![
                profile.name.clone(),
                profile.priority.to_string(),
                profile.state().to_owned(),
            ];
            row.extend(match &profile.status {
                Some(status) => status.counts.row(),
                None => CountsView::default().row(),
            });
            row
        });
        let headings = ["NAME", "PRIORITY", "STATE"];
        let headings: Vec<&str> = headings.into_iter().chain(CountsView::HEADINGS).collect();
        table::render(&headings, rows)
    }
}

/// `{"devices": […]}`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DevicesView {
    devices: Vec<ProfileDeviceView>,
}

/// A device of a profile, and what keeps it from being in sync.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileDeviceView {
    endpoint: String,
    state: &'static str,
    path: String,
    coap_code: String,
    diagnostic: String,
    since: Option<String>,
}

impl From<ProfileDevice> for ProfileDeviceView {
    fn from(device: ProfileDevice) -> Self {
        let state = match device.state() {
            State::InSync => "InSync",
            State::Pending | State::Unspecified => "Pending",
            State::Drifted => "Drifted",
            State::Rejected => "Rejected",
            State::Unsupported => "Unsupported",
            State::Superseded => "Superseded",
            State::Waiting => "Waiting",
            State::Unregistered => "Unregistered",
        };
        Self {
            state,
            since: rfc3339(device.since.as_ref()),
            endpoint: device.endpoint,
            path: device.path,
            coap_code: device.coap_code,
            diagnostic: device.diagnostic,
        }
    }
}

impl DevicesView {
    pub(crate) fn add(&mut self, page: Vec<ProfileDevice>) {
        let page = page.into_iter().map(ProfileDeviceView::from);
        self.devices.extend(page);
    }

    pub(crate) fn table(&self) -> String {
        let rows = self.devices.iter().map(|device| {
            vec![
                device.endpoint.clone(),
                device.state.to_owned(),
                device.path.clone(),
                device.coap_code.clone(),
                device.diagnostic.clone(),
                device.since.clone().unwrap_or_default(),
            ]
        });
        let headings = ["ENDPOINT", "STATE", "PATH", "CODE", "DIAGNOSTIC", "SINCE"];
        table::render(&headings, rows)
    }
}

#[cfg(test)]
mod tests {
    use proto::drover::v1::ProfileStatus;
    use proto::drover::v1::campaign_schedule::Window;

    use super::*;

    #[test]
    fn a_profile_is_shown_with_how_far_its_devices_are() {
        let profile = DeviceProfile {
            name: "berlin".to_owned(),
            filter: "labels.site = berlin".to_owned(),
            group: "lights".to_owned(),
            priority: 100,
            resources: vec![ProfileResource {
                path: "/3/0/14".to_owned(),
                text: "+02:00".to_owned(),
                drift_policy: DriftPolicy::Report.into(),
                ..Default::default()
            }],
            observations: vec![ProfileObservation {
                paths: vec!["/3311/0/5850".to_owned()],
                parameters: "pmin=1".to_owned(),
            }],
            status: Some(ProfileStatus {
                revision: 7,
                applied: false,
                counts: Some(ProfileCounts {
                    matched: 7,
                    in_sync: 2,
                    rejected: 1,
                    waiting: 4,
                    ..Default::default()
                }),
                hold: Hold::Failures.into(),
                overlaps: vec![ProfileOverlap {
                    profile: "base".to_owned(),
                    path: "/3/0/14".to_owned(),
                    wins: false,
                }],
            }),
            rollout: Some(ProfileRollout {
                max_concurrent: "2%".to_owned(),
                failure_threshold: "1".to_owned(),
                windows: vec![Window {
                    days: vec!["Sat".to_owned(), "Sun".to_owned()],
                    start: "22:00".to_owned(),
                    end: "04:00".to_owned(),
                    time_zone: "Europe/Berlin".to_owned(),
                }],
            }),
            ..Default::default()
        };
        insta::assert_snapshot!(ProfileView::from(profile).text(), @r"
        Name:         berlin
        Description:  -
        Devices:      of the group lights, labels.site = berlin
        Requires:     -
        Priority:     100
        Rollout:      2% at once; until 1 refuse something; Sat,Sun 22:00-04:00 Europe/Berlin
        State:        Stopped

        MATCHED   IN-SYNC   PENDING   DRIFTED   REJECTED   UNSUPPORTED   SUPERSEDED   WAITING   UNREGISTERED
        7         2         0         0         1          0             0            4         0

        PATH      VALUE    DRIFT
        /3/0/14   +02:00   Report

        OBSERVED       PARAMETERS
        /3311/0/5850   pmin=1

        base says something of /3/0/14 too; berlin counts
        ");
    }

    #[test]
    fn devices_are_shown_with_what_keeps_them() {
        let mut view = DevicesView::default();
        view.add(vec![ProfileDevice {
            endpoint: "lamp-7".to_owned(),
            state: State::Rejected.into(),
            path: "/3/0/14".to_owned(),
            coap_code: "4.05".to_owned(),
            diagnostic: "not today".to_owned(),
            since: None,
        }]);
        insta::assert_snapshot!(view.table(), @r"
        ENDPOINT   STATE      PATH      CODE   DIAGNOSTIC   SINCE
        lamp-7     Rejected   /3/0/14   4.05   not today    -
        ");
    }
}
