//! `ObjectModel` → a definition in the state tier, and back to a status.
//!
//! 1. What the spec says, as DDF or field by field, is one object of the spec's id and version.
//! 2. Whose a definition is says the last line of its description. One that nobody's object has made, or that another
//!    object has which is still there, is left alone.
//! 3. What the state tier holds is compared by content.

use std::borrow::Cow;

use crd::object_model::{
    InlineDefinition, Instances, Operations as Allowed, Presence, ResourceDefinition, ResourceType,
};
use crd::{ConditionStatus, ConditionType, ObjectModel, ObjectModelStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lwm2m::{NotAdmitted, ObjectVersion, Operations, Registry, ResourceModel, ValueType, ddf};

use crate::conditions::{Conditions, differs};
use crate::owner::Owner;
use crate::text::cut;
use crate::{Pace, Refusal};

/// What definitions that objects have made have as the last line of their description.
pub const OWNER: Owner = Owner::new("objectmodels.drover.dev");

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The definition of the object's id and version.
    pub stored: Option<lwm2m::ObjectModel>,
    /// Whether the object that has made it is there, and another one.
    pub is_of_another: bool,
    /// Why the state tier did not take it.
    pub refused: Option<Refusal>,
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The definition that is to be put.
    pub put: Option<lwm2m::ObjectModel>,
    /// What the status should be.
    pub status: ObjectModelStatus,
    /// When to look again.
    pub pace: Pace,
}

