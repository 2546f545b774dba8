//! The status that follows from an observation.

use crd::device_group::VersionCount;
use crd::{ConditionStatus, ConditionType, DeviceGroup, DeviceGroupStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Counts;
use crate::Refusal;
use crate::conditions::Conditions;
use crate::text::cut;

use ConditionStatus::{False, True, Unknown};
use ConditionType::{Accepted, Ready};

/// All versions that are not listed.
const OTHER: &str = "other";
/// A longer version is cut.
const MAX_VERSION: usize = 255;

/// A status in the making.
pub(super) struct Report<'a> {
    generation: i64,
    now: &'a Time,
    conditions: Conditions<'a>,
}

impl<'a> Report<'a> {
    pub(super) fn new(group: &DeviceGroup, now: &'a Time) -> Self {
        let generation = group.metadata.generation.unwrap_or(1);
        let known = group.status.as_ref();
        let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
        Self {
            generation,
            now,
            conditions: Conditions::new(known, DeviceGroup::CONDITIONS, generation, now),
        }
    }

    /// The spec is in force, or about to be.
    pub(super) fn accepted(mut self, counts: Option<&Counts>) -> DeviceGroupStatus {
        let message = "the spec is in force";
        self.conditions
            .set(Accepted, True, Reason::Accepted, message);
        let Some(counts) = counts else {
            let message = "the devices are being counted";
            self.conditions
                .set(Ready, Unknown, Reason::Evaluating, message);
            return self.finish();
        };
        let message = "the devices were counted";
        self.conditions.set(Ready, True, Reason::Evaluated, message);
        DeviceGroupStatus {
            devices: Some(number(counts.devices)),
            registered: Some(number(counts.registered)),
            asleep: Some(number(counts.asleep)),
            unreachable: Some(number(counts.devices.saturating_sub(counts.registered))),
            firmware_versions: versions(&counts.versions),
            last_evaluation_time: Some(self.now.clone()),
            ..self.finish()
        }
    }

    pub(super) fn refused(mut self, refusal: &Refusal) -> DeviceGroupStatus {
        let (reason, message) = (refusal.reason, refusal.message.as_str());
        self.conditions.set(Accepted, False, reason, message);
        let message = "not accepted: see Accepted";
        self.conditions.set(Ready, False, reason, message);
        self.finish()
    }

    fn finish(self) -> DeviceGroupStatus {
        DeviceGroupStatus {
            observed_generation: Some(self.generation),
            conditions: self.conditions.finish(),
            ..DeviceGroupStatus::default()
        }
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Versions are the keys of the list: those that are the same once they are cut are counted together, and so are a version
/// that is called like all others and these.
fn versions(counted: &[(String, u64)]) -> Vec<VersionCount> {
    let mut versions: Vec<VersionCount> = Vec::new();
    for (version, devices) in counted {
        let version = match version.as_str() {
            "" => OTHER,
            version => cut(version, MAX_VERSION),
        };
        let devices = number(*devices);
        match versions.iter_mut().find(|known| known.version == version) {
            Some(known) => known.devices = known.devices.saturating_add(devices),
            None => versions.push(VersionCount {
                version: version.to_owned(),
                devices,
            }),
        }
    }
    versions
}
