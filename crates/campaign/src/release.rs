//! How a change of a profile goes through its devices: whose turn it is.

use device_state::Timestamp;
use device_state::profile::{ProfileRollout, ProfileTally};

use crate::schedule::{WindowState, in_windows};

/// Why no device of a profile has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// None of its windows is open.
    Window,
    /// Too many devices have refused something.
    Failures,
}

/// How many further devices of a profile may begin, if `tally` counts all that it has; or why none may, even if others are
/// done.
///
/// One if nobody waits: what is left to do is to say so.
pub fn release(
    rollout: &ProfileRollout,
    tally: &ProfileTally,
    now: Timestamp,
) -> Result<u64, Hold> {
    if tally.waiting == 0 {
        return Ok(1);
    }
    let all = tally.matched();
    let most = rollout.failure_threshold.map(|most| most.of(all));
    if most.is_some_and(|most| tally.rejected >= most) {
        return Err(Hold::Failures);
    }
    match in_windows(&rollout.windows, now) {
        WindowState::Open => Ok(rollout.max_concurrent.of(all).saturating_sub(tally.pending)),
        WindowState::Closed { .. } => Err(Hold::Window),
    }
}
