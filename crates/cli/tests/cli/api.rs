//! A public API that answers from a script.

mod profiles;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use proto::convert::public::{new_models, summary};
use proto::drover::v1::credentials_server::{Credentials, CredentialsServer};
use proto::drover::v1::desired_state_server::{DesiredState, DesiredStateServer};
use proto::drover::v1::device_profiles_server::DeviceProfilesServer;
use proto::drover::v1::devices_server::{Devices, DevicesServer};
use proto::drover::v1::object_models_server::{ObjectModels, ObjectModelsServer};
use proto::drover::v1::operations_server::{Operations, OperationsServer};
use proto::drover::v1::value::Kind;
use proto::drover::v1::{
    CancelOperationRequest, ChildDevice, CreateInstanceRequest, Credential,
    DeleteCredentialRequest, DeleteCredentialResponse, DeleteDeviceRequest, DeleteDeviceResponse,
    DeleteInstanceRequest, DeleteObjectModelRequest, DeleteObjectModelResponse, DesiredResource,
    DesiredResources, Device, DiscoverRequest, DiscoverResponse, Event, ExecuteRequest,
    GetDesiredRequest, GetDeviceRequest, GetObjectModelRequest, GetObjectModelResponse,
    GetOperationRequest, ListChildrenRequest, ListChildrenResponse, ListCredentialsRequest,
    ListCredentialsResponse, ListDevicesRequest, ListDevicesResponse, ListObjectModelsRequest,
    ListObjectModelsResponse, ListOperationsRequest, ListOperationsResponse, ObjectInstance,
    ObserveCompositeRequest, ObserveRequest, ObserveResponse, Operation, OperationResponse,
    PathValue, PutCredentialRequest, PutObjectModelsRequest, PutObjectModelsResponse, RawAnswer,
    ReadCompositeRequest, ReadRequest, ReadResponse, ReportedValue, SendRawRequest,
    SendRawResponse, SetDesiredRequest, UpdateDeviceRequest, Value, WaitOperationRequest,
    WatchEventsRequest, WatchEventsResponse, WriteAttributesRequest, WriteCompositeRequest,
    WriteRequest, desired_resource, device, event, operation,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

type Answer<T> = Result<Response<T>, Status>;
type Streaming<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone, Default)]
struct Script {
    writes: Arc<Mutex<Vec<WriteRequest>>>,
    credentials: Arc<Mutex<Vec<PutCredentialRequest>>>,
    resume_tokens: Arc<Mutex<Vec<String>>>,
    desired: Arc<Mutex<DesiredResources>>,
    models: Arc<Mutex<Vec<lwm2m::ObjectModel>>>,
    updates: Arc<Mutex<Vec<UpdateDeviceRequest>>>,
    filters: Arc<Mutex<Vec<String>>>,
}

/// The API at a free port, which it keeps until the test ends: a port given back could be another test's next.
pub(crate) struct FakeApi {
    address: String,
    script: Script,
    _server: JoinSet<()>,
}

