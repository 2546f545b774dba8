//! The `Call` stream: batches of commands and queries, each answered on its own, answers gathered into messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use device_state::{
    Command, CredentialName, DeviceName, Namespace, Outcome, Registration, Rejection, RequestId,
    ResumptionId, Secret, SessionCid, ShardId, query,
};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use lwm2m::RegistrationId;
use node_runtime::Drain;
use proto::rpc::v1::clear_credential::Secret as ClearSecret;
use proto::rpc::v1::query::Kind as QueryKind;
use proto::rpc::v1::query_result::Kind as QueryResultKind;
use proto::rpc::v1::{
    Call, CallBatch, CallError, CallResult, CallResults, ClearCredential, Propose, Query,
    QueryResult, call, call_error, call_result,
};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::enrollment::{Outdated, Refusal, live};
use crate::raft::group::{Group, NotLeader};
use crate::raft::proposals::{Pending, ProposeError};
use crate::router::Router;
use crate::seal::Seal;
use crate::service::MAX_BATCH_CALLS;
use crate::store::ReadTables;

/// Calls of one stream that may be unanswered; then the stream is not read for a while.
const MAX_UNANSWERED: usize = 16_384;
/// Answers that go into one message.
const MAX_RESULTS: usize = 256;

/// What the calls of a stream work with.
#[derive(Clone, Debug)]
pub struct Calls {
    pub router: Arc<Router>,
    pub seal: Arc<Seal>,
}

type Results = Vec<CallResult>;

/// A proposal on its way.
enum Started {
    Pending(Pending),
    /// It is not proposed.
    Rejected(Rejection),
    /// Another command is proposed in its place, after which it is rejected.
    Replaced(Pending, Rejection),
}

/// What the enrollment policies make of a command.
enum Enrolled {
    AsItIs,
    /// It names the policy now.
    ByPolicy,
    Not(Started),
}

/// Serves one stream until it ends, its answers are no longer taken, or the drain starts.
pub async fn serve(
    calls: Calls,
    mut batches: Streaming<CallBatch>,
    answers: mpsc::Sender<Result<CallResults, Status>>,
    drain: Drain,
) {
    let mut unanswered: FuturesUnordered<BoxFuture<'static, Results>> = FuturesUnordered::new();
    let mut ended = false;
    loop {
        tokio::select! {
            biased;
            Some(first) = unanswered.next() => {
                let mut results = first;
                while results.len() < MAX_RESULTS
                    && let Some(Some(more)) = unanswered.next().now_or_never()
                {
                    results.extend(more);
                }
                if answers.send(Ok(CallResults { results })).await.is_err() {
                    return;
                }
            }
            batch = batches.message(), if !ended && unanswered.len() < MAX_UNANSWERED => match batch {
                Ok(Some(batch)) if batch.calls.len() <= MAX_BATCH_CALLS => calls.start(batch, &unanswered),
                Ok(Some(_)) => {
                    let status = Status::invalid_argument("a batch with too many calls");
                    // Nobody is left to tell when the answers are no longer taken.
                    drop(answers.send(Err(status)).await);
                    return;
                }
                Ok(None) | Err(_) => ended = true,
            },
            () = drain.started() => return,
            else => return,
        }
        if ended && unanswered.is_empty() {
            return;
        }
    }
}