impl Plan {
    /// The status, if it differs from what `model` has; conditions of others do not count.
    pub fn status_change(&self, model: &ObjectModel) -> Option<&ObjectModelStatus> {
        let (known, rows) = (model.status.as_ref(), ObjectModel::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// The id and version of what an object defines, if they can be such.
pub fn key(model: &ObjectModel) -> Option<(u16, ObjectVersion)> {
    let id = u16::try_from(model.spec.object_id).ok()?;
    Some((id, model.spec.version.parse().ok()?))
}

/// The uid of the object that has made a definition, if one has.
pub fn maker(definition: &lwm2m::ObjectModel) -> Option<&str> {
    OWNER.maker(definition.description.as_deref()?.lines().last()?)
}

/// Decides what to do about a definition and what its status should be. `now` is the wall clock and only stands in
/// conditions whose status has changed.
pub fn plan(model: &ObjectModel, observed: &Observed, now: &Time) -> Plan {
    let wanted = match (wanted(model, observed), &observed.refused) {
        (Ok(wanted), None) => wanted,
        (Err(refusal), _) => return refused(model, &refusal, now),
        (Ok(_), Some(refusal)) => return refused(model, refusal, now),
    };
    let is_in_force = observed.stored.as_ref() == Some(&wanted);
    let message = "the definition is in force";
    let mut status = status(
        model,
        (ConditionStatus::True, Reason::Accepted, message),
        now,
    );
    status.resources = i32::try_from(wanted.resources().len()).ok();
    Plan {
        put: (!is_in_force).then_some(wanted),
        status,
        pace: Pace::Resting,
    }
}

fn refused(model: &ObjectModel, refusal: &Refusal, now: &Time) -> Plan {
    let says = (
        ConditionStatus::False,
        refusal.reason,
        refusal.message.as_str(),
    );
    Plan {
        put: None,
        status: status(model, says, now),
        pace: refusal.pace(),
    }
}

fn status(
    model: &ObjectModel,
    (status, reason, message): (ConditionStatus, Reason, &str),
    now: &Time,
) -> ObjectModelStatus {
    let generation = model.metadata.generation.unwrap_or(1);
    let known = model.status.as_ref();
    let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
    let mut conditions = Conditions::new(known, ObjectModel::CONDITIONS, generation, now);
    conditions.set(ConditionType::Accepted, status, reason, message);
    ObjectModelStatus {
        observed_generation: Some(generation),
        conditions: conditions.finish(),
        resources: None,
    }
}

/// The definition as it should be.
fn wanted(model: &ObjectModel, observed: &Observed) -> Result<lwm2m::ObjectModel, Refusal> {
    let definition = compile(model)?;
    Registry::oma()
        .admits(&definition)
        .map_err(|error| Refusal {
            reason: match error {
                NotAdmitted::OmaOnly(_) => Reason::Unsupported,
                NotAdmitted::NotNewer { .. } => Reason::NotNewer,
            },
            message: format!("spec.objectID: {error}"),
        })?;
    match &observed.stored {
        Some(stored) if maker(stored).is_none() || observed.is_of_another => Err(conflict(stored)),
        _ => Ok(definition),
    }
}

fn conflict(stored: &lwm2m::ObjectModel) -> Refusal {
    let (id, version) = (stored.id, stored.version);
    let message = match maker(stored) {
        Some(_) => format!(
            "another ObjectModel defines version {version} of object {id}; if that is deleted, this one counts"
        ),
        None => format!(
            "version {version} of object {id} was added by hand; remove it by `drover models remove {id} --version \
             {version}`"
        ),
    };
    Refusal {
        reason: Reason::IdentityConflict,
        message,
    }
}

/// The definition that an object says, with the mark of who has made it.
fn compile(model: &ObjectModel) -> Result<lwm2m::ObjectModel, Refusal> {
    let key = key(model).ok_or_else(|| {
        let why = "the id of an object is 0 to 65534, and its version such as 1.0";
        Refusal::invalid("spec.objectID", why)
    })?;
    let definition = &model.spec.definition;
    let (mut compiled, field) = match (&definition.xml, &definition.inline) {
        (Some(xml), _) => (of_xml(xml, key)?, "spec.definition.xml"),
        (None, Some(inline)) => (of_inline(inline, key)?, "spec.definition.inline"),
        (None, None) => return Err(invalid("spec.definition", "is missing")),
    };
    compiled.description = Some(marked(&compiled, &OWNER.of(&model.metadata)).into());
    // As it is read from what is sent, so that what the state tier holds can be compared with it.
    let mut read = ddf::parse(&ddf::write(&compiled)).map_err(|error| invalid(field, error))?;
    Ok(read.remove(0))
}

/// The description with a last line that says who has made the definition.
fn marked(definition: &lwm2m::ObjectModel, owner: &str) -> String {
    let text = definition.description.as_deref().unwrap_or_default();
    let room = lwm2m::ObjectModel::MAX_DESCRIPTION - owner.len() - 1;
    match cut(text, room).trim() {
        "" => owner.to_owned(),
        text => format!("{text}\n{owner}"),
    }
}

fn of_xml(xml: &str, (id, version): (u16, ObjectVersion)) -> Result<lwm2m::ObjectModel, Refusal> {
    const FIELD: &str = "spec.definition.xml";
    let mut models = ddf::parse(xml).map_err(|error| invalid(FIELD, error))?;
    let model = models.remove(0);
    if !models.is_empty() {
        let why = "defines several objects; make an ObjectModel for each";
        return Err(invalid(FIELD, why));
    }
    if (model.id, model.version) != (id, version) {
        let why = format!(
            "defines version {} of object {}, and the spec says version {version} of object {id}",
            model.version, model.id
        );
        return Err(invalid(FIELD, why));
    }
    Ok(model)
}

fn of_inline(
    inline: &InlineDefinition,
    (id, version): (u16, ObjectVersion),
) -> Result<lwm2m::ObjectModel, Refusal> {
    const FIELD: &str = "spec.definition.inline";
    let mut model = lwm2m::ObjectModel::new(id, version, inline.name.clone());
    model.multiple = inline.instances == Instances::Multiple;
    let resources = inline.resources.iter().map(resource);
    let resources: Option<Vec<ResourceModel>> = resources.collect();
    let resources =
        resources.ok_or_else(|| invalid(FIELD, "the id of a resource is 0 to 65534"))?;
    model
        .with_resources(resources)
        .map_err(|error| invalid(FIELD, error))
}

fn resource(resource: &ResourceDefinition) -> Option<ResourceModel> {
    let letters = match resource.operations {
        Allowed::Read => "R",
        Allowed::Write => "W",
        Allowed::ReadWrite => "RW",
        Allowed::Execute => "E",
        Allowed::Bootstrap => "",
    };
    Some(ResourceModel {
        id: u16::try_from(resource.id).ok()?,
        name: resource.name.clone().into(),
        operations: Operations::parse(letters)?,
        multiple: resource.instances == Instances::Multiple,
        mandatory: resource.presence == Presence::Mandatory,
        value_type: resource.kind.map(value_type),
        range: None,
        units: resource.units.clone().map(Cow::Owned),
        description: None,
    })
}

const fn value_type(kind: ResourceType) -> ValueType {
    match kind {
        ResourceType::String => ValueType::String,
        ResourceType::Integer => ValueType::Integer,
        ResourceType::Unsigned => ValueType::Unsigned,
        ResourceType::Float => ValueType::Float,
        ResourceType::Boolean => ValueType::Boolean,
        ResourceType::Opaque => ValueType::Opaque,
        ResourceType::Time => ValueType::Time,
        ResourceType::Objlnk => ValueType::ObjectLink,
        ResourceType::Corelnk => ValueType::CoreLink,
    }
}

fn invalid(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal {
        reason: Reason::InvalidDefinition,
        message: format!("{field}: {why}"),
    }
}

#[cfg(test)]
mod tests;
