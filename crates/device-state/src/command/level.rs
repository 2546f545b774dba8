//! What replicas have to understand to apply a command.

use super::Command;
use crate::campaign::{Image, Selector, Transfer};
use crate::feature::FeatureLevel;
use crate::record::DesiredValue;
use crate::selection::DeviceTest;

impl Command {
    /// What replicas have to understand to apply it.
    pub fn needs(&self) -> FeatureLevel {
        if self.is_of_profile_rollouts() {
            return FeatureLevel::PROFILE_ROLLOUTS;
        }
        if self.has_pace() {
            return FeatureLevel::CAMPAIGN_PACE;
        }
        if self.selects_by_enrollment() {
            return FeatureLevel::ENROLLMENT_FILTERS;
        }
        if self.adds_credential() {
            return FeatureLevel::ADDED_CREDENTIALS;
        }
        if self.is_of_instances() {
            return FeatureLevel::INSTANCES;
        }
        if self.is_of_campaign_health() {
            return FeatureLevel::CAMPAIGN_HEALTH;
        }
        if self.is_of_update_objects() {
            return FeatureLevel::UPDATE_OBJECTS;
        }
        if self.is_of_enrollment() {
            return FeatureLevel::ENROLLMENT;
        }
        if self.is_of_artefacts() {
            return FeatureLevel::ARTEFACTS;
        }
        if self.is_of_profiles() {
            return FeatureLevel::PROFILES;
        }
        if self.is_of_fleet() {
            return FeatureLevel::CAMPAIGNS;
        }
        match self.begins_in() {
            Some(namespace) if !namespace.is_default() => FeatureLevel::NAMESPACES,
            _ => FeatureLevel::default(),
        }
    }

    fn is_of_campaign_health(&self) -> bool {
        match self {
            Self::PutCampaign { campaign } => campaign.plan.pause_when_unreachable.is_some(),
            Self::OpenCampaign { part } => part.reach.is_some(),
            Self::SteerCampaign { course, .. } => course.census > 0,
            Self::AdmitDevices { step, census, .. } => *step > 0 || *census > 0,
            Self::Guarded { command, .. } => command.is_of_campaign_health(),
            _ => false,
        }
    }

    fn selects_by_enrollment(&self) -> bool {
        let by = |selector: &Selector| selector.filter.has(&DeviceTest::is_of_enrollment);
        match self {
            Self::PutGroup { group } => by(&group.selector),
            Self::PutProfile { profile } | Self::InstallProfile { profile, .. } => {
                by(&profile.selector)
            }
            Self::PutCampaign { campaign } => {
                let waves = campaign.plan.waves.iter();
                let mut selectors = waves.filter_map(|wave| wave.selector.as_ref());
                by(&campaign.plan.selector) || selectors.any(by)
            }
            Self::OpenCampaign { part } => {
                by(&part.selector) || part.wave_selectors.iter().flatten().any(by)
            }
            Self::Guarded { command, .. } => command.selects_by_enrollment(),
            _ => false,
        }
    }

    fn is_of_profile_rollouts(&self) -> bool {
        match self {
            Self::PutProfile { profile } | Self::InstallProfile { profile, .. } => {
                profile.rollout.is_some()
            }
            Self::ReleaseProfile { .. } => true,
            Self::Guarded { command, .. } => command.is_of_profile_rollouts(),
            _ => false,
        }
    }

    fn has_pace(&self) -> bool {
        match self {
            Self::PutCampaign { campaign } => campaign.plan.begin_every.is_some(),
            Self::Guarded { command, .. } => command.has_pace(),
            _ => false,
        }
    }

    fn adds_credential(&self) -> bool {
        match self {
            Self::AddCredential { .. } => true,
            Self::Guarded { command, .. } => command.adds_credential(),
            _ => false,
        }
    }

    fn is_of_instances(&self) -> bool {
        let any = |wanted: &[DesiredValue]| wanted.iter().any(|one| one.goal.presence().is_some());
        match self {
            Self::SetDesired { resources, .. } => any(resources),
            Self::PutProfile { profile } | Self::InstallProfile { profile, .. } => {
                any(&profile.resources)
            }
            Self::Guarded { command, .. } => command.is_of_instances(),
            _ => false,
        }
    }

    fn is_of_update_objects(&self) -> bool {
        match self {
            Self::PutCampaign { campaign } => {
                let back = campaign.plan.rollback_image.iter();
                let mut images = back.chain([&campaign.plan.image]);
                !images.all(Image::is_plain)
            }
            Self::OpenCampaign { part } => !part.image.is_plain(),
            Self::Guarded { command, .. } => command.is_of_update_objects(),
            _ => false,
        }
    }

    fn is_of_enrollment(&self) -> bool {
        match self {
            Self::PutEnrollmentPolicy { .. } | Self::RemoveEnrollmentPolicy { .. } => true,
            Self::Register { registration } => registration.enrollment.is_some(),
            Self::Guarded { command, .. } => command.is_of_enrollment(),
            _ => false,
        }
    }

    fn is_of_artefacts(&self) -> bool {
        match self {
            Self::BeginArtefact { .. }
            | Self::PutArtefactChunk { .. }
            | Self::RemoveArtefact { .. } => true,
            Self::PutCampaign { campaign } => campaign.plan.transfer == Transfer::Push,
            Self::OpenCampaign { part } => part.transfer == Transfer::Push,
            Self::Guarded { command, .. } => command.is_of_artefacts(),
            _ => false,
        }
    }

    fn is_of_profiles(&self) -> bool {
        match self {
            Self::PutProfile { .. }
            | Self::RemoveProfile { .. }
            | Self::InstallProfile { .. }
            | Self::SpreadProfile { .. }
            | Self::ReleaseProfile { .. } => true,
            Self::Guarded { command, .. } => command.is_of_profiles(),
            _ => false,
        }
    }

    fn is_of_fleet(&self) -> bool {
        match self {
            Self::PutCampaign { .. }
            | Self::ControlCampaign { .. }
            | Self::SteerCampaign { .. }
            | Self::RemoveCampaign { .. }
            | Self::OpenCampaign { .. }
            | Self::EnrolDevices { .. }
            | Self::AdmitDevices { .. }
            | Self::HaltCampaign { .. }
            | Self::DropCampaign { .. }
            | Self::PutGroup { .. }
            | Self::RemoveGroup { .. } => true,
            Self::Guarded { command, .. } => command.is_of_fleet(),
            _ => false,
        }
    }
}
