//! What the files of `apply` hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use crd::reference::PublicKeyHolder;
use crd::{
    BootstrapProfile, Device, DeviceGroup, DeviceOperation, DeviceProfile, EnrollmentPolicy,
    FirmwareImage, FirmwareRollout, ObjectModel, SecurityProfile,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

use crate::failure::Failure;

const VERSION: &str = "drover.dev/v1alpha1";

/// The objects of all files; each has passed the rules of its definition.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) models: Vec<ObjectModel>,
    pub(super) groups: Vec<DeviceGroup>,
    pub(super) profiles: Vec<DeviceProfile>,
    pub(super) enrollment: Vec<EnrollmentPolicy>,
    pub(super) devices: Vec<Device>,
    /// By name: the first one counts.
    pub(super) bootstraps: Vec<BootstrapProfile>,
    pub(super) security: Vec<SecurityProfile>,
    pub(super) operations: Vec<DeviceOperation>,
    pub(super) images: Vec<FirmwareImage>,
    pub(super) rollouts: Vec<FirmwareRollout>,
    /// What images name.
    pub(super) config_maps: Vec<ConfigMap>,
    pub(super) secrets: Vec<Secret>,
}

impl Documents {
    /// Reads the files. What names a namespace must be in `namespace`, which everything is put into.
    pub(super) fn read(files: &[PathBuf], namespace: &str) -> Result<Self, Failure> {
        let mut documents = Self::default();
        for file in files {
            for (source, text) in sources(file)? {
                documents.parse(&source, &text)?;
            }
        }
        documents.one_object_each()?;
        documents.images_belong_to_rollouts()?;
        documents.security_belongs_to_something()?;
        documents.what_holds_keys_belongs_to_something()?;
        documents.what_is_named_is_there()?;
        documents.all_in(namespace)?;
        documents
            .bootstraps
            .sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
        Ok(documents)
    }

    fn parse(&mut self, source: &str, text: &str) -> Result<(), Failure> {
        let invalid = |what: String| {
            Failure::usage(
                format!("{source}: {what}"),
                "see examples/device.yaml, examples/rollout.yaml and examples/resources",
            )
        };
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|error| invalid(error.to_string()))?;
            if !value.is_null() {
                self.take(value).map_err(invalid)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, value: Value) -> Result<(), String> {
        let field = |name: &str| value.get(name).and_then(Value::as_str);
        let version = field("apiVersion").unwrap_or_default();
        let kind = field("kind").unwrap_or_default().to_owned();
        match (version, kind.as_str()) {
            (VERSION, "Device") => self.devices.push(object(value, Device::validate_cel)?),
            (VERSION, "DeviceGroup") => {
                self.groups.push(object(value, DeviceGroup::validate_cel)?);
            }
            (VERSION, "DeviceProfile") => {
                self.profiles
                    .push(object(value, DeviceProfile::validate_cel)?);
            }
            (VERSION, "EnrollmentPolicy") => {
                self.enrollment
                    .push(object(value, EnrollmentPolicy::validate_cel)?);
            }
            (VERSION, "ObjectModel") => {
                self.models.push(object(value, ObjectModel::validate_cel)?);
            }
            (VERSION, "BootstrapProfile") => {
                self.bootstraps
                    .push(object(value, BootstrapProfile::validate_cel)?);
            }
            (VERSION, "SecurityProfile") => {
                self.security
                    .push(object(value, SecurityProfile::validate_cel)?);
            }
            (VERSION, "DeviceOperation") => {
                self.operations
                    .push(object(value, DeviceOperation::validate_cel)?);
            }
            (VERSION, "FirmwareImage") => {
                self.images
                    .push(object(value, FirmwareImage::validate_cel)?);
            }
            (VERSION, "FirmwareRollout") => {
                self.rollouts
                    .push(object(value, FirmwareRollout::validate_cel)?);
            }
            ("v1", "ConfigMap") => self.config_maps.push(plain(value)?),
            ("v1", "Secret") => self.secrets.push(plain(value)?),
            _ => return Err(format!("kind {kind:?} of {version:?} is not known here")),
        }
        Ok(())
    }

