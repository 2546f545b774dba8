//! Bootstrap profiles, and what came of bootstraps.

use std::collections::BTreeMap;

use proto::drover::v1::bootstrap_account::Security;
use proto::drover::v1::bootstrap_record::Outcome;
use proto::drover::v1::{AccessRule, BootstrapAccount, BootstrapProfile, BootstrapRecord};
use serde::Serialize;

use crate::table;
use crate::time::rfc3339;

/// `{"name", "endpointPrefix", "servers": [{"uri", "shortServerId", "security", "lifetimeSeconds", "binding"}], "access", "etag"}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileView {
    name: String,
    endpoint_prefix: String,
    servers: Vec<ServerView>,
    access: Vec<RuleView>,
    etag: String,
}

#[derive(Debug, Serialize)]
struct RuleView {
    path: String,
    /// Letters by short server id.
    rights: BTreeMap<u32, String>,
    owner: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerView {
    uri: String,
    short_server_id: u32,
    /// As after `--security`.
    security: &'static str,
    lifetime_seconds: Option<i64>,
    binding: String,
}

impl From<BootstrapProfile> for ProfileView {
    fn from(profile: BootstrapProfile) -> Self {
        Self {
            name: profile.name,
            endpoint_prefix: profile.endpoint_prefix,
            servers: profile.servers.into_iter().map(ServerView::from).collect(),
            access: profile.access.into_iter().map(RuleView::from).collect(),
            etag: profile.etag,
        }
    }
}

impl From<AccessRule> for RuleView {
    fn from(rule: AccessRule) -> Self {
        let rights = rule.rights.into_iter();
        Self {
            path: rule.path,
            rights: rights
                .map(|right| (right.short_server_id, right.letters))
                .collect(),
            owner: rule.owner,
        }
    }
}

impl From<BootstrapAccount> for ServerView {
    fn from(server: BootstrapAccount) -> Self {
        Self {
            security: match server.security() {
                Security::Psk => "psk",
                Security::RawPublicKey => "rpk",
                Security::Certificate => "x509",
                Security::Oscore => "oscore",
                Security::NoSec => "nosec",
                Security::Unspecified => "unknown",
            },
            uri: server.uri,
            short_server_id: server.short_server_id,
            lifetime_seconds: server.lifetime.map(|lifetime| lifetime.seconds),
            binding: server.binding,
        }
    }
}

/// `{"profiles": […]}`.
#[derive(Debug, Serialize)]
pub(crate) struct ProfilesView {
    pub(crate) profiles: Vec<ProfileView>,
}

impl ProfilesView {
    /// A line for each server of each profile.
    pub(crate) fn table(&self) -> String {
        let headings = [
            "NAME", "DEVICES", "SERVER", "ID", "SECURITY", "LIFETIME", "BINDING",
        ];
        let rows = self.profiles.iter().flat_map(|profile| {
            profile.servers.iter().map(|server| {
                vec![
                    profile.name.clone(),
                    format!("{}*", profile.endpoint_prefix),
                    server.uri.clone(),
                    server.short_server_id.to_string(),
                    server.security.to_owned(),
                    server
                        .lifetime_seconds
                        .map(|seconds| format!("{seconds}s"))
                        .unwrap_or_default(),
                    server.binding.clone(),
                ]
            })
        });
        table::render(&headings, rows)
    }
}

/// `{"profile", "outcome", "detail", "time"}`; `outcome` is `Finished`, `PackDelivered` or `Failed`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BootstrapView {
    profile: String,
    outcome: &'static str,
    detail: String,
    time: Option<String>,
}

impl From<BootstrapRecord> for BootstrapView {
    fn from(record: BootstrapRecord) -> Self {
        Self {
            outcome: match record.outcome() {
                Outcome::Finished => "Finished",
                Outcome::PackDelivered => "PackDelivered",
                Outcome::Failed => "Failed",
                Outcome::Unspecified => "Unknown",
            },
            profile: record.profile,
            detail: record.detail,
            time: rfc3339(record.time.as_ref()),
        }
    }
}

impl BootstrapView {
    /// `Finished by profile meters at TIME (delete /0: 2.02; …)`.
    pub(crate) fn line(&self) -> String {
        let by = if self.profile.is_empty() {
            String::new()
        } else {
            format!(" by profile {}", self.profile)
        };
        let time = self.time.as_deref().unwrap_or("-");
        format!("{}{by} at {time} ({})", self.outcome, self.detail)
    }
}
