use std::collections::{BTreeMap, BTreeSet};

/// Which hosts stand behind a NAT, and under which address the world sees them.
#[derive(Debug)]
pub(crate) struct Nat<A> {
    outside_of: BTreeMap<A, A>,
    inside_of: BTreeMap<A, A>,
    retired: BTreeSet<A>,
}

/// Where a datagram goes that is addressed to the outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inbound<A> {
    To(A),
    /// The binding that the address belonged to is gone.
    Unbound,
}

impl<A: Copy + Ord> Nat<A> {
    pub(crate) fn new() -> Self {
        Self {
            outside_of: BTreeMap::new(),
            inside_of: BTreeMap::new(),
            retired: BTreeSet::new(),
        }
    }

    /// Shows `inside` as `outside` from now on. The address it had until now leads nowhere; another
    /// host that had `outside` loses it.
    pub(crate) fn bind(&mut self, inside: A, outside: A) {
        if let Some(loser) = self.inside_of.insert(outside, inside) {
            self.outside_of.remove(&loser);
        }
        if let Some(old) = self.outside_of.insert(inside, outside)
            && old != outside
        {
            self.inside_of.remove(&old);
            self.retired.insert(old);
        }
        self.retired.remove(&outside);
    }

    pub(crate) fn outbound(&self, from: A) -> A {
        self.outside_of.get(&from).copied().unwrap_or(from)
    }

    pub(crate) fn inbound(&self, to: A) -> Inbound<A> {
        match self.inside_of.get(&to) {
            Some(inside) => Inbound::To(*inside),
            // A host behind a NAT cannot be reached by the address it has inside.
            None if self.retired.contains(&to) || self.outside_of.contains_key(&to) => {
                Inbound::Unbound
            }
            None => Inbound::To(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebound_host_is_reached_by_its_new_address_only() {
        let mut nat = Nat::new();
        nat.bind("device", "nat:1");
        assert_eq!(nat.outbound("device"), "nat:1");
        assert_eq!(nat.inbound("nat:1"), Inbound::To("device"));
        nat.bind("device", "nat:2");
        assert_eq!(nat.outbound("device"), "nat:2");
        assert_eq!(nat.inbound("nat:1"), Inbound::Unbound);
        assert_eq!(nat.inbound("nat:2"), Inbound::To("device"));
        assert_eq!(nat.inbound("device"), Inbound::Unbound);
        assert_eq!(nat.inbound("server"), Inbound::To("server"));
    }

    #[test]
    fn an_outside_address_can_be_given_to_another_host() {
        let mut nat = Nat::new();
        nat.bind("a", "nat:1");
        nat.bind("b", "nat:1");
        assert_eq!(nat.inbound("nat:1"), Inbound::To("b"));
        assert_eq!(nat.outbound("a"), "a");
        nat.bind("a", "nat:2");
        assert_eq!(nat.inbound("nat:1"), Inbound::To("b"));
    }

    #[test]
    fn binding_the_same_address_again_changes_nothing() {
        let mut nat = Nat::new();
        nat.bind("a", "nat:1");
        nat.bind("a", "nat:1");
        assert_eq!(nat.outbound("a"), "nat:1");
        assert_eq!(nat.inbound("nat:1"), Inbound::To("a"));
    }
}
