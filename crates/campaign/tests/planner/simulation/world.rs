//! Shards, the stored campaign, planners that know it as it was once, and what they sent.

use campaign::{Decision, ShardView, decide};
use device_state::Timestamp;
use device_state::campaign::{Campaign, CampaignState, Course};

use super::rules::{self, Limit};
use super::shard::{Device, Outcome, Shard};
use crate::rig::NOW;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) campaign: Campaign,
    pub(crate) shards: Vec<Shard>,
    /// Decisions on their way: each alone, but for those of which the second is carried out only once the first was.
    pub(crate) sent: Vec<Vec<Decision>>,
    /// As it was, the newest last.
    rows: Vec<Campaign>,
    pub(crate) limit: Limit,
    /// How often the campaign was told to begin the one that goes back.
    pub(crate) back: usize,
}

impl World {
    pub(crate) fn new(campaign: Campaign, shards: Vec<Shard>, limit: Limit) -> Self {
        Self {
            now: NOW,
            rows: vec![campaign.clone()],
            campaign,
            shards,
            sent: Vec::new(),
            limit,
            back: 0,
        }
    }

    /// A planner looks at the campaign and at the shards, each as it was so many changes ago, and decides.
    pub(crate) fn decide(&mut self, row_age: usize, ages: &[usize]) {
        let row = self.rows[self.rows.len().saturating_sub(row_age + 1)].clone();
        let age = |index: usize| ages.get(index % ages.len().max(1)).copied().unwrap_or(0);
        let views: Vec<ShardView> = (0..)
            .zip(&self.shards)
            .map(|(index, shard)| shard.view(age(index)))
            .collect();
        let decisions = decide(&row, &views, self.now);
        rules::check_decisions(&row, &decisions);
        if decisions.contains(&Decision::RollBack) {
            self.sent.push(decisions);
        } else {
            let alone = decisions.into_iter().map(|decision| vec![decision]);
            self.sent.extend(alone);
        }
    }

    /// Decisions arrive; more than once, if they are kept.
    pub(crate) fn deliver(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            self.carry_out(decision);
            self.check();
        }
    }

    /// The end of what is on its way is lost: nobody carries out what comes after something that failed.
    pub(crate) fn lose(&mut self, which: usize) {
        if self.sent.is_empty() {
            return;
        }
        let which = which % self.sent.len();
        self.sent[which].pop();
        if self.sent[which].is_empty() {
            self.sent.remove(which);
        }
    }

    fn carry_out(&mut self, decision: Decision) {
        match decision {
            Decision::Steer(course) => self.steer(course),
            Decision::Admit { shard, wave, until } => {
                let waves = &self.campaign.plan.waves;
                let is_last = usize::from(wave) + 1 == waves.len();
                let has_lane = waves[usize::from(wave)].selector.is_some();
                let takes = |lane: Option<u8>| is_last || lane == has_lane.then_some(wave);
                let shards = self.shards.iter_mut();
                for shard in shards.filter(|own| own.id == shard) {
                    shard.admit(wave, until, takes);
                }
            }
            Decision::Halt => self.shards.iter_mut().for_each(Shard::halt),
            Decision::Count { .. } => {}
            Decision::RollBack => self.back += 1,
        }
    }

    fn steer(&mut self, course: Course) {
        if course.step != self.campaign.course.step + 1 {
            return;
        }
        rules::check_step(&self.campaign, &course, &self.shards);
        self.campaign.course = course;
        self.store();
    }

    /// After a change of the row.
    pub(crate) fn store(&mut self) {
        self.rows.push(self.campaign.clone());
    }

    pub(crate) fn check(&self) {
        rules::check(self);
    }

    /// A device on its way has a result.
    pub(crate) fn end(&mut self, shard: usize, device: usize, outcome: Outcome) {
        let count = self.shards.len();
        let shard = &mut self.shards[shard % count];
        let active = shard.active();
        if active.is_empty() {
            return;
        }
        let index = active[device % active.len()];
        if let Device::Active { wave } = shard.devices[index] {
            let wave = Some(wave);
            shard.devices[index] = Device::Ended { wave, outcome };
        }
        shard.look();
    }

    /// A device that waits is deleted.
    pub(crate) fn delete(&mut self, shard: usize, device: usize) {
        let count = self.shards.len();
        let shard = &mut self.shards[shard % count];
        let waiting = shard.waiting();
        if !shard.enrolled || waiting.is_empty() {
            return;
        }
        shard.devices[waiting[device % waiting.len()]] = Device::Ended {
            wave: None,
            outcome: Outcome::Skipped,
        };
        shard.look();
        if let Limit::Gives { deleted } = &mut self.limit {
            *deleted += 1;
        }
    }

    /// A device joins; it is of the last wave, of any that has a selector, or of none in particular.
    pub(crate) fn join(&mut self, shard: usize, wave: usize) {
        let count = self.shards.len();
        let shard = &mut self.shards[shard % count];
        if !shard.enrolled || shard.halted {
            return;
        }
        let waves = &self.campaign.plan.waves;
        let wave = wave % waves.len();
        let has_lane = wave + 1 == waves.len() || waves[wave].selector.is_some();
        let lane = has_lane.then_some(wave as u8);
        shard.devices.push(Device::Waiting { lane });
        shard.look();
    }

    pub(crate) fn enrol(&mut self, shard: usize) {
        let count = self.shards.len();
        let shard = &mut self.shards[shard % count];
        shard.enrolled = true;
        shard.look();
    }

    /// How everything really is.
    pub(crate) fn picture(&self) -> String {
        let devices = self
            .shards
            .iter()
            .map(|shard| (shard.id, shard.halted, &shard.devices));
        let devices: Vec<_> = devices.collect();
        format!(
            "{:?} {:?} {devices:?}",
            self.campaign.control, self.campaign.course
        )
    }

    pub(crate) fn is_over(&self) -> bool {
        self.campaign.course.state.is_final()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.campaign.course.state == CampaignState::Running
    }
}
