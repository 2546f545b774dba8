//! Whose turn it is, of profiles with a rollout.

use std::time::Duration;

use campaign::Hold;
use device_state::profile::{Activity, ProfilePart, ProfileTally};
use device_state::{Command, Profile, Timestamp, query};
use futures::StreamExt;
use node_runtime::clock;
use tokio::time::{Instant, sleep, timeout};

use super::{Effective, PATIENCE, SWEEP, goes_by, with_group};
use crate::raft::group::Group;
use crate::raft::proposals::ProposeError;
use crate::router::Router;

/// Profiles that are gone through at a time.
const AT_ONCE: usize = 16;
/// How long one is gone through in one round: then it is looked at what was declared meanwhile.
const AT_MOST: Duration = Duration::from_secs(1);
/// Between two looks whether this node has applied what its leader has.
const LOOK: Duration = Duration::from_millis(20);

/// A shard that goes by a profile, and has asked everybody.
struct Shard<'r> {
    group: &'r Group,
    part: ProfilePart,
    tally: ProfileTally,
}

/// Gives further devices their turn. What holds up one profile, such as a shard without a leader, holds up no other.
pub(super) async fn release(router: &Router, profiles: Vec<Profile>) {
    let profiles = futures::stream::iter(profiles);
    profiles
        .for_each_concurrent(AT_ONCE, async |profile| {
            if let Err(error) = release_of(router, &profile).await {
                tracing::debug!(profile = profile.name, %error, "no device has its turn this time");
            }
        })
        .await;
}

/// Shard by shard, as many devices as the rollout of the profile lets.
async fn release_of(router: &Router, profile: &Profile) -> Result<(), ProposeError> {
    // What a part of all is, nobody knows before all shards have said whom the profile is for.
    let Some(mut shards) = marked(router, profile) else {
        return Ok(());
    };
    let until = Instant::now() + AT_MOST;
    while Instant::now() < until {
        let mut total = ProfileTally::default();
        for shard in &shards {
            total.add(shard.tally);
        }
        let limit = match turns(profile, &total) {
            Some(Ok(limit)) => u32::try_from(limit).unwrap_or(u32::MAX),
            Some(Err(_)) | None => return Ok(()),
        };
        let next = shards.iter_mut().find(|shard| !shard.part.is_spread());
        let Some(shard) = next.filter(|_| limit > 0) else {
            return Ok(());
        };
        // Somebody may have paused it, or corrected it.
        if !is_declared(router, profile) {
            return Ok(());
        }
        let step = Command::ReleaseProfile {
            namespace: profile.namespace.clone(),
            name: profile.name.clone(),
            revision: profile.revision,
            released: shard.part.released.clone(),
            limit,
            examine: SWEEP,
        };
        router
            .propose(shard.group.shard(), None, step, PATIENCE)
            .await?;
        if !shard.follow(profile).await {
            return Ok(());
        }
    }
    Ok(())
}

/// All shards, once each of them goes by the profile and has asked everybody.
fn marked<'r>(router: &'r Router, profile: &Profile) -> Option<Vec<Shard<'r>>> {
    let shard = |group: &'r Group| {
        let (part, tally) = part_of(group, profile);
        let part = part.filter(|part| is_marked(Some(part), profile))?;
        Some(Shard { group, part, tally })
    };
    router.groups().iter().map(|group| shard(group)).collect()
}

/// Whether a shard goes by the profile and has asked everybody.
pub(super) fn is_marked(part: Option<&ProfilePart>, profile: &Profile) -> bool {
    goes_by(part, profile) && part.is_some_and(ProfilePart::is_marked)
}

fn is_declared(router: &Router, profile: &Profile) -> bool {
    let common = router.common_group();
    let current = common.store().read(|tables| {
        let stored = query::profile(tables, &profile.namespace, &profile.name)?;
        Some(with_group(tables, stored))
    });
    common.leads() && matches!(current, Some(Effective::Profile(current)) if *current == *profile)
}

pub(super) fn part_of(group: &Group, profile: &Profile) -> (Option<ProfilePart>, ProfileTally) {
    group.store().read(|tables| {
        let part = query::profile_part(tables, &profile.namespace, &profile.name);
        let tally = query::profile_tally(tables, &profile.namespace, &profile.name);
        (part, tally)
    })
}

/// How many devices begin next, or why none; `None` of a profile that gives no turns.
pub(super) fn turns(profile: &Profile, tally: &ProfileTally) -> Option<Result<u64, Hold>> {
    let rollout = profile.rollout.as_ref()?;
    let now = Timestamp(clock::now_ms());
    (profile.activity == Activity::Active).then(|| campaign::release(rollout, tally, now))
}

impl Shard<'_> {
    /// Waits until this node's replica is past a step: what it counts decides who is next. Answers whether the shard still goes
    /// by the profile.
    async fn follow(&mut self, profile: &Profile) -> bool {
        let follows = async {
            loop {
                let (part, tally) = part_of(self.group, profile);
                let part = part.filter(|part| is_marked(Some(part), profile))?;
                if part.released != self.part.released {
                    return Some((part, tally));
                }
                sleep(LOOK).await;
            }
        };
        let Ok(Some((part, tally))) = timeout(PATIENCE, follows).await else {
            return false;
        };
        (self.part, self.tally) = (part, tally);
        true
    }
}
