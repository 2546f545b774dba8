//! `apply`: the manifests that kubectl takes, through the operator's own planner.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use crd::{Device, DeviceStatus};
use fleet_plan::device::{Action, Observed, StoredResource, StoredState, plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proto::drover::v1::{
    DesiredResource, DesiredResources, DesiredValue, GetDesiredRequest, SetDesiredRequest,
    desired_resource,
};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::time;

/// The one kind that this release applies.
const KIND: (&str, &str) = ("drover.dev/v1alpha1", "Device");

#[derive(Debug, Args)]
#[command(after_help = "\
The same YAML that kubectl apply takes, planned by the same code. Values are kept in the cluster
and written when the device is awake; `drover device ENDPOINT` shows how far it is. What is no
longer in the YAML is no longer kept; its value stays on the device. Kinds: Device.

Examples:
  drover apply -f examples/device.yaml
  drover apply -f devices/ -o json
  cat device.yaml | drover apply -f -

JSON: {\"devices\": [{\"name\", \"endpoint\", \"result\"}]}; result is configured or unchanged.")]
pub(crate) struct Apply {
    /// A file, a folder of .yaml files, or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What became of each object.
#[derive(Debug, Serialize)]
struct AppliedView {
    devices: Vec<AppliedDevice>,
}

#[derive(Debug, Serialize)]
struct AppliedDevice {
    name: String,
    endpoint: String,
    result: &'static str,
}

impl Apply {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let mut devices = Vec::new();
        for file in &self.files {
            for (source, text) in sources(file)? {
                devices.extend(parse(&source, &text)?);
            }
        }
        one_object_each(&devices)?;
        let api = Api::connect(global).await?;
        let mut view = AppliedView {
            devices: Vec::new(),
        };
        for device in &devices {
            match apply(&api, device).await {
                Ok(applied) => view.devices.push(applied),
                // What was changed before is told, too.
                Err(failure) if view.devices.is_empty() => return Err(failure),
                Err(failure) => return view.show(global).and(Err(failure)),
            }
        }
        view.show(global)
    }
}

impl AppliedView {
    fn show(&self, global: &Global) -> Result<(), Failure> {
        global.output.show(self, |view| {
            let line = |device: &AppliedDevice| {
                format!("device.drover.dev/{} {}\n", device.name, device.result)
            };
            view.devices.iter().map(line).collect()
        })
    }
}

/// Two objects would take turns in overwriting each other.
fn one_object_each(devices: &[Device]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    let repeated = devices
        .iter()
        .map(|device| &device.spec.endpoint_name)
        .find(|name| !names.insert(*name));
    repeated.map_or(Ok(()), |name| {
        Err(Failure::usage(
            format!("more than one object has the endpointName {name:?}"),
            "nothing was changed",
        ))
    })
}

/// The texts behind a file argument, each with its name.
fn sources(file: &Path) -> Result<Vec<(String, String)>, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let read = |path: &Path| -> Result<(String, String), Failure> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    if !file.is_dir() {
        return Ok(vec![read(file)?]);
    }
    let listing =
        std::fs::read_dir(file).with_context(|| format!("cannot list {}", file.display()))?;
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry
            .with_context(|| format!("cannot list {}", file.display()))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// The devices of a text with any number of YAML documents; each has passed the rules of its definition.
fn parse(source: &str, text: &str) -> Result<Vec<Device>, Failure> {
    let invalid =
        |what: String| Failure::usage(format!("{source}: {what}"), "see examples/device.yaml");
    let mut devices = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = serde_yaml_ng::Value::deserialize(document)
            .map_err(|error| invalid(error.to_string()))?;
        if value.is_null() {
            continue;
        }
        let field = |name: &str| value.get(name).and_then(serde_yaml_ng::Value::as_str);
        let kind = (
            field("apiVersion").unwrap_or_default(),
            field("kind").unwrap_or_default(),
        );
        if kind != KIND {
            let (version, kind) = kind;
            return Err(invalid(format!(
                "kind {kind:?} of {version:?} is not known here"
            )));
        }
        let device: Device =
            serde_yaml_ng::from_value(value).map_err(|error| invalid(error.to_string()))?;
        device.validate_cel().map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            invalid(errors.join("; "))
        })?;
        devices.push(device);
    }
    Ok(devices)
}

/// Observes, plans and acts for one device.
async fn apply(api: &Api, device: &Device) -> Result<AppliedDevice, Failure> {
    let endpoint = device.spec.endpoint_name.clone();
    let action = format!("apply {endpoint}");
    let request = api.request(GetDesiredRequest {
        endpoint: endpoint.clone(),
    });
    let stored = match api.desired_state().get_desired(request).await {
        Ok(answer) => answer.into_inner(),
        // A device may be declared before it was ever seen.
        Err(status) if status.code() == tonic::Code::NotFound => DesiredResources::default(),
        Err(status) => return Err(Failure::call(action)(status)),
    };
    let mut owner = device.clone();
    // No status says here who declared what stands: applying replaces it, whoever did.
    owner.status = Some(DeviceStatus {
        desired_generation: i64::try_from(stored.generation)
            .ok()
            .filter(|generation| *generation > 0),
        ..DeviceStatus::default()
    });
    let planned = plan(&owner, &[], &observed(stored)?, &now());
    if let Some(reason) = refusal(&planned.status) {
        return Err(Failure::usage(
            format!(
                "{}: {reason}",
                device.metadata.name.as_deref().unwrap_or(&endpoint)
            ),
            "nothing was changed",
        ));
    }
    let result = if planned.actions.is_empty() {
        "unchanged"
    } else {
        "configured"
    };
    for Action::SetDesired {
        endpoint,
        generation,
        resources,
    } in planned.actions
    {
        let value = |(path, value): &(lwm2m::Path, lwm2m::Value)| DesiredValue {
            path: path.to_string(),
            text: value.to_text(),
        };
        let request = SetDesiredRequest {
            endpoint: endpoint.to_string(),
            generation,
            resources: resources.iter().map(value).collect(),
            ..Default::default()
        };
        let answer = api.desired_state().set_desired(api.request(request)).await;
        answer.map_err(Failure::call(action.clone()))?;
    }
    let name = device
        .metadata
        .name
        .clone()
        .unwrap_or_else(|| endpoint.clone());
    Ok(AppliedDevice {
        name,
        endpoint,
        result,
    })
}

/// Why the spec is not accepted, if it is not.
fn refusal(status: &DeviceStatus) -> Option<String> {
    let accepted = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Accepted")?;
    (accepted.status == "False").then(|| accepted.message.clone())
}

fn observed(stored: DesiredResources) -> Result<Observed, Failure> {
    let one = |resource: DesiredResource| -> Result<StoredResource, Failure> {
        let state = match resource.state() {
            desired_resource::State::InSync => StoredState::InSync,
            desired_resource::State::Rejected => StoredState::Rejected {
                coap_code: resource.coap_code,
                diagnostic: resource.diagnostic,
                since: None,
            },
            desired_resource::State::Pending | desired_resource::State::Unspecified => {
                StoredState::Pending
            }
        };
        let path = resource
            .path
            .parse()
            .with_context(|| format!("the API named {:?}, which is not a path", resource.path))?;
        Ok(StoredResource {
            path,
            text: resource.text,
            state,
        })
    };
    Ok(Observed {
        desired_generation: stored.generation,
        desired: stored
            .resources
            .into_iter()
            .map(one)
            .collect::<Result<_, _>>()?,
        ..Observed::default()
    })
}

fn now() -> Time {
    Time(Timestamp::try_from(time::now()).unwrap_or_default())
}
