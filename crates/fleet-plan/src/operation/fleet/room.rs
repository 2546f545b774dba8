//! How large a status may become, in bytes of JSON: 20 kB, of which conditions and counts have the rest.

use super::ledger::{Entry, State};

/// No more devices are under way, however short their names are.
const MAX_UNDER_WAY: usize = 256;
/// Of all devices that are under way.
const UNDER_WAY: usize = 7_500;
/// Of all results.
pub(super) const RESULTS: usize = 3_000;
/// Of all examples of failures.
pub(super) const SAMPLES: usize = 1_800;
/// What a result takes besides its texts.
pub(super) const RESULT: usize = 80;
/// What an example takes besides its texts.
pub(super) const SAMPLE: usize = 110;

/// What a device that is under way takes besides its texts: names of fields, and numbers.
const ENTRY: usize = 48;
/// The id of an operation that is not known yet.
const ID: usize = 14;

/// Whether one more device can be under way.
pub(super) fn has_room_for(entries: &[Entry], endpoint: &str) -> bool {
    let one = |entry: &Entry| {
        let id = match &entry.state {
            State::Taken { id, .. } => json(id),
            State::Planned | State::Asked { .. } => ID,
        };
        json(&entry.endpoint) + id + ENTRY
    };
    let taken: usize = entries.iter().map(one).sum();
    entries.len() < MAX_UNDER_WAY && taken + json(endpoint) + ID + ENTRY <= UNDER_WAY
}

/// The bytes of a text in JSON, as the API server writes it.
pub(super) fn json(text: &str) -> usize {
    let one = |character: char| match character {
        '"' | '\\' => 2,
        // \u003c
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
        other if other.is_control() => 6,
        other => other.len_utf8(),
    };
    text.chars().map(one).sum()
}
