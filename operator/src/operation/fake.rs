//! A state tier in memory with some devices, which sleep until they are woken.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::devices_server::DevicesServer;
use proto::drover::v1::operation::State;
use proto::drover::v1::operations_server::{Operations, OperationsServer};
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::Context;
use crate::controller::rig::{self, ApiServer, Calls, ListedDevices};
use crate::feed::Feed;

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(super) struct FakeStateTier {
    /// By request id.
    operations: Arc<Mutex<HashMap<String, api::Operation>>>,
    is_awake: Arc<Mutex<bool>>,
    /// Whether the device wakes up just before something is cancelled.
    is_faster: Arc<Mutex<bool>>,
    devices: ListedDevices,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::new();
    let (context, api_server) = fake.restart().await;
    (context, api_server, fake)
}

impl FakeStateTier {
    fn new() -> Self {
        let calls = Calls::default();
        Self {
            operations: Arc::default(),
            is_awake: Arc::default(),
            is_faster: Arc::default(),
            devices: ListedDevices::new(calls.clone()),
            calls,
        }
    }

    /// Another controller, which knows nothing, and an API server of its own.
    pub(super) async fn restart(&self) -> (Arc<Context>, ApiServer) {
        let services = Server::builder()
            .add_service(OperationsServer::new(self.clone()))
            .add_service(DevicesServer::new(self.devices.clone()));
        let (shared, api_server) = rig::shared(rig::state_tier(services).await);
        let context = Context::new(shared, Feed::default());
        (Arc::new(context), api_server)
    }

    /// What was asked for, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    /// Those of a namespace, in the order in which they are listed.
    pub(super) fn have_devices(&self, names: &[&str]) {
        self.devices.are(names);
    }

    /// What was asked for, by the ids of requests.
    pub(super) fn requests(&self) -> Vec<String> {
        let mut all: Vec<String> = self.operations.lock().unwrap().keys().cloned().collect();
        all.sort();
        all
    }

    pub(super) fn wake_up(&self) {
        *self.is_awake.lock().unwrap() = true;
        for operation in self.operations.lock().unwrap().values_mut() {
            deliver(operation);
        }
    }

    /// From now on the device wakes up just before something is cancelled.
    pub(super) fn be_faster(&self) {
        *self.is_faster.lock().unwrap() = true;
    }

    fn with(&self, id: &str, work: impl FnOnce(&mut api::Operation)) -> Answer<api::Operation> {
        let mut operations = self.operations.lock().unwrap();
        let found = operations.values_mut().find(|one| one.id == id);
        let found = found.ok_or_else(|| Status::not_found("no such operation"))?;
        work(found);
        Ok(Response::new(found.clone()))
    }

    fn enqueue(&self, delivery: Option<&api::Delivery>) -> Answer<api::OperationResponse> {
        let id = &delivery.unwrap().request_id;
        let mut operations = self.operations.lock().unwrap();
        let next = format!("1-{}", operations.len() + 1);
        let operation = operations
            .entry(id.clone())
            .or_insert_with(|| api::Operation {
                id: next,
                state: State::Pending.into(),
                ..Default::default()
            });
        if *self.is_awake.lock().unwrap() {
            deliver(operation);
        }
        Ok(Response::new(api::OperationResponse {
            operation: Some(operation.clone()),
        }))
    }
}

fn deliver(operation: &mut api::Operation) {
    if operation.state() == State::Pending {
        operation.set_state(State::Delivered);
        operation.coap_code = "2.04".to_owned();
    }
}

fn refused(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "drover.dev", HashMap::new());
    Status::with_error_details(code, message, details)
}

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("no test asks for it"))
}

#[tonic::async_trait]
impl Operations for FakeStateTier {
    type ObserveStream = tokio_stream::Pending<Result<api::ObserveResponse, Status>>;
    type ObserveCompositeStream = Self::ObserveStream;

    async fn read(&self, request: Request<api::ReadRequest>) -> Answer<api::ReadResponse> {
        let path = request.get_ref().path.clone();
        self.calls.add_of("read", &request, &path);
        if !*self.is_awake.lock().unwrap() {
            let message = "the device sleeps";
            return Err(refused(Code::Unavailable, "DEVICE_ASLEEP", message));
        }
        if path == "/3/0/99" {
            let message = "the device answered 4.04";
            return Err(refused(Code::NotFound, "COAP_4_04", message));
        }
        let value = api::value::Kind::String("Acme".to_owned());
        Ok(Response::new(api::ReadResponse {
            values: vec![api::PathValue {
                path,
                value: Some(api::Value { kind: Some(value) }),
            }],
        }))
    }

    async fn execute(
        &self,
        request: Request<api::ExecuteRequest>,
    ) -> Answer<api::OperationResponse> {
        let asked = request.get_ref();
        let about = if self.devices.is_empty() {
            asked.path.clone()
        } else {
            format!("{}{}", asked.endpoint, asked.path)
        };
        self.calls.add_of("execute", &request, &about);
        self.enqueue(request.get_ref().delivery.as_ref())
    }

    async fn get_operation(
        &self,
        request: Request<api::GetOperationRequest>,
    ) -> Answer<api::Operation> {
        self.with(&request.get_ref().id, |_| {})
    }

    async fn cancel_operation(
        &self,
        request: Request<api::CancelOperationRequest>,
    ) -> Answer<api::Operation> {
        let id = &request.get_ref().id;
        self.calls.add_of("cancel", &request, id);
        if *self.is_faster.lock().unwrap() {
            self.wake_up();
        }
        self.with(id, |one| {
            if one.state() == State::Pending {
                one.set_state(State::Cancelled);
            }
        })
    }

    async fn write(&self, _: Request<api::WriteRequest>) -> Answer<api::OperationResponse> {
        never()
    }

    async fn discover(&self, _: Request<api::DiscoverRequest>) -> Answer<api::DiscoverResponse> {
        never()
    }

    async fn list_children(
        &self,
        _: Request<api::ListChildrenRequest>,
    ) -> Answer<api::ListChildrenResponse> {
        never()
    }

    async fn observe(&self, _: Request<api::ObserveRequest>) -> Answer<Self::ObserveStream> {
        never()
    }

    async fn observe_composite(
        &self,
        _: Request<api::ObserveCompositeRequest>,
    ) -> Answer<Self::ObserveCompositeStream> {
        never()
    }

    async fn create_instance(
        &self,
        _: Request<api::CreateInstanceRequest>,
    ) -> Answer<api::OperationResponse> {
        never()
    }

    async fn delete_instance(
        &self,
        _: Request<api::DeleteInstanceRequest>,
    ) -> Answer<api::OperationResponse> {
        never()
    }

    async fn write_attributes(
        &self,
        _: Request<api::WriteAttributesRequest>,
    ) -> Answer<api::OperationResponse> {
        never()
    }

    async fn read_composite(
        &self,
        _: Request<api::ReadCompositeRequest>,
    ) -> Answer<api::ReadResponse> {
        never()
    }

    async fn write_composite(
        &self,
        _: Request<api::WriteCompositeRequest>,
    ) -> Answer<api::OperationResponse> {
        never()
    }

    async fn send_raw(&self, _: Request<api::SendRawRequest>) -> Answer<api::SendRawResponse> {
        never()
    }

    async fn list_operations(
        &self,
        _: Request<api::ListOperationsRequest>,
    ) -> Answer<api::ListOperationsResponse> {
        never()
    }

    async fn wait_operation(
        &self,
        request: Request<api::WaitOperationRequest>,
    ) -> Answer<api::Operation> {
        self.with(&request.get_ref().id, |_| {})
    }
}
