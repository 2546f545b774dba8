//! Backups.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backup::{BackupId, Entry, Manifest, Problem, Removed, Shard, Verified};
use serde::Serialize;

use crate::table;

/// `{"id", "clusterId", "clusterName", "software", "startTime", "endTime", "bytes", "shards": […]}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupView {
    id: String,
    cluster_id: String,
    cluster_name: String,
    software: String,
    start_time: String,
    end_time: String,
    bytes: u64,
    shards: Vec<ShardView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardView {
    shard: u16,
    node: String,
    term: u64,
    index: u64,
    leader_time: String,
    files: usize,
    bytes: u64,
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

impl From<&Shard> for ShardView {
    fn from(shard: &Shard) -> Self {
        Self {
            shard: shard.shard,
            node: shard.node.clone(),
            term: shard.revision.term,
            index: shard.revision.index,
            leader_time: rfc3339(UNIX_EPOCH + Duration::from_millis(shard.leader_time_ms)),
            files: shard.files.len(),
            bytes: shard.bytes(),
        }
    }
}

impl From<Manifest> for BackupView {
    fn from(manifest: Manifest) -> Self {
        Self {
            bytes: manifest.bytes(),
            shards: manifest.shards.iter().map(ShardView::from).collect(),
            id: manifest.id.to_string(),
            cluster_id: manifest.cluster.id,
            cluster_name: manifest.cluster.name,
            software: manifest.software,
            start_time: rfc3339(manifest.started),
            end_time: rfc3339(manifest.finished),
        }
    }
}

impl BackupView {
    pub(crate) fn table(&self) -> String {
        let rows = self.shards.iter().map(|shard| {
            vec![
                shard.shard.to_string(),
                shard.node.clone(),
                shard.term.to_string(),
                shard.index.to_string(),
                shard.leader_time.clone(),
                shard.files.to_string(),
                size(shard.bytes),
            ]
        });
        let headings = [
            "SHARD",
            "NODE",
            "TERM",
            "INDEX",
            "LEADER TIME",
            "FILES",
            "SIZE",
        ];
        format!(
            "Backup {}\nCluster {} ({}), version {}\nFrom {} to {}, {}\n\n{}",
            self.id,
            table::printable(&self.cluster_id),
            table::printable(&self.cluster_name),
            table::printable(&self.software),
            self.start_time,
            self.end_time,
            size(self.bytes),
            table::render(&headings, rows)
        )
    }
}

/// A [`BackupView`] and `"writtenBytes"`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedView {
    #[serde(flatten)]
    backup: BackupView,
    written_bytes: u64,
}

impl CreatedView {
    pub(crate) fn new(manifest: Manifest, written_bytes: u64) -> Self {
        Self {
            backup: manifest.into(),
            written_bytes,
        }
    }

    pub(crate) fn table(&self) -> String {
        let Self {
            backup,
            written_bytes,
        } = self;
        format!(
            "Backup {}: {} shards, {}, of which {} were written\n",
            backup.id,
            backup.shards.len(),
            size(backup.bytes),
            size(*written_bytes)
        )
    }
}

/// `{"backups": [{"id", "clusterId", …} or {"id", "error"}]}`.
#[derive(Debug, Serialize)]
pub(crate) struct BackupsView {
    backups: Vec<ListedView>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ListedView {
    Sound(BackupView),
    Unreadable { id: String, error: String },
}

impl From<Vec<Entry>> for BackupsView {
    fn from(entries: Vec<Entry>) -> Self {
        let view = |entry: Entry| match entry.manifest {
            Ok(manifest) => ListedView::Sound(manifest.into()),
            Err(error) => ListedView::Unreadable {
                id: entry.id.to_string(),
                error: format!("{:#}", anyhow::Error::new(error)),
            },
        };
        Self {
            backups: entries.into_iter().map(view).collect(),
        }
    }
}

impl BackupsView {
    pub(crate) fn table(&self) -> String {
        let rows = self.backups.iter().map(|listed| match listed {
            ListedView::Sound(backup) => vec![
                backup.id.clone(),
                backup.cluster_id.clone(),
                backup.cluster_name.clone(),
                backup.start_time.clone(),
                backup.shards.len().to_string(),
                size(backup.bytes),
            ],
            ListedView::Unreadable { id, error } => vec![
                id.clone(),
                error.clone(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ],
        });
        let headings = ["ID", "CLUSTER", "NAME", "STARTED", "SHARDS", "SIZE"];
        table::render(&headings, rows)
    }
}

/// `{"id", "files", "bytes", "problems": [{"object", "shard", "name", "problem"}]}`.
#[derive(Debug, Serialize)]
pub(crate) struct VerifiedView {
    id: String,
    files: u64,
    bytes: u64,
    problems: Vec<ProblemView>,
}

#[derive(Debug, Serialize)]
struct ProblemView {
    object: String,
    shard: u16,
    name: String,
    problem: String,
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        Self {
            object: problem.object,
            shard: problem.shard,
            name: problem.name.to_string(),
            problem: problem.fault.to_string(),
        }
    }
}

impl VerifiedView {
    pub(crate) fn new(id: &BackupId, verified: Verified) -> Self {
        Self {
            id: id.to_string(),
            files: verified.files,
            bytes: verified.bytes,
            problems: verified.problems.into_iter().map(Into::into).collect(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "Backup {}: {} files, {} read\n",
            self.id,
            self.files,
            size(self.bytes)
        );
        for problem in &self.problems {
            let _ = writeln!(
                text,
                "{}: {} ({} of shard {})",
                problem.object, problem.problem, problem.name, problem.shard
            );
        }
        text
    }
}

/// `{"backups": [ids], "files", "bytes", "waitsFor": [ids]}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RemovedView {
    backups: Vec<String>,
    files: u64,
    bytes: u64,
    waits_for: Vec<String>,
}

impl From<Removed> for RemovedView {
    fn from(removed: Removed) -> Self {
        let texts = |ids: Vec<BackupId>| ids.iter().map(ToString::to_string).collect();
        Self {
            backups: texts(removed.backups),
            files: removed.files,
            bytes: removed.bytes,
            waits_for: texts(removed.waits_for),
        }
    }
}

impl RemovedView {
    pub(crate) fn text(&self) -> String {
        let mut text: String = self
            .backups
            .iter()
            .map(|id| format!("Backup {id} is removed\n"))
            .collect();
        if self.waits_for.is_empty() {
            let _ = writeln!(text, "{} files removed, {}", self.files, size(self.bytes));
        } else {
            let _ = writeln!(
                text,
                "No files removed while backup {} is being made",
                self.waits_for.join(", ")
            );
        }
        text
    }
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1_024.0 {
            break;
        }
        value /= 1_024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1_023), "1023 B");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(34 << 20), "34.0 MiB");
        assert_eq!(size(3 << 50), "3072.0 TiB");
    }

    #[test]
    fn a_damaged_backup_is_told_by_file() {
        let verified = Verified {
            files: 3,
            bytes: 2_048,
            problems: vec![Problem {
                object: "files/0123".to_owned(),
                shard: 1,
                name: "000012.sst".to_owned().try_into().expect("a name"),
                fault: backup::Fault::Content,
            }],
        };
        let id = "20261130T174512Z-5f3a9c1e".parse().expect("an id");
        insta::assert_snapshot!(VerifiedView::new(&id, verified).text(), @r"
        Backup 20261130T174512Z-5f3a9c1e: 3 files, 2.0 KiB read
        files/0123: its content is not what was written (000012.sst of shard 1)
        ");
    }
}
