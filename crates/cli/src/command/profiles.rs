//! `profiles`: what many devices are to be like.

use clap::{Args, Subcommand, ValueEnum};
use crd::DriftPolicy;
use fleet_plan::profile::{Observation, Profile, Resource};
use fleet_wire::profile::asked;
use proto::drover::v1::profile_device::State as WireState;
use proto::drover::v1::{
    DeleteDeviceProfileRequest, DeviceProfile, GetDeviceProfileRequest, ListDeviceProfilesRequest,
    ListProfileDevicesRequest, ProfileRollout, PutDeviceProfileRequest,
};

use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::command::rollout::window;
use crate::failure::Failure;
use crate::selector::Selection;
use crate::view::campaign::plan::WindowView;
use crate::view::profile::{DevicesView, ProfileView, ProfilesView};
use crate::wanted::Wanted;

/// The largest page that the API gives.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum Profiles {
    /// Add a profile, or replace the one of its name.
    #[command(after_help = "\
Devices that the filter lets through get the values when they are awake, and those that come later
get them when they come. Only what changed is written. What is desired of a device itself (`drover
apply` of a Device) counts before any profile; of several profiles the one of the highest priority
counts, path by path.

A device that tells another value has it written again (--drift enforce; once an hour at most), is
told as Drifted (report), or is left alone (init-only). What a device does not report by itself is
read when it registers.

With --max-concurrent, --failure-threshold or --window a change goes through the devices one after
the other; who was not reached yet is told as Waiting, and keeps what it has.

Examples:
  drover profiles put berlin -l site=berlin --set /3/0/14=+02:00 --set /3/0/15=Europe/Berlin
  drover profiles put switches --set /3311/0=present --set /3311/0/5850=0 --requires-object 3311
  drover profiles put lights --group lights --observe '/3311/0/5850?pmin=1&pmax=3600'
  drover profiles put meters --set /1/0/1=86400 --drift report --requires-object 3305
  drover profiles put meters --set /1/0/1=43200 --max-concurrent 2% --failure-threshold 1% \\
    --window 'Mon-Fri 22:00-04:00 Europe/Berlin'")]
    Put(Box<Put>),
    /// List profiles, and how far their devices are.
    #[command(after_help = "\
JSON: {\"profiles\": [as of get]}.")]
    List,
    /// Show a profile, and how far its devices are.
    #[command(after_help = "\
JSON: {\"name\", \"description\", \"filter\", \"group\", \"priority\", \"paused\", \"resources\":
  [{\"path\", \"value\", \"drift\"}], \"observations\": [{\"paths\", \"parameters\"}],
  \"requiredObjects\", \"minimumVersion\", \"rollout\": {\"maxConcurrent\", \"failureThreshold\",
  \"windows\"}, \"etag\", \"revision\", \"applied\", \"hold\", \"counts\": {\"matched\", \"inSync\",
  \"pending\", \"drifted\", \"rejected\", \"unsupported\", \"superseded\", \"waiting\", \"unregistered\"},
  \"overlaps\": [{\"profile\", \"path\", \"wins\"}]}.")]
    Get {
        /// Name of the profile.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the devices of a profile, and what keeps each from being in sync.
    #[command(after_help = "\
Examples:
  drover profiles devices berlin --state rejected
  drover profiles devices berlin -o json

JSON: {\"devices\": [{\"endpoint\", \"state\", \"path\", \"coapCode\", \"diagnostic\", \"since\"}]}.")]
    Devices {
        /// Name of the profile.
        #[arg(value_name = "NAME")]
        name: String,
        /// Only devices in this state; several may be given.
        #[arg(long = "state", value_name = "STATE", value_enum)]
        states: Vec<State>,
    },
    /// Remove a profile; devices keep the values that they have.
    Remove {
        /// Name of the profile.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        seen: Seen,
        #[command(flatten)]
        once: Once,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Name of the profile: letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    selection: Selection,
    /// Only devices of this group, as the group is at any time.
    #[arg(
        long,
        value_name = "GROUP",
        default_value = "",
        hide_default_value = true
    )]
    group: String,
    /// A value that the devices are to have, or PATH=present or PATH=absent of an object instance; several may be given.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = Wanted::parse)]
    wanted: Vec<Wanted>,
    /// What happens when a device tells another value.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "enforce")]
    drift: Drift,
    /// Something to observe, with parameters behind a question mark; several may be given.
    #[arg(long = "observe", value_name = "PATH[?PARAMETERS]")]
    observations: Vec<String>,
    /// The higher one counts.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 100,
        allow_negative_numbers = true
    )]
    priority: i32,
    /// Changes of the profile, and of who is in it, wait.
    #[arg(long)]
    paused: bool,
    /// Only devices that have this object; others are told as Unsupported. Several may be given.
    #[arg(long = "requires-object", value_name = "ID")]
    required_objects: Vec<u16>,
    /// Only devices that register with this release of `LwM2M` or a later one.
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "",
        hide_default_value = true
    )]
    minimum_version: String,
    /// What it is for.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
    // The last: its heading is for whatever follows.
    #[command(flatten)]
    rollout: RolloutArgs,
}

