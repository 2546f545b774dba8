//! Devices of a state tier in memory, which are listed and nothing else.

use std::sync::{Arc, Mutex};

use proto::drover::v1 as api;
use proto::drover::v1::devices_server::Devices;
use tonic::{Request, Response, Status};

use super::Calls;

type Answer<T> = Result<Response<T>, Status>;

/// By name, in the order in which they are listed.
#[derive(Clone)]
pub(crate) struct ListedDevices {
    names: Arc<Mutex<Vec<String>>>,
    calls: Calls,
}

impl ListedDevices {
    /// None, and lists of them are among the calls.
    pub(crate) fn new(calls: Calls) -> Self {
        Self {
            names: Arc::default(),
            calls,
        }
    }

    /// These and no others.
    pub(crate) fn are(&self, names: &[&str]) {
        *self.names.lock().unwrap() = names.iter().map(|name| (*name).to_owned()).collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.lock().unwrap().is_empty()
    }
}

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("never asked"))
}

#[tonic::async_trait]
impl Devices for ListedDevices {
    type WatchEventsStream = tokio_stream::Pending<Result<api::WatchEventsResponse, Status>>;

    /// One device on each page.
    async fn list_devices(
        &self,
        request: Request<api::ListDevicesRequest>,
    ) -> Answer<api::ListDevicesResponse> {
        let asked = request.get_ref();
        self.calls.add_of("list", &request, &asked.filter);
        let names = self.names.lock().unwrap();
        let place: usize = asked.page_token.parse().unwrap_or_default();
        let device = |endpoint: &String| api::Device {
            endpoint: endpoint.clone(),
            ..Default::default()
        };
        let is_last = place + 1 >= names.len();
        Ok(Response::new(api::ListDevicesResponse {
            devices: names.get(place).map(device).into_iter().collect(),
            next_page_token: if is_last {
                String::new()
            } else {
                (place + 1).to_string()
            },
        }))
    }

    async fn get_device(&self, _: Request<api::GetDeviceRequest>) -> Answer<api::Device> {
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

    async fn watch_events(
        &self,
        _: Request<api::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        never()
    }
}
