//! What passing a datagram on costs the two workers.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use forward::{Channel, Direction, Forwarded, Key, Opener, Rendezvous, Seal, WorkerId};

fn pass_on(criterion: &mut Criterion) {
    let key = Key::derive(&[7; 32]);
    let (here, there) = (
        WorkerId { node: 1, worker: 0 },
        WorkerId { node: 2, worker: 0 },
    );
    let (mut seal, mut opener) = (Seal::new(&key, here), Opener::new(&key, there));
    let datagram = Forwarded {
        direction: Direction::In,
        channel: Channel::Secured,
        hops: 1,
        entry: here,
        client: "192.0.2.1:5684".parse().expect("an address"),
        datagram: &[0; 100],
    };
    criterion.bench_function("forward/pack_and_open_100_bytes", |bencher| {
        bencher.iter(|| {
            let packed = seal.pack(there, black_box(&datagram));
            assert!(opener.open(&packed).is_ok());
        });
    });
    let owners = Rendezvous::new(&key, [(1, 2), (2, 2), (3, 2)]);
    criterion.bench_function("forward/owner_of_a_peer_among_3", |bencher| {
        bencher.iter(|| owners.of_peer(black_box(datagram.client)));
    });
}

criterion_group!(benches, pass_on);
criterion_main!(benches);
