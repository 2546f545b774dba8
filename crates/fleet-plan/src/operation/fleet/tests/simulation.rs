//! An operation on a set in a small world: devices that sleep, a state tier that forgets, and an operator that ends between any
//! two of its steps and goes on with nothing but the status.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The state tier forgets requests after so many seconds at the earliest, and ends of operations.
const FORGETS: i64 = 600;
const FORGETS_ENDS: i64 = 3_600;

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// A round, all of it.
    Round,
    /// A round in which the operator ends after so many visits.
    EndAfterVisits(usize),
    /// A round whose status is not written, though the operator goes on.
    NotWritten,
    /// A round after whose status was written the operator ends.
    EndAfterWrite,
    /// Nobody learns how so many visits ended.
    AnswersLost(usize),
    Pass(i64),
    FallAsleep(usize),
    WakeUp(usize),
    Suspend(bool),
    /// The state tier takes nothing more.
    Full(Option<Refusing>),
    Join(usize),
    Leave(usize),
}

#[derive(Clone, Copy, Debug)]
enum Refusing {
    /// By a quota: not remembered.
    Quota,
    /// By the device's queue: remembered as any other answer.
    Queue,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Pending { until: i64 },
    Over { at: i64, outcome: Outcome },
}

#[derive(Debug)]
struct Record {
    endpoint: String,
    state: State,
}

#[derive(Debug, Default)]
struct StateTier {
    /// When it was asked for, and what came of it.
    requests: BTreeMap<String, (i64, Option<usize>)>,
    operations: Vec<Record>,
    asleep: BTreeSet<String>,
    /// How often each device has done it.
    done: BTreeMap<String, usize>,
    refusing: Option<Refusing>,
}

impl StateTier {
    fn do_it(&mut self, place: usize, now: i64) {
        let endpoint = self.operations[place].endpoint.clone();
        *self.done.entry(endpoint).or_default() += 1;
        self.operations[place].state = State::Over {
            at: now,
            outcome: match done(&[]) {
                Seen::Is(outcome) => outcome,
                other => panic!("{other:?}"),
            },
        };
    }

    fn pass(&mut self, now: i64) {
        self.requests.retain(|_, (at, _)| now - *at < FORGETS);
        for record in &mut self.operations {
            if let State::Pending { until } = record.state
                && now >= until
            {
                record.state = State::Over {
                    at: now,
                    outcome: Outcome::Expired,
                };
            }
        }
    }

    fn wake_up(&mut self, endpoint: &str, now: i64) {
        self.asleep.remove(endpoint);
        for place in 0..self.operations.len() {
            let record = &self.operations[place];
            if record.endpoint == endpoint && matches!(record.state, State::Pending { .. }) {
                self.do_it(place, now);
            }
        }
    }

    fn ask(&mut self, ask: &Ask, is_first: bool, now: i64) -> Seen {
        let turned_away = |certain| Seen::TurnedAway {
            certain,
            why: "no room".to_owned(),
        };
        let place = match (self.requests.get(&ask.request_id), self.refusing) {
            (Some((_, Some(place))), _) => *place,
            (Some((_, None)), _) => return turned_away(true),
            (None, Some(Refusing::Quota)) => return turned_away(is_first),
            (None, Some(Refusing::Queue)) => {
                self.requests.insert(ask.request_id.clone(), (now, None));
                return turned_away(true);
            }
            (None, None) => {
                let place = self.operations.len();
                self.requests
                    .insert(ask.request_id.clone(), (now, Some(place)));
                let seconds = i64::try_from(ask.deadline.as_secs()).unwrap();
                self.operations.push(Record {
                    endpoint: ask.endpoint.clone(),
                    state: State::Pending {
                        until: now + seconds,
                    },
                });
                if !self.asleep.contains(&ask.endpoint) {
                    self.do_it(place, now);
                }
                place
            }
        };
        self.look(place, now)
    }

    fn look(&self, place: usize, now: i64) -> Seen {
        Seen::Is(match &self.operations[place].state {
            State::Pending { .. } => Outcome::Running {
                id: place.to_string(),
                in_flight: false,
            },
            State::Over { at, .. } if now - at >= FORGETS_ENDS => Outcome::Lost,
            State::Over { outcome, .. } => outcome.clone(),
        })
    }

