//! Profiles of devices: makes every shard go by what is declared, on the leader of the common shard.
//!
//! Level-based, as [`campaigns`](crate::campaigns): each round compares what is declared with what the shards go by and
//! proposes what is missing. Nothing here is remembered.

mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use campaign::Hold;
use device_state::campaign::Selector;
use device_state::profile::{Activity, ProfilePart, ProfileTally, Standing};
use device_state::{Command, FeatureLevel, Namespace, Outcome, Profile, Tables, query};
use futures::future::join_all;
use node_runtime::Drain;
use proto::convert::public::{both, device_filter};

use crate::raft::group::Group;
use crate::raft::proposals::ProposeError;
use crate::rounds;
use crate::router::Router;

/// Devices that one command asks.
const SWEEP: u32 = 200;
/// Commands of a shard in one round: others have their turn then.
const STEPS: usize = 64;
/// How long a proposal may take; the next round repeats what was not done.
const PATIENCE: Duration = Duration::from_secs(5);

/// What profiles are found by.
type Name = (Namespace, String);

/// Spreads profiles while this node leads the common shard.
pub async fn run(router: Arc<Router>, drain: Drain) {
    let round = |router: Arc<Router>| async move { round(&router).await };
    rounds::run(router, FeatureLevel::PROFILES, drain, round).await;
}

async fn round(router: &Router) {
    let common = router.common_group();
    let declared = common.store().read(|tables| effective(tables));
    let gone = confirmed_gone(router, &declared).await;
    // What holds up one shard, such as a lost leader, holds up no other.
    let shards = router.groups().iter();
    let settled = shards.map(|group| settle(router, group, &declared, &gone));
    for (group, outcome) in router.groups().iter().zip(join_all(settled).await) {
        if let Err(error) = outcome {
            tracing::debug!(shard = %group.shard(), %error, "profiles are not spread this time");
        }
    }
    let taking_turns = declared
        .into_values()
        .filter_map(|effective| match effective {
            Effective::Profile(profile) if profile.rollout.is_some() => Some(*profile),
            _ => None,
        });
    turns::release(router, taking_turns.collect()).await;
}

/// What the shards are to go by.
enum Effective {
    Profile(Box<Profile>),
    /// The group of the profile is not there: it has no devices.
    Nobody,
    /// As they do: it is paused and without its group, or its filter and that of its group are too much together.
    Unchanged,
}

fn effective(tables: &dyn Tables) -> BTreeMap<Name, Effective> {
    let profiles = query::profiles(tables, None).into_iter();
    profiles
        .map(|profile| {
            let name = (profile.namespace.clone(), profile.name.clone());
            (name, with_group(tables, profile))
        })
        .collect()
}

/// With the filter of its group in its own.
fn with_group(tables: &dyn Tables, mut profile: Profile) -> Effective {
    if profile.group.is_empty() {
        return Effective::Profile(Box::new(profile));
    }
    let Some(group) = query::group(tables, &profile.namespace, &profile.group) else {
        return match profile.activity {
            Activity::Active => Effective::Nobody,
            Activity::Paused => Effective::Unchanged,
        };
    };
    let text = both(&group.selector.text, &profile.selector.text);
    let Ok(filter) = device_filter(&text) else {
        return Effective::Unchanged;
    };
    profile.selector = Selector { text, filter };
    Effective::Profile(Box::new(profile))
}

fn declared_names(tables: &dyn Tables) -> BTreeSet<Name> {
    let profiles = query::profiles(tables, None).into_iter();
    profiles
        .map(|profile| (profile.namespace, profile.name))
        .collect()
}

/// Profiles that some shard goes by and that are not there. This node may have fallen behind with the list: a quorum is
/// asked before devices lose anything.
async fn confirmed_gone(router: &Router, declared: &BTreeMap<Name, Effective>) -> BTreeSet<Name> {
    let parts = router.groups().iter().flat_map(|group| parts_of(group));
    let suspects: BTreeSet<Name> = parts
        .map(|part| name_of(&part))
        .filter(|name| !declared.contains_key(name))
        .collect();
    if suspects.is_empty() {
        return suspects;
    }
    let confirmed = router
        .common_group()
        .read_confirmed(|tables| declared_names(tables))
        .await;
    confirmed.map_or_else(
        |_| BTreeSet::new(),
        |declared| suspects.difference(&declared).cloned().collect(),
    )
}