/// How a change goes through the devices.
#[derive(Debug, Args)]
#[command(next_help_heading = "How a change goes through the devices [default: to all at once]")]
struct RolloutArgs {
    /// No further device has its turn while so many that are registered have not taken the change: 20 or 2%.
    #[arg(long, value_name = "SHARE")]
    max_concurrent: Option<String>,
    /// Nor when so many have refused something: 20 or 1%; with --max-concurrent only.
    #[arg(long, value_name = "SHARE", requires = "max_concurrent")]
    failure_threshold: Option<String>,
    /// Devices have their turn only within [DAYS] START-END [TIME ZONE], such as "Mon-Fri 22:00-04:00 Europe/Berlin"; UTC unless named.
    #[arg(long = "window", value_name = "WINDOW", value_parser = window::parse)]
    windows: Vec<WindowView>,
}

impl RolloutArgs {
    /// Shares are texts to the API, which checks them.
    fn rollout(self) -> Option<ProfileRollout> {
        let rollout = ProfileRollout {
            max_concurrent: self.max_concurrent.unwrap_or_default(),
            failure_threshold: self.failure_threshold.unwrap_or_default(),
            windows: self.windows.into_iter().map(Into::into).collect(),
        };
        Some(rollout).filter(|rollout| *rollout != ProfileRollout::default())
    }
}

/// Policies as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drift {
    Enforce,
    Report,
    InitOnly,
}

impl From<Drift> for DriftPolicy {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Enforce => Self::Enforce,
            Drift::Report => Self::Report,
            Drift::InitOnly => Self::InitOnly,
        }
    }
}

/// States as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    InSync,
    Pending,
    Drifted,
    Rejected,
    Unsupported,
    Superseded,
    Waiting,
    Unregistered,
}

impl From<State> for WireState {
    fn from(state: State) -> Self {
        match state {
            State::InSync => Self::InSync,
            State::Pending => Self::Pending,
            State::Drifted => Self::Drifted,
            State::Rejected => Self::Rejected,
            State::Unsupported => Self::Unsupported,
            State::Superseded => Self::Superseded,
            State::Waiting => Self::Waiting,
            State::Unregistered => Self::Unregistered,
        }
    }
}

impl Profiles {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(global).await,
            Self::List => list(global).await,
            Self::Get { name } => get(global, name).await,
            Self::Devices { name, states } => devices(global, name, &states).await,
            Self::Remove { name, seen, once } => {
                let api = Api::connect(global).await?;
                let action = format!("remove the profile {name}");
                let request = api.request(DeleteDeviceProfileRequest {
                    name,
                    etag: seen.etag,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.profiles().delete_device_profile(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
        }
    }
}

impl Put {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let action = format!("put the profile {}", self.name);
        let api = Api::connect(global).await?;
        let once = self.once.clone();
        let request = api.request(PutDeviceProfileRequest {
            profile: Some(self.profile()),
            request_id: once.request_id,
            validate_only: once.dry_run,
        });
        let answer = api.profiles().put_device_profile(request).await;
        let stored = answer.map_err(Failure::call(action))?.into_inner();
        global
            .output
            .show(&ProfileView::from(stored), |_| String::new())
    }

    fn profile(self) -> DeviceProfile {
        let rollout = self.rollout.rollout();
        let drift_policy = DriftPolicy::from(self.drift);
        let resource = |wanted: Wanted| Resource {
            path: wanted.path.to_string(),
            text: wanted.text,
            presence: wanted.presence,
            drift_policy,
        };
        let profile = Profile {
            name: self.name,
            description: self.description,
            filter: self.selection.filter().unwrap_or_default(),
            group: self.group,
            priority: self.priority,
            paused: self.paused,
            rollout: None,
            resources: self.wanted.into_iter().map(resource).collect(),
            observations: self
                .observations
                .iter()
                .map(|text| observed(text))
                .collect(),
            objects: self.required_objects,
            minimum_version: self.minimum_version,
            etag: self.seen.etag,
        };
        DeviceProfile {
            rollout,
            ..asked(profile)
        }
    }
}

fn observed(text: &str) -> Observation {
    let (path, parameters) = text.split_once('?').unwrap_or((text, ""));
    Observation {
        path: path.to_owned(),
        parameters: parameters.to_owned(),
    }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListDeviceProfilesRequest {});
    let answer = api.profiles().list_device_profiles(request).await;
    let answer = answer.map_err(Failure::call("list profiles"))?.into_inner();
    let profiles = answer.profiles.into_iter().map(ProfileView::from);
    let view = ProfilesView {
        profiles: profiles.collect(),
    };
    global.output.show(&view, ProfilesView::table)
}

async fn get(global: &Global, name: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("get the profile {name}");
    let request = api.request(GetDeviceProfileRequest { name });
    let answer = api.profiles().get_device_profile(request).await;
    let profile = answer.map_err(Failure::call(action))?.into_inner();
    global
        .output
        .show(&ProfileView::from(profile), ProfileView::text)
}

async fn devices(global: &Global, name: String, states: &[State]) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("list the devices of the profile {name}");
    let mut view = DevicesView::default();
    let mut page_token = String::new();
    loop {
        let states = states.iter().map(|state| WireState::from(*state).into());
        let request = api.request(ListProfileDevicesRequest {
            name: name.clone(),
            page_size: PAGE,
            page_token,
            states: states.collect(),
        });
        let answer = api.profiles().list_profile_devices(request).await;
        let page = answer.map_err(Failure::call(action.clone()))?.into_inner();
        view.add(page.devices);
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    global.output.show(&view, DevicesView::table)
}
