//! A state tier that tells what a test says.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::drover::v1 as api;
use proto::drover::v1::devices_server::{Devices, DevicesServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::controller::rig::{self, Calls};
use crate::state_tier::StateTier;

type Answer<T> = Result<Response<T>, Status>;
type Message = Result<api::WatchEventsResponse, Status>;

/// Streams for which there is no turn tell nothing.
#[derive(Clone, Default)]
pub(super) struct FakeStateTier {
    turns: Arc<Mutex<VecDeque<Turn>>>,
    calls: Calls,
}

enum Turn {
    Refuse(Status),
    Serve(mpsc::Receiver<Message>),
}

/// What one stream tells; it ends when this is dropped.
pub(super) struct Teller(mpsc::Sender<Message>);

impl Teller {
    /// A token, and with it what happened to a device.
    pub(super) async fn tell(&self, resume_token: &str, endpoint: Option<&str>) {
        let event = endpoint.map(|endpoint| api::Event {
            endpoint: endpoint.to_owned(),
            ..Default::default()
        });
        let message = api::WatchEventsResponse {
            resume_token: resume_token.to_owned(),
            event,
            ..Default::default()
        };
        self.0.send(Ok(message)).await.unwrap();
    }

    pub(super) async fn end(self, status: Status) {
        self.0.send(Err(status)).await.unwrap();
    }

    /// Until the other side has ended it.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

pub(super) async fn start() -> (StateTier, FakeStateTier) {
    let fake = FakeStateTier::default();
    let services = Server::builder().add_service(DevicesServer::new(fake.clone()));
    (rig::state_tier(services).await, fake)
}

impl FakeStateTier {
    /// The next stream is not served.
    pub(super) fn refuse(&self, status: Status) {
        self.turns.lock().unwrap().push_back(Turn::Refuse(status));
    }

    /// The next stream is served.
    pub(super) fn serve(&self) -> Teller {
        let (teller, told) = mpsc::channel(8);
        self.turns.lock().unwrap().push_back(Turn::Serve(told));
        Teller(teller)
    }

    /// The streams that were asked for: namespace, resume token, and whether values are wanted.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }
}

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("no test asks for it"))
}

#[tonic::async_trait]
impl Devices for FakeStateTier {
    type WatchEventsStream = BoxStream<'static, Message>;

    async fn watch_events(
        &self,
        request: Request<api::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        let asked = request.get_ref();
        let filter = asked.filter.clone().unwrap();
        let values = i32::from(api::EventKind::ValuesReported);
        let depth = if filter.kinds.contains(&values) {
            "values"
        } else {
            "course"
        };
        let about = format!("{:?} {depth}", asked.resume_token);
        self.calls.add_of("watch", &request, &about);
        let turn = self.turns.lock().unwrap().pop_front();
        match turn {
            Some(Turn::Refuse(status)) => Err(status),
            Some(Turn::Serve(told)) => Ok(Response::new(ReceiverStream::new(told).boxed())),
            None => Ok(Response::new(tokio_stream::pending().boxed())),
        }
    }

    async fn get_device(&self, _: Request<api::GetDeviceRequest>) -> Answer<api::Device> {
        never()
    }

    async fn list_devices(
        &self,
        _: Request<api::ListDevicesRequest>,
    ) -> Answer<api::ListDevicesResponse> {
        never()
    }

    async fn update_device(&self, _: Request<api::UpdateDeviceRequest>) -> Answer<api::Device> {
        never()
    }

    async fn delete_device(
        &self,
        _: Request<api::DeleteDeviceRequest>,
    ) -> Answer<api::DeleteDeviceResponse> {
        never()
    }
}
