//! The objects of a device, their instances and what they hold.
//!
//! The Security and OSCORE objects are not here: their content is what the transport was given,
//! and no management server may touch it.

mod discover;
mod instance;
mod write;

use std::collections::BTreeMap;

use lwm2m::{
    Entry, LwM2mVersion, ObjectModel, ObjectVersion, Path, Registry, ResourceModel, Value,
    default_object_version,
};

use crate::output::SetValueError;
use crate::refusal::Refusal;

/// Instances of one object, and likewise of one resource.
const MAX_INSTANCES: usize = 32;

/// Bytes of one written text or opaque value.
const MAX_VALUE_BYTES: usize = 2048;

/// Objects that hold credentials: Security, OSCORE, COSE.
const CREDENTIAL_OBJECTS: [u16; 3] = [0, 21, 23];

#[derive(Clone, Debug)]
pub(crate) struct ObjectTree {
    release: LwM2mVersion,
    objects: BTreeMap<u16, Object>,
    /// Counts changes of what a registration lists.
    revision: u32,
}

#[derive(Clone, Debug)]
struct Object {
    model: &'static ObjectModel,
    instances: BTreeMap<u16, Instance>,
}

type Instance = BTreeMap<u16, Resource>;

#[derive(Clone, Debug, PartialEq)]
enum Resource {
    Single(Value),
    Multiple(BTreeMap<u16, Value>),
    Action,
}

impl ObjectTree {
    pub(crate) fn new(release: LwM2mVersion) -> Self {
        Self {
            release,
            objects: BTreeMap::new(),
            revision: 0,
        }
    }

    pub(crate) fn release(&self) -> LwM2mVersion {
        self.release
    }

    pub(crate) fn revision(&self) -> u32 {
        self.revision
    }

    /// Puts a value in place whatever was there, making what lies above it. Does nothing if the
    /// release of the device has no such resource.
    pub(crate) fn put(&mut self, path: Path, value: Value) {
        let Some((model, resources)) = self.slot(path) else {
            return;
        };
        let Some(value_type) = model.value_type else {
            return;
        };
        let Ok(value) = value.conform(value_type) else {
            debug_assert!(false, "{path} holds another type");
            return;
        };
        match path {
            Path::ResourceInstance(_, _, _, id) if model.multiple => {
                let slot = resources
                    .entry(model.id)
                    .or_insert_with(|| Resource::Multiple(BTreeMap::new()));
                if let Resource::Multiple(values) = slot {
                    values.insert(id, value);
                }
            }
            Path::Resource(..) if !model.multiple => {
                resources.insert(model.id, Resource::Single(value));
            }
            _ => debug_assert!(false, "{path} is not where a value is"),
        }
    }

    /// Puts an executable resource in place.
    pub(crate) fn put_action(&mut self, path: Path) {
        if let Some((model, resources)) = self.slot(path)
            && model.operations.executable
        {
            resources.insert(model.id, Resource::Action);
        }
    }

    fn slot(&mut self, path: Path) -> Option<(&'static ResourceModel, &mut Instance)> {
        let (object, instance) = (path.object_id()?, path.object_instance_id()?);
        let release = self.release;
        let model = object_model(object, release)?;
        let resource = model.resource(path.resource_id()?)?;
        let known = self.objects.entry(object).or_insert_with(|| Object {
            model,
            instances: BTreeMap::new(),
        });
        Some((resource, known.instances.entry(instance).or_default()))
    }

    /// The value of a single resource or of a resource instance.
    pub(crate) fn value(&self, path: Path) -> Option<&Value> {
        let (_, resources) = self.instance(path)?;
        match (resources.get(&path.resource_id()?)?, path) {
            (Resource::Single(value), Path::Resource(..)) => Some(value),
            (Resource::Multiple(values), Path::ResourceInstance(_, _, _, id)) => values.get(&id),
            _ => None,
        }
    }

    /// Changes a value that exists, and says whether it differs from what it was.
    pub(crate) fn set(&mut self, path: Path, value: Value) -> Result<Change, SetValueError> {
        let value_type = self
            .model(path)
            .and_then(|model| model.value_type)
            .ok_or(SetValueError::NoResource(path))?;
        let value = value
            .conform(value_type)
            .map_err(|_| SetValueError::WrongType(path))?;
        let slot = self
            .value_mut(path)
            .ok_or(SetValueError::NoResource(path))?;
        if *slot == value {
            return Ok(Change::None);
        }
        *slot = value;
        Ok(Change::Value)
    }

    /// Gives a multiple resource these values and no others.
    pub(crate) fn replace_instances(
        &mut self,
        path: Path,
        values: impl Iterator<Item = Value>,
    ) -> Change {
        let object = path.object_id().and_then(|id| self.objects.get_mut(&id));
        let instance = object.zip(path.object_instance_id());
        let resources = instance.and_then(|(object, id)| object.instances.get_mut(&id));
        let resource = resources.zip(path.resource_id());
        match resource.and_then(|(resources, id)| resources.get_mut(&id)) {
            Some(Resource::Multiple(known)) => {
                let values = (0..).zip(values).take(MAX_INSTANCES).collect();
                let changed = *known != values;
                *known = values;
                if changed { Change::Value } else { Change::None }
            }
            _ => Change::None,
        }
    }

    fn value_mut(&mut self, path: Path) -> Option<&mut Value> {
        let object = self.objects.get_mut(&path.object_id()?)?;
        let resources = object.instances.get_mut(&path.object_instance_id()?)?;
        match (resources.get_mut(&path.resource_id()?)?, path) {
            (Resource::Single(value), Path::Resource(..)) => Some(value),
            (Resource::Multiple(values), Path::ResourceInstance(_, _, _, id)) => {
                values.get_mut(&id)
            }
            _ => None,
        }
    }