impl Calls {
    fn start(&self, batch: CallBatch, unanswered: &FuturesUnordered<BoxFuture<'static, Results>>) {
        let mut queries: BTreeMap<u32, Vec<(u64, Query)>> = BTreeMap::new();
        for Call {
            tag,
            shard,
            timeout_ms,
            kind,
        } in batch.calls
        {
            let group = u16::try_from(shard)
                .ok()
                .and_then(|shard| self.router.group(ShardId(shard)));
            let started = match (kind, group) {
                (_, None) => Err(error(call_error::Kind::Invalid, "there is no such shard")),
                (None, _) => Err(error(call_error::Kind::Invalid, "a call without a kind")),
                _ if timeout_ms == 0 => {
                    Err(error(call_error::Kind::Invalid, "a call without a timeout"))
                }
                (Some(call::Kind::Query(query)), Some(_)) => {
                    queries.entry(shard).or_default().push((tag, query));
                    continue;
                }
                (Some(call::Kind::Propose(propose)), Some(group)) => self.propose(group, propose),
            };
            let timeout = Duration::from_millis(u64::from(timeout_ms));
            unanswered.push(match started {
                Ok(Started::Pending(pending)) => {
                    self.clone().outcome(tag, pending, timeout).boxed()
                }
                Ok(Started::Rejected(rejection)) => {
                    std::future::ready(self.rejected(tag, rejection)).boxed()
                }
                Ok(Started::Replaced(pending, rejection)) => {
                    let calls = self.clone();
                    let outcome = tokio::time::timeout(timeout, pending);
                    async move {
                        match outcome.await {
                            Ok(Ok(Ok(_))) => calls.rejected(tag, rejection),
                            other => vec![CallResult {
                                tag,
                                kind: Some(calls.told(other)),
                            }],
                        }
                    }
                    .boxed()
                }
                Err(refused) => std::future::ready(vec![failed(tag, refused)]).boxed(),
            });
        }
        for (shard, queries) in queries {
            if let Some(group) = self.router.group(ShardId(shard as u16)) {
                unanswered.push(self.clone().queries(group.clone(), queries).boxed());
            }
        }
    }

    fn propose(&self, group: &Group, propose: Propose) -> Result<Started, CallError> {
        if !group.leads() {
            return Err(not_leader(&group.not_leader()));
        }
        let invalid = |message: &str| error(call_error::Kind::Invalid, message);
        let mut command = propose.command.ok_or_else(|| invalid("no command"))?;
        // The conversion is the check; what goes into the log is the message.
        let mut checked =
            Command::try_from(command.clone()).map_err(|error| invalid(&error.to_string()))?;
        match self.enroll(group, &mut checked)? {
            Enrolled::AsItIs => {}
            Enrolled::ByPolicy => command = checked.clone().into(),
            Enrolled::Not(started) => return Ok(started),
        }
        if group.feature_level() < checked.needs() {
            let message =
                "replicas of a release before know no other namespaces or enrollment policies";
            return Err(error(call_error::Kind::Unavailable, message));
        }
        if let Command::Register { registration } = &checked
            && let Err(exceeded) = self
                .router
                .tenants()
                .register(&self.router, &registration.endpoint)
        {
            tracing::debug!(endpoint = %registration.endpoint.shown(), ?exceeded, "a device is refused");
            return Ok(Started::Rejected(Rejection::QuotaExceeded));
        }
        let sealed = self.seal.seal_command(checked);
        if let Some(sealed) = sealed.map_err(|error| invalid(&error.to_string()))? {
            command = sealed.into();
        }
        let request_id = propose.request_id.map(RequestId::from);
        group
            .proposer()
            .submit(request_id, command)
            .map(Started::Pending)
            .map_err(|error| propose_error(&error))
    }

    /// Asks the enrollment policies about a device that registers, or that may be registered otherwise by now.
    fn enroll(&self, group: &Group, command: &mut Command) -> Result<Enrolled, CallError> {
        let enrollments = self.router.enrollments();
        match command {
            Command::Register { registration } => {
                // Only the leader decides.
                registration.enrollment = None;
                let refused = match enrollments.decide(&self.router, registration) {
                    Ok(None) => return Ok(Enrolled::AsItIs),
                    Ok(enrollment) => {
                        registration.enrollment = enrollment;
                        return Ok(Enrolled::ByPolicy);
                    }
                    Err(refused) => refused,
                };
                let rejection = match refused {
                    Refusal::Denied => Rejection::EnrollmentDenied,
                    Refusal::Full => Rejection::EnrollmentFull,
                    Refusal::TooFast => Rejection::EnrollmentTooFast,
                    Refusal::Unknown => {
                        let message = "this node does not know the enrollment policies yet";
                        return Err(error(call_error::Kind::Unavailable, message));
                    }
                };
                // What it has registered before is not to stand either.
                match live(&self.router, registration) {
                    Some(live) if refused == Refusal::Denied => Self::end(group, live, rejection),
                    _ => Ok(Enrolled::Not(Started::Rejected(rejection))),
                }
            }
            Command::Update {
                namespace,
                id,
                identity,
                ..
            } => {
                let asked = (&*namespace, &*id, &*identity);
                // LwM2M Core 1.2 §6.2.2: a device whose registration is not known registers anew.
                let rejection = Rejection::UnknownRegistration;
                match enrollments.outdated(&self.router, group, asked) {
                    None => Ok(Enrolled::AsItIs),
                    Some(Outdated::Anew) => Ok(Enrolled::Not(Started::Rejected(rejection))),
                    Some(Outdated::Ended(registration)) => {
                        Self::end(group, *registration, rejection)
                    }
                }
            }
            _ => Ok(Enrolled::AsItIs),
        }
    }

