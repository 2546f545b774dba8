//! What devices and profiles of a call name: profiles, and Secrets that values are taken from. Both are in the call.

use std::collections::BTreeSet;

use crd::DeviceProfile;
use fleet_plan::device::profiles;
use fleet_plan::profile::is_by_reference;
use fleet_plan::secrets::{Secret, Secrets, of_device, of_profile};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::documents::{Documents, unnamed};
use crate::failure::Failure;

impl Documents {
    /// A profile of the call.
    pub(super) fn profile(&self, name: &str) -> Option<&DeviceProfile> {
        let mut all = self.profiles.iter();
        all.find(|one| one.metadata.name.as_deref() == Some(name))
    }

    /// The Secrets of the call that have these names, as a plan takes them.
    pub(super) fn named_secrets<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Secrets {
        let held = |name: &str| {
            let entries = self.secret(name)?;
            let version = String::new();
            Some((name.to_owned(), Secret::Held { version, entries }))
        };
        names.into_iter().filter_map(held).collect()
    }

    /// Whether a `DeviceGroup` of the call has this name.
    pub(super) fn has_group(&self, name: &str) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|one| one.metadata.name.as_deref() == Some(name))
    }

    /// The names of the Secrets that values are taken from.
    pub(super) fn valued(&self) -> impl Iterator<Item = &str> {
        let of_devices = self.devices.iter().flat_map(of_device);
        of_devices.chain(self.profiles.iter().flat_map(of_profile))
    }

    /// Nothing is looked for elsewhere: Kubernetes is not asked.
    pub(super) fn what_is_named_is_there(&self) -> Result<(), Failure> {
        for device in &self.devices {
            let missing = profiles(device).find(|name| self.profile(name).is_none());
            if let Some(name) = missing {
                return Err(absent(("Device", &device.metadata), "DeviceProfile", name));
            }
            self.has(("Device", &device.metadata), of_device(device))?;
        }
        for profile in &self.profiles {
            self.has(("DeviceProfile", &profile.metadata), of_profile(profile))?;
        }
        let is_referred = |profile: &DeviceProfile| {
            let name = profile.metadata.name.as_deref();
            let mut referred = self.devices.iter().flat_map(profiles);
            referred.any(|one| Some(one) == name)
        };
        let mut idle = self.profiles.iter();
        match idle.find(|one| is_by_reference(one) && !is_referred(one)) {
            None => Ok(()),
            Some(one) => Err(unnamed("DeviceProfile", &one.metadata, "Device")),
        }
    }

    fn has(&self, by: (&str, &ObjectMeta), names: BTreeSet<&str>) -> Result<(), Failure> {
        let mut names = names.into_iter();
        match names.find(|name| self.secret(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(absent(by, "Secret", name)),
        }
    }
}

fn absent((kind, by): (&str, &ObjectMeta), what: &str, name: &str) -> Failure {
    let by = by.name.as_deref().unwrap_or_default();
    Failure::usage(
        format!("the {kind} {by:?} names the {what} {name:?}, which is not in this call"),
        format!(
            "Kubernetes is not asked: give the {what} in the same call, with -f once more or in one of the files; nothing was \
             changed"
        ),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const SECRET: &str =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\nstringData: {zone: UTC}\n";
    const PROFILE: &str = "apiVersion: drover.dev/v1alpha1\nkind: DeviceProfile\nmetadata: {name: base}\n\
         spec: {resources: [{path: /3/0/15, valueFrom: {secretKeyRef: {name: k, key: zone}}}]}\n";
    const DEVICE: &str = "apiVersion: drover.dev/v1alpha1\nkind: Device\nmetadata: {name: a}\n\
         spec: {endpointName: a, profileRefs: [{name: base}]}\n";

    fn read(documents: &[&str]) -> Result<Documents, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, documents.join("---\n")).unwrap();
        Documents::read(&[file], "default").map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_is_named_has_to_be_in_the_call() {
        let documents = read(&[SECRET, PROFILE, DEVICE]).unwrap();
        let printed = format!("{:?}", documents.named_secrets(documents.valued()));
        assert!(printed.contains("zone") && !printed.contains("UTC"));
        for (documents, said) in [
            (
                &[DEVICE][..],
                "the Device \"a\" names the DeviceProfile \"base\"",
            ),
            (
                &[PROFILE, DEVICE],
                "the DeviceProfile \"base\" names the Secret \"k\", which is not in this call",
            ),
            (
                &[PROFILE, SECRET],
                "the DeviceProfile \"base\" is named by no Device of this call",
            ),
            (
                &[SECRET],
                "the Secret \"k\" is named by no FirmwareImage, Device or DeviceProfile",
            ),
        ] {
            let refused = read(documents).unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
