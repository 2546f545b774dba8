//! `EnrollmentPolicy` → an enrollment policy of the state tier, and back to a status.
//!
//! 1. A spec becomes the policy of the object's name. A spec that says anything that the state tier cannot follow is not
//!    accepted, and told which field it is; what was put there before stays: nobody is let in by a mistake.
//! 2. Whose a policy is says its description. One of the same name that nobody's object has made is left alone.
//! 3. What the state tier holds is compared by content. How many devices it has let in and refused is told, and looked at
//!    again now and then.
//! 4. A policy may have devices get objects of their own: [`materialize`].

mod compile;
pub mod materialize;
mod status;

use crd::{EnrollmentPolicy, EnrollmentPolicyStatus, Reason, SecurityProfile};
use device_state::{EnrollmentPolicy as Policy, EnrollmentTally};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::compile::compile;
use self::materialize::{Materialized, most_objects};
use self::status::Report;
use crate::conditions::differs;
use crate::owner::{Owner, checked_name};
use crate::{Pace, Refusal};

/// What policies that objects have made have as their description.
pub const OWNER: Owner = Owner::new("enrollmentpolicies.drover.dev");

/// A policy as the state tier holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its content.
    pub policy: Policy,
    /// By which it is known to be unchanged.
    pub etag: String,
}

/// What a policy has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Devices that are registered by it.
    pub registered: EnrollmentTally,
    /// How often a device was refused, as the state node knows that was asked.
    pub denied: u64,
}

/// What there is beside an object.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Of the state tier.
    pub namespace: &'a device_state::Namespace,
    /// The one that the spec names, if it is there.
    pub security: Option<&'a SecurityProfile>,
}

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The policy of the object's name, and what it has done.
    pub stored: Option<(Stored, Counts)>,
    /// Why the state tier did not take it.
    pub refused: Option<Refusal>,
    /// What has come of it, if it makes objects and that is known.
    pub materialized: Option<Materialized>,
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The policy that is to be put; its etag is that of the one that it replaces, if there is one.
    pub put: Option<Stored>,
    /// Whether the state tier decides by it.
    pub is_in_force: bool,
    /// What the status should be.
    pub status: EnrollmentPolicyStatus,
    /// When to look again.
    pub pace: Pace,
}

impl Plan {
    /// The status, if it differs from what `policy` has by more than how often devices were refused, which each state node
    /// counts for itself; conditions of others do not count.
    pub fn status_change(&self, policy: &EnrollmentPolicy) -> Option<&EnrollmentPolicyStatus> {
        let mut known = policy.status.clone();
        if let Some(known) = &mut known {
            known.denied = self.status.denied;
        }
        let rows = EnrollmentPolicy::CONDITIONS;
        let differs = differs(known.as_ref(), &self.status, rows, |status| {
            &mut status.conditions
        });
        differs.then_some(&self.status)
    }
}

/// The name of the policy of an object.
pub fn name(policy: &EnrollmentPolicy) -> Result<String, Refusal> {
    checked_name(&policy.metadata)
}

/// Decides what to do about a policy and what its status should be. `now` is the wall clock.
pub fn plan(
    policy: &EnrollmentPolicy,
    around: &Surroundings<'_>,
    observed: &Observed,
    now: &Time,
) -> Plan {
    let report = Report::new(policy, now);
    let wanted = match (wanted(policy, around, observed), &observed.refused) {
        (Ok(wanted), None) => wanted,
        (Err(refusal), _) => return refused(report, &refusal),
        (Ok(_), Some(refusal)) => return refused(report, refusal),
    };
    let held = observed.stored.as_ref();
    match held.filter(|(stored, _)| *stored == wanted) {
        Some((_, counts)) => Plan {
            put: None,
            is_in_force: true,
            status: report.in_force(
                *counts,
                wanted.policy.max_devices,
                observed.materialized.as_ref(),
            ),
            pace: pace(policy, observed),
        },
        None => Plan {
            put: Some(wanted),
            is_in_force: false,
            status: report.applying(),
            pace: Pace::Running,
        },
    }
}

/// When a policy is looked at again that is in force.
fn pace(policy: &EnrollmentPolicy, observed: &Observed) -> Pace {
    let goes_on = match &observed.materialized {
        Some(made) => made.has_more,
        None => most_objects(policy).is_some(),
    };
    if goes_on {
        Pace::Running
    } else {
        Pace::Counting
    }
}

/// The policy as it should be, with the etag of the one that is there.
fn wanted(
    policy: &EnrollmentPolicy,
    around: &Surroundings<'_>,
    observed: &Observed,
) -> Result<Stored, Refusal> {
    let name = name(policy)?;
    let content = compile(policy, &name, around)?;
    let held = observed.stored.as_ref().map(|(stored, _)| stored);
    match held {
        Some(stored) if OWNER.maker(&stored.policy.description).is_none() => Err(conflict(&name)),
        stored => Ok(Stored {
            policy: content,
            etag: stored.map_or_else(String::new, |stored| stored.etag.clone()),
        }),
    }
}

fn conflict(name: &str) -> Refusal {
    Refusal {
        reason: Reason::IdentityConflict,
        message: format!(
            "there is an enrollment policy {name} that no EnrollmentPolicy has made; remove it by `drover enrollment remove \
             {name}`, or give this object another name"
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
