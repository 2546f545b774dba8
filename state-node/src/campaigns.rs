//! Firmware campaigns: carries out what the planner decides, on the leader of the common shard.
//!
//! Level-based: each round looks at what is stored and at what the shards count, asks [`campaign::decide`], and proposes
//! what follows. Whatever is lost, refused or said twice, the next round finds out. Nothing here is remembered but how many
//! devices have begun, of campaigns that have a pace.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::campaign::{Decision, ShardView, Throttle, WindowState, decide, window};
use device_state::campaign::{
    Campaign, CampaignState, Control, Course, Membership, OnFailure, Part, Plan, Promotion, Reach,
    Schedule, Sweep, Tally, Wave, WaveState,
};
use device_state::{CampaignId, Command, FeatureLevel, Outcome, Timestamp, query};
use futures::StreamExt;
use futures::future::join_all;
use node_runtime::{Drain, clock};
use proto::convert::public::Standing;

use crate::raft::group::Group;
use crate::raft::proposals::ProposeError;
use crate::rounds;
use crate::router::{COMMON, Router};

/// Rows that one command of a sweep looks at.
const SWEEP: u32 = 1_000;
/// Steps of a sweep in one round, of one shard: others have their turn then.
const STEPS: usize = 64;
/// Campaigns that are looked after side by side.
const AT_ONCE: usize = 16;
/// How long a proposal may take; the next round repeats what was not done.
const PATIENCE: Duration = Duration::from_secs(5);

/// Behind the name of a campaign: the one that goes back.
const WAY_BACK: &str = "-rollback";

/// Carries campaigns out while this node leads the common shard.
pub async fn run(router: Arc<Router>, drain: Drain) {
    let throttles = Arc::new(Throttles::default());
    let round = |router: Arc<Router>| {
        let throttles = Arc::clone(&throttles);
        async move { round(&router, &throttles).await }
    };
    rounds::run(router, FeatureLevel::CAMPAIGNS, drain, round).await;
}

/// Of the campaigns that have a pace and are not over.
#[derive(Debug, Default)]
struct Throttles(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// In which this node leads the common shard.
    term: u64,
    throttles: HashMap<CampaignId, Throttle>,
}

