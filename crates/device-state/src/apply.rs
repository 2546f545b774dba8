//! The one function through which the state of a shard changes.
//!
//! ```text
//!  Envelope ──▶ known request id? ── yes ──▶ the first outcome again, no row changes
//!                    │ no
//!                    ▼
//!             the command's rule ──▶ rows, expiry rows, feed rows, effects
//!                    │
//!                    ▼
//!             outcome kept under the request id, counters written
//! ```

mod artefact;
mod bootstrap;
pub(crate) mod campaign;
mod credential;
mod dedup;
mod desired;
mod drift;
mod enrollment;
mod expiry;
mod feed;
mod forget;
mod group;
mod guarded;
mod instance;
mod member;
mod metadata;
mod model;
mod observation;
mod operation;
mod profile;
mod registration;
pub mod restore;
mod resumption;
mod session;
mod state_node;
mod value;

use crate::command::{Command, Envelope, Outcome, Rejection};
use crate::effect::Effect;
use crate::id::{Revision, ShardId, Timestamp};
use crate::query;
use crate::table::{Counters, Row, Tables};

/// Where in the history of which shard a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub shard: ShardId,
    /// Index of the log entry that holds the command.
    pub revision: Revision,
    /// Index of the command's first feed entry: 0, or where the command before it in the same log
    /// entry left off ([`Applied::next_index`]).
    pub first_index: u32,
}

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer to the caller.
    pub outcome: Outcome,
    /// What others should look at now, in the order in which it came about.
    pub effects: Vec<Effect>,
    /// [`Context::first_index`] of the next command of the same log entry.
    pub next_index: u32,
}

/// Applies one command. A log entry with several commands goes through [`apply_entry`].
pub fn apply(tables: &mut dyn Tables, context: &Context, envelope: &Envelope) -> Applied {
    if let Some(rehearsed) = guarded::rehearsed(tables, context, envelope) {
        return rehearsed;
    }
    let mut change = Change::new(tables, context, envelope.leader_time);
    let fingerprint = guarded::fingerprint(&envelope.command);
    let known = envelope
        .request_id
        .and_then(|request_id| change.replay(request_id, fingerprint));
    let outcome = known.unwrap_or_else(|| {
        let outcome = change.run(&envelope.command);
        if let Some(request_id) = envelope.request_id {
            change.remember(request_id, fingerprint, &outcome);
        }
        outcome
    });
    change.finish(outcome)
}

/// Applies the commands of one log entry in order; what is returned stands in the same order.
pub fn apply_entry(
    tables: &mut dyn Tables,
    shard: ShardId,
    revision: Revision,
    envelopes: &[Envelope],
) -> Vec<Applied> {
    let mut context = Context {
        shard,
        revision,
        first_index: 0,
    };
    let mut all = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        let applied = apply(tables, &context, envelope);
        context.first_index = applied.next_index;
        all.push(applied);
    }
    all
}

/// One command at work on the rows. The modules of this folder add the rules.
struct Change<'t> {
    tables: &'t mut dyn Tables,
    shard: ShardId,
    revision: Revision,
    /// Index of the next feed entry.
    next_index: u32,
    /// Index of the first feed entry of this command.
    first_index: u32,
    /// The leader's time.
    now: Timestamp,
    /// The counters as they become; written at the end if they moved.
    counters: Counters,
    stored_counters: Option<Counters>,
    effects: Vec<Effect>,
}

impl<'t> Change<'t> {
    fn new(tables: &'t mut dyn Tables, context: &Context, now: Timestamp) -> Self {
        let stored_counters = query::stored_counters(tables);
        Self {
            tables,
            shard: context.shard,
            revision: context.revision,
            next_index: context.first_index,
            first_index: context.first_index,
            now,
            counters: stored_counters.unwrap_or_default(),
            stored_counters,
            effects: Vec::new(),
        }
    }

