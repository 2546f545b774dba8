#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn ready(status: ConditionStatus, reason: Reason) -> Observation {
    Observation {
        condition: ConditionType::Ready,
        status,
        reason,
        message: format!("because {reason}"),
    }
}

#[test]
fn the_transition_time_moves_only_with_the_status() {
    let mut conditions = Vec::new();
    set_condition(
        &mut conditions,
        ready(ConditionStatus::False, Reason::Applying),
        1,
        &at(10),
    );
    set_condition(
        &mut conditions,
        ready(ConditionStatus::False, Reason::Rejected),
        2,
        &at(20),
    );
    assert_eq!(conditions[0].last_transition_time, at(10));
    assert_eq!(conditions[0].reason, "Rejected");
    assert_eq!(conditions[0].observed_generation, Some(2));
    set_condition(
        &mut conditions,
        ready(ConditionStatus::True, Reason::InSync),
        2,
        &at(30),
    );
    assert_eq!(conditions[0].last_transition_time, at(30));
    assert_eq!(conditions.len(), 1);
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let mut conditions = Vec::new();
    let mut long = ready(ConditionStatus::True, Reason::InSync);
    long.message = format!("x{}", "ü".repeat(Observation::MAX_MESSAGE_BYTES));
    set_condition(&mut conditions, long, 1, &at(0));
    assert_eq!(
        conditions[0].message.len(),
        Observation::MAX_MESSAGE_BYTES - 1
    );
}

fn observation() -> impl Strategy<Value = Observation> {
    let condition = prop::sample::select(ConditionType::ALL.to_vec());
    let status = prop::sample::select(vec![
        ConditionStatus::True,
        ConditionStatus::False,
        ConditionStatus::Unknown,
    ]);
    let reason = prop::sample::select(vec![Reason::InSync, Reason::Pending, Reason::Suspended]);
    (condition, status, reason, ".{0,40}").prop_map(|(condition, status, reason, message)| {
        Observation {
            condition,
            status,
            reason,
            message,
        }
    })
}

fn written(mut conditions: Vec<Condition>, all: &[Observation], now: &Time) -> Vec<Condition> {
    for one in all {
        set_condition(&mut conditions, one.clone(), 3, now);
    }
    conditions
}

proptest! {
    #[test]
    fn the_same_observation_gives_the_identical_status(
        mut all in prop::collection::vec(observation(), 1..6),
        earlier in prop::collection::vec(observation(), 0..6),
        later in 1_i64..100_000,
    ) {
        // One observation for each condition, as a reconciliation makes them.
        all.sort_by_key(|one| one.condition.as_str());
        all.dedup_by_key(|one| one.condition);
        let first = written(written(Vec::new(), &earlier, &at(0)), &all, &at(1));
        let again = written(first.clone(), &all, &at(1 + later));
        prop_assert_eq!(
            serde_json::to_string(&first).unwrap(),
            serde_json::to_string(&again).unwrap()
        );
    }
}