impl Throttles {
    fn with<T>(&self, work: impl FnOnce(&mut Remembered) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets the campaigns that are over, and all of them if somebody else has led in between: who begins was not for this
    /// node to say then.
    fn keep(&self, term: u64, campaigns: &[Campaign]) {
        let goes_on: BTreeSet<CampaignId> = campaigns
            .iter()
            .filter(|campaign| !campaign.course.state.is_final())
            .map(|campaign| campaign.id)
            .collect();
        self.with(|remembered| {
            if remembered.term != term {
                *remembered = Remembered {
                    term,
                    ..Remembered::default()
                };
            }
            remembered.throttles.retain(|id, _| goes_on.contains(id));
        });
    }

    /// What of the decisions is to be carried out now.
    fn hold_back(
        &self,
        campaign: &Campaign,
        decisions: Vec<Decision>,
        views: &[ShardView],
        now: Timestamp,
    ) -> Vec<Decision> {
        let Some(every) = campaign.plan.begin_every else {
            return decisions;
        };
        self.with(|remembered| {
            let throttle = remembered.throttles.entry(campaign.id).or_default();
            throttle.hold_back(every, decisions, views, now)
        })
    }
}

async fn round(router: &Router, throttles: &Throttles) {
    let campaigns = router
        .common_group()
        .store()
        .read(|tables| query::campaigns(tables, None));
    drop_others(router, &campaigns).await;
    throttles.keep(router.common_group().status().term, &campaigns);
    // What holds up one campaign, such as a shard without a leader, holds up no other.
    let all = futures::stream::iter(campaigns);
    all.for_each_concurrent(AT_ONCE, async |campaign| {
        if let Err(error) = advance(router, &campaign, throttles).await {
            tracing::debug!(campaign = campaign.name, %error, "a campaign does not go on this time");
        }
    })
    .await;
}

async fn advance(
    router: &Router,
    campaign: &Campaign,
    throttles: &Throttles,
) -> Result<(), ProposeError> {
    if campaign.course.state.is_final() {
        return Ok(());
    }
    let is_ending = campaign.course.state == CampaignState::Aborting || campaign.control.aborted;
    if !is_ending {
        enrol(router, campaign).await?;
    }
    if let CampaignState::Paused(_) = campaign.course.state {
        fence(router, campaign).await?;
    }
    let views = views(router, campaign);
    let now = Timestamp(clock::now_ms());
    let decisions = decide(campaign, &views, now);
    let decisions = throttles.hold_back(campaign, decisions, &views, now);
    let (admissions, others): (Vec<_>, Vec<_>) = decisions
        .into_iter()
        .partition(|decision| matches!(decision, Decision::Admit { .. } | Decision::Count { .. }));
    for decision in others {
        if !carry_out(router, campaign, decision).await? {
            return Ok(());
        }
    }
    if !says_the_same(router, campaign) {
        return Ok(());
    }
    // Shard by shard, side by side: one without a leader holds up its own devices only.
    let admissions = admissions
        .into_iter()
        .map(|decision| carry_out(router, campaign, decision));
    join_all(admissions)
        .await
        .into_iter()
        .try_for_each(|done| done.map(drop))
}

/// Whether nobody has said anything since the round began, which enrolling may have made a long one.
fn says_the_same(router: &Router, campaign: &Campaign) -> bool {
    let (namespace, name) = (&campaign.namespace, &campaign.name);
    let stored = router
        .common_group()
        .store()
        .read(|tables| query::campaign(tables, namespace, name));
    stored.is_some_and(|stored| stored.control == campaign.control)
}

/// Tells every shard how far the campaign is: then what was decided before begins no device any more, whoever decided it
/// and whenever it arrives. A shard of which all replicas are not known to understand that is left as it is.
pub async fn fence(router: &Router, campaign: &Campaign) -> Result<(), ProposeError> {
    let shards = router.groups().iter();
    let fenced = shards.map(|group| fence_shard(router, group, campaign));
    join_all(fenced).await.into_iter().collect()
}

async fn fence_shard(
    router: &Router,
    group: &Group,
    campaign: &Campaign,
) -> Result<(), ProposeError> {
    let step = step_told(group, campaign);
    let known = group
        .store()
        .read(|tables| query::campaign_part(tables, campaign.id));
    if step == 0 || known.is_some_and(|part| part.step >= step) {
        return Ok(());
    }
    let admit_nobody = Command::AdmitDevices {
        id: campaign.id,
        wave: 0,
        until: 0,
        step,
        census: 0,
    };
    // One that does not take part yet is told by the first admission.
    router
        .propose(group.shard(), None, admit_nobody, PATIENCE)
        .await
        .map(drop)
}

/// The step that a shard is told; 0 as long as not all of its replicas are known to understand it.
fn step_told(group: &Group, campaign: &Campaign) -> u64 {
    if group.feature_level() < FeatureLevel::CAMPAIGN_HEALTH {
        return 0;
    }
    campaign.course.step
}

/// Whether the decisions behind it still hold.
async fn carry_out(
    router: &Router,
    campaign: &Campaign,
    decision: Decision,
) -> Result<bool, ProposeError> {
    match decision {
        Decision::Steer(course) => {
            tracing::info!(
                campaign = campaign.name,
                state = ?course.state,
                step = course.step,
                "a campaign goes on"
            );
            let command = Command::SteerCampaign {
                id: campaign.id,
                namespace: campaign.namespace.clone(),
                name: campaign.name.clone(),
                course,
            };
            let outcome = router.propose(COMMON, None, command, PATIENCE).await?;
            Ok(outcome == Outcome::Done)
        }
        Decision::Admit { shard, wave, until } => {
            let Some(group) = router.group(shard) else {
                return Ok(true);
            };
            // Those that wait may all be in another campaign, for days.
            let can = group
                .store()
                .read(|tables| query::campaign_can_admit(tables, campaign.id, wave));
            if !can {
                return Ok(true);
            }
            let command = Command::AdmitDevices {
                id: campaign.id,
                wave,
                until,
                step: step_told(group, campaign),
                census: 0,
            };
            router.propose(shard, None, command, PATIENCE).await?;
            Ok(true)
        }
        Decision::Count { shard } => {
            let Some(group) = router.group(shard) else {
                return Ok(true);
            };
            let count = Command::AdmitDevices {
                id: campaign.id,
                wave: 0,
                until: 0,
                step: step_told(group, campaign),
                census: campaign.course.census,
            };
            router.propose(shard, None, count, PATIENCE).await?;
            Ok(true)
        }
        Decision::Halt => {
            let shards = router.groups().iter();
            let halted = shards.map(|group| halt_shard(router, group, campaign));
            join_all(halted)
                .await
                .into_iter()
                .collect::<Result<(), _>>()?;
            Ok(true)
        }
        Decision::RollBack => go_back(router, campaign).await,
    }
}

async fn halt_shard(
    router: &Router,
    group: &Group,
    campaign: &Campaign,
) -> Result<(), ProposeError> {
    // A replica that does not know of the campaign may only be behind.
    open(router, group, campaign).await?;
    let halt = |limit| Command::HaltCampaign {
        id: campaign.id,
        limit,
    };
    let done = |part: &Part| part.halt == Sweep::Done;
    sweep(router, group, halt, done, campaign.id).await
}

/// Begins the campaign that brings back what was there. Whether it has begun.
async fn go_back(router: &Router, campaign: &Campaign) -> Result<bool, ProposeError> {
    let Some(back) = way_back(campaign) else {
        return Ok(true);
    };
    let (namespace, name) = (back.namespace.clone(), back.name.clone());
    let command = Command::PutCampaign {
        campaign: Box::new(back),
    };
    let outcome = router.propose(COMMON, None, command, PATIENCE).await?;
    let Outcome::Rejected(rejection) = outcome else {
        return Ok(true);
    };
    let stored = router
        .common_group()
        .store()
        .read(|tables| query::campaign(tables, &namespace, &name));
    let is_it =
        stored.is_some_and(|stored| stored.plan.membership == Membership::UpdatedBy(campaign.id));
    if !is_it {
        // The campaign does not end before: somebody has to make room for it.
        tracing::warn!(campaign = campaign.name, back = name, %rejection, "cannot go back");
    }
    Ok(is_it)
}

/// Every shard takes part, and asks its devices; side by side, as a million devices are many steps.
async fn enrol(router: &Router, campaign: &Campaign) -> Result<(), ProposeError> {
    let shards = router.groups().iter();
    let enrolled = shards.map(|group| enrol_shard(router, group, campaign));
    join_all(enrolled).await.into_iter().collect()
}

async fn enrol_shard(
    router: &Router,
    group: &Group,
    campaign: &Campaign,
) -> Result<(), ProposeError> {
    open(router, group, campaign).await?;
    let enrol = |limit| Command::EnrolDevices {
        id: campaign.id,
        limit,
    };
    let done = |part: &Part| part.enrolment == Sweep::Done;
    sweep(router, group, enrol, done, campaign.id).await
}

/// Makes a shard take part, unless this node's replica says that it does.
async fn open(router: &Router, group: &Group, campaign: &Campaign) -> Result<(), ProposeError> {
    let known = group
        .store()
        .read(|tables| query::campaign_part(tables, campaign.id));
    if known.is_some() {
        return Ok(());
    }
    let part = Box::new(part(campaign));
    let open = Command::OpenCampaign { part };
    router
        .propose(group.shard(), None, open, PATIENCE)
        .await
        .map(drop)
}

/// Repeats a step until this node's replica says that it is done, or for as long as a round may take.
async fn sweep(
    router: &Router,
    group: &Group,
    step: impl Fn(u32) -> Command,
    done: impl Fn(&Part) -> bool,
    id: CampaignId,
) -> Result<(), ProposeError> {
    for _ in 0..STEPS {
        let part = group
            .store()
            .read(|tables| query::campaign_part(tables, id));
        if part.is_some_and(|part| done(&part)) {
            return Ok(());
        }
        let outcome = router
            .propose(group.shard(), None, step(SWEEP), PATIENCE)
            .await?;
        if let Outcome::Rejected(rejection) = outcome {
            tracing::debug!(shard = %group.shard(), %rejection, "a step of a campaign is refused");
            return Ok(());
        }
    }
    Ok(())
}

fn part(campaign: &Campaign) -> Part {
    let Plan {
        image,
        transfer,
        selector,
        membership,
        seed,
        waves,
        device,
        pause_when_unreachable,
        ..
    } = campaign.plan.clone();
    Part {
        id: campaign.id,
        namespace: campaign.namespace.clone(),
        name: campaign.name.clone(),
        image,
        transfer,
        selector,
        membership,
        seed,
        wave_selectors: waves.into_iter().map(|wave| wave.selector).collect(),
        device,
        enrolment: Sweep::NotBegun,
        halt: Sweep::NotBegun,
        step: 0,
        reach: pause_when_unreachable.map(|_| Reach::default()),
    }
}

/// The campaign that brings back what was there; `None` if nobody said what. It waits for nobody and nothing: no
/// approval, no soak, no window.
fn way_back(campaign: &Campaign) -> Option<Campaign> {
    let image = campaign.plan.rollback_image.clone()?;
    let kept = Campaign::MAX_NAME - WAY_BACK.len();
    let name: String = campaign.name.chars().take(kept).collect();
    // It hurries no more than the last wave of the other.
    let waves = campaign.plan.waves.last().map(|last| Wave {
        max_concurrent: last.max_concurrent,
        ..Wave::everybody(last.name.clone())
    });
    let waves = waves.into_iter().collect();
    Some(Campaign {
        id: CampaignId(0),
        namespace: campaign.namespace.clone(),
        name: name + WAY_BACK,
        plan: Plan {
            image,
            membership: Membership::UpdatedBy(campaign.id),
            waves,
            schedule: Schedule::default(),
            on_failure: OnFailure::Pause,
            rollback_image: None,
            pause_when_unreachable: None,
            ..campaign.plan.clone()
        },
        control: Control::default(),
        course: Course::default(),
        created_at: Timestamp(0),
        owner: campaign.owner.clone(),
    })
}

/// What this node's replicas of the shards have counted; they may be a little behind.
fn views(router: &Router, campaign: &Campaign) -> Vec<ShardView> {
    let waves = campaign.plan.waves.len();
    let view = |group: &Arc<Group>| {
        let (part, tallies) = counted(group, campaign.id);
        let (waves, common) = by_wave(tallies, waves);
        ShardView {
            shard: group.shard(),
            enrolled: part
                .as_ref()
                .is_some_and(|part| part.enrolment == Sweep::Done),
            halted: part.as_ref().is_some_and(|part| part.halt == Sweep::Done),
            reach: part.and_then(|part| part.reach),
            waves,
            common,
        }
    };
    router.groups().iter().map(view).collect()
}

fn counted(group: &Group, id: CampaignId) -> (Option<Part>, Vec<(u8, Tally)>) {
    group.store().read(|tables| {
        let part = query::campaign_part(tables, id);
        (part, query::campaign_tallies(tables, id))
    })
}

fn by_wave(tallies: Vec<(u8, Tally)>, waves: usize) -> (Vec<Tally>, Tally) {
    let mut by_wave = vec![Tally::default(); waves];
    let mut common = Tally::default();
    for (slot, tally) in tallies {
        match by_wave.get_mut(usize::from(slot)) {
            Some(wave) => *wave = tally,
            None => common = tally,
        }
    }
    (by_wave, common)
}

/// The rows of campaigns that were deleted go.
async fn drop_others(router: &Router, campaigns: &[Campaign]) {
    let known: BTreeSet<CampaignId> = campaigns.iter().map(|campaign| campaign.id).collect();
    let left = |group: &Group| {
        let parts = group.store().read(|tables| query::campaign_parts(tables));
        let ids = parts.into_iter().map(|part| part.id);
        ids.filter(|id| !known.contains(id)).collect::<Vec<_>>()
    };
    let left: Vec<_> = router
        .groups()
        .iter()
        .map(|group| (group, left(group)))
        .filter(|(_, ids)| !ids.is_empty())
        .collect();
    if left.is_empty() {
        return;
    }
    // This node may have fallen behind with the list, and what is dropped does not come back: a quorum is asked.
    let confirmed = router.common_group().read_confirmed(|tables| {
        let campaigns = query::campaigns(tables, None).into_iter();
        campaigns
            .map(|campaign| campaign.id)
            .collect::<BTreeSet<_>>()
    });
    let Ok(confirmed) = confirmed.await else {
        return;
    };
    for (group, ids) in left {
        for id in ids.into_iter().filter(|id| !confirmed.contains(id)) {
            if let Err(error) = drop_campaign(router, group, id).await {
                let shard = group.shard();
                tracing::debug!(%shard, %error, "a campaign that is gone is not dropped this time");
            }
        }
    }
}

async fn drop_campaign(router: &Router, group: &Group, id: CampaignId) -> Result<(), ProposeError> {
    for _ in 0..STEPS {
        let part = group
            .store()
            .read(|tables| query::campaign_part(tables, id));
        if part.is_none() {
            break;
        }
        let drop = Command::DropCampaign { id, limit: SWEEP };
        router.propose(group.shard(), None, drop, PATIENCE).await?;
    }
    Ok(())
}

/// A campaign with what this node's replicas have counted, and with its window.
pub fn standing(router: &Router, campaign: Campaign) -> Standing {
    let waves = campaign.plan.waves.len();
    let (mut total, mut common) = (vec![Tally::default(); waves], Tally::default());
    let mut reach = Reach::default();
    for group in router.groups() {
        let (part, tallies) = counted(group, campaign.id);
        if let Some(of_shard) = part.and_then(|part| part.reach) {
            reach.counted += of_shard.counted;
            reach.lost += of_shard.lost;
        }
        let (by_wave, waiting) = by_wave(tallies, waves);
        for (sum, wave) in total.iter_mut().zip(&by_wave) {
            sum.add(wave);
        }
        common.add(&waiting);
    }
    let window = match window(&campaign.plan.schedule, Timestamp(clock::now_ms())) {
        WindowState::Closed { until } if !campaign.course.state.is_final() => until,
        WindowState::Closed { .. } | WindowState::Open => None,
    };
    Standing {
        campaign,
        waves: total,
        common,
        window,
        reach,
    }
}

/// The wave that somebody who names none approves: the first one behind those that are approved that waits for it, or
/// will.
pub fn next_to_approve(campaign: &Campaign) -> Option<String> {
    let approved = campaign.plan.wave(&campaign.control.approved_through);
    let from = approved.map_or(0, |wave| wave + 1);
    let waves = campaign.plan.waves.iter().zip(&campaign.course.waves);
    let waiting = waves.skip(from).find(|(wave, course)| {
        wave.promotion == Promotion::Manual && course.state != WaveState::Succeeded
    });
    waiting.map(|(wave, _)| wave.name.clone())
}
