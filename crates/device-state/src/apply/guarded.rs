//! Commands under conditions.

use super::{Applied, Change, Context};
use crate::command::{Command, Envelope, Outcome, Rejection};
use crate::guard::{Effectiveness, Guard, Rehearsal, current_etag};
use crate::table::Tables;

impl Change<'_> {
    /// The comparison and the change are one: nothing comes between them.
    pub(super) fn guarded(
        &mut self,
        guard: &Guard,
        command: &Command,
    ) -> Result<Outcome, Rejection> {
        if guard.etag.is_some() && guard.etag != current_etag(self.tables, command) {
            return Err(Rejection::EtagMismatch);
        }
        self.dispatch(command)
    }
}

/// What the request that the command is of is known by.
pub(super) fn fingerprint(command: &Command) -> Option<u64> {
    match command {
        Command::Guarded { guard, .. } => guard.fingerprint,
        _ => None,
    }
}

/// The outcome of a command that is only tried. Nothing is written, told or remembered: a later request that means it
/// may have the same id.
pub(super) fn rehearsed(
    tables: &mut dyn Tables,
    context: &Context,
    envelope: &Envelope,
) -> Option<Applied> {
    let Command::Guarded { guard, command } = &envelope.command else {
        return None;
    };
    if guard.effect == Effectiveness::Real {
        return None;
    }
    let mut rehearsal = Rehearsal::on(tables);
    let mut change = Change::new(&mut rehearsal, context, envelope.leader_time);
    let outcome = change.guarded(guard, command);
    Some(Applied {
        outcome: outcome.unwrap_or_else(Outcome::Rejected),
        effects: Vec::new(),
        next_index: context.first_index,
    })
}
