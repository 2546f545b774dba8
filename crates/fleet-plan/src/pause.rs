//! The emergency brake: an object that is held by the annotation [`PAUSED`], of its own or of its namespace.
//!
//! Nothing is planned for such an object. Its status stays what it was, and says what holds it and how it goes on; the next
//! plan takes that back.

use crd::condition::ConditionRow;
use crd::{ConditionStatus, ConditionType, Conditioned, PAUSED, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::conditions::{Conditions, differs};

/// What holds an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Its own annotation.
    Object,
    /// That of its namespace.
    Namespace,
}

/// Whether the annotation is there.
pub fn is_paused(metadata: &ObjectMeta) -> bool {
    let annotations = metadata.annotations.as_ref();
    let value = annotations.and_then(|annotations| annotations.get(PAUSED));
    // Somebody who writes it otherwise wants to be heard all the more.
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The status of an object that is held, if it is another one than it has. `called` is what kubectl calls the object, such as
/// `devices.drover.dev meter-1`.
pub fn status_change<S: Conditioned + Clone + Default + PartialEq>(
    pause: Pause,
    called: &str,
    metadata: &ObjectMeta,
    known: Option<&S>,
    now: &Time,
) -> Option<S> {
    let mut status = known.cloned().unwrap_or_default();
    let list = std::mem::take(status.conditions_mut());
    let rows: &[ConditionRow] = S::ROWS;
    let generation = metadata.generation.unwrap_or(1);
    let mut conditions = Conditions::as_known(list, rows, generation, now);
    let (reason, message) = says(pause, called, metadata);
    let holds = ConditionStatus::True;
    conditions.set(ConditionType::Paused, holds, reason, message);
    *status.conditions_mut() = conditions.finish();
    differs(known, &status, rows, S::conditions_mut).then_some(status)
}

fn says(pause: Pause, called: &str, metadata: &ObjectMeta) -> (Reason, String) {
    let namespace = metadata.namespace.as_deref();
    let (reason, whose, target) = match (pause, namespace) {
        (Pause::Object, None) => (
            Reason::PausedByAnnotation,
            "of the object",
            called.to_owned(),
        ),
        (Pause::Object, Some(namespace)) => (
            Reason::PausedByAnnotation,
            "of the object",
            format!("-n {namespace} {called}"),
        ),
        (Pause::Namespace, namespace) => (
            Reason::PausedByNamespace,
            "of the namespace",
            format!("namespace {}", namespace.unwrap_or_default()),
        ),
    };
    let deletion = match metadata.deletion_timestamp {
        Some(_) => ", and its deletion waits",
        None => "",
    };
    let message = format!(
        "the annotation {PAUSED} {whose} holds it: nothing is changed in the state tier{deletion}; it goes on with: kubectl \
         annotate {target} {PAUSED}-"
    );
    (reason, message)
}

#[cfg(test)]
mod tests;