    /// Ends a registration, and then rejects what was asked for.
    fn end(
        group: &Group,
        registration: Registration,
        rejection: Rejection,
    ) -> Result<Enrolled, CallError> {
        let end = Command::Deregister {
            namespace: registration.endpoint.namespace(),
            id: registration.id,
            identity: registration.identity,
        };
        let pending = group.proposer().submit(None, end.into());
        let pending = pending.map_err(|error| propose_error(&error))?;
        Ok(Enrolled::Not(Started::Replaced(pending, rejection)))
    }

    fn rejected(&self, tag: u64, rejection: Rejection) -> Results {
        vec![CallResult {
            tag,
            kind: Some(self.opened(Outcome::Rejected(rejection))),
        }]
    }

    async fn outcome(self, tag: u64, pending: Pending, timeout: Duration) -> Results {
        let kind = self.told(tokio::time::timeout(timeout, pending).await);
        vec![CallResult {
            tag,
            kind: Some(kind),
        }]
    }

    /// How a proposal ended, or that it did not in time.
    fn told(
        &self,
        ended: Result<<Pending as Future>::Output, tokio::time::error::Elapsed>,
    ) -> call_result::Kind {
        match ended {
            Ok(Ok(Ok(outcome))) => self.opened(outcome),
            Ok(Ok(Err(error))) => call_result::Kind::Error(propose_error(&error)),
            Ok(Err(_)) => call_result::Kind::Error(propose_error(&ProposeError::Unavailable)),
            Err(_) => {
                call_result::Kind::Error(error(call_error::Kind::Deadline, "not committed in time"))
            }
        }
    }

    /// The outcome as its caller may see it: sessions in clear.
    fn opened(&self, outcome: Outcome) -> call_result::Kind {
        let outcome = match outcome {
            Outcome::Claimed { mut session } => match self.seal.open_session(&mut session) {
                Ok(()) => Outcome::Claimed { session },
                Err(error) => {
                    tracing::error!(%error, "a stored session cannot be opened");
                    Outcome::Rejected(Rejection::UnknownSession)
                }
            },
            other => other,
        };
        call_result::Kind::Outcome(outcome.into())
    }

    /// One proof of leadership serves all queries of a batch.
    async fn queries(self, group: Arc<Group>, queries: Vec<(u64, Query)>) -> Results {
        let answered = group
            .read_current(|tables| {
                let answer = |(tag, query): &(u64, Query)| {
                    let kind = match self.query(tables, query.clone()) {
                        Ok(result) => call_result::Kind::Query(QueryResult { kind: Some(result) }),
                        Err(error) => call_result::Kind::Error(error),
                    };
                    CallResult {
                        tag: *tag,
                        kind: Some(kind),
                    }
                };
                queries.iter().map(answer).collect()
            })
            .await;
        answered.unwrap_or_else(|error| {
            queries
                .iter()
                .map(|(tag, _)| failed(*tag, not_leader(&error)))
                .collect()
        })
    }

