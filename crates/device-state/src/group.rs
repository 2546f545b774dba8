//! Groups: devices that are spoken of by one name.

use crate::campaign::Selector;
use crate::name::Namespace;

/// A name for the devices that meet a condition. All groups are in shard 0; who is in one is looked up, never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose devices it is of.
    pub namespace: Namespace,
    /// At most [`Group::MAX_NAME`] bytes.
    pub name: String,
    pub selector: Selector,
    /// For people; at most [`Group::MAX_DESCRIPTION`] bytes.
    pub description: String,
}

impl Group {
    /// The longest name in bytes.
    pub const MAX_NAME: usize = 63;
    /// The longest description in bytes.
    pub const MAX_DESCRIPTION: usize = 1_024;
    /// More groups of a namespace are refused.
    pub const MAX_GROUPS: usize = 1_024;
}
