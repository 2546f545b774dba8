//! Packages.

use device_state::{
    Artefact, ArtefactChunk, ArtefactName, ArtefactState, Command, Digest, Row, Timestamp,
};
use proptest::prelude::*;

use crate::strategy::namespace;

pub(crate) fn name() -> impl Strategy<Value = ArtefactName> {
    (namespace(), any::<[u8; Digest::BYTES]>()).prop_map(|(namespace, digest)| ArtefactName {
        namespace,
        digest: Digest(digest),
    })
}

fn artefact() -> impl Strategy<Value = Artefact> {
    let state = prop_oneof![
        Just(ArtefactState::Complete),
        (any::<u64>(), any::<u64>()).prop_map(|(stored, until)| ArtefactState::Arriving {
            stored,
            until: Timestamp(until),
        }),
    ];
    let size = 1..=Artefact::MAX_SIZE;
    (name(), size, ".{0,20}", any::<u64>(), state).prop_map(
        |(name, size, title, created_at, state)| Artefact {
            name,
            size,
            title,
            created_at: Timestamp(created_at),
            state,
        },
    )
}

fn chunk() -> impl Strategy<Value = ArtefactChunk> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..64);
    (name(), any::<u32>(), bytes).prop_map(|(artefact, number, bytes)| ArtefactChunk {
        artefact,
        number,
        bytes,
    })
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        artefact().prop_map(Row::Artefact),
        chunk().prop_map(Row::ArtefactChunk),
    ]
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        artefact().prop_map(|artefact| Command::BeginArtefact { artefact }),
        chunk().prop_map(|chunk| Command::PutArtefactChunk { chunk }),
        name().prop_map(|artefact| Command::RemoveArtefact { artefact }),
    ]
}