    /// Two objects would take turns in overwriting each other.
    fn one_object_each(&self) -> Result<(), Failure> {
        let endpoints = self
            .devices
            .iter()
            .map(|one| one.spec.endpoint_name.clone());
        let mut repeated = vec![("endpointName", repeated(endpoints))];
        for (kind, all) in self.named() {
            let names = all.iter().filter_map(|one| one.name.clone());
            repeated.push((kind, self::repeated(names)));
        }
        for (what, name) in repeated {
            if let Some(name) = name {
                return Err(Failure::usage(
                    format!("more than one object has the {what} {name:?}"),
                    "nothing was changed",
                ));
            }
        }
        Ok(())
    }

    /// What is known by its name, and is of a namespace or of none.
    fn named(&self) -> [(&'static str, Vec<&ObjectMeta>); 11] {
        let of_groups = self.groups.iter().map(|one| &one.metadata);
        let of_profiles = self.profiles.iter().map(|one| &one.metadata);
        let of_enrollment = self.enrollment.iter().map(|one| &one.metadata);
        let of_models = self.models.iter().map(|one| &one.metadata);
        let of_bootstraps = self.bootstraps.iter().map(|one| &one.metadata);
        let of_security = self.security.iter().map(|one| &one.metadata);
        let of_operations = self.operations.iter().map(|one| &one.metadata);
        let of_images = self.images.iter().map(|one| &one.metadata);
        let of_rollouts = self.rollouts.iter().map(|one| &one.metadata);
        let of_config_maps = self.config_maps.iter().map(|one| &one.metadata);
        let of_secrets = self.secrets.iter().map(|one| &one.metadata);
        [
            ("name of a ConfigMap", of_config_maps.collect()),
            ("name of a Secret", of_secrets.collect()),
            ("name of a DeviceGroup", of_groups.collect()),
            ("name of a DeviceProfile", of_profiles.collect()),
            ("name of an EnrollmentPolicy", of_enrollment.collect()),
            ("name of an ObjectModel", of_models.collect()),
            ("name of a BootstrapProfile", of_bootstraps.collect()),
            ("name of a SecurityProfile", of_security.collect()),
            ("name of a DeviceOperation", of_operations.collect()),
            ("name of a FirmwareImage", of_images.collect()),
            ("name of a FirmwareRollout", of_rollouts.collect()),
        ]
    }

    /// An image is kept nowhere but in the campaigns of its rollouts.
    fn images_belong_to_rollouts(&self) -> Result<(), Failure> {
        let is_named = |image: &FirmwareImage| {
            let name = image.metadata.name.as_deref().unwrap_or_default();
            self.rollouts.iter().any(|rollout| {
                let rollback = rollout.spec.rollback.as_ref();
                rollout.spec.image_ref.name == name
                    || rollback.is_some_and(|rollback| rollback.image_ref.name == name)
            })
        };
        match self.images.iter().find(|image| !is_named(image)) {
            None => Ok(()),
            Some(image) => Err(unnamed("FirmwareImage", &image.metadata, "FirmwareRollout")),
        }
    }

    /// What a security profile says is kept nowhere but in the accounts that devices get.
    fn security_belongs_to_something(&self) -> Result<(), Failure> {
        let is_named = |security: &SecurityProfile| {
            let name = security.metadata.name.as_deref().unwrap_or_default();
            let mut bootstraps = self.bootstraps.iter();
            let mut policies = self.enrollment.iter();
            bootstraps.any(|one| fleet_plan::bootstrap::named(one).contains(name))
                || policies.any(|one| {
                    let named = one.spec.security_profile_ref.as_ref();
                    named.is_some_and(|named| named.name == name)
                })
        };
        match self.security.iter().find(|one| !is_named(one)) {
            None => Ok(()),
            Some(one) => Err(unnamed(
                "SecurityProfile",
                &one.metadata,
                "BootstrapProfile or EnrollmentPolicy",
            )),
        }
    }

    /// Nothing else is made of it.
    fn what_holds_keys_belongs_to_something(&self) -> Result<(), Failure> {
        let keys = |holder: PublicKeyHolder| {
            let signed = self
                .images
                .iter()
                .filter_map(|image| image.spec.signature.as_ref());
            let keys = signed.map(|signature| &signature.public_key_ref);
            keys.filter(move |key| key.kind == holder)
                .map(|key| key.name.as_str())
        };
        let credentials = self.images.iter().filter_map(|image| {
            let secret = image.spec.credentials_secret_ref.as_ref()?;
            Some(secret.name.as_str())
        });
        let config_maps: BTreeSet<&str> = keys(PublicKeyHolder::ConfigMap).collect();
        let secrets: BTreeSet<&str> = keys(PublicKeyHolder::Secret)
            .chain(credentials)
            .chain(self.valued())
            .collect();
        let of_config_maps = self.config_maps.iter().map(|one| &one.metadata);
        let of_secrets = self.secrets.iter().map(|one| &one.metadata);
        if let Some(one) = unknown(of_config_maps, &config_maps) {
            return Err(unnamed("ConfigMap", one, "FirmwareImage"));
        }
        match unknown(of_secrets, &secrets) {
            None => Ok(()),
            Some(one) => Err(unnamed(
                "Secret",
                one,
                "FirmwareImage, Device or DeviceProfile",
            )),
        }
    }

    /// What a ConfigMap of the call has in it.
    pub(super) fn config_map(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let mut all = self.config_maps.iter();
        let found = all.find(|one| one.metadata.name.as_deref() == Some(name))?;
        let texts = found.data.iter().flatten();
        Some(
            texts
                .map(|(key, text)| (key.clone(), text.clone().into_bytes()))
                .collect(),
        )
    }

    /// What a Secret of the call has in it.
    pub(super) fn secret(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let mut all = self.secrets.iter();
        let found = all.find(|one| one.metadata.name.as_deref() == Some(name))?;
        let data = found.data.iter().flatten();
        let data = data.map(|(key, bytes)| (key.clone(), bytes.0.clone()));
        // As in Kubernetes, the text counts before the bytes of the same key.
        let texts = found.string_data.iter().flatten();
        let texts = texts.map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        Some(data.chain(texts).collect())
    }

    fn all_in(&self, namespace: &str) -> Result<(), Failure> {
        let named = self.named();
        let all = named.iter().flat_map(|(_, all)| all);
        let mut given = all.filter_map(|one| one.namespace.as_deref());
        match given.find(|given| *given != namespace) {
            None => Ok(()),
            Some(other) => Err(Failure::usage(
                format!(
                    "an object is in the namespace {other:?}, and everything is put into {namespace:?}"
                ),
                format!("use -n {other}; nothing was changed"),
            )),
        }
    }
}

/// One whose name nobody says.
fn unknown<'a>(
    mut all: impl Iterator<Item = &'a ObjectMeta>,
    named: &BTreeSet<&str>,
) -> Option<&'a ObjectMeta> {
    all.find(|one| !named.contains(one.name.as_deref().unwrap_or_default()))
}

