//! Ingress nodes and their leases. A member that is gone may be succeeded: what it owned is for others to claim.

use std::time::Duration;

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::id::NodeId;
use crate::limit::MAX_MEMBERS;
use crate::query;
use crate::record::Member;
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    /// A lease that ended stands until its row is removed: nobody was told of its end before.
    pub(super) fn renew_membership(
        &mut self,
        member: &Member,
        lease: Duration,
    ) -> Result<Outcome, Rejection> {
        let known = query::member(self.tables, member.node);
        if known.is_none() && query::members(self.tables).len() >= MAX_MEMBERS {
            return Err(Rejection::TooManyMembers);
        }
        let lease_until = self.now.saturating_add(lease);
        let from = known.as_ref().map(|known| known.lease_until);
        self.reschedule(from, Some(lease_until), Expiring::Member(member.node));
        self.tables.put(Row::Member(Member {
            lease_until,
            ..member.clone()
        }));
        Ok(Outcome::Members {
            stood: known.is_some(),
            members: query::members(self.tables),
        })
    }

    pub(super) fn end_member(&mut self, node: NodeId) -> bool {
        let Some(member) = query::member(self.tables, node) else {
            return false;
        };
        if member.lease_until > self.now {
            return false;
        }
        self.tables.delete(&RowKey::Member(node));
        true
    }
}
