//! What tells one content of a resource from another: a digest of what callers can set. Computed in `apply` to compare
//! with what a caller has seen, so its input never depends on the build or on the order of a map.

use std::fmt;

use lwm2m::Path;
use sha2::{Digest, Sha256};

use crate::bootstrap::{AccessRule, BootstrapProfile, BootstrapSecurity, BootstrapServer};
use crate::campaign::Share;
use crate::enrollment::EnrollmentPolicy;
use crate::goal::Goal;
use crate::group::Group;
use crate::label::Metadata;
use crate::profile::{Activity, Profile, ProfileRollout};
use crate::record::{Credential, DesiredOrigin, DesiredResource, DriftPolicy};

/// The first bytes of a digest of a content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Etag(pub [u8; Self::BYTES]);

impl Etag {
    /// As long as two contents of one resource never have the same one by chance.
    pub const BYTES: usize = 12;

    /// Of the labels and annotations of a device.
    pub fn of_metadata(metadata: &Metadata) -> Self {
        let mut content = Content::of("metadata");
        content.number(metadata.labels.len() as u64);
        for (key, value) in &metadata.labels {
            content.text(key.as_str()).text(value.as_str());
        }
        for (key, value) in &metadata.annotations {
            content.text(key.as_str()).text(value);
        }
        content.end()
    }

    /// Of what is desired of a device itself: what is wanted, not how far the device is.
    pub fn of_desired(generation: Option<u64>, resources: &[DesiredResource]) -> Self {
        let mut content = Content::of("desired");
        content.number(generation.unwrap_or_default());
        let own = resources.iter();
        for resource in own.filter(|resource| resource.origin == DesiredOrigin::Device) {
            content.desired(resource.path, &resource.goal, resource.drift);
        }
        content.end()
    }

    /// Of a profile of devices.
    pub fn of_device_profile(profile: &Profile) -> Self {
        let mut content = Content::of("device profile");
        content
            .text(&profile.name)
            .text(&profile.description)
            .text(&profile.selector.text)
            .text(&profile.group)
            .number(i64::from(profile.priority) as u64)
            .number(u64::from(profile.activity == Activity::Paused))
            .number(profile.requires.objects.len() as u64);
        for object in &profile.requires.objects {
            content.number(u64::from(*object));
        }
        let version = profile.requires.version;
        content.text(
            &version
                .map(|version| version.to_string())
                .unwrap_or_default(),
        );
        content.number(profile.resources.len() as u64);
        for resource in &profile.resources {
            content.desired(resource.path, &resource.goal, resource.drift);
        }
        for observation in &profile.observations {
            content
                .text(&observation.observed.to_string())
                .text(&observation.parameters.to_query().join("&"));
        }
        // Nothing without one: releases that know none have the same etags.
        if let Some(rollout) = &profile.rollout {
            content.rollout(rollout);
        }
        content.end()
    }

    /// Of a credential: each one that is stored has another, whatever its secret.
    pub fn of_credential(credential: &Credential) -> Self {
        let mut content = Content::of("credential");
        content.number(credential.serial);
        content.end()
    }

    /// Of a group of devices.
    pub fn of_group(group: &Group) -> Self {
        let mut content = Content::of("group");
        content
            .text(&group.name)
            .text(&group.selector.text)
            .text(&group.description);
        content.end()
    }

    /// Of an enrollment policy.
    pub fn of_enrollment_policy(policy: &EnrollmentPolicy) -> Self {
        let mut content = Content::of("enrollment policy");
        content
            .text(&policy.name)
            .text(&policy.description)
            .number(u64::from(policy.priority))
            .text(&policy.criteria.endpoint_pattern)
            .text(&policy.criteria.psk_identity_prefix)
            .number(policy.action as u64)
            .number(policy.proof.map_or(0, |proof| proof as u64 + 1))
            .number(policy.max_devices.map_or(0, |most| most.saturating_add(1)))
            .number(u64::from(
                policy.registrations_per_second.unwrap_or_default(),
            ))
            .number(policy.labels.len() as u64);
        for (key, value) in &policy.labels {
            content.text(key.as_str()).text(value.as_str());
        }
        content.end()
    }

    /// Of a bootstrap profile.
    pub fn of_profile(profile: &BootstrapProfile) -> Self {
        let mut content = Content::of("profile");
        content.text(&profile.name).text(&profile.endpoint_prefix);
        content.number(profile.servers.len() as u64);
        for server in &profile.servers {
            content.server(server);
        }
        for rule in &profile.access {
            content.rule(rule);
        }
        content.end()
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Etag({self})")
    }
}

/// A content on its way to a digest. Every part is preceded by its length, so that no two contents read the same.
struct Content(Sha256);

impl Content {
    fn of(kind: &str) -> Self {
        let mut content = Self(Sha256::new());
        content.text(kind);
        content
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(number.to_be_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn desired(&mut self, path: Path, goal: &Goal, drift: DriftPolicy) {
        self.text(&path.to_string()).text(&goal.to_text());
        // Replicas of releases before know no policy, and must come to the same.
        match drift {
            DriftPolicy::InitOnly => {}
            DriftPolicy::Enforce => {
                self.text("enforce");
            }
            DriftPolicy::Report => {
                self.text("report");
            }
        }
    }

    fn rollout(&mut self, rollout: &ProfileRollout) {
        self.text("rollout").share(rollout.max_concurrent);
        if let Some(most) = rollout.failure_threshold {
            self.text("threshold").share(most);
        }
        for window in &rollout.windows {
            self.text("window")
                .number(u64::from(window.days))
                .number(u64::from(window.start))
                .number(u64::from(window.end))
                .text(&window.time_zone);
        }
    }

    fn share(&mut self, share: Share) {
        match share {
            Share::Devices(devices) => self.number(0).number(devices),
            Share::Millionths(part) => self.number(1).number(u64::from(part)),
        };
    }

    fn server(&mut self, server: &BootstrapServer) {
        self.text(&server.uri)
            .number(u64::from(server.short_server_id))
            .number(u64::from(server.lifetime.as_secs()))
            .text(&server.binding.to_string());
        match &server.security {
            BootstrapSecurity::NoSec => self.number(0),
            BootstrapSecurity::Psk => self.number(1),
            BootstrapSecurity::RawPublicKey { server } => self.number(2).bytes(server),
            BootstrapSecurity::Certificate(certificate) => {
                let usage = certificate.usage.map_or(0, |usage| usage as u64 + 1);
                self.number(3).number(usage).bytes(&certificate.certificate)
            }
            BootstrapSecurity::Oscore => self.number(4),
        };
    }

    fn rule(&mut self, rule: &AccessRule) {
        self.number(u64::from(rule.object))
            .number(u64::from(rule.instance.unwrap_or(AccessRule::CREATION)))
            .number(u64::from(rule.owner))
            .number(rule.rights.len() as u64);
        for (server, bits) in &rule.rights {
            self.number(u64::from(*server)).number(u64::from(*bits));
        }
    }

    fn end(self) -> Etag {
        let digest = self.0.finalize();
        let mut bytes = [0; Etag::BYTES];
        bytes
            .iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        Etag(bytes)
    }
}
