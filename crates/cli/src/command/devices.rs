//! `devices` and `device`.

use clap::Args;
use proto::drover::v1::{Device, GetDeviceRequest, ListDevicesRequest};

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::model;
use crate::selector::Selection;
use crate::time;
use crate::view::device::{Columns, DeviceDetailView, DeviceView, DevicesView};

/// The largest page that the API gives.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover devices
  drover devices --prefix sim- -o json | jq -r '.devices[].endpoint'
  drover devices -l 'site=north,tier in (gold,silver)' --show-labels
  drover devices --filter 'firmware_version = 1.2.* AND NOT state = REGISTERED'
  drover devices --group north
  drover devices --filter 'quarantined = true'
  drover devices --filter 'last_update_time < 2026-11-30T17:00:00Z AND objects:3303'

Fields of filters: endpoint, labels.KEY, state, lwm2m_version, binding, transport,
registration_time, last_update_time, expire_time, objects, manufacturer, model, firmware_version,
ingress_node, enrollment_policy, quarantined.

JSON: {\"devices\": [{\"endpoint\", \"state\", \"registrationId\", \"lwm2mVersion\", \"binding\",
  \"lifetimeSeconds\", \"transport\", \"peer\", \"lastUpdateTime\", \"objects\": [\"/3/0\", …],
  \"labels\": {KEY: VALUE}, …}]};
  state is Registered or NotRegistered.")]
pub(crate) struct Devices {
    /// Only endpoint names that start with this.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prefix: String,
    #[command(flatten)]
    selection: Selection,
    /// Only devices of this group.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    group: String,
    /// Show labels.
    #[arg(long)]
    show_labels: bool,
}

impl Devices {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let question = ListDevicesRequest {
            endpoint_prefix: self.prefix,
            filter: self.selection.filter().unwrap_or_default(),
            group: self.group,
            ..Default::default()
        };
        let mut devices = listed(&api, question).await?;
        // The API lists one shard after the other.
        devices.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        let columns = if self.show_labels {
            Columns::WithLabels
        } else {
            Columns::Usual
        };
        let view = DevicesView {
            devices: devices.into_iter().map(DeviceView::from).collect(),
        };
        global
            .output
            .show(&view, |view| view.table(columns, time::now()))
    }
}

/// Every device whose endpoint name starts with `prefix` and that passes `filter`.
pub(crate) async fn all(api: &Api, prefix: &str, filter: &str) -> Result<Vec<Device>, Failure> {
    let question = ListDevicesRequest {
        endpoint_prefix: prefix.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    listed(api, question).await
}

/// All pages of a list.
async fn listed(api: &Api, mut request: ListDevicesRequest) -> Result<Vec<Device>, Failure> {
    request.page_size = PAGE;
    let mut devices = Vec::new();
    loop {
        let asked = api.request(request.clone());
        let answer = api.devices().list_devices(asked).await;
        let page = answer.map_err(Failure::call("list devices"))?.into_inner();
        devices.extend(page.devices);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
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
        .get_device(api.request(GetDeviceRequest {
            endpoint,
            ..Default::default()
        }))
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
