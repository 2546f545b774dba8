//! Whether the device notifies as it has to.

use device_state::{Freshness, Observation, Timestamp, observation_freshness};

use crate::{Facts, Finding, Severity, span, spoken};

pub(crate) fn finding(facts: &Facts<'_>) -> Option<Finding> {
    let observations = &facts.view.observations;
    let overdue = |observation| match observation_freshness(facts.view, facts.now, observation) {
        Freshness::Stale { since } => Some((since, observation)),
        Freshness::Fresh { .. } | Freshness::Unpromised => None,
    };
    let silent: Vec<(Timestamp, &Observation)> = observations.iter().filter_map(overdue).collect();
    let (since, longest) = silent.iter().min_by_key(|(since, _)| *since)?;
    Some(Finding::new(
        Severity::Warning,
        "The device does not notify as it has to.",
        format!(
            "{} of {} observations are overdue. By its pmax, a notification of {} was due {} ago.",
            silent.len(),
            observations.len(),
            longest.observed,
            spoken(span(*since, facts.now))
        ),
        "It may have lost the observation without registering again, as after a restart, or it cannot reach the server. \
         End the observation and begin it anew; what was reported before may be out of date.",
    ))
}