    fn give_up(&mut self, place: usize, now: i64) -> Seen {
        if matches!(self.operations[place].state, State::Pending { .. }) {
            self.operations[place].state = State::Over {
                at: now,
                outcome: Outcome::Expired,
            };
        }
        self.look(place, now)
    }
}

struct World {
    operation: DeviceOperation,
    second: i64,
    devices: BTreeSet<String>,
    state_tier: StateTier,
    /// Of the operator that lives.
    members: Option<Members>,
    unasked: BTreeSet<String>,
}

/// How a round goes.
#[derive(Clone, Copy, Default)]
struct Course {
    ends_after_visits: Option<usize>,
    answers_lost: usize,
    is_not_written: bool,
}

impl World {
    fn new(spec: &str, devices: usize) -> Self {
        Self {
            operation: operation(spec),
            second: 1_000,
            devices: names(devices).into_iter().collect(),
            state_tier: StateTier::default(),
            members: None,
            unasked: BTreeSet::new(),
        }
    }

    fn end(&mut self) {
        self.members = None;
        self.unasked.clear();
    }

    fn round(&mut self, course: Course) {
        let now = at(self.second);
        let operation = self.operation.clone();
        let round = match open(&operation, None, every_filter, &now) {
            Opening::Round(round) => round,
            Opening::Told(plan) => {
                check(&plan.status);
                self.operation.status = Some(plan.status);
                return;
            }
            Opening::Delete => return,
        };
        if round.needs_members() && (self.members.is_none() || round.counts_only()) {
            let here: Vec<String> = self.devices.iter().cloned().collect();
            self.members = Some(members(&here));
        }
        let listed = match &self.members {
            Some(members) if round.needs_members() => members.clone(),
            _ => Members::default(),
        };
        let mut seen = Vec::new();
        for (number, visit) in round.visits(&listed).into_iter().enumerate() {
            if course.ends_after_visits == Some(number) {
                return self.end();
            }
            let endpoint = visit.endpoint().to_owned();
            let what = match visit {
                Visit::Ask(ask) => {
                    assert!(!operation.spec.suspend);
                    let is_first = self.unasked.remove(&endpoint);
                    self.state_tier.ask(&ask, is_first, self.second)
                }
                Visit::Follow { id, .. } => self.state_tier.look(id.parse().unwrap(), self.second),
                Visit::GiveUp { id, .. } => {
                    self.state_tier.give_up(id.parse().unwrap(), self.second)
                }
            };
            let is_lost = number < course.answers_lost;
            seen.push((endpoint, if is_lost { Seen::Unclear } else { what }));
        }
        if course.ends_after_visits.is_some() {
            return self.end();
        }
        let finished = round.finish(&listed, &self.unasked, seen);
        check(&finished.plan.status);
        self.unasked.extend(finished.entered);
        if !course.is_not_written {
            self.operation.status = Some(finished.plan.status);
        }
    }

    fn happens(&mut self, event: &Event) {
        let name = |place: usize| format!("meter-{place:05}");
        match event {
            Event::Round => self.round(Course::default()),
            Event::EndAfterVisits(visits) => self.round(Course {
                ends_after_visits: Some(*visits),
                ..Course::default()
            }),
            Event::NotWritten => self.round(Course {
                is_not_written: true,
                ..Course::default()
            }),
            Event::EndAfterWrite => {
                self.round(Course::default());
                self.end();
            }
            Event::AnswersLost(count) => self.round(Course {
                answers_lost: *count,
                ..Course::default()
            }),
            Event::Pass(seconds) => {
                self.second += seconds;
                self.state_tier.pass(self.second);
            }
            Event::FallAsleep(place) => {
                self.state_tier.asleep.insert(name(*place));
            }
            Event::WakeUp(place) => self.state_tier.wake_up(&name(*place), self.second),
            Event::Suspend(suspend) => self.operation.spec.suspend = *suspend,
            Event::Full(refusing) => self.state_tier.refusing = *refusing,
            Event::Join(place) => {
                self.devices.insert(name(*place));
            }
            Event::Leave(place) => {
                self.devices.remove(&name(*place));
            }
        }
        for (endpoint, times) in &self.state_tier.done {
            assert_eq!(*times, 1, "{endpoint} has done it {times} times");
        }
    }

