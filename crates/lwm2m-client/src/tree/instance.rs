//! Create and Delete (LwM2M Core 1.2 §6.3.4, §6.3.6).

use std::collections::BTreeMap;

use lwm2m::path::RESERVED_ID;
use lwm2m::{Entry, ObjectModel, Path, Value, ValueType};

use super::write::{Caller, check_entry, insert};
use super::{Instance, MAX_INSTANCES, ObjectTree, Resource};
use crate::refusal::Refusal;

/// The last object whose instances belong to the device or to bootstrap.
const LAST_CORE_OBJECT: u16 = 7;

impl ObjectTree {
    /// The smallest free instance id of an object in which a server may make instances.
    pub(crate) fn free_instance(&self, object: u16) -> Result<u16, Refusal> {
        let path = Path::Object(object);
        self.require(path)?;
        let known = self.objects.get(&object).ok_or(Refusal::Missing(path))?;
        // Servers and credentials are made in bootstrap; single-instance objects have theirs.
        if !known.model.multiple || object <= LAST_CORE_OBJECT {
            return Err(Refusal::NotAllowed(path));
        }
        self.free_id(object).ok_or(Refusal::Full)
    }

    /// The smallest free instance id of an object that is there.
    pub(crate) fn free_id(&self, object: u16) -> Option<u16> {
        let known = self.objects.get(&object)?;
        (0..RESERVED_ID)
            .take(MAX_INSTANCES)
            .find(|id| !known.instances.contains_key(id))
    }

    /// Removes an object instance on behalf of the device itself.
    pub(crate) fn remove_instance(&mut self, object: u16, instance: u16) {
        let known = self.objects.get_mut(&object);
        if known.is_some_and(|known| known.instances.remove(&instance).is_some()) {
            self.revision = self.revision.wrapping_add(1);
        }
    }

    /// Makes an instance that has `values`, all of them below `path`.
    pub(crate) fn create(&mut self, path: Path, values: &[Entry]) -> Result<(), Refusal> {
        let (Some(object), Some(id)) = (path.object_id(), path.object_instance_id()) else {
            return Err(Refusal::NotAllowed(path));
        };
        self.free_instance(object)?;
        let known = self.objects.get_mut(&object).ok_or(Refusal::NotFound)?;
        if known.instances.contains_key(&id) {
            return Err(Refusal::Exists(path));
        }
        let mut resources = Instance::new();
        for entry in values {
            check_entry(entry, known.model, Caller::Create)?;
            let model = entry
                .path
                .resource_id()
                .and_then(|id| known.model.resource(id));
            insert(
                &mut resources,
                model.ok_or(Refusal::Missing(entry.path))?,
                entry,
            )?;
        }
        complete(path, known.model, &mut resources)?;
        known.instances.insert(id, resources);
        self.revision = self.revision.wrapping_add(1);
        Ok(())
    }

    /// Removes an object instance, or in LwM2M 1.2 a resource instance.
    pub(crate) fn delete(&mut self, path: Path) -> Result<(), Refusal> {
        self.require(path)?;
        let object = path.object_id().ok_or(Refusal::NotAllowed(path))?;
        let known = self.objects.get_mut(&object).ok_or(Refusal::NotFound)?;
        match path {
            Path::ObjectInstance(_, id) if known.model.multiple && object > LAST_CORE_OBJECT => {
                known.instances.remove(&id);
                self.revision = self.revision.wrapping_add(1);
                Ok(())
            }
            Path::ResourceInstance(_, instance, resource, id)
                if self.release == lwm2m::LwM2mVersion::V1_2 =>
            {
                let writable = known
                    .model
                    .resource(resource)
                    .is_some_and(|model| model.operations.writable);
                let resources = known.instances.get_mut(&instance);
                match resources.and_then(|resources| resources.get_mut(&resource)) {
                    Some(Resource::Multiple(values)) if writable => {
                        values.remove(&id);
                        Ok(())
                    }
                    _ => Err(Refusal::NotAllowed(path)),
                }
            }
            _ => Err(Refusal::NotAllowed(path)),
        }
    }
}

/// Adds what the device itself contributes to a new instance: its actions, and the mandatory
/// values that no server could give.
fn complete(path: Path, model: &ObjectModel, resources: &mut Instance) -> Result<(), Refusal> {
    for resource in model.resources() {
        if resources.contains_key(&resource.id) {
            continue;
        }
        if resource.operations.executable {
            resources.insert(resource.id, Resource::Action);
        } else if resource.mandatory {
            if resource.operations.writable {
                return Err(Refusal::Incomplete(path));
            }
            let initial = if resource.multiple {
                Resource::Multiple(BTreeMap::new())
            } else {
                Resource::Single(initial_value(resource.value_type))
            };
            resources.insert(resource.id, initial);
        }
    }
    Ok(())
}

fn initial_value(value_type: Option<ValueType>) -> Value {
    match value_type {
        Some(ValueType::Integer) => Value::Integer(0),
        Some(ValueType::Unsigned) => Value::Unsigned(0),
        Some(ValueType::Float) => Value::Float(0.0),
        Some(ValueType::Boolean) => Value::Boolean(false),
        Some(ValueType::Opaque) => Value::Opaque(Vec::new()),
        Some(ValueType::Time) => Value::Time(0),
        Some(ValueType::ObjectLink) => Value::NULL_LINK,
        Some(ValueType::CoreLink) => Value::CoreLink(String::new()),
        Some(ValueType::String) | None => Value::String(String::new()),
    }
}
