#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use super::*;

fn claim(identity: &str) -> Claim {
    Claim {
        name: "drover-operator".to_owned(),
        identity: identity.to_owned(),
        terms: Terms::new(Duration::from_secs(15)),
        seen: None,
    }
}

fn wall(second: i64) -> MicroTime {
    MicroTime(Timestamp::from_second(second).unwrap())
}

/// What the API server keeps after a decision.
fn stored(decision: Decision, version: &str) -> LeaseObject {
    let (Decision::Create(mut lease) | Decision::Replace(mut lease)) = decision else {
        panic!("no lease was written");
    };
    lease.metadata.resource_version = Some(version.to_owned());
    lease
}

#[test]
fn the_first_replica_takes_the_lease_and_the_second_waits() {
    let start = Instant::now();
    let (mut first, mut second) = (claim("a"), claim("b"));
    let lease = stored(first.decide(None, start, wall(0)), "1");
    assert_eq!(
        second.decide(Some(lease.clone()), start, wall(0)),
        Decision::Wait
    );
    let almost = start + Duration::from_millis(14_999);
    assert_eq!(
        second.decide(Some(lease), almost, wall(900)),
        Decision::Wait
    );
}

#[test]
fn a_lease_is_taken_over_only_after_it_stood_still_for_its_whole_duration() {
    let start = Instant::now();
    let (mut first, mut second) = (claim("a"), claim("b"));
    let lease = stored(first.decide(None, start, wall(0)), "1");
    assert_eq!(
        second.decide(Some(lease.clone()), start, wall(0)),
        Decision::Wait
    );
    // A renewal in between starts the count again.
    let renewed = stored(first.decide(Some(lease), start, wall(5)), "2");
    let later = start + Duration::from_secs(10);
    assert_eq!(
        second.decide(Some(renewed.clone()), later, wall(10)),
        Decision::Wait
    );
    let due = start + Duration::from_secs(16);
    assert_eq!(
        second.decide(Some(renewed.clone()), due, wall(16)),
        Decision::Wait
    );
    let due = later + Duration::from_secs(15);
    let taken = stored(second.decide(Some(renewed), due, wall(25)), "3");
    let spec = taken.spec.unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("b"));
    assert_eq!(spec.lease_transitions, Some(2));
    assert_eq!(spec.acquire_time, Some(wall(25)));
}

#[test]
fn a_renewal_keeps_when_the_lease_was_acquired() {
    let start = Instant::now();
    let mut first = claim("a");
    let lease = stored(first.decide(None, start, wall(1)), "1");
    let renewed = stored(first.decide(Some(lease), start, wall(9)), "2")
        .spec
        .unwrap();
    assert_eq!(renewed.acquire_time, Some(wall(1)));
    assert_eq!(renewed.renew_time, Some(wall(9)));
    assert_eq!(renewed.lease_transitions, Some(1));
}

#[test]
fn a_lease_that_was_given_up_is_free_at_once() {
    let start = Instant::now();
    let (mut first, mut second) = (claim("a"), claim("b"));
    let lease = stored(first.decide(None, start, wall(0)), "1");
    assert_eq!(second.released(lease.clone()), None);
    let mut free = first.released(lease).unwrap();
    free.metadata.resource_version = Some("2".to_owned());
    assert!(matches!(
        second.decide(Some(free), start, wall(0)),
        Decision::Replace(_)
    ));
}
