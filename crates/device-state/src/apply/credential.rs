//! Credentials.

use super::Change;
use crate::command::{Outcome, Rejection};
use crate::effect::Effect;
use crate::id::{NodeId, SessionGeneration};
use crate::limit::MAX_ENDPOINT_CREDENTIALS;
use crate::name::{DeviceName, Namespace};
use crate::query;
use crate::record::{
    BoundCredential, ContextOwner, Credential, CredentialId, CredentialKey, CredentialName,
    SecurityIdentity,
};
use crate::table::{Row, RowKey};

impl Change<'_> {
    /// Stores or replaces the credential of its id.
    pub(super) fn put_credential(&mut self, credential: &Credential) -> Outcome {
        let name = credential.name();
        let before = query::credential(self.tables, &name)
            .filter(|before| before.endpoint != credential.endpoint);
        if before.is_some() {
            self.revoke(name);
        }
        self.tables.put(Row::Credential(Credential {
            created_at: self.now,
            ..credential.clone()
        }));
        before.map_or(Outcome::Done, |before| Outcome::CredentialTaken {
            endpoint: before.endpoint,
            serial: before.serial,
        })
    }

    /// Stores the credential of its id, or replaces that of the same endpoint.
    pub(super) fn add_credential(&mut self, credential: &Credential) -> Result<Outcome, Rejection> {
        let before = query::credential(self.tables, &credential.name());
        if before.is_some_and(|before| before.endpoint != credential.endpoint) {
            return Err(Rejection::CredentialTaken);
        }
        Ok(self.put_credential(credential))
    }

    pub(super) fn remove_credential(
        &mut self,
        name: &CredentialName,
    ) -> Result<Outcome, Rejection> {
        let before = query::credential(self.tables, name).ok_or(Rejection::UnknownCredential)?;
        self.tables.delete(&RowKey::Credential(name.clone()));
        self.revoke(name.clone());
        Ok(Outcome::CredentialTaken {
            endpoint: before.endpoint,
            serial: before.serial,
        })
    }

    pub(super) fn bind_endpoint(
        &mut self,
        endpoint: &DeviceName,
        credential: &BoundCredential,
    ) -> Result<Outcome, Rejection> {
        let mut credentials = query::endpoint_credentials(self.tables, endpoint);
        credentials.retain(|bound| bound.key.id != credential.key.id);
        if credentials.len() >= MAX_ENDPOINT_CREDENTIALS {
            return Err(Rejection::TooManyCredentials);
        }
        credentials.push(credential.clone());
        self.tables.put(Row::EndpointCredentials {
            endpoint: endpoint.clone(),
            credentials,
        });
        self.dissolve_registration(endpoint, &SecurityIdentity::Unauthenticated);
        Ok(Outcome::Done)
    }

    /// Another credential of the same id, which was bound meanwhile, stays.
    pub(super) fn unbind_endpoint(
        &mut self,
        endpoint: &DeviceName,
        credential: &CredentialKey,
    ) -> Outcome {
        let mut credentials = query::endpoint_credentials(self.tables, endpoint);
        let before = credentials.len();
        credentials.retain(|bound| bound.key != *credential);
        if credentials.len() == before {
            return Outcome::Done;
        }
        if credentials.is_empty() {
            self.tables
                .delete(&RowKey::EndpointCredentials(endpoint.clone()));
        } else {
            self.tables.put(Row::EndpointCredentials {
                endpoint: endpoint.clone(),
                credentials,
            });
        }
        let identity = SecurityIdentity::Credential(credential.id.clone());
        self.dissolve_registration(endpoint, &identity);
        Outcome::Done
    }

    fn dissolve_registration(&mut self, endpoint: &DeviceName, identity: &SecurityIdentity) {
        let live = query::registration(self.tables, endpoint);
        if let Some(registration) = live.filter(|live| live.identity == *identity) {
            self.dissolve(registration);
        }
    }

    /// The compare-and-swap that gives an OSCORE context to one owner at a time. Its row outlives the credential: were
    /// the same secret stored again and generations began anew, nonces would repeat.
    pub(super) fn claim_context(
        &mut self,
        (namespace, oscore_id): (&Namespace, &[u8]),
        owner: NodeId,
        expected: SessionGeneration,
    ) -> Result<Outcome, Rejection> {
        let id = CredentialId::OscoreId(oscore_id.to_vec());
        let name = CredentialName::new(namespace, id);
        query::credential(self.tables, &name).ok_or(Rejection::UnknownCredential)?;
        let before = query::context_owner(self.tables, namespace, oscore_id);
        // Without a row there may have been owners whose rows a restore has lost.
        let floor = if before.is_none() {
            self.counters.context_floor
        } else {
            SessionGeneration::default()
        };
        let (generation, window) = before.map_or((SessionGeneration(0), Vec::new()), |before| {
            (before.generation, before.window)
        });
        if generation != expected {
            return Err(Rejection::GenerationMoved);
        }
        // After the last generation the device needs another context.
        let next = generation.0.max(floor.0).checked_add(1);
        let context = ContextOwner {
            namespace: namespace.clone(),
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
        (namespace, oscore_id): (&Namespace, &[u8]),
        owner: NodeId,
        generation: SessionGeneration,
        window: &[u8],
    ) -> Result<Outcome, Rejection> {
        let context = query::context_owner(self.tables, namespace, oscore_id)
            .filter(|context| context.owner == owner && context.generation == generation)
            .ok_or(Rejection::GenerationMoved)?;
        self.tables.put(Row::ContextOwner(ContextOwner {
            window: window.to_vec(),
            ..context
        }));
        Ok(Outcome::Done)
    }

    fn revoke(&mut self, credential: CredentialName) {
        self.effects.push(Effect::CredentialRevoked { credential });
    }
}