impl FakeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let script = Script::default();
        let serving = Server::builder()
            .add_service(DevicesServer::new(script.clone()))
            .add_service(OperationsServer::new(script.clone()))
            .add_service(CredentialsServer::new(script.clone()))
            .add_service(DesiredStateServer::new(script.clone()))
            .add_service(DeviceProfilesServer::new(script.clone()))
            .add_service(ObjectModelsServer::new(script.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut server = JoinSet::new();
        server.spawn(async move { serving.await.unwrap() });
        Self {
            address,
            script,
            _server: server,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn last_write(&self) -> WriteRequest {
        self.script.writes.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn last_credential(&self) -> PutCredentialRequest {
        self.script
            .credentials
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .clone()
    }

    pub(crate) fn credential_count(&self) -> usize {
        self.script.credentials.lock().unwrap().len()
    }

    /// Generation, paths and texts of the desired set.
    pub(crate) fn desired(&self) -> (u64, Vec<(String, String)>) {
        let desired = self.script.desired.lock().unwrap();
        let pair = |one: &DesiredResource| (one.path.clone(), one.text.clone());
        (
            desired.generation,
            desired.resources.iter().map(pair).collect(),
        )
    }

    pub(crate) fn updates(&self) -> Vec<UpdateDeviceRequest> {
        self.script.updates.lock().unwrap().clone()
    }

    pub(crate) fn filters(&self) -> Vec<String> {
        self.script.filters.lock().unwrap().clone()
    }

    pub(crate) fn resume_tokens(&self) -> Vec<String> {
        self.script.resume_tokens.lock().unwrap().clone()
    }
}

fn refused(code: Code, message: &str, reason: &str, violation: Option<(&str, &str)>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "drover.dev", std::collections::HashMap::new());
    if let Some((field, description)) = violation {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(code, message, details)
}

fn registered(endpoint: &str) -> Device {
    Device {
        endpoint: endpoint.to_owned(),
        state: device::State::Registered.into(),
        ..Device::default()
    }
}

#[tonic::async_trait]
impl ObjectModels for Script {
    async fn put_object_models(
        &self,
        request: Request<PutObjectModelsRequest>,
    ) -> Answer<PutObjectModelsResponse> {
        let added = new_models(&request.into_inner()).unwrap();
        let models = added.iter().map(summary).collect();
        self.models.lock().unwrap().extend(added);
        Ok(Response::new(PutObjectModelsResponse { models }))
    }

    async fn list_object_models(
        &self,
        _: Request<ListObjectModelsRequest>,
    ) -> Answer<ListObjectModelsResponse> {
        let models = self.models.lock().unwrap().iter().map(summary).collect();
        Ok(Response::new(ListObjectModelsResponse { models }))
    }

    async fn get_object_model(
        &self,
        request: Request<GetObjectModelRequest>,
    ) -> Answer<GetObjectModelResponse> {
        let id = request.into_inner().id;
        let mut models = self.models.lock().unwrap().clone();
        models.retain(|model| u32::from(model.id) == id);
        if models.is_empty() {
            return Err(refused(Code::NotFound, "not known", "NOT_FOUND", None));
        }
        let versions = models.into_iter().map(Into::into).collect();
        Ok(Response::new(GetObjectModelResponse { versions }))
    }

    async fn delete_object_model(
        &self,
        request: Request<DeleteObjectModelRequest>,
    ) -> Answer<DeleteObjectModelResponse> {
        let id = request.into_inner().id;
        let mut models = self.models.lock().unwrap();
        models.retain(|model| u32::from(model.id) != id);
        Ok(Response::new(DeleteObjectModelResponse {}))
    }
}

#[tonic::async_trait]
impl Devices for Script {
    type WatchEventsStream = Streaming<WatchEventsResponse>;

    async fn update_device(&self, request: Request<UpdateDeviceRequest>) -> Answer<Device> {
        let request = request.into_inner();
        let device = request.device.clone().unwrap();
        self.updates.lock().unwrap().push(request);
        Ok(Response::new(device))
    }

    async fn delete_device(&self, _: Request<DeleteDeviceRequest>) -> Answer<DeleteDeviceResponse> {
        Err(refused(
            Code::FailedPrecondition,
            "the device is registered",
            "STILL_REGISTERED",
            None,
        ))
    }

    async fn get_device(&self, _: Request<GetDeviceRequest>) -> Answer<Device> {
        Err(refused(
            Code::NotFound,
            "no such device",
            "DEVICE_UNKNOWN",
            None,
        ))
    }

    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Answer<ListDevicesResponse> {
        let request = request.into_inner();
        self.filters.lock().unwrap().push(request.filter);
        let (endpoint, next) = if request.page_token.is_empty() {
            ("dev-1", "2")
        } else {
            ("dev-2", "")
        };
        Ok(Response::new(ListDevicesResponse {
            devices: vec![registered(endpoint)],
            next_page_token: next.to_owned(),
        }))
    }

    /// One event, then the end: the next call goes on.
    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let token = request.into_inner().resume_token;
        let next = token.parse::<u32>().unwrap_or_default() + 1;
        self.resume_tokens.lock().unwrap().push(token);
        let event = WatchEventsResponse {
            resume_token: next.to_string(),
            event: Some(Event {
                endpoint: "dev-1".to_owned(),
                time: None,
                kind: Some(event::Kind::Registered(registered("dev-1"))),
            }),
            ..Default::default()
        };
        let lost = Err(Status::unavailable("the node stops"));
        Ok(Response::new(Box::pin(tokio_stream::iter([
            Ok(event),
            lost,
        ]))))
    }
}

fn ended(
    endpoint: String,
    name: &str,
    path: String,
    state: operation::State,
    code: &str,
) -> Answer<OperationResponse> {
    let operation = Operation {
        endpoint,
        id: "3-17".to_owned(),
        name: name.to_owned(),
        path,
        state: state.into(),
        coap_code: code.to_owned(),
        diagnostic: if code == "4.05" {
            "read only".to_owned()
        } else {
            String::new()
        },
        ..Operation::default()
    };
    Ok(Response::new(OperationResponse {
        operation: Some(operation),
    }))
}

fn float(number: f64) -> Option<Value> {
    Some(Value {
        kind: Some(Kind::Float(number)),
    })
}

#[tonic::async_trait]
impl Operations for Script {
    type ObserveStream = Streaming<ObserveResponse>;
    type ObserveCompositeStream = Streaming<ObserveResponse>;

    /// A device with a battery level and a temperature.
    async fn read_composite(&self, request: Request<ReadCompositeRequest>) -> Answer<ReadResponse> {
        let known = [
            ("/3/0/9", Kind::Integer(88)),
            ("/3303/0/5700", Kind::Float(21.5)),
        ];
        let asked = request.into_inner().paths;
        let values = known
            .into_iter()
            .filter(|(path, _)| asked.iter().any(|asked| asked == path))
            .map(|(path, kind)| PathValue {
                path: path.to_owned(),
                value: Some(Value { kind: Some(kind) }),
            });
        Ok(Response::new(ReadResponse {
            values: values.collect(),
        }))
    }

    async fn observe_composite(
        &self,
        _: Request<ObserveCompositeRequest>,
    ) -> Answer<Self::ObserveCompositeStream> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn write_composite(
        &self,
        request: Request<WriteCompositeRequest>,
    ) -> Answer<OperationResponse> {
        let request = request.into_inner();
        let paths = request.values.into_iter().map(|value| value.path);
        let paths: Vec<String> = paths.chain(request.removals).collect();
        ended(
            request.endpoint,
            "write-composite",
            paths.join(" "),
            operation::State::Delivered,
            "2.04",
        )
    }

    /// The device says back what it was sent.
    async fn send_raw(&self, request: Request<SendRawRequest>) -> Answer<SendRawResponse> {
        let request = request.into_inner();
        Ok(Response::new(SendRawResponse {
            operation: None,
            answer: Some(RawAnswer {
                coap_code: "2.05".to_owned(),
                content_format: request.content_format,
                payload: request.payload,
            }),
        }))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Answer<ReadResponse> {
        let request = request.into_inner();
        if request.endpoint == "gone" {
            let message = "the device is not registered";
            return Err(refused(
                Code::FailedPrecondition,
                message,
                "DEVICE_NOT_REGISTERED",
                None,
            ));
        }
        if request.path != "/3/0/9" {
            return Err(refused(
                Code::NotFound,
                "the device answered 4.04",
                "COAP_4_04",
                None,
            ));
        }
        let value = Some(Value {
            kind: Some(Kind::Integer(88)),
        });
        Ok(Response::new(ReadResponse {
            values: vec![PathValue {
                path: request.path,
                value,
            }],
        }))
    }

    async fn write(&self, request: Request<WriteRequest>) -> Answer<OperationResponse> {
        let request = request.into_inner();
        self.writes.lock().unwrap().push(request.clone());
        if request.text == "soon" {
            let violation = Some(("text", "not a valid integer"));
            return Err(refused(
                Code::InvalidArgument,
                "the request is malformed",
                "INVALID_VALUE",
                violation,
            ));
        }
        if request.path == "/3/0/0" {
            return ended(
                request.endpoint,
                "write",
                request.path,
                operation::State::Rejected,
                "4.05",
            );
        }
        ended(
            request.endpoint,
            "write",
            request.path,
            operation::State::Delivered,
            "2.04",
        )
    }

    /// The device sleeps until the deadline.
    async fn execute(&self, request: Request<ExecuteRequest>) -> Answer<OperationResponse> {
        let request = request.into_inner();
        let deadline = request
            .delivery
            .and_then(|delivery| delivery.deadline)
            .unwrap();
        tokio::time::sleep(Duration::try_from(deadline).unwrap()).await;
        ended(
            request.endpoint,
            "execute",
            request.path,
            operation::State::Expired,
            "",
        )
    }

    async fn discover(&self, _: Request<DiscoverRequest>) -> Answer<DiscoverResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    /// A gateway with one device that can be asked and one that cannot.
    async fn list_children(&self, _: Request<ListChildrenRequest>) -> Answer<ListChildrenResponse> {
        let sensor = ChildDevice {
            id: "SN01".to_owned(),
            prefix: "dev0".to_owned(),
            objects: vec![ObjectInstance {
                object: 3303,
                instance: Some(0),
                version: "1.0".to_owned(),
            }],
            ..ChildDevice::default()
        };
        let nameless = ChildDevice {
            instance: 3,
            problem: "the gateway does not name the device".to_owned(),
            ..ChildDevice::default()
        };
        Ok(Response::new(ListChildrenResponse {
            children: vec![sensor, nameless],
        }))
    }

    async fn observe(&self, request: Request<ObserveRequest>) -> Answer<Self::ObserveStream> {
        let ObserveRequest { path, child, .. } = request.into_inner();
        let values = [21.5, 22.5, 23.5].map(|number| {
            let value = ReportedValue {
                path: path.clone(),
                child: child.clone(),
                value: float(number),
                ..ReportedValue::default()
            };
            Ok(ObserveResponse {
                values: vec![value],
            })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(values))))
    }

    async fn create_instance(
        &self,
        _: Request<CreateInstanceRequest>,
    ) -> Answer<OperationResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn delete_instance(
        &self,
        _: Request<DeleteInstanceRequest>,
    ) -> Answer<OperationResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn write_attributes(
        &self,
        _: Request<WriteAttributesRequest>,
    ) -> Answer<OperationResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_operation(&self, _: Request<GetOperationRequest>) -> Answer<Operation> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn list_operations(
        &self,
        _: Request<ListOperationsRequest>,
    ) -> Answer<ListOperationsResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn wait_operation(&self, _: Request<WaitOperationRequest>) -> Answer<Operation> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn cancel_operation(&self, _: Request<CancelOperationRequest>) -> Answer<Operation> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl Credentials for Script {
    async fn put_credential(&self, request: Request<PutCredentialRequest>) -> Answer<Credential> {
        let request = request.into_inner();
        self.credentials.lock().unwrap().push(request.clone());
        Ok(Response::new(Credential {
            endpoint: request.endpoint,
            id: None,
            create_time: None,
            ..Default::default()
        }))
    }

    async fn list_credentials(
        &self,
        _: Request<ListCredentialsRequest>,
    ) -> Answer<ListCredentialsResponse> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn delete_credential(
        &self,
        _: Request<DeleteCredentialRequest>,
    ) -> Answer<DeleteCredentialResponse> {
        Err(Status::unimplemented("not in the script"))
    }
}

/// One desired set for every device.
#[tonic::async_trait]
impl DesiredState for Script {
    async fn set_desired(&self, request: Request<SetDesiredRequest>) -> Answer<DesiredResources> {
        let request = request.into_inner();
        let mut stored = self.desired.lock().unwrap();
        if request.generation != 0 && request.generation <= stored.generation {
            return Err(Status::aborted("an older generation"));
        }
        let resources = request.resources.into_iter().map(|value| DesiredResource {
            path: value.path,
            text: value.text,
            presence: value.presence,
            drift_policy: value.drift_policy,
            state: desired_resource::State::Pending.into(),
            ..DesiredResource::default()
        });
        *stored = DesiredResources {
            generation: request.generation,
            resources: resources.collect(),
            ..Default::default()
        };
        Ok(Response::new(stored.clone()))
    }

    async fn get_desired(&self, request: Request<GetDesiredRequest>) -> Answer<DesiredResources> {
        if request.into_inner().endpoint == "unreachable" {
            return Err(Status::unavailable("no leader"));
        }
        Ok(Response::new(self.desired.lock().unwrap().clone()))
    }
}
