//! Block-wise transfers.

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
