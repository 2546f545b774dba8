//! What a spec wants a device to report by itself, as notification attributes.

use crd::desired_observation::DesiredObservation;

/// The query of the attributes of an observation, for example `pmin=10&pmax=60`.
// LwM2M-Core 1.2 §5.1.2: notification attributes.
pub(crate) fn parameters(observation: &DesiredObservation) -> String {
    let seconds = |seconds: Option<i64>| seconds.map(|seconds| seconds.to_string());
    let given = [
        ("pmin", seconds(observation.minimum_period_seconds)),
        ("pmax", seconds(observation.maximum_period_seconds)),
        ("gt", observation.greater_than.clone()),
        ("lt", observation.less_than.clone()),
        ("st", observation.step.clone()),
    ];
    let given = given.into_iter();
    let texts: Vec<String> = given
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
        .collect();
    texts.join("&")
}
