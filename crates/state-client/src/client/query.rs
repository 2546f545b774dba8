//! Queries, answered by the shard's leader without a commit.

use std::time::Duration;

use device_state::{
    ContextOwner, CredentialId, DeviceName, Namespace, Registration, Resumption, ResumptionId,
    Secret, Session, SessionCid, ShardId, registration_shard,
};
use lwm2m::{EndpointName, RegistrationId};
use proto::rpc::v1::query::Kind;
use proto::rpc::v1::{self as rpc, call, call_result, query_result};
use tokio::time::{Instant, timeout_at};

use super::Client;
use crate::error::{AnswerError, QueryError};

/// A credential with its secret in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearCredential {
    /// The endpoint that its holder may register.
    pub endpoint: EndpointName,
    pub secret: Secret,
}

impl Client {
    /// The credential with an id.
    pub async fn credential(
        &self,
        id: &CredentialId,
        timeout: Duration,
    ) -> Result<Option<ClearCredential>, QueryError> {
        let deadline = Instant::now() + timeout;
        let shards = self.shards(deadline).await?;
        let name = self.credential_name(id);
        let shard = ShardId::of_credential(&name, shards);
        match self
            .query(shard, Kind::Credential(name.into()), deadline)
            .await?
        {
            query_result::Kind::None(_) => Ok(None),
            query_result::Kind::Credential(found) => {
                Ok(Some(clear_credential(self.namespace(), found)?))
            }
            _ => Err(AnswerError::Mismatch.into()),
        }
    }

    /// Who protects messages in the OSCORE context of a device; `None` if nobody ever has.
    pub async fn context_owner(
        &self,
        oscore_id: &[u8],
        timeout: Duration,
    ) -> Result<Option<ContextOwner>, QueryError> {
        let deadline = Instant::now() + timeout;
        let id = CredentialId::OscoreId(oscore_id.to_vec());
        let name = self.credential_name(&id);
        let shard = ShardId::of_credential(&name, self.shards(deadline).await?);
        let query = if name.namespace.is_default() {
            Kind::ContextOwner(oscore_id.to_vec())
        } else {
            Kind::ContextOwnerOfNamespace(name.into())
        };
        match self.query(shard, query, deadline).await? {
            query_result::Kind::None(_) => Ok(None),
            query_result::Kind::ContextOwner(found) => {
                Ok(Some(found.try_into().map_err(AnswerError::from)?))
            }
            _ => Err(AnswerError::Mismatch.into()),
        }
    }

    /// The stored session with a Connection ID.
    pub async fn session(
        &self,
        cid: SessionCid,
        timeout: Duration,
    ) -> Result<Option<Session>, QueryError> {
        let deadline = Instant::now() + timeout;
        let shard = cid.shard();
        if shard.0 >= self.shards(deadline).await? {
            return Ok(None);
        }
        match self
            .query(shard, Kind::Session(cid.0.to_vec()), deadline)
            .await?
        {
            query_result::Kind::None(_) => Ok(None),
            query_result::Kind::Session(found) => {
                let found = Session::try_from(found).map_err(AnswerError::from)?;
                Ok(Some(found).filter(|found| found.namespace == *self.namespace()))
            }
            _ => Err(AnswerError::Mismatch.into()),
        }
    }

    /// What a device can resume by, with its state in clear.
    pub async fn resumption(
        &self,
        id: ResumptionId,
        timeout: Duration,
    ) -> Result<Option<Resumption>, QueryError> {
        let deadline = Instant::now() + timeout;
        let shard = id.shard();
        // The id is a stranger's: it need not name a shard that exists.
        if shard.0 >= self.shards(deadline).await? {
            return Ok(None);
        }
        match self
            .query(shard, Kind::Resumption(id.0.to_vec()), deadline)
            .await?
        {
            query_result::Kind::None(_) => Ok(None),
            query_result::Kind::Resumption(found) => {
                let found = Resumption::try_from(found).map_err(AnswerError::from)?;
                Ok(Some(found).filter(|found| found.namespace == *self.namespace()))
            }
            _ => Err(AnswerError::Mismatch.into()),
        }
    }

    /// The live registration of an endpoint.
    pub async fn registration_by_endpoint(
        &self,
        endpoint: &EndpointName,
        timeout: Duration,
    ) -> Result<Option<Registration>, QueryError> {
        let deadline = Instant::now() + timeout;
        let device = self.device(endpoint);
        let shard = ShardId::of_endpoint(&device, self.shards(deadline).await?);
        self.registration(
            shard,
            Kind::RegistrationByEndpoint(device.stored().to_owned()),
            deadline,
        )
        .await
    }

    /// The live registration with an id.
    pub async fn registration_by_id(
        &self,
        id: &RegistrationId,
        timeout: Duration,
    ) -> Result<Option<Registration>, QueryError> {
        let deadline = Instant::now() + timeout;
        let shard = registration_shard(id).ok_or(QueryError::NoShard)?;
        if shard.0 >= self.shards(deadline).await? {
            return Ok(None);
        }
        self.registration(shard, Kind::RegistrationById(id.to_string()), deadline)
            .await
    }

    async fn registration(
        &self,
        shard: ShardId,
        query: Kind,
        deadline: Instant,
    ) -> Result<Option<Registration>, QueryError> {
        match self.query(shard, query, deadline).await? {
            query_result::Kind::None(_) => Ok(None),
            query_result::Kind::Registration(found) => {
                let found = Registration::try_from(found).map_err(AnswerError::from)?;
                Ok(Some(found).filter(|found| found.endpoint.is_in(self.namespace())))
            }
            _ => Err(AnswerError::Mismatch.into()),
        }
    }

    async fn query(
        &self,
        shard: ShardId,
        kind: Kind,
        deadline: Instant,
    ) -> Result<query_result::Kind, QueryError> {
        let query = call::Kind::Query(rpc::Query { kind: Some(kind) });
        let left = deadline.saturating_duration_since(Instant::now());
        match self.shared.call(shard, query, left).await? {
            call_result::Kind::Query(result) => {
                result.kind.ok_or_else(|| AnswerError::Mismatch.into())
            }
            call_result::Kind::Outcome(_) | call_result::Kind::Error(_) => {
                Err(AnswerError::Mismatch.into())
            }
        }
    }

    async fn shards(&self, deadline: Instant) -> Result<u16, QueryError> {
        if let Some(topology) = self.topology() {
            return Ok(topology.shards);
        }
        let known = timeout_at(deadline, self.ready()).await;
        known
            .map(|topology| topology.shards)
            .map_err(|_| QueryError::Unavailable)
    }
}

fn clear_credential(
    namespace: &Namespace,
    found: rpc::ClearCredential,
) -> Result<ClearCredential, AnswerError> {
    use rpc::clear_credential::Secret as Clear;
    let device = DeviceName::parse(&found.endpoint).map_err(|_| AnswerError::Mismatch)?;
    if !device.is_in(namespace) {
        return Err(AnswerError::Mismatch);
    }
    Ok(ClearCredential {
        endpoint: device.endpoint(),
        secret: match found.secret.ok_or(AnswerError::Mismatch)? {
            Clear::PreSharedKey(key) => Secret::PreSharedKey(key),
            Clear::PublicKey(_) => Secret::PublicKey,
            Clear::Oscore(secret) => Secret::Oscore(secret.into()),
        },
    })
}
