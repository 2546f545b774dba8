#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use proptest::prelude::*;

use super::*;
use crate::Probability;

const MS: Duration = Duration::from_millis(1);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
    Instant::now()
}

/// Sends the numbers below `count`, one a millisecond, and gives all deliveries.
fn run(network: &mut Network<char, u32>, count: u32) -> Vec<Delivery<char, u32>> {
    let start = start();
    for number in 0..count {
        network.send(start + MS * number, 'a', 'b', number);
    }
    drain(network)
}

fn drain(network: &mut Network<char, u32>) -> Vec<Delivery<char, u32>> {
    let mut deliveries = Vec::new();
    while let Some(now) = network.next_event() {
        deliveries.extend(std::iter::from_fn(|| network.poll(now)));
    }
    deliveries
}

fn numbers(deliveries: &[Delivery<char, u32>]) -> Vec<u32> {
    deliveries
        .iter()
        .map(|delivery| delivery.datagram)
        .collect()
}

#[test]
fn a_perfect_network_delivers_everything_at_once_and_in_order() {
    let mut network = Network::new(1, Conditions::perfect());
    let now = start();
    network.send(now, 'a', 'b', 1);
    network.send(now, 'a', 'b', 2);
    assert_eq!(network.poll(now).unwrap().datagram, 1);
    assert_eq!(network.poll(now).unwrap().datagram, 2);
    assert_eq!(network.poll(now), None);
    assert_eq!(network.next_event(), None);
}

#[test]
fn nothing_arrives_before_the_delay_is_over() {
    let mut network = Network::new(
        1,
        Conditions {
            delay: 50 * MS,
            ..Conditions::perfect()
        },
    );
    let now = start();
    network.send(now, 'a', 'b', 1);
    assert_eq!(network.poll(now + 49 * MS), None);
    assert_eq!(network.next_event(), Some(now + 50 * MS));
    let late = network.poll(now + 60 * MS).unwrap();
    assert_eq!(late.at, now + 50 * MS);
}

#[test]
fn jitter_spreads_arrivals_without_reordering() {
    let mut network = Network::new(
        2,
        Conditions {
            jitter: 100 * MS,
            ..Conditions::perfect()
        },
    );
    let deliveries = run(&mut network, 1000);
    assert_eq!(numbers(&deliveries), (0..1000).collect::<Vec<_>>());
}

#[test]
fn loss_duplication_and_reordering_come_as_often_as_asked() {
    let conditions = Conditions {
        loss: Probability::percent(20),
        duplicate: Probability::percent(10),
        reorder: Probability::percent(5),
        held_back: 20 * MS,
        ..Conditions::perfect()
    };
    let mut network = Network::new(3, conditions);
    let deliveries = run(&mut network, 10_000);
    let counters = network.counters();
    assert!((1800..2200).contains(&counters.lost), "{counters:?}");
    assert!((700..900).contains(&counters.duplicated), "{counters:?}");
    assert!((330..470).contains(&counters.reordered), "{counters:?}");
    assert_eq!(counters.delivered, deliveries.len() as u64);
    assert!(!numbers(&deliveries).is_sorted());
}

#[test]
fn the_same_seed_gives_the_same_deliveries_and_another_seed_others() {
    let run = |seed| numbers(&run(&mut Network::new(seed, Conditions::rough()), 500));
    assert_eq!(run(4), run(4));
    assert_ne!(run(4), run(5));
}

#[test]
fn the_seeded_stream_never_changes() {
    let mut network = Network::new(42, Conditions::rough());
    run(&mut network, 100);
    let counters = network.counters();
    let seen = (counters.lost, counters.duplicated, counters.reordered);
    // A failing seed that somebody wrote down must stay a failing seed.
    assert_eq!(seen, (7, 2, 1));
}

#[test]
fn one_direction_of_a_link_can_be_cut_and_healed() {
    let mut network = Network::new(6, Conditions::perfect());
    let now = start();
    network.set_link('a', 'b', Conditions::cut());
    network.send(now, 'a', 'b', 1);
    network.send(now, 'b', 'a', 2);
    network.reset_link('a', 'b');
    network.send(now, 'a', 'b', 3);
    assert_eq!(numbers(&drain(&mut network)), [2, 3]);
}

#[test]
fn a_host_that_is_rebound_keeps_sending_and_misses_what_was_under_way() {
    let mut network = Network::new(
        7,
        Conditions {
            delay: 10 * MS,
            ..Conditions::perfect()
        },
    );
    let now = start();
    network.rebind('d', 'x');
    network.send(now, 'd', 's', 1);
    network.send(now, 's', 'x', 2);
    network.rebind('d', 'y');
    network.send(now, 'd', 's', 3);
    network.send(now, 's', 'y', 4);
    let seen: Vec<_> = drain(&mut network)
        .into_iter()
        .map(|delivery| (delivery.from, delivery.to, delivery.datagram))
        .collect();
    assert_eq!(seen, [('x', 's', 1), ('y', 's', 3), ('s', 'd', 4)]);
    assert_eq!(network.counters().unroutable, 1);
}

#[test]
fn a_delay_beyond_the_clock_is_a_loss() {
    let mut network = Network::new(
        8,
        Conditions {
            delay: Duration::MAX,
            jitter: Duration::MAX,
            ..Conditions::perfect()
        },
    );
    network.send(start(), 'a', 'b', 1);
    assert_eq!(network.counters().lost, 1);
    assert_eq!(network.next_event(), None);
}

fn any_conditions() -> impl Strategy<Value = Conditions> {
    (
        0u16..=1000,
        0u16..=1000,
        0u16..=1000,
        0u64..500,
        0u64..500,
        0u64..500,
    )
        .prop_map(
            |(loss, duplicate, reorder, delay, jitter, held_back)| Conditions {
                loss: Probability::per_mille(loss),
                duplicate: Probability::per_mille(duplicate),
                reorder: Probability::per_mille(reorder),
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                held_back: Duration::from_millis(held_back),
            },
        )
}

proptest! {
    #[test]
    fn every_datagram_is_accounted_for(seed: u64, conditions in any_conditions(), count in 0u32..200) {
        let mut network = Network::new(seed, conditions);
        let deliveries = run(&mut network, count);
        let counters = network.counters();
        prop_assert_eq!(counters.sent, u64::from(count));
        prop_assert_eq!(counters.delivered, deliveries.len() as u64);
        prop_assert_eq!(counters.sent + counters.duplicated, counters.delivered + counters.lost);
        prop_assert!(deliveries.is_sorted_by_key(|delivery| delivery.at));
        prop_assert_eq!(network.in_flight(), 0);
    }
}
