//! Write (LwM2M Core 1.2 §6.3.3): everything is checked before anything changes.

use std::collections::BTreeMap;

use lwm2m::{Entry, ObjectModel, Path, ResourceModel, Value, WriteMode};

use super::{Instance, MAX_INSTANCES, MAX_VALUE_BYTES, ObjectTree, Resource};
use crate::refusal::Refusal;

impl ObjectTree {
    /// Writes values at or below an object instance, and returns the paths whose value differs now.
    pub(crate) fn write(
        &mut self,
        path: Path,
        mode: WriteMode,
        values: &[Entry],
    ) -> Result<Vec<Path>, Refusal> {
        let target = writable_target(path)?;
        self.require(target)?;
        let (object, _) = self.instance(target).ok_or(Refusal::Missing(target))?;
        let model = object.model;
        self.check_resource_path(path, model)?;
        for entry in values {
            check_entry(entry, model, Caller::Write)?;
        }
        let before = self.instance(target).map(|(_, resources)| resources);
        let mut after = before.cloned().unwrap_or_default();
        apply(&mut after, model, path, mode, values)?;
        let changed = before
            .map(|before| differences(target, before, &after))
            .unwrap_or_default();
        if let (Some(object), Some(instance)) = (path.object_id(), path.object_instance_id())
            && let Some(object) = self.objects.get_mut(&object)
        {
            object.instances.insert(instance, after);
        }
        Ok(changed)
    }

    /// A path below the instance must name a writable resource.
    fn check_resource_path(&self, path: Path, model: &ObjectModel) -> Result<(), Refusal> {
        let Some(id) = path.resource_id() else {
            return Ok(());
        };
        let resource = model.resource(id).ok_or(Refusal::Missing(path))?;
        if !resource.operations.writable {
            let at = path.to_resource().unwrap_or(path);
            self.require(at)?;
            return Err(Refusal::NotAllowed(path));
        }
        if path.resource_instance_id().is_some() && !resource.multiple {
            return Err(Refusal::Missing(path));
        }
        Ok(())
    }
}

/// Who puts a value: a Create may also set what is read-only afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Write,
    Create,
}

fn writable_target(path: Path) -> Result<Path, Refusal> {
    match (path.object_id(), path.object_instance_id()) {
        (Some(object), Some(instance)) => Ok(Path::ObjectInstance(object, instance)),
        _ => Err(Refusal::NotAllowed(path)),
    }
}

pub(super) fn check_entry(
    entry: &Entry,
    model: &ObjectModel,
    caller: Caller,
) -> Result<(), Refusal> {
    let path = entry.path;
    let id = path.resource_id().ok_or(Refusal::BadValue(path))?;
    let resource = model.resource(id).ok_or(Refusal::Missing(path))?;
    let allowed = match caller {
        Caller::Write => resource.operations.writable,
        Caller::Create => !resource.operations.executable,
    };
    if !allowed {
        return Err(Refusal::NotAllowed(path));
    }
    if resource.multiple != path.resource_instance_id().is_some()
        || resource.value_type != Some(entry.value.value_type())
    {
        return Err(Refusal::BadValue(path));
    }
    let length = match &entry.value {
        Value::String(text) | Value::CoreLink(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        _ => 0,
    };
    if length > MAX_VALUE_BYTES {
        return Err(Refusal::TooLarge(path));
    }
    Ok(())
}

/// What an instance holds after a Write; only room can be lacking.
fn apply(
    resources: &mut Instance,
    model: &ObjectModel,
    path: Path,
    mode: WriteMode,
    values: &[Entry],
) -> Result<(), Refusal> {
    if mode == WriteMode::Replace && path.resource_instance_id().is_none() {
        make_way(resources, model, path, values);
    }
    for entry in values {
        let Some(resource) = entry.path.resource_id().and_then(|id| model.resource(id)) else {
            continue;
        };
        insert(resources, resource, entry)?;
    }
    Ok(())
}

/// A replacing Write ends what it could have named and did not; mandatory resources stay, an
/// instance cannot be without them.
fn make_way(resources: &mut Instance, model: &ObjectModel, path: Path, values: &[Entry]) {
    let named = |id: u16| {
        values
            .iter()
            .any(|entry| entry.path.resource_id() == Some(id))
    };
    resources.retain(|id, resource| {
        let Some(definition) = model.resource(*id) else {
            return true;
        };
        let in_scope =
            definition.operations.writable && path.resource_id().is_none_or(|wanted| wanted == *id);
        if !in_scope {
            return true;
        }
        if let Resource::Multiple(instances) = resource
            && (named(*id) || path.resource_id().is_some())
        {
            instances.clear();
        }
        named(*id) || definition.mandatory || path.resource_id().is_some()
    });
}

pub(super) fn insert(
    resources: &mut Instance,
    model: &ResourceModel,
    entry: &Entry,
) -> Result<(), Refusal> {
    let Some(id) = entry.path.resource_instance_id() else {
        resources.insert(model.id, Resource::Single(entry.value.clone()));
        return Ok(());
    };
    let slot = resources
        .entry(model.id)
        .or_insert_with(|| Resource::Multiple(BTreeMap::new()));
    if let Resource::Multiple(values) = slot {
        if values.len() >= MAX_INSTANCES && !values.contains_key(&id) {
            return Err(Refusal::Full);
        }
        values.insert(id, entry.value.clone());
    }
    Ok(())
}

fn differences(target: Path, before: &Instance, after: &Instance) -> Vec<Path> {
    let ids = before
        .keys()
        .chain(after.keys().filter(|id| !before.contains_key(id)));
    ids.filter(|id| before.get(id) != after.get(id))
        .filter_map(|id| target.child(*id))
        .collect()
}
