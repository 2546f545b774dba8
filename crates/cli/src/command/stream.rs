//! `observe`: what goes on until it is interrupted.

use clap::Args;
use proto::drover::v1::{ObserveCompositeRequest, ObserveRequest};

use crate::api::Api;
use crate::arguments::{Behind, Global};
use crate::failure::Failure;
use crate::model;
use crate::view::value::{ObserveView, ReportedView};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover observe sim-0001 /3303/0/5700
  drover observe sim-0001 /3303/0/5700 --count 10 -o json
  drover observe sim-0001 /3303/0/5700 pmin=10 pmax=60 gt=30
  drover observe sim-0001 /3303/0/5700 /3/0/9
  drover observe gateway-1 /3303/0/5700 --child dev0

JSON: one line each time,
  {\"endpoint\", \"path\", \"values\": [{\"path\", \"type\", \"value\", \"time\", \"origin\", \"child\"}]}.
The observation ends with the command. NAME=VALUE says when the device is to notify, for this
observation only; a device that takes none with an Observe (before LwM2M 1.2) has them written to
the path, as `drover attributes` does, and there they stay. Several paths are one composite observation, or one each
where the device has none.")]
pub(crate) struct Observe {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Path, such as /3/0/9, or NAME=VALUE of a notification attribute.
    #[arg(value_name = "PATH|NAME=VALUE", required = true)]
    wanted: Vec<String>,
    /// Ask even if the object's definition says that the resource cannot be read.
    #[arg(long)]
    force: bool,
    /// End after this many messages; the first is the value now.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    behind: Behind,
}

impl Observe {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let (paths, parameters) = wanted(&self.wanted)?;
        self.behind.check(&paths)?;
        let endpoint = self.endpoint;
        let paths = texts(&paths);
        let path = paths.join(" ");
        let action = format!("observe {path} of {}", self.behind.of(&endpoint));
        // The stream itself has no end; only its beginning may take no longer than any other answer.
        let begun = async {
            let mut operations = api.operations();
            if let [path] = paths.as_slice() {
                let request = ObserveRequest {
                    endpoint: endpoint.clone(),
                    path: path.clone(),
                    parameters,
                    force: self.force,
                    child: self.behind.prefix(),
                };
                return operations.observe(request).await;
            }
            let request = ObserveCompositeRequest {
                endpoint: endpoint.clone(),
                paths,
                parameters,
                force: self.force,
            };
            operations.observe_composite(request).await
        };
        let begun = tokio::time::timeout(api.timeout(), begun).await;
        let begun = begun
            .unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("the API does not answer")));
        let mut stream = begun.map_err(Failure::call(action.clone()))?.into_inner();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(message) = stream
                .message()
                .await
                .map_err(Failure::call(action.clone()))?
            else {
                return Ok(());
            };
            let view = ObserveView {
                endpoint: endpoint.clone(),
                path: path.clone(),
                values: message.values.into_iter().map(ReportedView::from).collect(),
            };
            global.output.show_item(&view, |view| {
                view.values.iter().map(ReportedView::line).collect()
            })?;
            left -= 1;
        }
        Ok(())
    }
}

/// What is given: paths, and attributes in the form of a query.
pub(super) fn wanted(words: &[String]) -> Result<(Vec<lwm2m::Path>, String), Failure> {
    let (attributes, paths): (Vec<&str>, Vec<&str>) = words
        .iter()
        .map(String::as_str)
        .partition(|word| word.starts_with(|first: char| first.is_ascii_lowercase()));
    let paths: Result<Vec<lwm2m::Path>, String> =
        paths.into_iter().map(model::parse_path).collect();
    let paths = paths.map_err(|error| {
        Failure::usage(
            error,
            "give paths such as /3/0/9, and attributes such as pmin=10",
        )
    })?;
    if paths.is_empty() {
        return Err(Failure::usage(
            "no path is given".to_owned(),
            "name at least one, for example /3303/0/5700",
        ));
    }
    Ok((paths, attributes.join("&")))
}

/// Paths as requests have them.
pub(super) fn texts(paths: &[lwm2m::Path]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}
