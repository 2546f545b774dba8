//! `DeviceGroup` → a group of the state tier, and back to a status.
//!
//! 1. Selector and filter become one filter, under the name of the object. A spec that groups cannot follow is not
//!    accepted; what was put there before stays.
//! 2. Whose a group is says its description. One of the same name that nobody's object has made is left alone.
//! 3. What the state tier holds is compared by content. After an action the caller observes, has the devices counted and
//!    plans again.
//! 4. A count that gives the same is no news: the time of it alone is not written.

mod status;

use crd::{DeviceGroup, DeviceGroupStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::status::Report;
use crate::conditions::differs;
use crate::owner::{Owner, checked_name};
use crate::selection::{ReadFilter, Selection};
use crate::{Pace, Refusal};

/// What groups that objects have made have as their description.
pub const OWNER: Owner = Owner::new("devicegroups.drover.dev");

/// A group as the state tier holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub filter: String,
    /// For people, and who has made it.
    pub description: String,
    /// By which it is known to be unchanged.
    pub etag: String,
}

/// How many devices are in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub devices: u64,
    /// Those that are registered.
    pub registered: u64,
    /// Those of them that sleep.
    pub asleep: u64,
    /// The most frequent first; one without a name is all others.
    pub versions: Vec<(String, u64)>,
}

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The group of the object's name.
    pub stored: Option<Stored>,
    /// Its devices, if they were counted.
    pub counts: Option<Counts>,
    /// Why the state tier did not take it.
    pub refused: Option<Refusal>,
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The group that is to be put; its etag is that of the one that it replaces, if there is one.
    pub put: Option<Stored>,
    /// Whether the state tier holds what the spec says, so that its devices can be counted.
    pub is_in_force: bool,
    /// What the status should be.
    pub status: DeviceGroupStatus,
    /// When to look again.
    pub pace: Pace,
}

impl Plan {
    /// The status, if it differs from what `group` has by more than the time of the count.
    pub fn status_change(&self, group: &DeviceGroup) -> Option<&DeviceGroupStatus> {
        let mut known = group.status.clone();
        if let Some(known) = &mut known {
            let counted_at = &self.status.last_evaluation_time;
            known.last_evaluation_time.clone_from(counted_at);
        }
        let rows = DeviceGroup::CONDITIONS;
        let differs = differs(known.as_ref(), &self.status, rows, |status| {
            &mut status.conditions
        });
        differs.then_some(&self.status)
    }
}

/// The name of the group of an object.
pub fn name(group: &DeviceGroup) -> Result<String, Refusal> {
    checked_name(&group.metadata)
}

/// Decides what to do about a group and what its status should be. `now` is the wall clock.
pub fn plan(group: &DeviceGroup, observed: &Observed, read_filter: ReadFilter, now: &Time) -> Plan {
    let report = Report::new(group, now);
    let wanted = match (wanted(group, observed, read_filter), &observed.refused) {
        (Ok(wanted), None) => wanted,
        (Err(refusal), _) => return refused(report, &refusal),
        (Ok(_), Some(refusal)) => return refused(report, refusal),
    };
    let is_in_force = observed.stored.as_ref() == Some(&wanted);
    Plan {
        put: (!is_in_force).then_some(wanted),
        is_in_force,
        status: report.accepted(observed.counts.as_ref()),
        pace: Pace::Counting,
    }
}

/// The group as it should be, with the etag of the one that is there.
fn wanted(
    group: &DeviceGroup,
    observed: &Observed,
    read_filter: ReadFilter,
) -> Result<Stored, Refusal> {
    let name = name(group)?;
    let selection = Selection::default().group(&group.spec, "spec")?;
    let selector = selection.finish("spec", read_filter)?;
    match &observed.stored {
        Some(stored) if OWNER.maker(&stored.description).is_none() => Err(conflict(&name)),
        stored => Ok(Stored {
            name,
            filter: selector.text,
            description: OWNER.of(&group.metadata),
            etag: stored
                .as_ref()
                .map_or_else(String::new, |stored| stored.etag.clone()),
        }),
    }
}

fn conflict(name: &str) -> Refusal {
    Refusal {
        reason: Reason::IdentityConflict,
        message: format!(
            "there is a group {name} that no DeviceGroup has made; remove it by `drover groups remove {name}`, or give \
             this object another name"
        ),
    }
}

fn refused(report: Report<'_>, refusal: &Refusal) -> Plan {
    Plan {
        put: None,
        is_in_force: false,
        status: report.refused(refusal),
        pace: refusal.pace(),
    }
}

#[cfg(test)]
mod tests;
