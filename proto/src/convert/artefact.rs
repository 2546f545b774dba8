//! Packages as they are stored.

use device_state::{Artefact, ArtefactChunk, ArtefactName, ArtefactState, Digest};

use super::campaign::bounded;
use super::{ConvertError, Reason, message, namespace, time};
use crate::storage::v1 as wire;
use crate::storage::v1::artefact::Arrival;

impl From<ArtefactName> for wire::ArtefactName {
    fn from(name: ArtefactName) -> Self {
        Self {
            namespace: name.namespace.stored().to_owned(),
            digest: name.digest.0.to_vec(),
        }
    }
}

impl TryFrom<wire::ArtefactName> for ArtefactName {
    type Error = ConvertError;

    fn try_from(name: wire::ArtefactName) -> Result<Self, ConvertError> {
        let length = name.digest.len();
        let digest = name.digest.try_into();
        Ok(Self {
            namespace: namespace(&name.namespace)?,
            digest: Digest(
                digest.map_err(|_| ConvertError::new("digest", Reason::Length(length)))?,
            ),
        })
    }
}

impl From<Artefact> for wire::Artefact {
    fn from(artefact: Artefact) -> Self {
        let arrival = match artefact.state {
            ArtefactState::Arriving { stored, until } => Some(Arrival {
                stored,
                until_ms: until.0,
            }),
            ArtefactState::Complete => None,
        };
        Self {
            name: Some(artefact.name.into()),
            size: artefact.size,
            title: artefact.title,
            created_at_ms: artefact.created_at.0,
            arrival,
        }
    }
}

impl TryFrom<wire::Artefact> for Artefact {
    type Error = ConvertError;

    fn try_from(artefact: wire::Artefact) -> Result<Self, ConvertError> {
        bounded("title", &artefact.title, Self::MAX_TITLE)?;
        if !(1..=Self::MAX_SIZE).contains(&artefact.size) {
            let reason = Reason::OutOfRange(artefact.size);
            return Err(ConvertError::new("size", reason));
        }
        let state =
            artefact
                .arrival
                .map_or(ArtefactState::Complete, |arrival| ArtefactState::Arriving {
                    stored: arrival.stored,
                    until: time(arrival.until_ms),
                });
        Ok(Self {
            name: message("name", artefact.name)?,
            size: artefact.size,
            title: artefact.title,
            created_at: time(artefact.created_at_ms),
            state,
        })
    }
}

impl From<ArtefactChunk> for wire::ArtefactChunk {
    fn from(chunk: ArtefactChunk) -> Self {
        Self {
            artefact: Some(chunk.artefact.into()),
            number: chunk.number,
            data: chunk.bytes,
        }
    }
}

impl TryFrom<wire::ArtefactChunk> for ArtefactChunk {
    type Error = ConvertError;

    fn try_from(chunk: wire::ArtefactChunk) -> Result<Self, ConvertError> {
        let length = chunk.data.len();
        if !(1..=Self::BYTES).contains(&(length as u64)) {
            return Err(ConvertError::new("data", Reason::Length(length)));
        }
        Ok(Self {
            artefact: message("artefact", chunk.artefact)?,
            number: chunk.number,
            bytes: chunk.data,
        })
    }
}
