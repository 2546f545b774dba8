use super::*;

const RESYNC: Duration = Duration::from_secs(900);
const RETRY: Duration = Duration::from_secs(60);

fn meters() -> PolicyRef {
    ObjectRef::new("meters").within("acme")
}

fn at(now: Instant) -> Terms {
    Terms {
        now,
        resync: RESYNC,
        retry: RETRY,
        is_untold: false,
        has_room: true,
    }
}

/// A policy whose devices were just listed.
fn listed() -> (Arrivals, Instant) {
    let (arrivals, now) = (Arrivals::default(), Instant::now());
    arrivals.begin(meters());
    assert!(arrivals.begin_look(&meters(), &at(now)));
    arrivals.listed(&meters());
    (arrivals, now)
}

fn all_next(arrivals: &Arrivals) -> Vec<String> {
    std::iter::from_fn(|| arrivals.next(&meters())).collect()
}

#[test]
fn all_devices_are_looked_at_once_and_then_those_that_come() {
    let arrivals = Arrivals::default();
    assert!(!arrivals.add(&meters(), "a"), "it makes no objects yet");
    let (arrivals, now) = listed();
    assert!(!arrivals.begin_look(&meters(), &at(now)));
    assert!(arrivals.add(&meters(), "a"));
    assert!(!arrivals.begin_look(&meters(), &at(now)));
    assert_eq!(all_next(&arrivals), ["a"]);
    assert!(arrivals.begin_look(&meters(), &at(now + RESYNC)));
}

#[test]
fn all_are_listed_each_time_when_nothing_tells_of_them() {
    let (arrivals, now) = listed();
    let untold = Terms {
        is_untold: true,
        ..at(now)
    };
    assert!(arrivals.begin_look(&meters(), &untold));
    arrivals.find(&meters(), vec!["a".to_owned()]);
    assert!(!arrivals.begin_look(&meters(), &untold), "one is left");
}

