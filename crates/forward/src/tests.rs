#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::HashMap as Counts;
use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;

const HERE: WorkerId = WorkerId { node: 1, worker: 0 };
const THERE: WorkerId = WorkerId { node: 2, worker: 3 };

fn key() -> Key {
    Key::derive(&[7; 32])
}

fn client() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        (any::<[u8; 16]>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
    ]
}

fn forwarded(client: SocketAddr, datagram: &[u8]) -> Forwarded<'_> {
    Forwarded {
        direction: Direction::In,
        channel: Channel::Secured,
        hops: 1,
        entry: HERE,
        client,
        datagram,
    }
}

proptest! {
    #[test]
    fn what_is_packed_is_opened(client in client(), datagram: Vec<u8>, out: bool, plain: bool, hops: u8) {
        let sent = Forwarded {
            direction: if out { Direction::Out } else { Direction::In },
            channel: if plain { Channel::Plain } else { Channel::Secured },
            hops,
            entry: HERE,
            client,
            datagram: &datagram,
        };
        let packed = Seal::new(&key(), HERE).pack(THERE, &sent);
        prop_assert!(packed.len() <= datagram.len() + OVERHEAD);
        prop_assert_eq!(Opener::new(&key(), THERE).open(&packed), Ok((HERE, sent)));
    }

    #[test]
    fn a_changed_bit_is_refused(client in client(), datagram: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
        let mut packed = Seal::new(&key(), HERE).pack(THERE, &forwarded(client, &datagram));
        let at = at.index(packed.len());
        packed[at] ^= 1 << bit;
        prop_assert!(Opener::new(&key(), THERE).open(&packed).is_err());
    }

    #[test]
    fn bytes_of_a_stranger_are_refused(bytes: Vec<u8>) {
        prop_assert!(Opener::new(&key(), THERE).open(&bytes).is_err());
    }

    #[test]
    fn each_number_is_taken_once(numbers in prop::collection::vec(prop_oneof![0..3000_u64, any::<u64>()], 1..200)) {
        let mut window = Window::default();
        let mut taken = std::collections::HashSet::new();
        let mut highest = 0;
        for number in numbers {
            let accepted = window.accept(number);
            let recent = number < u64::MAX && number.saturating_add(900) >= highest;
            if accepted {
                prop_assert!(taken.insert(number), "{number} was taken twice");
                highest = highest.max(number);
            } else if recent {
                prop_assert!(taken.contains(&number), "{number} was not taken");
            }
        }
    }

    #[test]
    fn a_node_that_leaves_moves_only_its_own_peers(peers in prop::collection::vec(client(), 1..50)) {
        let all = Rendezvous::new(&key(), [(1, 2), (2, 2), (3, 2)]);
        let fewer = Rendezvous::new(&key(), [(1, 2), (3, 2)]);
        for peer in peers {
            let owner = all.of_peer(peer);
            if owner.is_some_and(|owner| owner.node != 2) {
                prop_assert_eq!(fewer.of_peer(peer), owner);
            }
        }
    }
}

#[test]
fn another_worker_refuses_a_copy() {
    let datagram =
        Seal::new(&key(), HERE).pack(THERE, &forwarded("192.0.2.1:1".parse().unwrap(), b"x"));
    assert_eq!(
        Opener::new(&key(), HERE).open(&datagram),
        Err(Refusal::Misdirected)
    );
    let other = Key::derive(&[8; 32]);
    assert_eq!(
        Opener::new(&other, THERE).open(&datagram),
        Err(Refusal::Unauthentic)
    );
}

#[test]
fn a_sender_whose_node_is_out_of_touch_is_not_forgotten() {
    let mut opener = Opener::new(&key(), THERE);
    let client = "192.0.2.1:1".parse().unwrap();
    let datagram = Seal::new(&key(), HERE).pack(THERE, &forwarded(client, b"x"));
    assert!(opener.open(&datagram).is_ok());
    opener.retain(|_| false);
    assert_eq!(opener.open(&datagram), Err(Refusal::Replayed));
}

#[test]
fn peers_spread_evenly_over_workers() {
    let owners = Rendezvous::new(&key(), [(11, 2), (12, 2), (13, 2)]);
    let mut counts: Counts<WorkerId, u32> = Counts::new();
    for port in 0..60_000 {
        let owner = owners.of_peer(SocketAddr::from(([198, 51, 100, 7], port)));
        *counts.entry(owner.unwrap()).or_default() += 1;
    }
    assert_eq!(counts.len(), 6);
    assert!(
        counts.values().all(|count| (9_000..11_000).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_mapped_address_belongs_to_the_owner_of_the_address() {
    let owners = Rendezvous::new(&key(), [(11, 2), (12, 2), (13, 2)]);
    let mapped = owners.of_peer("[::ffff:192.0.2.1]:5684".parse().unwrap());
    assert_eq!(mapped, owners.of_peer("192.0.2.1:5684".parse().unwrap()));
}
