//! Packages that devices fetch from the cluster.

use super::Change;
use crate::artefact::{Artefact, ArtefactChunk, ArtefactName, ArtefactState};
use crate::command::{Outcome, Rejection};
use crate::limit::{ARTEFACT_ARRIVAL, MAX_ARTEFACT_BYTES, MAX_ARTEFACTS};
use crate::query;
use crate::table::{Expiring, Row, RowKey};

impl Change<'_> {
    /// Makes room for a package. One that is there already is done, and one that has begun has more time.
    pub(super) fn begin_artefact(&mut self, artefact: &Artefact) -> Result<Outcome, Rejection> {
        let until = self.now.saturating_add(ARTEFACT_ARRIVAL);
        let Some(known) = query::artefact(self.tables, &artefact.name) else {
            self.has_room_for(artefact)?;
            self.keep_artefact(Artefact {
                created_at: self.now,
                state: ArtefactState::Arriving { stored: 0, until },
                ..artefact.clone()
            });
            return Ok(Outcome::Arrived { complete: false });
        };
        let ArtefactState::Arriving { stored, .. } = known.state else {
            return Ok(Outcome::Arrived { complete: true });
        };
        self.keep_artefact(Artefact {
            state: ArtefactState::Arriving { stored, until },
            ..known
        });
        Ok(Outcome::Arrived { complete: false })
    }

    fn has_room_for(&self, artefact: &Artefact) -> Result<(), Rejection> {
        let others = query::artefacts(self.tables, &artefact.name.namespace);
        let bytes: u64 = others.iter().map(|other| other.size).sum();
        let fits = others.len() < MAX_ARTEFACTS && bytes + artefact.size <= MAX_ARTEFACT_BYTES;
        fits.then_some(()).ok_or(Rejection::TooManyArtefacts)
    }

    /// Stores a part of a package that has begun. The last one completes it.
    pub(super) fn put_artefact_chunk(
        &mut self,
        chunk: &ArtefactChunk,
    ) -> Result<Outcome, Rejection> {
        let artefact = query::artefact(self.tables, &chunk.artefact);
        let artefact = artefact.ok_or(Rejection::UnknownArtefact)?;
        let length = chunk.bytes.len() as u64;
        if artefact.chunk_length(chunk.number) != Some(length) {
            return Err(Rejection::WrongChunk);
        }
        let ArtefactState::Arriving { stored, until } = artefact.state else {
            return Ok(Outcome::Arrived { complete: true });
        };
        let row = Row::ArtefactChunk(chunk.clone());
        if self.tables.get(&row.key()).is_some() {
            return Ok(Outcome::Arrived { complete: false });
        }
        self.tables.put(row);
        let stored = stored + length;
        let complete = stored == artefact.size;
        let state = if complete {
            ArtefactState::Complete
        } else {
            ArtefactState::Arriving { stored, until }
        };
        self.keep_artefact(Artefact { state, ..artefact });
        Ok(Outcome::Arrived { complete })
    }

    pub(super) fn remove_artefact(&mut self, name: &ArtefactName) -> Result<Outcome, Rejection> {
        let artefact = query::artefact(self.tables, name).ok_or(Rejection::UnknownArtefact)?;
        self.drop_artefact(&artefact);
        Ok(Outcome::Done)
    }

    /// What did not arrive as a whole goes.
    pub(super) fn end_artefact(&mut self, name: &ArtefactName) -> bool {
        let artefact = query::artefact(self.tables, name);
        let due = |artefact: &Artefact| artefact.ends_at().is_some_and(|at| at <= self.now);
        match artefact.filter(due) {
            None => false,
            Some(artefact) => {
                self.drop_artefact(&artefact);
                true
            }
        }
    }

    fn keep_artefact(&mut self, artefact: Artefact) {
        let before = query::artefact(self.tables, &artefact.name);
        let before = before.and_then(|before| before.ends_at());
        let what = Expiring::Artefact(artefact.name.clone());
        self.reschedule(before, artefact.ends_at(), what);
        self.tables.put(Row::Artefact(artefact));
    }

    fn drop_artefact(&mut self, artefact: &Artefact) {
        let what = Expiring::Artefact(artefact.name.clone());
        self.reschedule(artefact.ends_at(), None, what);
        for number in 0..artefact.chunks() {
            let chunk = RowKey::ArtefactChunk(artefact.name.clone(), number);
            self.tables.delete(&chunk);
        }
        self.tables.delete(&RowKey::Artefact(artefact.name.clone()));
    }
}
