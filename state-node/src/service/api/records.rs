//! Looking at operations: lists of them, and waiting for the end of one.

use std::time::Duration;

use device_state::query::{self, OperationPlace};
use device_state::selection::OperationFilter;
use device_state::{DeviceName, Namespace, OperationRecord, ShardId};
use proto::convert::public::{InNamespace, OperationTarget, operation_filter};
use proto::drover::v1 as public;
use proto::drover::v1::operation::State;
use tokio::time::Instant;
use tonic::Status;

use crate::service::api::devices::after_name;
use crate::service::api::token::{self, PageToken};
use crate::service::api::{Api, named, page_size};
use crate::service::status;

/// Operations that are looked at for one page, over all shards.
const MAX_EXAMINED: usize = 10_000;
/// Operations that are looked at between two breaths: others use this thread too.
const CHUNK: usize = 512;
/// Between two looks at an operation while its end is waited for: a signal can be lost.
const RECHECK: Duration = Duration::from_secs(2);

impl Api {
    pub(super) async fn list_records(
        &self,
        asked: InNamespace<public::ListOperationsRequest>,
    ) -> Result<public::ListOperationsResponse, Status> {
        let InNamespace { namespace, request } = asked;
        let filter = operation_filter(&request.filter).map_err(|error| status::convert(&error))?;
        let question = format!("{}\0{}", request.endpoint, request.filter);
        let page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &namespace.qualify(&question),
            self.cluster_id(),
        )?;
        let size = page_size(request.page_size);
        match request.endpoint.as_str() {
            "" | "-" => self.records_of_all(&namespace, &filter, page, size).await,
            name => {
                let endpoint = named(&namespace, name)?;
                self.records_of(&endpoint, &filter, page, size).await
            }
        }
    }

    /// The operations of one device, as its shard's leader knows them now.
    async fn records_of(
        &self,
        endpoint: &DeviceName,
        filter: &OperationFilter,
        mut page: PageToken,
        size: usize,
    ) -> Result<public::ListOperationsResponse, Status> {
        let after = page.after.as_deref().map(sequence).transpose()?;
        let mut records = self.view(endpoint).await?.operations;
        records.retain(|record| {
            after.is_none_or(|after| record.id.sequence > after)
                && query::is_selected(filter, record)
        });
        let more = records.len() > size;
        records.truncate(size);
        page.after = records
            .last()
            .map(|last| last.id.sequence.to_be_bytes().to_vec());
        Ok(self.operations(records, more.then_some(page)))
    }

    /// The operations of all devices of a namespace, shard by shard, as this node has applied them.
    async fn records_of_all(
        &self,
        namespace: &Namespace,
        filter: &OperationFilter,
        mut page: PageToken,
        size: usize,
    ) -> Result<public::ListOperationsResponse, Status> {
        let mut records = Vec::new();
        let mut examined = 0;
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let after = page.after.take().map(|after| place(&after)).transpose()?;
            let bounds = (size - records.len(), CHUNK.min(MAX_EXAMINED - examined));
            let found = group.store().read(|tables| {
                query::select_operations(tables, namespace, filter, after.as_ref(), bounds)
            });
            examined += found.examined;
            records.extend(found.operations);
            match found.next {
                Some((endpoint, sequence)) => {
                    let mut after = sequence.to_be_bytes().to_vec();
                    after.extend_from_slice(endpoint.stored().as_bytes());
                    page.after = Some(after);
                }
                None => page.shard += 1,
            }
            if records.len() >= size || examined >= MAX_EXAMINED {
                break;
            }
            tokio::task::yield_now().await;
        }
        let more = self.router().group(ShardId(page.shard)).is_some();
        Ok(self.operations(records, more.then_some(page)))
    }

    fn operations(
        &self,
        records: Vec<OperationRecord>,
        next: Option<PageToken>,
    ) -> public::ListOperationsResponse {
        let next = next.map(|page| token::encode(&self.signer, &page));
        public::ListOperationsResponse {
            operations: records.into_iter().map(Into::into).collect(),
            next_page_token: next.unwrap_or_default(),
        }
    }

    /// The operation once it has ended, or as it is when the time is over.
    pub(super) async fn wait_for(
        &self,
        target: &OperationTarget,
        timeout: Duration,
    ) -> Result<public::Operation, Status> {
        let deadline = Instant::now() + timeout;
        let events = self.router().group_of(&target.endpoint).events();
        loop {
            // Asked for first: an end between the look and the wait is not missed.
            let signal = events.operation_finished(target.operation);
            let operation = self.operation(&target.endpoint, target.operation).await?;
            let runs = matches!(operation.state(), State::Pending | State::InFlight);
            if !runs || Instant::now() >= deadline {
                return Ok(operation);
            }
            let until = deadline.min(Instant::now() + RECHECK);
            // Whether the signal came or the time passed, the record tells.
            drop(tokio::time::timeout_at(until, signal).await);
        }
    }
}

fn foreign_token() -> Status {
    status::field("page_token", &"is not a token of this list")
}

fn sequence(bytes: &[u8]) -> Result<u64, Status> {
    let bytes = bytes.try_into().map_err(|_| foreign_token())?;
    Ok(u64::from_be_bytes(bytes))
}

fn place(bytes: &[u8]) -> Result<OperationPlace, Status> {
    let (first, name) = bytes.split_at_checked(8).ok_or_else(foreign_token)?;
    Ok((after_name(name)?, sequence(first)?))
}
