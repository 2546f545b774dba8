//! Credentials.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::id::{NodeId, SessionGeneration};
use crate::query;
use crate::record::{ContextOwner, Credential, CredentialId};
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Stores or replaces the credential of its id.
    pub(super) fn put_credential(&mut self, credential: &Credential) -> Outcome {
        let before = query::credential(self.tables, &credential.id);
        if before.is_some_and(|before| before.endpoint != credential.endpoint) {
            self.revoke(&credential.id);
        }
        self.tables.put(Row::Credential(Credential {
            created_at: self.now,
            ..credential.clone()
        }));
        Outcome::Done
    }

    pub(super) fn remove_credential(&mut self, id: &CredentialId) -> Result<Outcome, Rejection> {
        query::credential(self.tables, id).ok_or(Rejection::UnknownCredential)?;
        self.tables.delete(&RowKey::Credential(id.clone()));
        self.revoke(id);
        Ok(Outcome::Done)
    }

    /// The compare-and-swap that gives an OSCORE context to one owner at a time. Its row outlives the credential: were
    /// the same secret stored again and generations began anew, nonces would repeat.
    pub(super) fn claim_context(
        &mut self,
        oscore_id: &[u8],
        owner: NodeId,
        expected: SessionGeneration,
    ) -> Result<Outcome, Rejection> {
        let id = CredentialId::OscoreId(oscore_id.to_vec());
        query::credential(self.tables, &id).ok_or(Rejection::UnknownCredential)?;
        let before = query::context_owner(self.tables, oscore_id);
        let (generation, window) = before.map_or((SessionGeneration(0), Vec::new()), |before| {
            (before.generation, before.window)
        });
        if generation != expected {
            return Err(Rejection::GenerationMoved);
        }
        // After the last generation the device needs another context.
        let next = generation.0.checked_add(1);
        let context = ContextOwner {
            oscore_id: oscore_id.to_vec(),
            owner,
            generation: SessionGeneration(next.ok_or(Rejection::UnknownCredential)?),
            // From now on this owner knows better.
            window: Vec::new(),
        };
        self.tables.put(Row::ContextOwner(context.clone()));
        Ok(Outcome::ContextClaimed {
            context: ContextOwner { window, ..context },
        })
    }

    /// What an owner leaves counts only while no other one has followed it.
    pub(super) fn release_context(
        &mut self,
        oscore_id: &[u8],
        owner: NodeId,
        generation: SessionGeneration,
        window: &[u8],
    ) -> Result<Outcome, Rejection> {
        let context = query::context_owner(self.tables, oscore_id)
            .filter(|context| context.owner == owner && context.generation == generation)
            .ok_or(Rejection::GenerationMoved)?;
        self.tables.put(Row::ContextOwner(ContextOwner {
            window: window.to_vec(),
            ..context
        }));
        Ok(Outcome::Done)
    }

    fn revoke(&mut self, id: &CredentialId) {
        self.effects
            .push(Effect::CredentialRevoked { id: id.clone() });
    }
}
