//! `FirmwareRollout` → a campaign of the state tier, and back to a status.
//!
//! 1. While there is no campaign, the spec is compiled to one ([`Action::Create`]). A spec that says anything that
//!    campaigns cannot do is not accepted, and told which field it is.
//! 2. A campaign runs without anybody: of the spec, only `paused`, `abort` and `approvedThrough` are passed on. What
//!    else of a spec can be changed cannot be changed of a campaign, which is told.
//! 3. Whose a campaign is says its owner. One of the same name with another owner is left alone.
//! 4. A campaign that was there and is gone is not made again: devices would be updated a second time.
//! 5. The status is what was observed. After an action the caller observes and plans again before it writes the status.

mod compile;
mod counts;
mod status;
mod terms;

use crd::{DeviceGroup, FirmwareImage, FirmwareRollout, FirmwareRolloutStatus};
use device_state::campaign::{Campaign, CampaignState, Tally};
use device_state::{Namespace, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::compile::change_refused;
pub use self::compile::compile;
use self::status::{Held, Report};
use crate::conditions::differs;
use crate::selection::ReadFilter;
use crate::{Pace, Refusal};

/// The owner of campaigns that objects have made: this, and the uid of the object.
pub const OWNER_PREFIX: &str = "firmwarerollouts.drover.dev/";

/// Behind the name of a campaign: the one that goes back, as state nodes call it.
const WAY_BACK: &str = "-rollback";

/// The objects that a rollout names, and where it is.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Of the state tier.
    pub namespace: &'a Namespace,
    /// What the campaign is known by again.
    pub owner: &'a str,
    /// `spec.imageRef`, if there is one.
    pub image: Option<&'a FirmwareImage>,
    /// `spec.rollback.imageRef`, if there is one.
    pub rollback_image: Option<&'a FirmwareImage>,
    /// `spec.groupRef`, if there is one.
    pub group: Option<&'a DeviceGroup>,
    /// The language of filters, which knows the fields of devices.
    pub read_filter: ReadFilter,
}

/// What the state tier told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The campaign of the rollout's name.
    pub campaign: Option<Seen>,
    /// The campaign by which devices go back.
    pub way_back: Option<Seen>,
    /// Why it did not make the campaign, when it was just asked to.
    pub refused: Option<Refusal>,
}

/// A campaign, and how far it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Everything but `course.step`.
    pub campaign: Campaign,
    /// Why it stands still or ended, for people.
    pub reason: String,
    /// All its devices; without reasons and samples.
    pub counts: Tally,
    /// By wave.
    pub waves: Vec<Tally>,
    /// The most frequent first.
    pub failures: Vec<(String, u64)>,
    /// Some of the devices that failed.
    pub samples: Vec<Sample>,
    /// When the next window begins, if none is open.
    pub window: Option<Timestamp>,
}

/// A device that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its endpoint name.
    pub endpoint: String,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// What is to be done in the state tier.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the campaign.
    Create(Box<Campaign>),
    /// No further device begins.
    Pause,
    /// It goes on.
    Resume,
    /// What comes after this wave may begin.
    Approve(String),
    /// It ends for good.
    Abort,
}

/// What follows from a spec and an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// To do, in this order.
    pub actions: Vec<Action>,
    /// What the status should be.
    pub status: FirmwareRolloutStatus,
    /// When to look again.
    pub pace: Pace,
    /// Why the spec is not in force.
    pub refusal: Option<Refusal>,
}

impl Plan {
    /// The status, if it differs from what `rollout` has; conditions of others do not count.
    pub fn status_change(&self, rollout: &FirmwareRollout) -> Option<&FirmwareRolloutStatus> {
        let (known, rows) = (rollout.status.as_ref(), FirmwareRollout::CONDITIONS);
        let differs = differs(known, &self.status, rows, |status| &mut status.conditions);
        differs.then_some(&self.status)
    }
}

/// The owner of the campaign of an object.
pub fn owner(uid: &str) -> String {
    format!("{OWNER_PREFIX}{uid}")
}

/// The name of a rollout's campaign: that of the object, with - for each dot.
pub fn campaign_name(rollout: &FirmwareRollout) -> Result<String, Refusal> {
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    let fits = (1..=Campaign::MAX_NAME).contains(&name.len());
    let sound =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !fits || !name.bytes().all(sound) {
        let why = "the name of a campaign has 1 to 63 characters of a-z, 0-9, - and .";
        return Err(Refusal::invalid("metadata.name", why));
    }
    Ok(name.replace('.', "-"))
}

/// The name of the campaign by which devices go back.
pub fn way_back_name(campaign: &str) -> String {
    let kept = Campaign::MAX_NAME - WAY_BACK.len();
    let begin: String = campaign.chars().take(kept).collect();
    begin + WAY_BACK
}

