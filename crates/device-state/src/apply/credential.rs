//! Pre-shared keys.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::query;
use crate::record::Credential;
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Stores or replaces the credential of its identity.
    pub(super) fn put_credential(&mut self, credential: &Credential) -> Outcome {
        self.tables.put(Row::Credential(Credential {
            created_at: self.now,
            ..credential.clone()
        }));
        self.effects.push(Effect::CredentialChanged {
            identity: credential.identity.clone(),
        });
        Outcome::Done
    }

    pub(super) fn remove_credential(&mut self, identity: &[u8]) -> Result<Outcome, Rejection> {
        query::credential(self.tables, identity).ok_or(Rejection::UnknownCredential)?;
        self.tables.delete(&RowKey::Credential(identity.to_vec()));
        self.effects.push(Effect::CredentialRemoved {
            identity: identity.to_vec(),
        });
        Ok(Outcome::Done)
    }
}
