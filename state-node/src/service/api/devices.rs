//! `drover.v1.Devices`.

use device_state::query;
use futures::stream::BoxStream;
use lwm2m::EndpointName;
use proto::drover::v1::devices_server::Devices;
use proto::drover::v1::{
    Device, GetDeviceRequest, ListDevicesRequest, ListDevicesResponse, WatchEventsRequest,
    WatchEventsResponse,
};
use tonic::{Request, Response, Status};

use crate::service::api::token::{self, PageToken};
use crate::service::api::{Api, endpoint_name, page_size};
use crate::service::status;

#[tonic::async_trait]
impl Devices for Api {
    type WatchEventsStream = BoxStream<'static, Result<WatchEventsResponse, Status>>;

    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<Device>, Status> {
        let endpoint = endpoint_name(&request.into_inner().endpoint)?;
        let view = self.view(&endpoint).await?;
        if view.is_unknown() {
            return Err(status::not_found("the device"));
        }
        Ok(Response::new(proto::convert::public::device(view)))
    }

    /// Pages through the shards one after the other, as this node has applied them.
    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size);
        let mut page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &request.endpoint_prefix,
            self.cluster_id(),
        )?;
        let mut devices = Vec::new();
        while let Some(group) = self.router().group(device_state::ShardId(page.shard)) {
            let after = page
                .after
                .take()
                .map(|after| after_name(&after))
                .transpose()?;
            let left = size - devices.len();
            let found = group.store().read(|tables| {
                query::list_devices(tables, after.as_ref(), &request.endpoint_prefix, left)
            });
            let last = found
                .last()
                .map(|registration| registration.endpoint.as_str().as_bytes().to_vec());
            let full = found.len() == left;
            devices.extend(found.into_iter().map(Device::from));
            if full {
                page.after = last;
                return Ok(Response::new(ListDevicesResponse {
                    devices,
                    next_page_token: token::encode(&self.signer, &page),
                }));
            }
            page.shard += 1;
        }
        Ok(Response::new(ListDevicesResponse {
            devices,
            next_page_token: String::new(),
        }))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.watch(request.into_inner()).map(Response::new)
    }
}

fn after_name(after: &[u8]) -> Result<EndpointName, Status> {
    let name = std::str::from_utf8(after)
        .ok()
        .and_then(|name| EndpointName::new(name).ok());
    name.ok_or_else(|| status::field("page_token", &"is not a token of this list"))
}