    fn query(&self, tables: &ReadTables<'_>, query: Query) -> Result<QueryResultKind, CallError> {
        let invalid = |message: String| error(call_error::Kind::Invalid, &message);
        let found = match query.kind {
            Some(QueryKind::Credential(id)) => {
                let name =
                    CredentialName::try_from(id).map_err(|error| invalid(error.to_string()))?;
                query::credential(tables, &name)
                    .map(|credential| self.clear_credential(credential))
                    .transpose()?
            }
            Some(QueryKind::ContextOwner(id)) => {
                query::context_owner(tables, &Namespace::default(), &id)
                    .map(|owner| QueryResultKind::ContextOwner(owner.into()))
            }
            Some(QueryKind::ContextOwnerOfNamespace(id)) => {
                let name =
                    CredentialName::try_from(id).map_err(|error| invalid(error.to_string()))?;
                query::context_owner(tables, &name.namespace, name.id.as_bytes())
                    .map(|owner| QueryResultKind::ContextOwner(owner.into()))
            }
            Some(QueryKind::Session(cid)) => {
                let cid = cid
                    .try_into()
                    .map_err(|_| invalid("a connection id has 8 bytes".to_owned()))?;
                query::session(tables, SessionCid(cid))
                    .map(|session| self.clear_session(session))
                    .transpose()?
            }
            Some(QueryKind::Resumption(id)) => {
                let id = id
                    .try_into()
                    .map_err(|_| invalid("a resumption id has 32 bytes".to_owned()))?;
                query::resumption(tables, ResumptionId(id))
                    .map(|resumption| self.clear_resumption(resumption))
                    .transpose()?
            }
            Some(QueryKind::RegistrationByEndpoint(endpoint)) => {
                let endpoint =
                    DeviceName::parse(&endpoint).map_err(|error| invalid(error.to_string()))?;
                query::registration(tables, &endpoint)
                    .map(|found| QueryResultKind::Registration(found.into()))
            }
            Some(QueryKind::RegistrationById(id)) => {
                let id = RegistrationId::new(&id).map_err(|error| invalid(error.to_string()))?;
                query::registration_by_id(tables, &id)
                    .map(|found| QueryResultKind::Registration(found.into()))
            }
            None => return Err(invalid("a query without a kind".to_owned())),
        };
        Ok(found.unwrap_or(QueryResultKind::None(true)))
    }

    fn clear_credential(
        &self,
        credential: device_state::Credential,
    ) -> Result<QueryResultKind, CallError> {
        let secret = self
            .seal
            .open_secret(&credential)
            .map_err(|error| self::error(call_error::Kind::Unavailable, &error.to_string()))?;
        let secret = match secret {
            Secret::PreSharedKey(key) => ClearSecret::PreSharedKey(key),
            Secret::PublicKey => ClearSecret::PublicKey(true),
            Secret::Oscore(secret) => ClearSecret::Oscore(secret.into()),
        };
        Ok(QueryResultKind::Credential(ClearCredential {
            id: Some(credential.id.into()),
            endpoint: credential.endpoint.stored().to_owned(),
            secret: Some(secret),
        }))
    }

    fn clear_session(
        &self,
        mut session: device_state::Session,
    ) -> Result<QueryResultKind, CallError> {
        self.seal
            .open_session(&mut session)
            .map_err(|error| self::error(call_error::Kind::Unavailable, &error.to_string()))?;
        Ok(QueryResultKind::Session(session.into()))
    }

    fn clear_resumption(
        &self,
        mut resumption: device_state::Resumption,
    ) -> Result<QueryResultKind, CallError> {
        self.seal
            .open_resumption(&mut resumption)
            .map_err(|error| self::error(call_error::Kind::Unavailable, &error.to_string()))?;
        Ok(QueryResultKind::Resumption(resumption.into()))
    }
}

fn failed(tag: u64, error: CallError) -> CallResult {
    CallResult {
        tag,
        kind: Some(call_result::Kind::Error(error)),
    }
}

fn error(kind: call_error::Kind, message: &str) -> CallError {
    CallError {
        kind: kind.into(),
        leader: String::new(),
        message: message.to_owned(),
    }
}

fn not_leader(error: &NotLeader) -> CallError {
    CallError {
        kind: call_error::Kind::NotLeader.into(),
        leader: error
            .leader
            .as_ref()
            .map_or_else(String::new, |leader| leader.member.internal.clone()),
        message: String::new(),
    }
}

fn propose_error(error: &ProposeError) -> CallError {
    let kind = match error {
        ProposeError::NotLeader(moved) => return not_leader(moved),
        ProposeError::Overloaded | ProposeError::DiskNearlyFull => call_error::Kind::Overloaded,
        ProposeError::TooLarge => call_error::Kind::Invalid,
        ProposeError::Unavailable => call_error::Kind::Unavailable,
    };
    self::error(kind, &error.to_string())
}
