//! Firmware objects and gateways.

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
