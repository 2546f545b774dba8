//! `BootstrapProfile` → a bootstrap profile of the state tier, and back to a status.
//!
//! 1. A spec becomes one profile for every device of the namespace. A spec that says anything that the bootstrap server
//!    cannot do is not accepted, and told which field it is; what was put there before stays.
//! 2. The state tier keeps nothing with a profile that could say whose it is, so that its name does: the beginning of the
//!    object's, and its uid. Nobody gives that name to a profile of their own. One of an object in a file, which has no
//!    uid, has the object's name and [`APPLIED`] as its name.
//! 3. Of several objects of a namespace the one whose name comes first counts. The others have nothing in the state tier,
//!    which would not know that.
//! 4. What the state tier holds is compared by content.

mod compile;

use std::collections::BTreeSet;

use crd::{
    BootstrapProfile, BootstrapProfileStatus, ConditionStatus, ConditionType, Reason,
    SecurityProfile,
};
use device_state::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use self::compile::compile;
use crate::conditions::{Conditions, differs};
use crate::owner::is_sound_name;
use crate::text::cut;
use crate::{APPLIED, Pace, Refusal};

/// Between the beginning of an object's name and its uid.
const MARK: &str = "-k8s-";
/// The length of a uid: RFC 9562 §4.
const UID: usize = 36;

/// A profile as the state tier holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its content.
    pub profile: device_state::BootstrapProfile,
    /// By which it is known to be unchanged.
    pub etag: String,
}

/// What there is beside an object.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Of the state tier.
    pub namespace: &'a Namespace,
    /// Those that the spec names and that are there.
    pub security: &'a [SecurityProfile],
    /// The name of an accepted object of the namespace that comes before this one.
    pub before: Option<&'a str>,
}

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The profile of this object.
    pub stored: Option<Stored>,
    /// Why the state tier did not take it.
    pub refused: Option<Refusal>,
}

/// What is to be done in the state tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put this in the place of the one with the etag; without one there is none.
    Put(Box<Stored>),
    /// Delete what is there.
    Delete(Box<Stored>),
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To do.
    pub action: Option<Action>,
    /// What the status should be.
    pub status: BootstrapProfileStatus,
    /// When to look again.
    pub pace: Pace,
}