#[test]
fn what_was_missed_is_looked_for_though_it_was_missed_during_a_look() {
    let (arrivals, now) = listed();
    assert_eq!(arrivals.miss("acme"), [meters()]);
    assert_eq!(arrivals.miss("elsewhere"), []);
    arrivals.listed(&meters());
    assert!(!arrivals.add(&meters(), "a"), "all are looked at anyway");
    assert!(arrivals.begin_look(&meters(), &at(now)));
    arrivals.failed(&meters());
    assert!(arrivals.begin_look(&meters(), &at(now)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let (arrivals, now) = listed();
    for number in 0..MAX_REMEMBERED {
        assert!(arrivals.add(&meters(), &number.to_string()));
    }
    assert!(!arrivals.add(&meters(), "one-more"));
    assert_eq!(all_next(&arrivals).len(), MAX_REMEMBERED);
    assert!(arrivals.begin_look(&meters(), &at(now)));
}

#[test]
fn a_full_policy_looks_at_nothing_until_there_is_room() {
    let (arrivals, now) = listed();
    arrivals.add(&meters(), "a");
    arrivals.fill(&meters());
    assert!(!arrivals.add(&meters(), "b"));
    let full = Terms {
        has_room: false,
        ..at(now)
    };
    assert!(!arrivals.begin_look(&meters(), &full));
    assert!(arrivals.told(&meters(), 7).is_full);
    assert!(arrivals.begin_look(&meters(), &at(now)));
}

#[test]
fn refused_ones_keep_the_others_from_nothing_until_they_are_many() {
    let (arrivals, now) = listed();
    arrivals.find(&meters(), vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(arrivals.next(&meters()).as_deref(), Some("a"));
    arrivals.refuse(&meters(), "a".to_owned(), "it is odd".to_owned(), now);
    assert_eq!(all_next(&arrivals), ["b"]);
    let told = arrivals.told(&meters(), 1);
    let refused = told.refused.as_ref().map(|refused| refused.objects);
    assert_eq!((refused, told.has_more), (Some(1), false));
    assert!(!arrivals.add(&meters(), "a"), "it is known not to be taken");
    for number in 1..MAX_REFUSED {
        let endpoint = number.to_string();
        arrivals.refuse(&meters(), endpoint, "it is odd".to_owned(), now);
    }
    assert!(!arrivals.add(&meters(), "c"));
    assert!(!arrivals.told(&meters(), 1).has_more);
    // It is looked for when objects are taken again.
    arrivals.begin_look(&meters(), &at(now + RETRY));
    let tried = arrivals.next(&meters()).expect("one is left");
    arrivals.note_made(&meters(), tried, now + RETRY);
    assert_eq!(all_next(&arrivals).len(), MAX_REFUSED - 1);
    assert!(arrivals.begin_look(&meters(), &at(now + RETRY)));
}

#[test]
fn a_policy_that_is_full_when_it_begins_finds_out_whom_it_leaves_out() {
    let full = |now| Terms {
        has_room: false,
        ..at(now)
    };
    let (arrivals, now) = (Arrivals::default(), Instant::now());
    arrivals.begin(meters());
    assert!(arrivals.begin_look(&meters(), &full(now)));
    arrivals.listed(&meters());
    let told = arrivals.told(&meters(), 7);
    assert!(!told.is_full && !told.has_more, "nobody is left out");
    arrivals.miss("acme");
    assert!(arrivals.begin_look(&meters(), &full(now)));
    arrivals.find(&meters(), vec!["a".to_owned()]);
    assert_eq!(all_next(&arrivals), ["a"]);
    arrivals.fill(&meters());
    assert!(!arrivals.begin_look(&meters(), &full(now)));
    assert!(!arrivals.told(&meters(), 7).has_more);
}

#[test]
fn many_refused_devices_are_not_listed_again_at_once() {
    let (arrivals, now) = (Arrivals::default(), Instant::now());
    arrivals.begin(meters());
    assert!(arrivals.begin_look(&meters(), &at(now)));
    let all = (0..=MAX_REMEMBERED).map(|number| number.to_string());
    assert!(!arrivals.find(&meters(), all.collect()));
    arrivals.listed(&meters());
    for _ in 0..MAX_REFUSED {
        let endpoint = arrivals.next(&meters()).expect("one is left");
        arrivals.refuse(&meters(), endpoint, "no right".to_owned(), now);
    }
    assert_eq!(arrivals.next(&meters()), None);
    assert!(!arrivals.begin_look(&meters(), &at(now)));
    assert!(!arrivals.told(&meters(), 0).has_more);
}

#[test]
fn a_device_whose_object_is_being_deleted_keeps_nobody_from_anything() {
    let (arrivals, now) = listed();
    arrivals.wait(&meters(), "a".to_owned());
    arrivals.bring_back(&meters(), |_| true);
    assert!(!arrivals.told(&meters(), 1).has_more);
    assert!(arrivals.begin_look(&meters(), &at(now + RESYNC)));
    arrivals.bring_back(&meters(), |_| false);
    assert_eq!(all_next(&arrivals), ["a"]);
}

#[test]
fn one_that_was_refused_is_tried_again_and_the_others_when_it_is_taken() {
    let (arrivals, now) = listed();
    for endpoint in ["a", "b"] {
        arrivals.refuse(&meters(), endpoint.to_owned(), "no right".to_owned(), now);
    }
    arrivals.begin_look(&meters(), &at(now));
    assert_eq!(arrivals.next(&meters()), None);
    let later = now + RETRY;
    arrivals.begin_look(&meters(), &at(later));
    assert_eq!(all_next(&arrivals), ["a"]);
    arrivals.note_made(&meters(), "c".to_owned(), later);
    assert_eq!(arrivals.next(&meters()), None, "that tells nothing of them");
    arrivals.note_made(&meters(), "a".to_owned(), later);
    assert_eq!(all_next(&arrivals), ["b"]);
    assert_eq!(arrivals.told(&meters(), 1).refused, None);
}

#[test]
fn another_policy_of_the_name_begins_anew() {
    let (arrivals, now) = listed();
    arrivals.fill(&meters());
    arrivals.begin(meters());
    assert!(!arrivals.told(&meters(), 0).is_full);
    assert!(arrivals.begin_look(&meters(), &at(now)));
    arrivals.end(&meters());
    assert_eq!(arrivals.next(&meters()), None);
}

#[test]
fn an_object_counts_until_the_watch_has_shown_it() {
    let (arrivals, now) = listed();
    for endpoint in ["a", "b"] {
        assert!(arrivals.note_made(&meters(), endpoint.to_owned(), now));
    }
    assert!(!arrivals.note_made(&meters(), "b".to_owned(), now));
    assert_eq!(arrivals.unshown(&meters(), now, |one| one == "a"), 1);
    assert_eq!(arrivals.unshown(&meters(), now, |_| false), 1);
    assert_eq!(arrivals.unshown(&meters(), now + LAG, |_| false), 0);
}

#[test]
fn a_policy_whose_objects_are_all_refused_begins_anew_when_all_devices_are_due() {
    let (arrivals, now) = listed();
    for number in 0..MAX_REFUSED {
        let endpoint = number.to_string();
        arrivals.refuse(&meters(), endpoint, "no right".to_owned(), now);
    }
    assert!(!arrivals.begin_look(&meters(), &at(now)));
    assert!(arrivals.begin_look(&meters(), &at(now + RESYNC)));
    assert_eq!(arrivals.told(&meters(), 0).refused, None);
}
