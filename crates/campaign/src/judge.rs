//! Whether a wave is good.

use device_state::campaign::PauseReason;

use crate::turn::Turn;

const ALL: u128 = 1_000_000;

/// Why the wave cannot go on, going by what there is of it.
pub(crate) fn verdict(turn: &Turn<'_>) -> Result<(), PauseReason> {
    if too_many_failed(turn) {
        return Err(PauseReason::FailureThreshold);
    }
    if turn.is_over() && !enough_succeeded(turn) {
        return Err(PauseReason::SuccessThreshold);
    }
    Ok(())
}

/// A number of devices counts at once, a part from the minimum of results on.
fn too_many_failed(turn: &Turn<'_>) -> bool {
    let threshold = turn.plan.failure_threshold;
    let failed = turn.tally.failed;
    let results = turn.tally.results();
    let minimum = turn.plan.minimum_results.min(turn.course.size);
    let by_number = threshold
        .devices
        .is_some_and(|devices| failed >= devices.max(1));
    let by_part = threshold
        .millionths
        .is_some_and(|part| u128::from(failed) * ALL > u128::from(part) * u128::from(results));
    by_number || (by_part && results >= minimum)
}

/// Who expired or was skipped says nothing about the firmware.
pub(crate) fn enough_succeeded(turn: &Turn<'_>) -> bool {
    let succeeded = u128::from(turn.tally.succeeded) * ALL;
    succeeded >= u128::from(turn.plan.success_threshold) * u128::from(turn.tally.results())
}
