//! `rollout`: firmware campaigns.

mod control;
mod create;
mod devices;
mod follow;
mod plan;
mod wave;
pub(crate) mod window;

use clap::Subcommand;
use proto::drover::v1::ListCampaignsRequest;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::time;
use crate::view::campaign::CampaignsView;
use control::{Approve, Named};

#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Begin a campaign: a fleet gets a firmware, wave by wave.
    #[command(after_help = CREATE)]
    Create(Box<create::Create>),
    /// List campaigns.
    #[command(after_help = "\
Example:
  drover rollout list

JSON: {\"campaigns\": [{\"name\", \"state\", …}]}, each as `drover rollout get -o json` shows it.")]
    List,
    /// Show a campaign: where it stands, its waves, and what failed.
    #[command(after_help = GET)]
    Get(follow::Get),
    /// Wait until a campaign has ended or stopped, as long as --timeout lets it.
    #[command(after_help = "\
Tells on standard error what changes, and what somebody has to do for it to go on: a campaign that
was paused, or waits for an approval, is waited for.

Exit codes: 0 it succeeded; 1 it was aborted, stopped or ran out of time; 4 --timeout came first.

Example:
  drover rollout status meters-2-1 --timeout 8h")]
    Status(follow::Status),
    /// List the devices of a campaign, and what became of them.
    #[command(after_help = "\
Examples:
  drover rollout devices meters-2-1
  drover rollout devices meters-2-1 --failed
  drover rollout devices meters-2-1 --wave canary --phase downloading --phase updating
  drover rollout devices meters-2-1 -o csv > devices.csv

With -o csv (RFC 4180): endpoint,wave,phase,reason,phaseTime,retries,versionBefore.
JSON: {\"devices\": [{\"endpoint\", \"wave\", \"phase\", \"reason\", \"phaseTime\", \"retries\",
  \"versionBefore\"}]};
  phase is Waiting, Scheduled, Offered, Downloading, Downloaded, Updating, Verifying, Retrying,
  Succeeded, Failed, Expired, Skipped or Cancelled.")]
    Devices(devices::Devices),
    /// Pause a campaign: no further device begins, those that have begun go on.
    #[command(after_help = "Example:\n  drover rollout pause meters-2-1")]
    Pause(Named),
    /// Let a campaign go on that was paused.
    #[command(after_help = "\
A campaign that stopped by itself is paused first, for somebody has to have looked at it.

Example:
  drover rollout pause meters-2-1 && drover rollout resume meters-2-1")]
    Resume(Named),
    /// Approve a wave, so that the one after it may begin.
    #[command(after_help = "\
A wave with `approve` holds the campaign when it is over and good. An approval may be given before.
It does not set a campaign going that stopped by itself: see `drover rollout resume --help`.

Examples:
  drover rollout approve meters-2-1
  drover rollout approve meters-2-1 --through second")]
    Approve(Approve),
    /// End a campaign for good, and take back what can be taken back.
    #[command(after_help = "\
No further device begins. Devices that were not told to install are taken back, and forget the URI.
Devices that were told to install come to their end. Nobody is asked whether this is meant.

Example:
  drover rollout abort meters-2-1")]
    Abort(Named),
    /// Delete a campaign that has ended, with what became of its devices.
    #[command(after_help = "Example:\n  drover rollout delete meters-2-1")]
    Delete(Named),
}

const CREATE: &str = "\
A wave is NAME[:SETTING,…] with the settings
  size=SHARE              devices of it, of all: 20 or 5%; the last wave takes everybody who is left
  concurrent=SHARE        devices on their way at once, of its size [default: all]
  success=PERCENT         so many must have succeeded for the next wave to begin [default: any]
  max-failed=N            so many failed devices stop it
  max-failed-percent=P    more than this part of the devices with a result stops it
  minimum=N               max-failed-percent counts only once so many devices have a result
  soak=TIME               from its last result to the next wave
  approve                 the next wave begins only after `drover rollout approve`
  filter=FILTER           only these devices, as --filter; comes last, for it takes all that follows
  labels=SELECTOR         the same as --selector; comes last
Quote a wave with spaces for the shell: --wave 'north:size=5%,approve,filter=labels.site = north'.

