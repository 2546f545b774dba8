//! The message layer of CoAP and Observe.

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
