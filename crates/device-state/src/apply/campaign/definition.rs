//! Campaigns as they are declared and steered: rows of shard 0.

use super::super::Change;
use crate::campaign::{Abort, Campaign, CampaignId, CampaignState, Course, Membership, WaveCourse};
use crate::command::{Outcome, Rejection};
use crate::feature::FeatureLevel;
use crate::name::Namespace;
use crate::query;
use crate::table::{Row, RowKey};

/// What a campaign is found by.
type Name<'a> = (&'a Namespace, &'a str);

impl Change<'_> {
    pub(in super::super) fn put_campaign(
        &mut self,
        campaign: &Campaign,
    ) -> Result<Outcome, Rejection> {
        let others = query::campaigns(self.tables, Some(&campaign.namespace));
        if others.iter().any(|other| other.name == campaign.name) {
            return Err(Rejection::CampaignExists);
        }
        if others.len() >= Campaign::MAX_CAMPAIGNS {
            return Err(Rejection::TooManyCampaigns);
        }
        // Numbers of operations are never given out twice, and those of shard 0 only have to differ from each other.
        let id = CampaignId(self.counters.next_operation);
        self.counters.next_operation += 1;
        let course = Course {
            waves: vec![WaveCourse::default(); campaign.plan.waves.len()],
            ..Course::default()
        };
        self.tables.put(Row::Campaign(Box::new(Campaign {
            id,
            course,
            created_at: self.now,
            ..campaign.clone()
        })));
        Ok(Outcome::Done)
    }

    pub(in super::super) fn control_campaign(
        &mut self,
        name: Name<'_>,
        paused: Option<bool>,
        approved_through: Option<&str>,
        abort: Abort,
    ) -> Result<Outcome, Rejection> {
        let mut campaign = self.campaign(name)?;
        let known = |wave: &str| wave.is_empty() || campaign.plan.wave(wave).is_some();
        if !approved_through.is_none_or(known) {
            return Err(Rejection::UnknownWave);
        }
        let holds_at_once = self.counters.feature_level >= FeatureLevel::CAMPAIGN_HEALTH;
        if holds_at_once && campaign.is_ending() {
            // An abort that is said again, or comes too late, leaves it as it is.
            let only_ends = paused.is_none() && approved_through.is_none();
            return only_ends
                .then_some(Outcome::Done)
                .ok_or(Rejection::CampaignEnded);
        }
        let has_looked = paused == Some(true) || abort == Abort::Now;
        if holds_at_once && campaign.course.state.has_stopped() && !has_looked {
            return Err(Rejection::CampaignStopped);
        }
        let control = &mut campaign.control;
        control.paused = paused.unwrap_or(control.paused);
        if let Some(wave) = approved_through {
            wave.clone_into(&mut control.approved_through);
        }
        // Devices may have been taken back already.
        control.aborted |= abort == Abort::Now;
        if holds_at_once {
            campaign.heed();
        }
        self.tables.put(Row::Campaign(Box::new(campaign)));
        Ok(Outcome::Done)
    }

    pub(in super::super) fn steer_campaign(
        &mut self,
        name: Name<'_>,
        id: CampaignId,
        course: &Course,
    ) -> Result<Outcome, Rejection> {
        let mut campaign = self.campaign(name)?;
        if campaign.id != id {
            return Err(Rejection::UnknownCampaign);
        }
        if course.step != campaign.course.step + 1 {
            return Err(Rejection::CourseMoved);
        }
        campaign.course = course.clone();
        self.tables.put(Row::Campaign(Box::new(campaign)));
        Ok(Outcome::Done)
    }

    pub(in super::super) fn remove_campaign(
        &mut self,
        name: Name<'_>,
    ) -> Result<Outcome, Rejection> {
        let campaign = self.campaign(name)?;
        let has_begun = campaign.course.state != CampaignState::Enrolling;
        if has_begun && !campaign.course.state.is_final() {
            return Err(Rejection::CampaignRuns);
        }
        let (namespace, name) = name;
        // The one that goes back looks for its members in the ledger of this one.
        let others = query::campaigns(self.tables, Some(namespace));
        let needed = others.iter().any(|other| {
            other.plan.membership == Membership::UpdatedBy(campaign.id)
                && other.course.state == CampaignState::Enrolling
        });
        if needed {
            return Err(Rejection::CampaignRuns);
        }
        self.tables
            .delete(&RowKey::Campaign(namespace.qualify(name)));
        Ok(Outcome::Done)
    }

    fn campaign(&self, (namespace, name): Name<'_>) -> Result<Campaign, Rejection> {
        query::campaign(self.tables, namespace, name).ok_or(Rejection::UnknownCampaign)
    }
}
