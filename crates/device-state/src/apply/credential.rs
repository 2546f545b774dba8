//! Credentials.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::query;
use crate::record::{Credential, CredentialId};
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

    fn revoke(&mut self, id: &CredentialId) {
        self.effects
            .push(Effect::CredentialRevoked { id: id.clone() });
    }
}
