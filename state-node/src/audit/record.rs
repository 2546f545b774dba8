//! What is recorded.

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use access::{Identity, Kind, Permission, Scope};
use device_state::Namespace;
use http::request::Parts;
use humantime_serde::re::humantime;
use node_runtime::clock;
use serde::Serialize;
use tonic::Code;

use super::subject::Subject;
use crate::listen::PeerInfo;

/// A change while it is decided about and made.
#[derive(Debug)]
pub struct Entry {
    received_ms: u64,
    began: Instant,
    who: Identity,
    source: Option<SocketAddr>,
    method: String,
    permission: Permission,
    namespace: Namespace,
    subject: Subject,
}

/// A line. Field names are what programs rely on: they are only ever added.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record<'a> {
    time: String,
    who: &'a str,
    groups: &'a [String],
    authentication: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SocketAddr>,
    method: &'a str,
    verb: &'a str,
    resource: &'a str,
    /// Of what all namespaces have in common there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(flatten)]
    subject: &'a Subject,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    duration_ms: u64,
}

impl Entry {
    /// Nobody is known to have called yet.
    pub(crate) fn new(
        head: &Parts,
        permission: Permission,
        namespace: &Namespace,
        now: Instant,
    ) -> Self {
        Self {
            received_ms: clock::now_ms(),
            began: now,
            who: Identity::anonymous(),
            source: head.extensions.get::<PeerInfo>().map(|peer| peer.address),
            method: head.uri.path().to_owned(),
            permission,
            namespace: namespace.clone(),
            subject: Subject::default(),
        }
    }

    pub(crate) fn by(&mut self, who: &Identity) {
        self.who = who.clone();
    }

    pub(super) fn on(&mut self, subject: Subject) {
        self.subject = subject;
    }

    /// Whether it is not known what the change is about.
    pub(super) fn says_nothing(&self) -> bool {
        self.subject == Subject::default()
    }

    pub(super) fn method(&self) -> &str {
        &self.method
    }

    /// The line of a change that begins.
    pub(super) fn started(&self) -> String {
        self.record("STARTED", None).line()
    }

    pub(super) fn ended<'a>(&'a self, code: Code, reason: Option<&'a str>) -> Record<'a> {
        self.record(code_name(code), reason)
    }

    fn record<'a>(&'a self, outcome: &'a str, reason: Option<&'a str>) -> Record<'a> {
        let time = UNIX_EPOCH + Duration::from_millis(self.received_ms);
        Record {
            time: humantime::format_rfc3339_millis(time).to_string(),
            who: &self.who.name,
            groups: &self.who.groups,
            authentication: self.who.kind,
            source: self.source,
            method: &self.method,
            verb: self.permission.verb.as_str(),
            resource: self.permission.resource,
            namespace: match self.permission.scope(self.namespace.as_str()) {
                Scope::Namespace(namespace) => Some(namespace),
                Scope::Cluster => None,
            },
            subject: &self.subject,
            outcome,
            reason,
            duration_ms: self.began.elapsed().as_millis() as u64,
        }
    }
}

impl Record<'_> {
    pub(super) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a record has texts and numbers only");
        line.push('\n');
        line
    }

    /// As an event of the log.
    pub(super) fn log(&self) {
        tracing::info!(
            target: "audit",
            who = self.who,
            authentication = ?self.authentication,
            source = self.source.map(tracing::field::display),
            method = self.method,
            verb = self.verb,
            resource = self.resource,
            namespace = self.namespace,
            endpoint = self.subject.endpoint.as_deref(),
            paths = ?self.subject.paths,
            request_id = self.subject.request_id.as_deref(),
            outcome = self.outcome,
            reason = self.reason,
            duration_ms = self.duration_ms,
            "change"
        );
    }
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