fn parts_of(group: &Group) -> Vec<ProfilePart> {
    group
        .store()
        .read(|tables| query::all_profile_parts(tables))
}

fn name_of(part: &ProfilePart) -> Name {
    (part.profile.namespace.clone(), part.profile.name.clone())
}

async fn settle(
    router: &Router,
    group: &Group,
    declared: &BTreeMap<Name, Effective>,
    gone: &BTreeSet<Name>,
) -> Result<(), ProposeError> {
    let known: BTreeMap<Name, ProfilePart> = parts_of(group)
        .into_iter()
        .map(|part| (name_of(&part), part))
        .collect();
    for (name, profile) in declared {
        let part = known.get(name);
        let install = match (profile, part) {
            (Effective::Profile(profile), part) if !goes_by(part, profile) => {
                Some((Profile::clone(profile), Standing::Declared))
            }
            (Effective::Nobody, Some(part)) if part.standing == Standing::Declared => {
                Some((part.profile.clone(), Standing::Removed))
            }
            _ => None,
        };
        if let Some((profile, standing)) = install {
            propose_install(router, group, profile, standing).await?;
        }
    }
    for part in gone.iter().filter_map(|name| known.get(name)) {
        if part.standing == Standing::Declared {
            let profile = part.profile.clone();
            propose_install(router, group, profile, Standing::Removed).await?;
        }
    }
    for part in parts_of(group) {
        if !part.is_marked() {
            spread(router, group, &part).await?;
        }
    }
    Ok(())
}

/// Whether a shard goes by this very profile.
fn goes_by(part: Option<&ProfilePart>, profile: &Profile) -> bool {
    part.is_some_and(|part| part.profile == *profile && part.standing == Standing::Declared)
}

async fn propose_install(
    router: &Router,
    group: &Group,
    profile: Profile,
    standing: Standing,
) -> Result<(), ProposeError> {
    let profile = Box::new(profile);
    let install = Command::InstallProfile { profile, standing };
    router
        .propose(group.shard(), None, install, PATIENCE)
        .await
        .map(drop)
}

/// Asks devices until this node's replica says that all were asked, or for as long as a round may take.
async fn spread(router: &Router, group: &Group, part: &ProfilePart) -> Result<(), ProposeError> {
    let (namespace, name) = name_of(part);
    for _ in 0..STEPS {
        let known = group
            .store()
            .read(|tables| query::profile_part(tables, &namespace, &name));
        if known.is_none_or(|known| known.is_marked()) {
            return Ok(());
        }
        let step = Command::SpreadProfile {
            namespace: namespace.clone(),
            name: name.clone(),
            limit: SWEEP,
        };
        let outcome = router.propose(group.shard(), None, step, PATIENCE).await?;
        if let Outcome::Rejected(rejection) = outcome {
            tracing::debug!(shard = %group.shard(), %rejection, "a step of a profile is refused");
            return Ok(());
        }
    }
    Ok(())
}

/// How far a profile is, as this node has applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether all shards went through their devices, and all of them had their turn.
    pub applied: bool,
    pub tally: ProfileTally,
    /// Why devices wait, other than for others.
    pub hold: Option<Hold>,
}

/// How far the shards are with a profile, and how many devices it has.
pub fn progress(router: &Router, profile: &Profile) -> Progress {
    let effective = router
        .common_group()
        .store()
        .read(|tables| with_group(tables, profile.clone()));
    let (mut applied, mut marked) = (true, true);
    let mut total = ProfileTally::default();
    for group in router.groups() {
        let (part, tally) = turns::part_of(group, profile);
        total.add(tally);
        let (is_marked, is_applied) = match &effective {
            Effective::Profile(profile) => {
                let is_marked = turns::is_marked(part.as_ref(), profile);
                let is_spread = part.is_some_and(|part| part.is_spread());
                (is_marked, is_marked && is_spread)
            }
            Effective::Nobody => (false, part.is_none()),
            Effective::Unchanged => (false, false),
        };
        marked &= is_marked;
        applied &= is_applied;
    }
    // Before everybody was asked the numbers are of what was declared before.
    let turns = turns::turns(profile, &total).filter(|_| marked);
    Progress {
        applied,
        tally: total,
        hold: turns.and_then(Result::err),
    }
}