    /// Everything goes well from now on.
    fn finish(&mut self) {
        self.operation.spec.suspend = false;
        self.state_tier.refusing = None;
        for device in self.state_tier.asleep.clone() {
            self.state_tier.wake_up(&device, self.second);
        }
        for _ in 0..300 {
            self.happens(&Event::Pass(10));
            self.happens(&Event::Round);
            if self.is_over() {
                return;
            }
        }
        panic!("it does not end: {:?}", self.operation.status);
    }

    fn is_over(&self) -> bool {
        let status = self.operation.status.as_ref();
        status.is_some_and(|status| status.completion_time.is_some())
    }
}

fn event() -> impl Strategy<Value = Event> {
    let place = 0..12_usize;
    let refusing = prop_oneof![
        Just(None),
        Just(Some(Refusing::Quota)),
        Just(Some(Refusing::Queue))
    ];
    let seconds = prop_oneof![0..30_i64, 50..70_i64, 500..700_i64, 3_000..4_000_i64];
    prop_oneof![
        8 => Just(Event::Round),
        3 => (0..6_usize).prop_map(Event::EndAfterVisits),
        2 => Just(Event::NotWritten),
        2 => Just(Event::EndAfterWrite),
        2 => (1..6_usize).prop_map(Event::AnswersLost),
        4 => seconds.prop_map(Event::Pass),
        2 => place.clone().prop_map(Event::FallAsleep),
        2 => place.prop_map(Event::WakeUp),
        1 => any::<bool>().prop_map(Event::Suspend),
        2 => refusing.prop_map(Event::Full),
    ]
}

/// Devices come and go as well.
fn event_of_a_set() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => event(),
        1 => (8..16_usize).prop_map(Event::Join),
        1 => (0..12_usize).prop_map(Event::Leave),
    ]
}

proptest! {
    // `PROPTEST_CASES=100000` looks longer.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_does_it_twice_whatever_ends_the_operator(
        parallelism in 1..6_usize,
        events in prop::collection::vec(event_of_a_set(), 0..60),
    ) {
        let mut world = World::new(&format!("{REBOOT}, parallelism: {parallelism}"), 12);
        for event in &events {
            world.happens(event);
        }
        world.finish();
    }

    #[test]
    fn everybody_is_counted_once_and_is_what_it_is_counted_as(
        parallelism in 1..6_usize,
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = World::new(&format!("{REBOOT}, parallelism: {parallelism}"), 12);
        for event in &events {
            world.happens(event);
        }
        world.finish();
        let status = world.operation.status.as_ref().unwrap();
        let counts = status.counts.unwrap();
        prop_assert_eq!(counts.total, 12);
        let unknown = status.progress.as_ref().unwrap().unknown;
        let have_done = i64::try_from(world.state_tier.done.len()).unwrap();
        prop_assert!(counts.succeeded <= have_done);
        prop_assert!(have_done <= counts.succeeded + unknown);
    }

    #[test]
    fn without_mishap_everybody_does_it(
        parallelism in 1..6_usize,
        devices in 1..40_usize,
        pauses in prop::collection::vec(0..60_i64, 1..40),
        crashes in prop::collection::vec(0..8_usize, 0..20),
    ) {
        let mut world = World::new(&format!("{REBOOT}, parallelism: {parallelism}"), devices);
        // An operator that is there again within minutes loses nobody.
        for (pause, crash) in pauses.iter().zip(&crashes) {
            world.happens(&Event::EndAfterVisits(*crash));
            world.happens(&Event::Pass(*pause));
            world.happens(&Event::Round);
        }
        world.finish();
        let counts = world.operation.status.as_ref().unwrap().counts.unwrap();
        prop_assert_eq!(counts.succeeded, i64::try_from(devices).unwrap());
    }
}
