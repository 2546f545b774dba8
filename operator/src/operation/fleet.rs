//! One round of an operation on a set of devices: the plan is of `fleet-plan`, and is carried out here.
//!
//! What is kept in memory is lost without harm on a restart: the members are listed again, and the status tells the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crd::{DeviceGroup, DeviceOperation, DeviceOperationStatus, Reason};
use device_state::Namespace;
use fleet_plan::operation::fleet::{
    Members, Opening, Round, Seen, Visit, group_to_read, open, unfinished,
};
use fleet_plan::operation::{Ask, Outcome, Plan, Request};
use fleet_wire::operation::Refused;
use futures::{StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::answer::refused;
use super::reconcile::{delete, until};
use super::withdraw::Withdrawal;
use crate::controller::{ReconcileError, Settled, now};
use crate::state_tier::{CallError, read_filter};

/// Devices that are visited at the same time by one round.
const VISITED_AT_ONCE: usize = 64;
/// Who was not visited by then is in the next round: what was seen has to be written some time, and what the state tier is
/// asked has to be asked while it knows repetitions.
const ROUND: Duration = Duration::from_secs(40);
/// For how long an operation that was just made is waited for: a device that is awake has done most by then.
const SOON: Duration = Duration::from_secs(3);

/// What is remembered of an object on a set.
#[derive(Default)]
pub(super) struct Memory {
    /// Bounded by what one object may ask.
    members: Option<Arc<Members>>,
    /// Devices that the status has entered, and that nobody has asked since.
    unasked: BTreeSet<String>,
    /// Operations that were under way after the last round, by device: the status may not have them yet.
    taken: BTreeMap<String, String>,
}

type Statuses = Settled<DeviceOperationStatus>;

pub(super) async fn settle(
    operation: &DeviceOperation,
    context: &Context,
) -> Result<Statuses, ReconcileError> {
    let shared = &context.shared;
    let namespace = Namespace::new(&operation.namespace().unwrap_or_default())?;
    let group: Option<DeviceGroup> = match group_to_read(operation) {
        Some(name) => shared.read(operation.namespace().as_deref(), name).await?,
        None => None,
    };
    let now = now();
    let round = match open(operation, group.as_ref(), read_filter, &now) {
        Opening::Delete => return delete(operation, context).await,
        Opening::Told(plan) => return Ok(decided(operation, &namespace, &plan, context)),
        Opening::Round(round) => round,
    };
    // What is seen has to be written. While that cannot be, nobody is asked.
    if let Some(wait) = shared.memory.until_budget(operation, Instant::now()) {
        return Ok(Settled::NotYet(wait));
    }
    let uid = operation.uid().unwrap_or_default();
    context.with_sets(|sets| {
        sets.entry(uid.clone()).or_default();
    });
    let members = match members(&round, &namespace, &uid, context).await? {
        Listed::Before(members) => members,
        // That has taken its time. Who may be asked is to be decided by what time it is.
        Listed::Now(_) if !round.counts_only() => return Ok(Settled::NotYet(Duration::ZERO)),
        Listed::Now(members) => members,
    };
    let visitor = Visitor {
        object: ObjectRef::from_obj(operation),
        namespace: &namespace,
        uid: &uid,
        context,
    };
    let seen = visitor.all(round.visits(&members)).await?;
    let taken = seen.iter().filter_map(taken).collect();
    let unasked = context.with_set(&uid, |set| set.unasked.clone());
    let finished = round.finish(&members, &unasked.unwrap_or_default(), seen);
    visitor.remember(taken, finished.entered);
    Ok(decided(operation, &namespace, &finished.plan, context))
}

/// What an object has asked for that is gone.
pub(super) fn left(operation: &DeviceOperation, set: Option<Memory>) -> Vec<Withdrawal> {
    let mut left: BTreeMap<String, String> = unfinished(operation).into_iter().collect();
    left.extend(set.unwrap_or_default().taken);
    let namespace = operation.namespace().unwrap_or_default();
    let one = |(endpoint, id)| Withdrawal {
        namespace: namespace.clone(),
        endpoint,
        id,
    };
    left.into_iter().map(one).collect()
}

fn decided(
    operation: &DeviceOperation,
    namespace: &Namespace,
    plan: &Plan,
    context: &Context,
) -> Statuses {
    if plan.status.completion_time.is_some() {
        let uid = operation.uid().unwrap_or_default();
        context.with_sets(|sets| drop(sets.remove(&uid)));
    }
    Settled::Decided {
        status: plan.status_change(operation).cloned(),
        again: until(plan.again, namespace, context),
    }
}

/// The members of a set.
enum Listed {
    Before(Arc<Members>),
    Now(Arc<Members>),
}

/// The members of the set, as far as the round needs them: those that were listed first, while this process lives.
async fn members(
    round: &Round<'_>,
    namespace: &Namespace,
    uid: &str,
    context: &Context,
) -> Result<Listed, ReconcileError> {
    if !round.needs_members() {
        return Ok(Listed::Before(Arc::default()));
    }
    let known = context.with_set(uid, |set| set.members.clone()).flatten();
    // Before anybody is asked, whoever is a member now is meant.
    if let Some(known) = known.filter(|_| !round.counts_only()) {
        return Ok(Listed::Before(known));
    }
    // Nobody closes it.
    let _turn = context.listing.acquire().await;
    let (mut members, mut token) = (Members::default(), String::new());
    loop {
        let state_tier = &context.shared.state_tier;
        let page = state_tier
            .devices(namespace, round.filter(), &token)
            .await?;
        let new = page.endpoints.into_iter();
        for endpoint in new.filter(|one| one.as_str() > round.mark()) {
            members.add(endpoint);
        }
        token = page.next;
        if token.is_empty() || (round.counts_only() && members.are_too_many()) {
            break;
        }
    }
    let members = Arc::new(members);
    context.with_set(uid, |set| set.members = Some(Arc::clone(&members)));
    Ok(Listed::Now(members))
}

fn taken((endpoint, seen): &(String, Seen)) -> Option<(String, String)> {
    match seen {
        Seen::Is(Outcome::Running { id, .. }) => Some((endpoint.clone(), id.clone())),
        _ => None,
    }
}

/// Who visits devices for one object.
struct Visitor<'a> {
    object: ObjectRef<DeviceOperation>,
    namespace: &'a Namespace,
    uid: &'a str,
    context: &'a Context,
}