impl Plan {
    /// The status, if it differs from what `profile` has; conditions of others do not count.
    pub fn status_change(&self, profile: &BootstrapProfile) -> Option<&BootstrapProfileStatus> {
        let (known, rows) = (profile.status.as_ref(), BootstrapProfile::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// The name of the profile of an object.
pub fn name(metadata: &ObjectMeta) -> String {
    let room = device_state::BootstrapProfile::MAX_NAME - MARK.len() - UID;
    let name = metadata.name.as_deref().unwrap_or_default();
    let begin = cut(name, room).replace('.', "-");
    match metadata.uid.as_deref().unwrap_or_default() {
        APPLIED => of_file(name),
        uid => format!("{begin}{MARK}{uid}"),
    }
}

fn of_file(name: &str) -> String {
    format!("{name}-{APPLIED}")
}

/// The name of the profile of an object in a file, if its own is fit for one. Another object can never have the same.
pub fn name_of_file(metadata: &ObjectMeta) -> Result<String, Refusal> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let whole = of_file(name);
    if is_sound_name(name) && whole.len() <= device_state::BootstrapProfile::MAX_NAME {
        return Ok(whole);
    }
    let room = device_state::BootstrapProfile::MAX_NAME - of_file("").len();
    let why = format!("in the state tier it has 1 to {room} characters of a-z, 0-9 and -");
    Err(Refusal::invalid("metadata.name", &why))
}

/// The name of the object in a file that has made a profile, if one has.
pub fn applied(name: &str) -> Option<&str> {
    name.strip_suffix(APPLIED)?.strip_suffix('-')
}

/// The uid of the object that has made a profile, if one has.
pub fn maker(name: &str) -> Option<&str> {
    let (_, uid) = name.rsplit_once(MARK)?;
    let is_uid = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    (uid.len() == UID && uid.bytes().enumerate().all(is_uid)).then_some(uid)
}

/// The security profiles that a spec names.
pub fn named(profile: &BootstrapProfile) -> BTreeSet<&str> {
    let references = profile.spec.servers.iter();
    references
        .filter_map(|server| server.security_profile_ref.as_ref())
        .map(|reference| reference.name.as_str())
        .collect()
}

/// Whether an object is accepted, by its status.
pub fn is_accepted(profile: &BootstrapProfile) -> bool {
    let status = profile.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let accepted = ConditionType::Accepted.as_str();
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|one| one.type_ == accepted && one.status == ConditionStatus::True.as_str())
}

/// Decides what to do about a profile and what its status should be. `now` is the wall clock and only stands in conditions
/// whose status has changed.
pub fn plan(
    profile: &BootstrapProfile,
    around: &Surroundings<'_>,
    observed: &Observed,
    now: &Time,
) -> Plan {
    if let Some(before) = around.before {
        let delete = observed.stored.clone().map(Box::new).map(Action::Delete);
        return Plan {
            action: delete,
            ..refused(profile, &conflict(before), now)
        };
    }
    let wanted = match (compile(profile, around), &observed.refused) {
        (Ok(wanted), None) => wanted,
        (Err(refusal), _) => return refused(profile, &refusal, now),
        (Ok(_), Some(refusal)) => return refused(profile, refusal, now),
    };
    let is_in_force = observed
        .stored
        .as_ref()
        .is_some_and(|stored| stored.profile == wanted);
    let etag = observed.stored.as_ref().map(|stored| stored.etag.clone());
    let put = Stored {
        profile: wanted,
        etag: etag.unwrap_or_default(),
    };
    let (ready, reason, message) = if is_in_force {
        let message = "devices that bootstrap get these servers";
        (ConditionStatus::True, Reason::InForce, message)
    } else {
        let message = "the profile is being put";
        (ConditionStatus::False, Reason::Applying, message)
    };
    let accepted = "the spec is in force";
    Plan {
        action: (!is_in_force).then(|| Action::Put(Box::new(put))),
        status: status(
            profile,
            (ConditionStatus::True, Reason::Accepted, accepted),
            (ready, reason, message),
            now,
        ),
        // A security profile may change, which nobody tells.
        pace: Pace::Counting,
    }
}

fn conflict(before: &str) -> Refusal {
    Refusal {
        reason: Reason::IdentityConflict,
        message: format!(
            "the BootstrapProfile {before} comes first and counts for every device of the namespace; delete one of them"
        ),
    }
}

fn refused(profile: &BootstrapProfile, refusal: &Refusal, now: &Time) -> Plan {
    let accepted = (
        ConditionStatus::False,
        refusal.reason,
        refusal.message.as_str(),
    );
    let ready = (
        ConditionStatus::False,
        Reason::NotAccepted,
        "not accepted: see Accepted",
    );
    Plan {
        action: None,
        status: status(profile, accepted, ready, now),
        pace: refusal.pace(),
    }
}

fn status(
    profile: &BootstrapProfile,
    accepted: (ConditionStatus, Reason, &str),
    ready: (ConditionStatus, Reason, &str),
    now: &Time,
) -> BootstrapProfileStatus {
    let generation = profile.metadata.generation.unwrap_or(1);
    let known = profile.status.as_ref();
    let known = known.map_or_else(Vec::new, |status| status.conditions.clone());
    let mut conditions = Conditions::new(known, BootstrapProfile::CONDITIONS, generation, now);
    for (condition, (status, reason, message)) in [
        (ConditionType::Accepted, accepted),
        (ConditionType::Ready, ready),
    ] {
        conditions.set(condition, status, reason, message);
    }
    BootstrapProfileStatus {
        observed_generation: Some(generation),
        conditions: conditions.finish(),
        ..BootstrapProfileStatus::default()
    }
}

#[cfg(test)]
mod tests;