Examples:
  drover rollout create meters-2-1 --version 2.1.0 --uri coap://10.0.0.1/meters-2.1.0.bin
  drover rollout create meters-2-1 --version 2.1.0 --uri https://fw.example.com/2.1.0 \\
    -l site=north --wave canary:size=1%,max-failed=1,soak=1h,approve \\
    --wave rest:concurrent=200,max-failed-percent=2%,minimum=50 \\
    --window 'Mon-Fri 22:00-04:00 Europe/Berlin' --dry-run
  drover rollout create meters-2-1 --version 2.1.0 --uri coap://10.0.0.1/2.1.0 \\
    --on-failure rollback --rollback-version 2.0.3 --rollback-uri coap://10.0.0.1/2.0.3
  drover rollout create meters-2-2 -f plan.yaml --version 2.2.0 --uri coap://10.0.0.1/2.2.0

A plan of --file, where all but the image may be left out:
  image: {name: meters, version: 2.1.0, uri: \"coap://10.0.0.1/2.1.0\"}
  filter: labels.site = north
  membership: Snapshot                 # or Dynamic
  waves:
  - {name: canary, size: 1%, filter: \"\", maxConcurrent: \"10\", successThreshold: 99%,
     maxFailedDevices: 2, maxFailedPercent: 1%, minimumResults: 20, soak: 1h, needsApproval: true}
  - {name: rest}
  maxUnavailable: 5%
  pauseWhenUnreachable: 20%
  beginEvery: 500ms
  schedule: {notBefore: \"2026-12-24T20:00:00Z\", deadline: 7d,
    windows: [{days: [Sat, Sun], start: \"22:00\", end: \"04:00\", timeZone: Europe/Berlin}]}
  device: {wakeUpDeadline: 7d, downloadTimeout: 24h, installTimeout: 30m, retries: 2,
    retryBackoff: 10m, minimumBatteryPercent: 30}
  onFailure: Pause                     # or Abort, or Rollback
  rollbackImage: null                  # or {name, version, uri}
  seed: \"\"";

const GET: &str = "\
With --watch it is drawn anew on a terminal; otherwise each change is a line, or a JSON object.

Examples:
  drover rollout get meters-2-1
  drover rollout get meters-2-1 --watch
  drover rollout get meters-2-1 -o json | jq .plan > plan.json

JSON: {\"name\", \"id\", \"owner\", \"state\", \"reason\", \"paused\", \"aborted\", \"approvedThrough\",
  \"createTime\", \"startTime\", \"endTime\", \"windowTime\", \"members\",
  \"counts\": {\"waiting\", \"scheduled\", \"downloading\", \"downloaded\", \"updating\", \"retrying\",
  \"succeeded\", \"failed\", \"expired\", \"skipped\", \"cancelled\"},
  \"waves\": [{\"name\", \"state\", \"devices\", \"startTime\", \"endTime\", \"soakTime\", \"counts\"}],
  \"reach\": {\"counted\", \"lost\"}, \"failures\": [{\"reason\", \"devices\"}],
  \"failureSamples\": [{\"endpoint\", \"phase\", \"reason\", \"phaseTime\", …}],
  \"plan\": {…}}, where the plan is as `drover rollout create --help` shows it;
  state is Enrolling, Running, Paused, Stopped, Aborting, Succeeded, Aborted or DeadlineExceeded;
  that of a wave Pending, Running, Soaking, AwaitingApproval, Succeeded, Failed or Skipped.";

impl Rollout {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(global).await,
            Self::List => list(global).await,
            Self::Get(get) => get.run(global).await,
            Self::Status(status) => status.run(global).await,
            Self::Devices(devices) => devices.run(global).await,
            Self::Pause(named) => control::pause(named, global).await,
            Self::Resume(named) => control::resume(named, global).await,
            Self::Approve(approve) => approve.run(global).await,
            Self::Abort(named) => control::abort(named, global).await,
            Self::Delete(named) => control::delete(named, global).await,
        }
    }

    /// Whether it can print comma-separated values.
    pub(crate) const fn has_csv(&self) -> bool {
        matches!(self, Self::Devices(_))
    }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListCampaignsRequest {});
    let answer = api.campaigns().list_campaigns(request).await;
    let answer = answer.map_err(Failure::call("list campaigns"))?;
    let view = CampaignsView::new(answer.into_inner().campaigns);
    global.output.show(&view, |view| view.table(time::now()))
}
