//! Whether a set of devices follows its selector.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether devices come into a set, and leave it, after it was first evaluated.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Membership {
    /// They do.
    #[default]
    Dynamic,
    /// The set stays what it was when it was first evaluated.
    Snapshot,
}
