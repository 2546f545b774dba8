//! `observations`: what devices report for as long as it is wanted, whoever listens.

use clap::Subcommand;
use proto::drover::v1::{
    DeleteObservationRequest, ListObservationsRequest, Observation, PutObservationRequest,
};
use serde::Serialize;

use crate::api::Api;
use crate::arguments::{Behind, Global, Once};
use crate::command::stream::{texts, wanted};
use crate::failure::Failure;
use crate::model;
use crate::table;
use crate::view::operation::OperationView;

#[derive(Debug, Subcommand)]
pub(crate) enum Observations {
    /// Have a device report something from now on.
    #[command(after_help = "\
It is asked for again whenever the device registers, until it is removed. A device that sleeps is asked when it
wakes up: `drover operations get` tells whether it has accepted. What it reports is in `drover device` and `drover watch`.
Several paths are one composite observation.

Examples:
  drover observations add sim-0001 /3303/0/5700
  drover observations add sim-0001 /3303/0/5700 pmin=10 pmax=60
  drover observations add sim-0001 /3303/0/5700 /3/0/9
  drover observations add gateway-1 /3303/0/5700 --child dev0

JSON: {\"child\", \"paths\", \"parameters\", \"declared\", \"callers\", \"operation\"}; without an operation the device is not registered.")]
    Add {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Path, such as /3/0/9, or NAME=VALUE of a notification attribute.
        #[arg(value_name = "PATH|NAME=VALUE", required = true)]
        wanted: Vec<String>,
        /// Ask even if the object's definition says that the resource cannot be read.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        behind: Behind,
        #[command(flatten)]
        once: Once,
    },
    /// List what a device is to report.
    #[command(after_help = "\
Example:
  drover observations list sim-0001

JSON: {\"observations\": [{\"child\", \"paths\", \"parameters\", \"declared\", \"callers\"}]}; one that was not declared ends with its last
  caller, such as `drover observe`.")]
    List {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
    },
    /// No longer have a device report something, unless somebody listens.
    #[command(after_help = "\
Examples:
  drover observations remove sim-0001 /3303/0/5700
  drover observations remove gateway-1 /3303/0/5700 --child dev0")]
    Remove {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// The paths as they were added.
        #[arg(value_name = "PATH", value_parser = model::parse_path, required = true)]
        paths: Vec<lwm2m::Path>,
        #[command(flatten)]
        behind: Behind,
        #[command(flatten)]
        once: Once,
    },
}

#[derive(Debug, Serialize)]
struct ObservationView {
    /// The prefix of the device behind a gateway that is observed, unless it is the device itself.
    child: Option<String>,
    paths: Vec<String>,
    parameters: String,
    declared: bool,
    callers: u32,
}

#[derive(Debug, Serialize)]
struct AddedView {
    #[serde(flatten)]
    observation: ObservationView,
    operation: Option<OperationView>,
}

#[derive(Debug, Serialize)]
struct ObservationsView {
    observations: Vec<ObservationView>,
}

impl Observations {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let mut observations = api.observations();
        match self {
            Self::Add {
                endpoint,
                wanted: words,
                force,
                behind,
                once,
            } => {
                let (paths, parameters) = wanted(&words)?;
                behind.check(&paths)?;
                let paths = texts(&paths);
                let action = format!("observe {} of {}", paths.join(" "), behind.of(&endpoint));
                let request = api.request(PutObservationRequest {
                    endpoint,
                    paths,
                    parameters,
                    force,
                    child: behind.prefix(),
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = observations.put_observation(request).await;
                let answer = answer.map_err(Failure::call(action))?.into_inner();
                let view = AddedView {
                    observation: answer.observation.unwrap_or_default().into(),
                    operation: answer.operation.map(OperationView::from),
                };
                global.output.show(&view, AddedView::line)
            }
            Self::List { endpoint } => {
                let action = format!("list observations of {endpoint}");
                let request = api.request(ListObservationsRequest { endpoint });
                let answer = observations.list_observations(request).await;
                let answer = answer.map_err(Failure::call(action))?.into_inner();
                let observations = answer.observations.into_iter();
                let view = ObservationsView {
                    observations: observations.map(ObservationView::from).collect(),
                };
                global.output.show(&view, ObservationsView::table)
            }
            Self::Remove {
                endpoint,
                paths,
                behind,
                once,
            } => {
                behind.check(&paths)?;
                let paths = texts(&paths);
                let named = paths.join(" ");
                let action = format!("stop observing {named} of {}", behind.of(&endpoint));
                let request = api.request(DeleteObservationRequest {
                    endpoint,
                    paths,
                    child: behind.prefix(),
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = observations.delete_observation(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
        }
    }
}

impl From<Observation> for ObservationView {
    fn from(observation: Observation) -> Self {
        Self {
            child: (!observation.child.is_empty()).then_some(observation.child),
            paths: observation.paths,
            parameters: observation.parameters,
            declared: observation.declared,
            callers: observation.callers,
        }
    }
}

impl ObservationView {
    /// The paths, that of a device behind a gateway with its prefix in front.
    fn target(&self) -> String {
        let paths = self.paths.join(" ");
        match &self.child {
            Some(child) => format!("/{child}{paths}"),
            None => paths,
        }
    }
}

impl AddedView {
    fn line(&self) -> String {
        match &self.operation {
            Some(operation) => operation.line(),
            None => format!(
                "observe {}: when the device registers\n",
                self.observation.target()
            ),
        }
    }
}

impl ObservationsView {
    fn table(&self) -> String {
        let rows = self.observations.iter().map(|observation| {
            let declared = if observation.declared { "yes" } else { "no" };
            vec![
                observation.target(),
                observation.parameters.clone(),
                declared.to_owned(),
                observation.callers.to_string(),
            ]
        });
        table::render(&["PATHS", "PARAMETERS", "DECLARED", "CALLERS"], rows)
    }
}