    fn instance(&self, path: Path) -> Option<(&Object, &Instance)> {
        let object = self.objects.get(&path.object_id()?)?;
        let instance = object.instances.get(&path.object_instance_id()?)?;
        Some((object, instance))
    }

    /// The instances of an object.
    pub(crate) fn instance_ids(&self, object: u16) -> impl Iterator<Item = u16> {
        let object = self.objects.get(&object).into_iter();
        object.flat_map(|object| object.instances.keys().copied())
    }

    /// The definition of the resource that a path names, in the version that the device has.
    pub(crate) fn model(&self, path: Path) -> Option<&'static ResourceModel> {
        let object = self.objects.get(&path.object_id()?)?;
        object.model.resource(path.resource_id()?)
    }

    /// Whether a path is something on this device. Credentials are refused as such.
    pub(crate) fn require(&self, path: Path) -> Result<(), Refusal> {
        let missing = Refusal::Missing(path);
        let Some(id) = path.object_id() else {
            return Ok(());
        };
        if CREDENTIAL_OBJECTS.contains(&id) {
            return Err(Refusal::Credentials);
        }
        let object = self.objects.get(&id).ok_or(missing)?;
        let Some(id) = path.object_instance_id() else {
            return Ok(());
        };
        let resources = object.instances.get(&id).ok_or(missing)?;
        let Some(id) = path.resource_id() else {
            return Ok(());
        };
        let resource = resources.get(&id).ok_or(missing)?;
        match (path.resource_instance_id(), resource) {
            (None, _) => Ok(()),
            (Some(id), Resource::Multiple(values)) if values.contains_key(&id) => Ok(()),
            (Some(_), _) => Err(missing),
        }
    }

    /// Whether a path lies at or below an object instance on this device.
    pub(crate) fn require_instance(&self, path: Path) -> Result<(), Refusal> {
        if let (Some(object), Some(instance)) = (path.object_id(), path.object_instance_id()) {
            return self.require(Path::ObjectInstance(object, instance));
        }
        self.require(path)?;
        Err(Refusal::NotAllowed(path))
    }

    /// What a Read of the path reports (LwM2M Core 1.2 §6.3.1).
    pub(crate) fn read(&self, path: Path) -> Result<Vec<Entry>, Refusal> {
        self.require(path)?;
        if path == Path::Root {
            return Err(Refusal::NotAllowed(path));
        }
        if path.resource_id().is_some()
            && !self
                .model(path)
                .is_some_and(|model| model.operations.readable)
        {
            return Err(Refusal::NotAllowed(path));
        }
        let mut entries = Vec::new();
        self.collect(path, &mut entries);
        Ok(entries)
    }

    /// What a Read-Composite of the root reports: all but credentials (LwM2M Core 1.2 §6.3.8).
    pub(crate) fn read_all(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for id in self.objects.keys() {
            if !CREDENTIAL_OBJECTS.contains(id) {
                self.collect(Path::Object(*id), &mut entries);
            }
        }
        entries
    }

    fn collect(&self, path: Path, entries: &mut Vec<Entry>) {
        let Some(object) = path.object_id().and_then(|id| self.objects.get(&id)) else {
            return;
        };
        for (instance, resources) in &object.instances {
            if path
                .object_instance_id()
                .is_some_and(|wanted| wanted != *instance)
            {
                continue;
            }
            for (id, resource) in resources {
                let at = Path::Resource(object.model.id, *instance, *id);
                let readable = object
                    .model
                    .resource(*id)
                    .is_some_and(|model| model.operations.readable);
                if readable && (at.starts_with(path) || path.starts_with(at)) {
                    collect_resource(path, at, resource, entries);
                }
            }
        }
    }

    /// Whether a resource is an action that is there.
    pub(crate) fn is_action(&self, path: Path) -> bool {
        let found = self
            .instance(path)
            .and_then(|(_, resources)| resources.get(&path.resource_id()?));
        found == Some(&Resource::Action)
    }
}

/// What setting values did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Value,
}

fn collect_resource(path: Path, at: Path, resource: &Resource, entries: &mut Vec<Entry>) {
    match resource {
        Resource::Single(value) => entries.push(Entry::new(at, value.clone())),
        Resource::Multiple(values) => {
            for (id, value) in values {
                if let Some(at) = at.child(*id)
                    && at.starts_with(path)
                {
                    entries.push(Entry::new(at, value.clone()));
                }
            }
        }
        Resource::Action => {}
    }
}

/// Objects of which a device has the newest version that its release can carry: Cellular
/// Connectivity and its access points, and the gateway, which lists objects since version 2.0.
const NEWEST_VERSION: [u16; 3] = [10, 11, 25];

/// The definition of an object that a device of this release has: the version it need not name, or
/// else the newest one that the release can carry.
fn object_model(id: u16, release: LwM2mVersion) -> Option<&'static ObjectModel> {
    let registry = Registry::oma();
    let carried = match release {
        LwM2mVersion::V1_0 => ObjectVersion::new(1, 0),
        LwM2mVersion::V1_1 => ObjectVersion::new(1, 1),
        LwM2mVersion::V1_2 => ObjectVersion::new(1, 2),
    };
    let default = registry.object(id, Some(default_object_version(id, release)));
    default
        .filter(|_| !NEWEST_VERSION.contains(&id))
        .or_else(|| {
            let newest_first = registry.versions(id).iter().rev();
            newest_first
                .into_iter()
                .find(|model| model.lwm2m_version <= carried)
        })
}

#[cfg(test)]
mod tests;
