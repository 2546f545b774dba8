//! `devices` and `device`.

use proto::drover::v1::{Device, GetDeviceRequest, ListDevicesRequest};

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::model;
use crate::time;
use crate::view::device::{DeviceDetailView, DeviceView, DevicesView};

/// The largest page that the API gives.
const PAGE: u32 = 1000;

pub(crate) async fn list(global: &Global, prefix: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let mut devices = all(&api, &prefix).await?;
    // The API lists one shard after the other.
    devices.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
    let view = DevicesView {
        devices: devices.into_iter().map(DeviceView::from).collect(),
    };
    global.output.show(&view, |view| view.table(time::now()))
}

/// Every device whose endpoint name starts with `prefix`.
pub(crate) async fn all(api: &Api, prefix: &str) -> Result<Vec<Device>, Failure> {
    let mut devices = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListDevicesRequest {
            page_size: PAGE,
            page_token,
            endpoint_prefix: prefix.to_owned(),
        };
        let answer = api.devices().list_devices(api.request(request)).await;
        let page = answer.map_err(Failure::call("list devices"))?.into_inner();
        devices.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(devices);
        }
    }
}

pub(crate) async fn describe(global: &Global, endpoint: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let view = get(&api, endpoint).await?;
    global.output.show(&view, DeviceDetailView::text)
}

/// Everything known of one device.
pub(crate) async fn get(api: &Api, endpoint: String) -> Result<DeviceDetailView, Failure> {
    let action = format!("show {endpoint}");
    let answer = api
        .devices()
        .get_device(api.request(GetDeviceRequest { endpoint }))
        .await;
    let device = answer.map_err(Failure::call(action))?.into_inner();
    let objects = device.objects.iter();
    let objects: Vec<String> = objects
        .map(|object| format!("/{}", object.object))
        .collect();
    let values = device.values.iter().chain(&device.child_values);
    let values = values.map(|value| value.path.as_str());
    model::learn(api, objects.iter().map(String::as_str).chain(values)).await;
    Ok(device.into())
}

/// The objects of a device as a table.
pub(crate) fn objects(device: &DeviceDetailView) -> String {
    device.objects()
}