/// Decides what to do about a rollout and what its status should be. `now` is the wall clock and only stands in
/// conditions whose status has changed.
pub fn plan(
    rollout: &FirmwareRollout,
    around: &Surroundings<'_>,
    observed: &Observed,
    now: &Time,
) -> Plan {
    let report = Report::new(rollout, now);
    match &observed.campaign {
        Some(seen) if seen.campaign.owner == around.owner => {
            follow(report, rollout, around, (seen, observed.way_back.as_ref()))
        }
        Some(seen) => refused(report, conflict(&seen.campaign)),
        None if report.was_made() => gone(report),
        None if rollout.spec.abort => aborted(report),
        None => begin(report, rollout, around, observed),
    }
}

/// There is no campaign yet.
fn begin(
    mut report: Report<'_>,
    rollout: &FirmwareRollout,
    around: &Surroundings<'_>,
    observed: &Observed,
) -> Plan {
    let campaign = match (compile(rollout, around), &observed.refused) {
        (Ok(campaign), None) => campaign,
        (Err(refusal), _) => return refused(report, refusal),
        (Ok(_), Some(refusal)) => return refused(report, refusal.clone()),
    };
    report.accepted();
    report.begins();
    Plan {
        actions: vec![Action::Create(Box::new(campaign))],
        status: report.finish(),
        pace: Pace::Running,
        refusal: None,
    }
}

/// The campaign is there: what people say is passed on, and what it does is told.
fn follow(
    mut report: Report<'_>,
    rollout: &FirmwareRollout,
    around: &Surroundings<'_>,
    (seen, way_back): (&Seen, Option<&Seen>),
) -> Plan {
    let state = seen.campaign.course.state;
    let is_ending = state.is_final() || state == CampaignState::Aborting;
    let held = held(rollout, around, seen);
    let change = if is_ending {
        None
    } else {
        change_refused(rollout, &seen.campaign.plan).err()
    };
    report.accepted();
    report.follows(seen, held, change.as_ref());
    let way_back = way_back.filter(|one| one.campaign.owner == around.owner);
    let goes_back = report.goes_back(rollout, seen, way_back);
    Plan {
        actions: if is_ending {
            Vec::new()
        } else {
            steering(rollout, seen, held)
        },
        status: report.finish(),
        pace: if state.is_final() && !goes_back {
            Pace::Resting
        } else {
            Pace::Running
        },
        refusal: change,
    }
}

/// Whether somebody holds the campaign, and why.
fn held(rollout: &FirmwareRollout, around: &Surroundings<'_>, seen: &Seen) -> Held {
    if rollout.spec.paused {
        return Held::ByUser;
    }
    match around.image {
        Some(image) if image.spec.yanked => Held::ByImage,
        // Whether it was yanked cannot be told any more.
        None if seen.campaign.control.paused => Held::ByImage,
        _ => Held::No,
    }
}

fn steering(rollout: &FirmwareRollout, seen: &Seen, held: Held) -> Vec<Action> {
    if rollout.spec.abort {
        return vec![Action::Abort];
    }
    let control = &seen.campaign.control;
    let mut actions = Vec::new();
    if held != Held::No && !control.paused {
        actions.push(Action::Pause);
    }
    if held == Held::No && control.paused {
        actions.push(Action::Resume);
    }
    // What was approved cannot be taken back: the next wave may have begun.
    let place = |wave: &str| seen.campaign.plan.wave(wave);
    let wanted = rollout.spec.approved_through.as_deref().unwrap_or_default();
    // One that stopped takes no approval: it is given once somebody lets it go on.
    let takes_it = !seen.campaign.course.state.has_stopped();
    if takes_it && place(wanted) > place(&control.approved_through) {
        actions.push(Action::Approve(wanted.to_owned()));
    }
    actions
}

fn conflict(other: &Campaign) -> Refusal {
    let name = &other.name;
    let message = if other.owner.starts_with(OWNER_PREFIX) {
        format!(
            "the campaign {name} is of another FirmwareRollout; if that is deleted, its campaign is \
             aborted and goes, and this one begins then; otherwise give this object another name"
        )
    } else {
        format!(
            "there is a campaign {name} that no FirmwareRollout has made; delete it by `drover \
             rollout delete {name}`, or give this object another name"
        )
    };
    Refusal {
        reason: crd::Reason::IdentityConflict,
        message,
    }
}

fn refused(mut report: Report<'_>, refusal: Refusal) -> Plan {
    report.refused(&refusal);
    Plan {
        actions: Vec::new(),
        status: report.finish(),
        pace: refusal.pace(),
        refusal: Some(refusal),
    }
}

fn gone(mut report: Report<'_>) -> Plan {
    report.gone();
    resting(report)
}

fn aborted(mut report: Report<'_>) -> Plan {
    report.accepted();
    report.aborted_before();
    resting(report)
}

fn resting(report: Report<'_>) -> Plan {
    Plan {
        actions: Vec::new(),
        status: report.finish(),
        pace: Pace::Resting,
        refusal: None,
    }
}

#[cfg(test)]
mod tests;
