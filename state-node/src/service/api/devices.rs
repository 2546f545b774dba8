//! `drover.v1.Devices`.

use device_state::query::{self, DeviceQuery, DeviceSummary};
use device_state::selection::DeviceFilter;
use device_state::{Command, DeviceName, DevicePrefix, ShardId};
use futures::stream::BoxStream;
use prost::Message;
use proto::convert::public::{InNamespace, device, device_filter};
use proto::drover::v1::devices_server::Devices;
use proto::drover::v1::{
    DeleteDeviceRequest, DeleteDeviceResponse, Device, DeviceView, GetDeviceRequest,
    ListDevicesRequest, ListDevicesResponse, UpdateDeviceRequest, WatchEventsRequest,
    WatchEventsResponse,
};
use tonic::{Request, Response, Status};

use crate::raft::group::Group;
use crate::service::api::token::PageToken;
use crate::service::api::{Api, named, page_size, tenant, terms};
use crate::service::status;

/// Devices that are looked at for one page, over all shards.
const MAX_EXAMINED: usize = 10_000;
/// Devices that are looked at between two breaths: others use this thread too.
const CHUNK: usize = 256;
/// Devices of the full view that are read between two breaths.
const FULL_CHUNK: usize = 8;
/// A page with more bytes than this is at its end. A message may have 4 MiB.
const MAX_PAGE_BYTES: usize = 2 << 20;

/// A list of devices on its way.
struct Listing {
    filter: DeviceFilter,
    prefix: DevicePrefix,
    view: DeviceView,
    size: usize,
    devices: Vec<Device>,
    examined: usize,
    bytes: usize,
}

impl Listing {
    /// Reads on in a shard; tells where to go on in it, if it is not at its end.
    fn read(&mut self, group: &Group, after: Option<&DeviceName>) -> Option<DeviceName> {
        let left = self.size - self.devices.len();
        let (limit, full) = match self.view {
            DeviceView::Full => (left.min(FULL_CHUNK), true),
            DeviceView::Basic | DeviceView::Unspecified => (left, false),
        };
        let query = DeviceQuery {
            filter: &self.filter,
            prefix: &self.prefix,
            after,
            limit,
            examine: CHUNK.min(MAX_EXAMINED - self.examined),
        };
        let (found, examined, next) = group.store().read(|tables| {
            let page = query::select_devices(tables, &query);
            let shown = |summary: DeviceSummary| {
                if full {
                    device(query::device(tables, &summary.endpoint))
                } else {
                    summary.into()
                }
            };
            let found: Vec<Device> = page.devices.into_iter().map(shown).collect();
            (found, page.examined, page.next)
        });
        self.examined += examined;
        self.bytes += found.iter().map(Message::encoded_len).sum::<usize>();
        self.devices.extend(found);
        next
    }

    const fn is_full(&self) -> bool {
        self.devices.len() >= self.size
            || self.examined >= MAX_EXAMINED
            || self.bytes >= MAX_PAGE_BYTES
    }
}

#[tonic::async_trait]
impl Devices for Api {
    type WatchEventsStream = BoxStream<'static, Result<WatchEventsResponse, Status>>;

    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<Device>, Status> {
        let asked = tenant(request)?;
        let endpoint = named(&asked.namespace, &asked.request.endpoint)?;
        let shown = view_or(asked.request.view, DeviceView::Full)?;
        let view = self.view(&endpoint).await?;
        if view.is_unknown() {
            return Err(status::not_found("the device"));
        }
        Ok(Response::new(match shown {
            DeviceView::Full => device(view),
            DeviceView::Basic | DeviceView::Unspecified => summary(view).into(),
        }))
    }

    /// Pages through the shards one after the other, as this node has applied them.
    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        if !matches!(request.order_by.as_str(), "" | "endpoint") {
            let problem = "is neither empty nor \"endpoint\", the one order that there is";
            return Err(status::field("order_by", &problem));
        }
        let filter = self.filter_of(&namespace, &request.group, &request.filter)?;
        let question = format!("{}\0{filter}\0{}", request.endpoint_prefix, request.view);
        let mut page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &namespace.qualify(&question),
            self.cluster_id(),
        )?;
        let mut listing = Listing {
            filter: device_filter(&filter).map_err(|error| status::convert(&error))?,
            prefix: DevicePrefix::new(&namespace, &request.endpoint_prefix),
            view: view_or(request.view, DeviceView::Basic)?,
            size: page_size(request.page_size),
            devices: Vec::new(),
            examined: 0,
            bytes: 0,
        };
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let after = page.after.take();
            let after = after.map(|after| after_name(&after)).transpose()?;
            match listing.read(group, after.as_ref()) {
                Some(last) => page.after = Some(last.stored().as_bytes().to_vec()),
                None => page.shard += 1,
            }
            if listing.is_full() {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(Response::new(ListDevicesResponse {
            next_page_token: self.next_token(&page),
            devices: listing.devices,
        }))
    }

    async fn update_device(
        &self,
        request: Request<UpdateDeviceRequest>,
    ) -> Result<Response<Device>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let device = asked.request.device.as_ref();
        let name = device.map_or("", |device| &device.endpoint).to_owned();
        let namespace = asked.namespace.clone();
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        let endpoint = named(&namespace, &name)?;
        self.commit_on(self.shard_of(&endpoint), &terms, command)
            .await?;
        let view = self.view(&endpoint).await?;
        Ok(Response::new(summary(view).into()))
    }

    async fn delete_device(
        &self,
        request: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let endpoint = named(&asked.namespace, &asked.request.endpoint)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(self.shard_of(&endpoint), &terms, command)
            .await?;
        Ok(Response::new(DeleteDeviceResponse {}))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.watch(tenant(request)?).map(Response::new)
    }
}

fn summary(view: query::DeviceView) -> DeviceSummary {
    DeviceSummary {
        endpoint: view.endpoint,
        registration: view.registration,
        metadata: view.metadata,
    }
}

fn view_or(asked: i32, unset: DeviceView) -> Result<DeviceView, Status> {
    match DeviceView::try_from(asked) {
        Ok(DeviceView::Unspecified) => Ok(unset),
        Ok(view) => Ok(view),
        Err(_) => Err(status::field(
            "view",
            &format!("has the unknown value {asked}"),
        )),
    }
}

pub(super) fn after_name(after: &[u8]) -> Result<DeviceName, Status> {
    let name = std::str::from_utf8(after)
        .ok()
        .and_then(|name| DeviceName::parse(name).ok());
    name.ok_or_else(|| status::field("page_token", &"is not a token of this list"))
}
