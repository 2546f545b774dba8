//! Packages that devices fetch from the cluster.

use device_state::limit::{ARTEFACT_ARRIVAL, MAX_ARTEFACT_BYTES, MAX_ARTEFACTS};
use device_state::{
    Artefact, ArtefactChunk, ArtefactName, ArtefactState, Command, Digest, Namespace, Outcome,
    Rejection, Timestamp, query,
};

use crate::world::World;

const CHUNK: u64 = ArtefactChunk::BYTES;
const PART: Outcome = Outcome::Arrived { complete: false };
const WHOLE: Outcome = Outcome::Arrived { complete: true };
const UNKNOWN: Outcome = Outcome::Rejected(Rejection::UnknownArtefact);
const WRONG: Outcome = Outcome::Rejected(Rejection::WrongChunk);

pub(crate) fn artefact(byte: u8, size: u64) -> Artefact {
    Artefact {
        name: ArtefactName {
            namespace: Namespace::default(),
            digest: Digest([byte; Digest::BYTES]),
        },
        size,
        title: format!("{byte}.bin"),
        created_at: Timestamp(0),
        state: ArtefactState::Complete,
    }
}

pub(crate) fn chunk(artefact: &Artefact, number: u32, length: u64) -> Command {
    Command::PutArtefactChunk {
        chunk: ArtefactChunk {
            artefact: artefact.name.clone(),
            number,
            bytes: vec![number as u8; length as usize],
        },
    }
}

fn begin(world: &mut World, artefact: &Artefact) -> Outcome {
    world.run(Command::BeginArtefact {
        artefact: artefact.clone(),
    })
}

/// A package and the rows of its bytes.
fn stored(world: &World, artefact: &Artefact) -> (Option<ArtefactState>, usize) {
    let known = query::artefact(&world.tables, &artefact.name);
    let chunks = (0..artefact.chunks())
        .filter_map(|number| query::artefact_chunk(&world.tables, &artefact.name, number));
    (known.map(|known| known.state), chunks.count())
}

#[test]
fn a_package_is_complete_with_its_last_part_whatever_their_order() {
    let mut world = World::new();
    let package = artefact(7, 2 * CHUNK + 5);
    assert_eq!(world.run(chunk(&package, 0, CHUNK)), UNKNOWN);
    assert_eq!(begin(&mut world, &package), PART);
    for (number, length) in [(2, 5), (0, CHUNK), (0, CHUNK)] {
        let put = world.run(chunk(&package, number, length));
        assert_eq!(put, PART);
    }
    let (state, chunks) = stored(&world, &package);
    let expected = CHUNK + 5;
    assert!(
        matches!(state, Some(ArtefactState::Arriving { stored, .. }) if stored == expected),
        "{state:?}"
    );
    assert_eq!(chunks, 2);
    assert_eq!(world.run(chunk(&package, 1, CHUNK)), WHOLE);
    let complete = (Some(ArtefactState::Complete), 3);
    assert_eq!(stored(&world, &package), complete);

    // Once more, and nothing changes.
    world.advance(ARTEFACT_ARRIVAL);
    assert_eq!(begin(&mut world, &package), WHOLE);
    assert_eq!(world.run(chunk(&package, 1, CHUNK)), WHOLE);
    assert_eq!(world.expire(), 0);
    assert_eq!(stored(&world, &package), complete);
    let known = query::artefact(&world.tables, &package.name).unwrap();
    assert_eq!(known.created_at, Timestamp(1_000_000));
}

#[test]
fn parts_that_are_not_of_the_package_are_refused() {
    let mut world = World::new();
    let package = artefact(7, CHUNK + 5);
    begin(&mut world, &package);
    for (number, length) in [(0, 5), (1, CHUNK), (1, 4), (2, 5), (u32::MAX, CHUNK)] {
        assert_eq!(world.run(chunk(&package, number, length)), WRONG);
    }
    let whole = artefact(8, CHUNK);
    begin(&mut world, &whole);
    assert_eq!(world.run(chunk(&whole, 1, CHUNK)), WRONG);
    assert_eq!(world.run(chunk(&whole, 0, CHUNK)), WHOLE);
    assert_eq!(stored(&world, &whole), (Some(ArtefactState::Complete), 1));
}

