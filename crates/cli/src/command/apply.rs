//! `apply`: the manifests that kubectl takes, through the operator's own planners.

mod device;
mod documents;
mod rollout;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;

use documents::Documents;

#[derive(Debug, Args)]
#[command(after_help = "\
The same YAML that kubectl apply takes, planned by the same code. Kinds: Device, FirmwareImage,
FirmwareRollout.

Values of a Device are kept in the cluster and written when the device is awake; `drover device
ENDPOINT` shows how far it is. What is no longer in the YAML is no longer kept; its value stays on
the device.

A FirmwareRollout becomes a campaign in the namespace of -n, once. After that, paused, abort and
approvedThrough are passed on. The FirmwareImage that it names has to be in the same call: nothing
but the campaign keeps what it says.

Examples:
  drover apply -f examples/device.yaml
  drover apply -f devices/ -o json
  drover apply -f examples/rollout.yaml
  cat device.yaml | drover apply -f -

JSON: {\"devices\": [{\"name\", \"endpoint\", \"result\"}], \"rollouts\": [{\"name\", \"campaign\",
\"result\"}]}; result is created (of a rollout), configured or unchanged.")]
pub(crate) struct Apply {
    /// A file, a folder of .yaml files, or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What became of each object.
#[derive(Debug, Default, Serialize)]
struct AppliedView {
    devices: Vec<AppliedDevice>,
    rollouts: Vec<AppliedRollout>,
}

#[derive(Debug, Serialize)]
struct AppliedDevice {
    name: String,
    endpoint: String,
    result: Applied,
}

#[derive(Debug, Serialize)]
struct AppliedRollout {
    name: String,
    campaign: String,
    result: Applied,
}

/// What became of an object, in the words of kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Apply {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let namespace = global.proof.namespace();
        let documents = Documents::read(&self.files, namespace.as_str())?;
        let api = Api::connect(global).await?;
        let mut view = AppliedView::default();
        let applied = apply(&api, &documents, global, &mut view).await;
        match applied {
            // What was changed before is told, too.
            Err(failure) if view.is_empty() => Err(failure),
            applied => view.show(global).and(applied),
        }
    }
}

async fn apply(
    api: &Api,
    documents: &Documents,
    global: &Global,
    view: &mut AppliedView,
) -> Result<(), Failure> {
    for device in &documents.devices {
        view.devices.push(device::apply(api, device).await?);
    }
    let namespace = global.proof.namespace();
    for rollout in &documents.rollouts {
        let applied = rollout::apply(api, namespace, rollout, &documents.images).await?;
        view.rollouts.push(applied);
    }
    Ok(())
}

impl AppliedView {
    const fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.rollouts.is_empty()
    }

    fn show(&self, global: &Global) -> Result<(), Failure> {
        global.output.show(self, |view| {
            let line = |kind: &str, name: &str, result: Applied| {
                format!("{kind}.drover.dev/{name} {}\n", result.as_str())
            };
            let devices = view.devices.iter();
            let rollouts = view.rollouts.iter();
            devices
                .map(|one| line("device", &one.name, one.result))
                .chain(rollouts.map(|one| line("firmwarerollout", &one.name, one.result)))
                .collect()
        })
    }
}