impl Visitor<'_> {
    /// All visits, as far as there is time; an error, if there were errors only.
    async fn all(&self, visits: Vec<Visit>) -> Result<Vec<(String, Seen)>, CallError> {
        let visits = visits.into_iter().map(|visit| async move {
            let seen = self.visit(&visit).await;
            (visit.endpoint().to_owned(), seen)
        });
        let mut done = stream::iter(visits)
            .buffer_unordered(VISITED_AT_ONCE)
            .take_until(Box::pin(tokio::time::sleep(ROUND)));
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        while let Some((endpoint, seen)) = done.next().await {
            let seen = seen.unwrap_or_else(|error| {
                tracing::debug!(namespace = %self.namespace, endpoint, %error, "a visit failed");
                errors.push(error);
                Seen::Unclear
            });
            all.push((endpoint, seen));
        }
        match errors.pop() {
            Some(error) if errors.len() + 1 == all.len() => Err(error),
            _ => Ok(all),
        }
    }

    /// Whether somebody has stopped the operation since the round began.
    fn is_held(&self) -> bool {
        let shared = &self.context.shared;
        let operation = shared.known.get(&self.object);
        operation.is_some_and(|operation| shared.brake.pause(&*operation).is_some())
    }

    async fn visit(&self, visit: &Visit) -> Result<Seen, CallError> {
        if self.is_held() {
            return Ok(Seen::Unclear);
        }
        let state_tier = &self.context.shared.state_tier;
        let outcome = match visit {
            Visit::Ask(ask) => return self.ask(ask).await,
            Visit::Follow { endpoint, id } => {
                state_tier.operation(self.namespace, endpoint, id).await?
            }
            Visit::GiveUp { endpoint, id } => {
                self.context.shared.changed("cancel");
                state_tier.give_up(self.namespace, endpoint, id).await?
            }
        };
        // Ends are kept for an hour.
        Ok(Seen::Is(outcome.unwrap_or(Outcome::Lost)))
    }

    async fn ask(&self, ask: &Ask) -> Result<Seen, CallError> {
        let endpoint = ask.endpoint.as_str();
        let was_unasked = self
            .context
            .with_set(self.uid, |set| set.unasked.remove(endpoint));
        let Some(is_first) = was_unasked else {
            // The object is gone: nobody else is asked.
            return Ok(Seen::Unclear);
        };
        self.context.shared.changed("ask");
        let state_tier = &self.context.shared.state_tier;
        match state_tier.ask(self.namespace, ask).await {
            Ok(Outcome::Running { id, in_flight }) => {
                let found = state_tier
                    .operation_within(self.namespace, (endpoint, &id), SOON)
                    .await;
                // That it was taken is known, however it goes on.
                let taken = Outcome::Running { id, in_flight };
                Ok(Seen::Is(found.ok().flatten().unwrap_or(taken)))
            }
            Ok(outcome) => Ok(Seen::Is(outcome)),
            Err(error) => Ok(seen(refused(error, ask)?, ask, is_first)),
        }
    }

    /// Keeps what the next round needs, or takes back what was asked for an object that went meanwhile.
    fn remember(&self, taken: BTreeMap<String, String>, entered: Vec<String>) {
        let mut left = Some(taken);
        self.context.with_set(self.uid, |set| {
            set.taken = left.take().unwrap_or_default();
            set.unasked.extend(entered);
        });
        for (endpoint, id) in left.into_iter().flatten() {
            self.context.withdrawals.add(Withdrawal {
                namespace: self.namespace.to_string(),
                endpoint,
                id,
            });
        }
    }
}

/// What a refusal says of a device of a set; `is_first` if nobody has asked it before.
fn seen(refused: Refused, ask: &Ask, is_first: bool) -> Seen {
    let is_read = matches!(ask.request, Request::Read(_) | Request::Discover(_));
    match refused {
        Refused::Silent(_) if is_read && !ask.immediate => Seen::Silent,
        Refused::Full(Outcome::Waiting(_)) => Seen::TurnedAway {
            certain: true,
            why: "too many operations wait for a device".to_owned(),
        },
        Refused::Is(Outcome::Refused(refusal)) if refusal.reason == Reason::QuotaExceeded => {
            Seen::TurnedAway {
                certain: is_first,
                why: refusal.message,
            }
        }
        Refused::Is(Outcome::Refused(refusal)) => Seen::Is(Outcome::Failed {
            coap_code: String::new(),
            message: refusal.message,
            at: None,
        }),
        Refused::Is(outcome) | Refused::Silent(outcome) | Refused::Full(outcome) => {
            Seen::Is(outcome)
        }
    }
}

#[cfg(test)]
mod tests;