#[test]
fn what_does_not_arrive_as_a_whole_goes() {
    let mut world = World::new();
    let package = artefact(7, CHUNK + 5);
    begin(&mut world, &package);
    world.run(chunk(&package, 0, CHUNK));
    world.advance(ARTEFACT_ARRIVAL / 2);
    // Somebody goes on with it.
    begin(&mut world, &package);
    world.advance(ARTEFACT_ARRIVAL / 2);
    assert_eq!(world.expire(), 0);
    world.advance(ARTEFACT_ARRIVAL / 2);
    assert_eq!(world.expire(), 1);
    assert_eq!(stored(&world, &package), (None, 0));
    assert_eq!(world.run(chunk(&package, 1, 5)), UNKNOWN);
}

#[test]
fn a_package_that_was_removed_on_its_way_is_not_taken_for_complete() {
    let mut world = World::new();
    let package = artefact(7, CHUNK + 5);
    begin(&mut world, &package);
    world.run(chunk(&package, 0, CHUNK));
    world.run(Command::RemoveArtefact {
        artefact: package.name.clone(),
    });
    // Another one begins with it, and the first one goes on.
    begin(&mut world, &package);
    assert_eq!(world.run(chunk(&package, 1, 5)), PART);
    assert_eq!(world.run(chunk(&package, 0, CHUNK)), WHOLE);
}

#[test]
fn a_package_that_is_removed_leaves_nothing() {
    let mut world = World::new();
    let package = artefact(7, CHUNK + 5);
    let remove = Command::RemoveArtefact {
        artefact: package.name.clone(),
    };
    assert_eq!(world.run(remove.clone()), UNKNOWN);
    let before = world.tables.clone();
    begin(&mut world, &package);
    world.run(chunk(&package, 0, CHUNK));
    assert_eq!(world.run(remove.clone()), Outcome::Done);
    assert_eq!(world.tables, before);
    begin(&mut world, &package);
    world.run(chunk(&package, 0, CHUNK));
    world.run(chunk(&package, 1, 5));
    assert_eq!(world.run(remove), Outcome::Done);
    assert_eq!(world.tables, before);
}

#[test]
fn packages_are_not_too_many_and_not_too_large_together() {
    let full = Outcome::Rejected(Rejection::TooManyArtefacts);
    let mut world = World::new();
    for byte in 0..(MAX_ARTEFACT_BYTES / Artefact::MAX_SIZE) as u8 {
        let large = artefact(byte, Artefact::MAX_SIZE);
        assert_eq!(begin(&mut world, &large), PART);
    }
    assert_eq!(begin(&mut world, &artefact(200, 1)), full);
    let mut elsewhere = artefact(200, 1);
    elsewhere.name.namespace = Namespace::new("acme").unwrap();
    assert_eq!(begin(&mut world, &elsewhere), PART);
    let listed = query::artefacts(&world.tables, &elsewhere.name.namespace);
    assert_eq!(listed.len(), 1);

    let mut world = World::new();
    for number in 0..MAX_ARTEFACTS {
        let mut small = artefact(0, 1);
        small.name.digest.0[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let begun = world.submit_unchecked(None, Command::BeginArtefact { artefact: small });
        assert_eq!(begun.outcome, PART);
    }
    assert_eq!(begin(&mut world, &artefact(200, 1)), full);
}

#[test]
fn a_digest_is_read_as_it_is_written() {
    let digest = Digest([0xa5; Digest::BYTES]);
    let text = digest.to_string();
    assert_eq!(text, format!("sha256:{}", "a5".repeat(32)));
    assert_eq!(text.parse(), Ok(digest));
    assert_eq!(Digest::of_package_uri(&digest.package_uri()), Some(digest));
    for wrong in [
        "",
        "sha256:",
        "a5",
        "sha512:a5",
        &text[..70],
        &"a5".repeat(32),
    ] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
    for other in ["coap://h/1", "drover:", "drover:sha256:a5", &text] {
        assert_eq!(Digest::of_package_uri(other), None, "{other}");
    }
}