pub(super) fn unnamed(kind: &str, metadata: &ObjectMeta, by: &str) -> Failure {
    let name = metadata.name.as_deref().unwrap_or_default();
    Failure::usage(
        format!("the {kind} {name:?} is named by no {by} of this call"),
        "give both in one call; nothing was changed",
    )
}

/// An object of Kubernetes itself.
fn plain<K: DeserializeOwned>(value: Value) -> Result<K, String> {
    serde_yaml_ng::from_value(value).map_err(|error| error.to_string())
}

/// An object that keeps the rules of its definition.
fn object<K, E>(value: Value, check: fn(&K) -> Result<(), E>) -> Result<K, String>
where
    K: DeserializeOwned,
    E: IntoIterator<Item: ToString>,
{
    let object = serde_yaml_ng::from_value(value).map_err(|error| error.to_string())?;
    match check(&object) {
        Ok(()) => Ok(object),
        Err(errors) => {
            let errors: Vec<String> = errors.into_iter().map(|one| one.to_string()).collect();
            Err(errors.join("; "))
        }
    }
}

fn repeated(names: impl Iterator<Item = String>) -> Option<String> {
    let mut known = BTreeSet::new();
    names.into_iter().find(|name| !known.insert(name.clone()))
}

/// The texts behind a file argument, each with its name.
fn sources(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let read = |path: &Path| -> Result<(String, String), Failure> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    if !file.is_dir() {
        return Ok(vec![read(file)?]);
    }
    let listing =
        std::fs::read_dir(file).with_context(|| format!("cannot list {}", file.display()))?;
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry
            .with_context(|| format!("cannot list {}", file.display()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const EXAMPLE: &str = include_str!("../../../../../examples/rollout.yaml");

    fn read(text: &str, namespace: &str) -> Result<Documents, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, text).unwrap();
        Documents::read(&[file], namespace).map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_image_and_its_rollout_are_of_one_call() {
        let documents = read(EXAMPLE, "default").unwrap();
        assert_eq!((documents.images.len(), documents.rollouts.len()), (1, 1));
        let (image, _) = EXAMPLE.split_once("---").unwrap();
        let refused = read(image, "default").unwrap_err();
        assert!(refused.contains("named by no FirmwareRollout"), "{refused}");
    }

    #[test]
    fn what_would_go_to_another_namespace_is_refused() {
        let refused = read(EXAMPLE, "acme").unwrap_err();
        assert!(refused.contains("\"default\""), "{refused}");
    }

    #[test]
    fn one_name_is_one_object() {
        let twice = format!("{EXAMPLE}\n---\n{EXAMPLE}");
        let refused = read(&twice, "default").unwrap_err();
        assert!(refused.contains("more than one object"), "{refused}");
    }

    #[test]
    fn the_rules_of_the_definition_hold() {
        let refused = read(&EXAMPLE.replace("size: 100%", "size: 50%"), "default").unwrap_err();
        assert!(
            refused.contains("the last wave must have size 100%"),
            "{refused}"
        );
    }

    #[test]
    fn what_nothing_comes_of_is_refused() {
        let security = include_str!("../../../../../examples/resources/security-profile-psk.yaml");
        let bootstrap = include_str!("../../../../../examples/resources/bootstrap-profile.yaml");
        let both = format!("{security}\n---\n{bootstrap}");
        assert_eq!(read(&both, "default").unwrap().security.len(), 1);
        let keys =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: firmware-keys}\ndata: {a: b}\n";
        for (alone, said) in [
            (
                security,
                "named by no BootstrapProfile or EnrollmentPolicy of this call",
            ),
            (keys, "named by no FirmwareImage of this call"),
        ] {
            let refused = read(alone, "default").unwrap_err();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn what_images_name_is_read_from_the_call() {
        let image = include_str!("../../../../../examples/resources/firmware-image.yaml");
        let rollout = EXAMPLE.split_once("---").unwrap().1;
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: firmware-server}\n\
                      data: {username: bWU=, password: b2xk}\nstringData: {password: new}\n";
        let call = format!("{image}\n---\n{rollout}\n---\n{secret}");
        let documents = read(&call, "default").unwrap();
        let entries = documents.secret("firmware-server").unwrap();
        assert_eq!(entries["username"], b"me");
        assert_eq!(entries["password"], b"new");
        assert_eq!(documents.secret("other"), None);
    }
}