    fn run(&mut self, command: &Command) -> Outcome {
        self.dispatch(command).unwrap_or_else(Outcome::Rejected)
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each command")]
    fn dispatch(&mut self, command: &Command) -> Result<Outcome, Rejection> {
        match command {
            Command::Register { registration } => self.register(registration),
            Command::Update {
                namespace,
                id,
                identity,
                owner,
                peer,
                transport,
                session,
                lifetime,
                binding,
                links,
            } => {
                let mut registration = self.live_registration(namespace, id, identity)?;
                let before = registration.place();
                registration.peer = *peer;
                registration.transport = transport.unwrap_or(registration.transport);
                registration.session = session.or(registration.session);
                registration.lifetime = lifetime.unwrap_or(registration.lifetime);
                if let Some(binding) = binding {
                    registration.binding = registration
                        .binding
                        .changed_to(*binding, registration.version);
                }
                if let Some(links) = links {
                    registration.links.clone_from(links);
                }
                let endpoint = links.is_some().then(|| registration.endpoint.clone());
                let outcome = self.update(registration, *owner, before);
                // It told which objects it has.
                if let Some(endpoint) = endpoint {
                    self.settle_profiles(&endpoint);
                    self.compare_with_links(&endpoint);
                }
                Ok(outcome)
            }
            Command::MoveRegistration { id, session, owner } => {
                self.move_registration(id, *session, *owner)
            }
            Command::Deregister {
                namespace,
                id,
                identity,
            } => self.deregister(namespace, id, identity),
            Command::ExpireUpTo { limit } => Ok(self.expire_up_to(*limit)),
            Command::StoreSession {
                session,
                resumption,
            } => self.store_session(session, resumption.as_deref()),
            Command::StoreResumption { resumption } => self.store_resumption(resumption),
            Command::Resume { id, session } => self.resume(*id, session.as_deref()),
            Command::RemoveResumption { id } => self.remove_resumption(*id),
            Command::ClaimSession {
                cid,
                owner,
                expected,
            } => self.claim_session(*cid, *owner, *expected),
            Command::RemoveSession { cid } => self.remove_session(*cid),
            Command::RenewMembership { member, lease } => self.renew_membership(member, *lease),
            Command::PutCredential { credential } => Ok(self.put_credential(credential)),
            Command::AddCredential { credential } => self.add_credential(credential),
            Command::RemoveCredential { credential } => self.remove_credential(credential),
            Command::BindEndpoint {
                endpoint,
                credential,
            } => self.bind_endpoint(endpoint, credential),
            Command::UnbindEndpoint {
                endpoint,
                credential,
            } => Ok(self.unbind_endpoint(endpoint, credential)),
            Command::ClaimContext {
                namespace,
                oscore_id,
                owner,
                expected,
            } => self.claim_context((namespace, oscore_id), *owner, *expected),
            Command::ReleaseContext {
                namespace,
                oscore_id,
                owner,
                generation,
                window,
            } => self.release_context((namespace, oscore_id), *owner, *generation, window),
            Command::SetDesired {
                endpoint,
                generation,
                resources,
            } => self.set_desired(endpoint, *generation, resources),
            Command::Enqueue {
                endpoint,
                operation,
                deadline,
                queueing,
            } => self.enqueue(endpoint, operation, *deadline, *queueing),
            Command::Start {
                endpoint,
                operation,
                owner,
            } => self.start(endpoint, *operation, *owner),
            Command::Requeue {
                endpoint,
                operation,
            } => self.requeue(endpoint, *operation),
            Command::Finish {
                endpoint,
                operation,
                outcome,
            } => self.finish_operation(endpoint, *operation, outcome),
            Command::Cancel {
                endpoint,
                operation,
            } => self.cancel(endpoint, *operation),
            Command::HoldObservation {
                endpoint,
                observed,
                parameters,
                holder,
                lease_until,
            } => self.hold_observation(endpoint, observed, *parameters, *holder, *lease_until),
            Command::ReleaseObservation {
                endpoint,
                observed,
                holder,
            } => {
                let outcome = self.release_observation(endpoint, observed, *holder);
                // A profile may have wanted it otherwise.
                self.settle_profiles(endpoint);
                Ok(outcome)
            }
            Command::PutBootstrapProfile { profile } => self.put_profile(profile),
            Command::RemoveBootstrapProfile { namespace, name } => {
                self.remove_profile(namespace, name)
            }
            Command::RecordBootstrap { record } => Ok(self.record_bootstrap(record)),
            Command::PutObjectModel { model } => self.put_model(model),
            Command::RemoveObjectModel { object, version } => self.remove_model(*object, *version),
            Command::RaiseFeatureLevel { level } => Ok(self.raise_feature_level(*level)),
            Command::PutStateNode { node } => self.put_state_node(node),
            Command::ForgetStateNode { node } => self.forget_state_node(*node),
            Command::LearnQuirks {
                registration,
                quirks,
            } => self.learn_quirks(registration, *quirks),
            Command::RecordValues {
                endpoint,
                registration,
                child,
                origin,
                values,
            } => {
                let subject = (endpoint, child.as_ref());
                self.record_values(subject, registration, *origin, values)
            }
            Command::CompareRows => {
                self.effects.push(Effect::RowsToCompare);
                Ok(Outcome::Done)
            }
            Command::ChangeMetadata {
                endpoint,
                labels,
                annotations,
                missing,
            } => self.change_metadata(endpoint, (labels, annotations), *missing),
            Command::Forget {
                endpoint,
                live,
                missing,
            } => self.forget(endpoint, *live, *missing),
            Command::PutCampaign { campaign } => self.put_campaign(campaign),
            Command::ControlCampaign {
                namespace,
                name,
                paused,
                approved_through,
                abort,
            } => {
                let approved = approved_through.as_deref();
                self.control_campaign((namespace, name), *paused, approved, *abort)
            }
            Command::SteerCampaign {
                id,
                namespace,
                name,
                course,
            } => self.steer_campaign((namespace, name), *id, course),
            Command::RemoveCampaign { namespace, name } => self.remove_campaign((namespace, name)),
            Command::OpenCampaign { part } => Ok(self.open_campaign(part)),
            Command::EnrolDevices { id, limit } => self.enrol_devices(*id, *limit),
            Command::AdmitDevices {
                id,
                wave,
                until,
                step,
                census,
            } => self.admit_devices(*id, *wave, *until, (*step, *census)),
            Command::HaltCampaign { id, limit } => self.halt_campaign(*id, *limit),
            Command::DropCampaign { id, limit } => Ok(self.drop_campaign(*id, *limit)),
            Command::PutProfile { profile } => self.put_device_profile(profile),
            Command::RemoveProfile { namespace, name } => {
                self.remove_device_profile(namespace, name)
            }
            Command::InstallProfile { profile, standing } => {
                Ok(self.install_profile(profile, *standing))
            }
            Command::SpreadProfile {
                namespace,
                name,
                limit,
            } => self.spread_profile(namespace, name, *limit),
            Command::ReleaseProfile {
                namespace,
                name,
                revision,
                released,
                limit,
                examine,
            } => {
                let bounds = (*limit, *examine);
                self.release_profile(namespace, name, (*revision, released), bounds)
            }
            Command::PutGroup { group } => self.put_group(group),
            Command::RemoveGroup { namespace, name } => self.remove_group(namespace, name),
            Command::PutEnrollmentPolicy { policy } => self.put_enrollment_policy(policy),
            Command::RemoveEnrollmentPolicy { namespace, name } => {
                self.remove_enrollment_policy(namespace, name)
            }
            Command::BeginArtefact { artefact } => self.begin_artefact(artefact),
            Command::PutArtefactChunk { chunk } => self.put_artefact_chunk(chunk),
            Command::RemoveArtefact { artefact } => self.remove_artefact(artefact),
            Command::Guarded { guard, command } => self.guarded(guard, command),
        }
    }

    fn write_counters(&mut self) {
        if self.stored_counters.unwrap_or_default() != self.counters {
            self.tables.put(Row::Counters(self.counters));
        }
    }

    fn finish(mut self, outcome: Outcome) -> Applied {
        self.write_counters();
        if self.next_index != self.first_index {
            self.effects.push(Effect::FeedAdvanced);
        }
        Applied {
            outcome,
            effects: self.effects,
            next_index: self.next_index,
        }
    }
}
