//! `desired`: what a device should have, whether it is there or not.

use clap::Subcommand;
use fleet_wire::wire_presence;
use lwm2m::Path;
use proto::drover::v1::{
    DesiredResources, DesiredValue, DriftPolicy, GetDesiredRequest, SetDesiredRequest,
};
use serde::Serialize;
use tonic::Code;

use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::failure::Failure;
use crate::view::device::DesiredView;
use crate::wanted::Wanted;
use crate::{model, table};

#[derive(Debug, Subcommand)]
pub(crate) enum Desired {
    /// Have resources written and object instances made or deleted, and kept so.
    #[command(after_help = "\
What is set already stays, unless its path is given. An instance that is not there is made with the
values that are desired below it, so give those that it needs along with it. For many devices there
is `drover profiles`.

Examples:
  drover desired set sim-0001 /3/0/14=+02:00
  drover desired set sim-0001 /3311/0=present /3311/0/5850=1
  drover desired set sim-0001 /3303/1=absent

JSON: as that of `drover desired list`.")]
    Set {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// PATH=VALUE of a resource, PATH=present or PATH=absent of an object instance.
        #[arg(value_name = "PATH=VALUE", value_parser = Wanted::parse, required = true)]
        wanted: Vec<Wanted>,
        #[command(flatten)]
        once: Once,
    },
    /// List what is desired of a device, and how far it is.
    #[command(after_help = "\
Example:
  drover desired list sim-0001

JSON: {\"generation\", \"etag\", \"resources\": [{\"path\", \"value\", \"generation\", \"state\", \"coapCode\",
  \"diagnostic\", \"since\", \"drift\", \"profile\"}]}; the value of an object instance is present or
  absent, and what has a profile is desired by that.")]
    List {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
    },
    /// No longer desire something; the device keeps what it has.
    #[command(after_help = "Example:\n  drover desired remove sim-0001 /3311/0 /3311/0/5850")]
    Remove {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Paths as they were set.
        #[arg(value_name = "PATH", value_parser = model::parse_path, required = true)]
        paths: Vec<Path>,
        #[command(flatten)]
        once: Once,
    },
}

/// What is desired of a device.
#[derive(Debug, Serialize)]
struct DesiredSetView {
    generation: u64,
    etag: String,
    resources: Vec<DesiredView>,
}

impl Desired {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let told = match self {
            Self::Set {
                endpoint,
                wanted,
                once,
            } => {
                let wanted: Vec<DesiredValue> = wanted.into_iter().map(asked).collect();
                let change = |own: &mut Vec<DesiredValue>| {
                    own.retain(|one| wanted.iter().all(|new| new.path != one.path));
                    own.extend(wanted);
                };
                changed(&api, endpoint, once, change).await?
            }
            Self::Remove {
                endpoint,
                paths,
                once,
            } => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                let change = |own: &mut Vec<DesiredValue>| {
                    own.retain(|one| !paths.contains(&one.path));
                };
                changed(&api, endpoint, once, change).await?
            }
            Self::List { endpoint } => stored(&api, &endpoint).await?,
        };
        global
            .output
            .show(&DesiredSetView::from(told), DesiredSetView::table)
    }
}

fn asked(wanted: Wanted) -> DesiredValue {
    DesiredValue {
        path: wanted.path.to_string(),
        text: wanted.text,
        presence: wire_presence(wanted.presence).into(),
        drift_policy: DriftPolicy::Enforce.into(),
    }
}

/// Nothing is known yet of a device that is declared before it was ever seen.
async fn stored(api: &Api, endpoint: &str) -> Result<DesiredResources, Failure> {
    let request = api.request(GetDesiredRequest {
        endpoint: endpoint.to_owned(),
    });
    match api.desired_state().get_desired(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) if status.code() == Code::NotFound => Ok(DesiredResources::default()),
        Err(status) => {
            let action = format!("look at what is desired of {endpoint}");
            Err(Failure::call(action)(status))
        }
    }
}

/// The API replaces the whole set, so what is not changed is sent again; the etag tells whether it still is as it was.
async fn changed(
    api: &Api,
    endpoint: String,
    once: Once,
    change: impl FnOnce(&mut Vec<DesiredValue>),
) -> Result<DesiredResources, Failure> {
    let before = stored(api, &endpoint).await?;
    let of_device = before.resources.into_iter();
    let mut resources: Vec<DesiredValue> = of_device
        .filter(|one| one.profile.is_empty())
        .map(|one| DesiredValue {
            drift_policy: one.drift_policy,
            presence: one.presence,
            path: one.path,
            text: one.text,
        })
        .collect();
    change(&mut resources);
    let action = format!("set what is desired of {endpoint}");
    let request = api.request(SetDesiredRequest {
        endpoint,
        generation: before.generation.saturating_add(1),
        resources,
        etag: before.etag,
        request_id: once.request_id,
        validate_only: once.dry_run,
    });
    let answer = api.desired_state().set_desired(request).await;
    Ok(answer.map_err(Failure::call(action))?.into_inner())
}

impl From<DesiredResources> for DesiredSetView {
    fn from(desired: DesiredResources) -> Self {
        Self {
            generation: desired.generation,
            etag: desired.etag,
            resources: desired.resources.into_iter().map(Into::into).collect(),
        }
    }
}

impl DesiredSetView {
    fn table(&self) -> String {
        let headings = ["PATH", "VALUE", "STATE", "PROFILE", "CODE", "DIAGNOSTIC"];
        table::render(&headings, self.resources.iter().map(DesiredView::row))
    }
}
