//! `write-composite`: several changes in one request.

use clap::Args;
use lwm2m::Path;
use proto::drover::v1::{PathValue, WriteCompositeRequest};

use crate::api::Api;
use crate::arguments::Global;
use crate::command::write::{DeliveryOptions, Force, finish, request};
use crate::failure::Failure;
use crate::model::{self, TypeName};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover write-composite sim-0001 /1/0/1=600 /3/0/14=+02:00
  drover write-composite meter-7 /16/0/0/2=blue --remove /16/0/0/3

The device changes everything or nothing. It needs LwM2M 1.1, and 1.2 to remove something.")]
pub(crate) struct WriteComposite {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Resources or instances of resources with their values.
    #[arg(value_name = "PATH=VALUE")]
    values: Vec<String>,
    /// Instance of a resource to remove; can be given several times.
    #[arg(long = "remove", value_name = "PATH", value_parser = model::parse_path)]
    removals: Vec<Path>,
    /// Data type, where no object definition tells it.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    named: Option<TypeName>,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    force: Force,
}

impl WriteComposite {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        if self.values.is_empty() && self.removals.is_empty() {
            return Err(Failure::usage(
                "nothing is to be changed".to_owned(),
                "give PATH=VALUE, or --remove PATH",
            ));
        }
        let api = Api::connect(global).await?;
        let paths = self
            .values
            .iter()
            .filter_map(|value| value.split('=').next());
        model::learn(&api, paths).await;
        let values: Result<Vec<PathValue>, Failure> = self
            .values
            .iter()
            .map(|value| model::assignment(Path::Root, value, self.named))
            .collect();
        let action = format!("write-composite to {}", self.endpoint);
        let message = WriteCompositeRequest {
            endpoint: self.endpoint,
            values: values?,
            removals: self.removals.iter().map(ToString::to_string).collect(),
            delivery: Some(self.delivery.message(global)),
            force: self.force.is_set,
        };
        let answer = api
            .operations()
            .write_composite(request(global, message))
            .await;
        finish(global, action, answer)
    }
}
