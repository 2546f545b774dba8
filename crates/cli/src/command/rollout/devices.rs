//! `rollout devices`: what became of each device, page by page.

use std::io;

use clap::{Args, ValueEnum};
use proto::drover::v1::ListCampaignDevicesRequest;
use proto::drover::v1::campaign_device::Phase as WirePhase;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::output::Format;
use crate::time;
use crate::view::campaign::device::{Csv, DeviceView, DevicesView};

/// The largest page that the API gives.
const PAGE: u32 = 1000;

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Name of the campaign.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only devices that failed: as --phase failed.
    #[arg(long)]
    failed: bool,
    /// Only devices in this phase; several may be given.
    #[arg(long = "phase", value_name = "PHASE", value_enum)]
    phases: Vec<Phase>,
    /// Only devices that had their turn in this wave.
    #[arg(
        long,
        value_name = "WAVE",
        default_value = "",
        hide_default_value = true
    )]
    wave: String,
}

/// Phases as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    Waiting,
    Scheduled,
    Offered,
    Downloading,
    Downloaded,
    Updating,
    Verifying,
    Retrying,
    Succeeded,
    Failed,
    Expired,
    Skipped,
    Cancelled,
}

impl From<Phase> for WirePhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Waiting => Self::Waiting,
            Phase::Scheduled => Self::Scheduled,
            Phase::Offered => Self::Offered,
            Phase::Downloading => Self::Downloading,
            Phase::Downloaded => Self::Downloaded,
            Phase::Updating => Self::Updating,
            Phase::Verifying => Self::Verifying,
            Phase::Retrying => Self::Retrying,
            Phase::Succeeded => Self::Succeeded,
            Phase::Failed => Self::Failed,
            Phase::Expired => Self::Expired,
            Phase::Skipped => Self::Skipped,
            Phase::Cancelled => Self::Cancelled,
        }
    }
}

impl Devices {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let mut pages = Pages {
            api: Api::connect(global).await?,
            next: Some(self.request()),
        };
        if global.output == Format::Csv {
            return csv(&mut pages).await;
        }
        let mut view = DevicesView {
            devices: Vec::new(),
        };
        while let Some(page) = pages.next().await? {
            view.devices.extend(page);
        }
        global.output.show(&view, |view| view.table(time::now()))
    }

    fn request(self) -> ListCampaignDevicesRequest {
        let failed = self.failed.then_some(Phase::Failed);
        let phases = self.phases.into_iter().chain(failed);
        ListCampaignDevicesRequest {
            name: self.name,
            phases: phases.map(|phase| WirePhase::from(phase).into()).collect(),
            wave: self.wave,
            page_size: PAGE,
            page_token: String::new(),
        }
    }
}

/// A page at a time is held, however many devices there are.
async fn csv(pages: &mut Pages) -> Result<(), Failure> {
    // What names no campaign prints nothing.
    let first = pages.next().await?.unwrap_or_default();
    let mut lines = Csv::begin(io::stdout()).map_err(Failure::Output)?;
    lines.page(&first).map_err(Failure::Output)?;
    while let Some(page) = pages.next().await? {
        lines.page(&page).map_err(Failure::Output)?;
    }
    Ok(())
}

struct Pages {
    api: Api,
    /// `None` after the last one.
    next: Option<ListCampaignDevicesRequest>,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Vec<DeviceView>>, Failure> {
        let Some(request) = self.next.take() else {
            return Ok(None);
        };
        let action = format!("list the devices of the campaign {}", request.name);
        let asked = self.api.request(request.clone());
        let answer = self.api.campaigns().list_campaign_devices(asked).await;
        let page = answer.map_err(Failure::call(action))?.into_inner();
        if !page.next_page_token.is_empty() {
            self.next = Some(ListCampaignDevicesRequest {
                page_token: page.next_page_token,
                ..request
            });
        }
        Ok(Some(
            page.devices.into_iter().map(DeviceView::from).collect(),
        ))
    }
}
