//! Groups of devices.

use proto::drover::v1::DeviceGroup;
use proto::drover::v1::device_group::Counts;
use serde::Serialize;

use crate::table::{self, printable};

/// `{"name", "filter", "description", "etag"}`, and of one that was counted `"devices", "registered", "asleep", "firmwareVersions"`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupView {
    name: String,
    filter: String,
    description: String,
    etag: String,
    #[serde(flatten)]
    counts: Option<CountsView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CountsView {
    devices: u64,
    registered: u64,
    asleep: u64,
    firmware_versions: Vec<VersionView>,
}

/// One that is empty stands for all others.
#[derive(Debug, Serialize)]
struct VersionView {
    version: String,
    devices: u64,
}

impl From<DeviceGroup> for GroupView {
    fn from(group: DeviceGroup) -> Self {
        Self {
            name: group.name,
            filter: group.filter,
            description: group.description,
            etag: group.etag,
            counts: group.counts.map(CountsView::from),
        }
    }
}

impl From<Counts> for CountsView {
    fn from(counts: Counts) -> Self {
        let versions = counts.firmware_versions.into_iter();
        Self {
            devices: counts.devices,
            registered: counts.registered,
            asleep: counts.asleep,
            firmware_versions: versions
                .map(|counted| VersionView {
                    version: counted.version,
                    devices: counted.devices,
                })
                .collect(),
        }
    }
}

impl GroupView {
    /// The group and who is in it.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "Name:         {}\nFilter:       {}\nDescription:  {}\n",
            self.name,
            shown(&self.filter, "every device"),
            shown(&printable(&self.description), "-"),
        );
        if let Some(counts) = &self.counts {
            text += &format!(
                "Devices:      {}, {} registered, {} asleep\n\n",
                counts.devices, counts.registered, counts.asleep
            );
            let rows = counts.firmware_versions.iter().map(|counted| {
                let version = shown(&counted.version, "other or unknown");
                vec![version.to_owned(), counted.devices.to_string()]
            });
            text += &table::render(&["FIRMWARE", "DEVICES"], rows);
        }
        text
    }
}

fn shown<'t>(text: &'t str, empty: &'t str) -> &'t str {
    if text.is_empty() { empty } else { text }
}

/// `{"groups": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct GroupsView {
    pub(crate) groups: Vec<GroupView>,
}

impl GroupsView {
    pub(crate) fn table(&self) -> String {
        let rows = self.groups.iter().map(|group| {
            vec![
                group.name.clone(),
                group.filter.clone(),
                group.description.clone(),
            ]
        });
        table::render(&["NAME", "FILTER", "DESCRIPTION"], rows)
    }
}

#[cfg(test)]
mod tests {
    use proto::drover::v1::device_group::FirmwareVersion;

    use super::*;

    #[test]
    fn a_group_is_shown_with_what_its_devices_run() {
        let version = |version: &str, devices| FirmwareVersion {
            version: version.to_owned(),
            devices,
        };
        let group = DeviceGroup {
            name: "north".to_owned(),
            filter: "labels.site = north".to_owned(),
            counts: Some(Counts {
                devices: 5,
                registered: 4,
                asleep: 3,
                firmware_versions: vec![version("1.0", 3), version("", 2)],
            }),
            ..Default::default()
        };
        insta::assert_snapshot!(GroupView::from(group).text(), @r"
        Name:         north
        Filter:       labels.site = north
        Description:  -
        Devices:      5, 4 registered, 3 asleep

        FIRMWARE           DEVICES
        1.0                3
        other or unknown   2
        ");
    }
}
