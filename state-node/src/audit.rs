//! A record of every change that was asked for through the public API, and of what became of it.
//!
//! A record says who, proved by what, from where, called what, on what, and how it ended. It has names, paths and ids of
//! the request and never values, keys or tokens. It goes to the log (target `audit`) and, as a line of JSON, to a file or
//! to standard output.
//!
//! With `audit_required`, a record with the outcome `STARTED` is on its way to the disk before the change is made; a change
//! that cannot be recorded is refused.

mod body;
mod record;
mod subject;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use http::Response;
use node_runtime::Tasks;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::service::status;
pub use record::Entry;
use subject::Subjects;
use writer::{Target, Writer};

/// Where records go and whether they have to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// `-` for standard output; unset: only to the log.
    pub file: Option<PathBuf>,
    pub required: Required,
}

/// What becomes of a change that cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// It is refused.
    Yes,
    /// It is made, and counted.
    No,
}

/// Keeps the records.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: Option<Writer>,
    required: Required,
    subjects: Subjects,
    records: Counter,
    failures: Counter,
}

/// Why records cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("audit_file: cannot append to {}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: std::io::Error,
}

impl Audit {
    /// Opens the file; its writer is a task of `tasks`.
    pub fn open(
        config: &AuditConfig,
        registry: &mut Registry,
        tasks: &Tasks,
    ) -> Result<Self, AuditError> {
        let (records, failures) = (Counter::default(), Counter::default());
        registry.register(
            "audit_records",
            "Changes through the API that were recorded",
            records.clone(),
        );
        registry.register(
            "audit_failures",
            "Records of changes through the API that could not be written",
            failures.clone(),
        );
        let writer = match &config.file {
            None => None,
            Some(path) => {
                let target = Target::open(path).map_err(|source| AuditError {
                    path: path.clone(),
                    source,
                })?;
                Some(Writer::start(target, failures.clone(), tasks))
            }
        };
        Ok(Self(Arc::new(Shared {
            writer,
            required: config.required,
            subjects: Subjects::of(proto::drover::FILE_DESCRIPTOR_SET),
            records,
            failures,
        })))
    }

    /// A change that was refused before it reached a service.
    pub fn refused(&self, entry: Entry, refused: &Status, reason: &str) {
        self.write(&entry.ended(refused.code(), Some(reason)));
    }

    /// Reads what the change is about. With `audit_required`, nothing is done that is not on record.
    pub(crate) async fn begin(
        &self,
        mut entry: Entry,
        body: Body,
    ) -> Result<(Pending, Body), Status> {
        let (subject, body) = self.0.subjects.read(entry.method(), body).await?;
        entry.on(subject);
        if self.0.required == Required::Yes {
            self.begin_on_record(&entry).await?;
        }
        let pending = Pending {
            audit: self.clone(),
            entry: Some(entry),
        };
        Ok((pending, body))
    }

    async fn begin_on_record(&self, entry: &Entry) -> Result<(), Status> {
        let Some(writer) = &self.0.writer else {
            return Ok(());
        };
        let line = entry.started();
        if writer.write_now(line).await.is_err() {
            self.0.failures.inc();
            return Err(status::audit_unavailable());
        }
        Ok(())
    }

    fn write(&self, record: &record::Record<'_>) {
        record.log();
        self.0.records.inc();
        if let Some(writer) = &self.0.writer
            && writer.write(record.line()).is_err()
        {
            self.0.failures.inc();
        }
    }
}

/// A change that was let through and has not ended.
#[derive(Debug)]
pub(crate) struct Pending {
    audit: Audit,
    /// `None` once it is recorded.
    entry: Option<Entry>,
}

impl Pending {
    /// Waits for the outcome, which is in the headers or comes after the message.
    pub(crate) fn follow(self, answer: Response<Body>) -> Response<Body> {
        body::follow(self, answer)
    }

    fn end(&mut self, code: Code, reason: Option<&str>) {
        if let Some(entry) = self.entry.take() {
            self.audit.write(&entry.ended(code, reason));
        }
    }
}

impl Drop for Pending {
    /// The caller went away: whether the change was made is not known here.
    fn drop(&mut self) {
        self.end(Code::Cancelled, None);
    }
}

#[cfg(test)]
mod tests;
