//! Notification attributes.

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
