//! Object instances that a spec wants to be there or not.

use crd::desired_instance::{DesiredInstance, InstanceState};
use device_state::{Goal, Presence, check_goals};
use lwm2m::Path;

use crate::Refusal;

const FIELD: &str = "spec.instances";

/// Which instance, and whether it should be there.
pub(crate) fn instance(asked: &DesiredInstance) -> Result<(Path, Presence), Refusal> {
    let invalid = |error: &dyn std::fmt::Display| Refusal::invalid(FIELD, &error.to_string());
    let path: Path = asked.path.parse().map_err(|error| invalid(&error))?;
    Presence::check(path).map_err(|error| invalid(&error))?;
    let presence = match asked.state {
        InstanceState::Present => Presence::Present,
        InstanceState::Absent => Presence::Absent,
    };
    Ok((path, presence))
}

/// Whether all that a spec wants can be had together.
pub(crate) fn together<'g>(
    set: impl Iterator<Item = (Path, &'g Goal)> + Clone,
) -> Result<(), Refusal> {
    check_goals(set).map_err(|error| Refusal::invalid(FIELD, &error.to_string()))
}
