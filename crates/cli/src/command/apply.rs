//! `apply`: the manifests that kubectl takes, through the operator's own planners.

mod bootstrap;
mod declared;
mod device;
mod documents;
mod enrollment;
mod group;
mod image;
mod model;
mod named;
mod operation;
mod profile;
mod rollout;

use std::path::PathBuf;

use clap::Args;
use device_state::Namespace;
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;

use documents::Documents;
use image::AppliedImage;
use operation::AppliedOperation;

#[derive(Debug, Args)]
#[command(after_help = "\
The same YAML that kubectl apply takes, planned by the same code. Kinds: Device, DeviceGroup,
DeviceProfile, EnrollmentPolicy, ObjectModel, BootstrapProfile with its SecurityProfiles,
FirmwareRollout with its FirmwareImages, DeviceOperation. All go into the namespace of -n.

Values of a Device are kept in the cluster and written when the device is awake; `drover device
ENDPOINT` shows how far it is. A value that is no longer in the YAML is no longer kept, and stays on
the device. Its labels are set and its observations asked for; those that are no longer in the YAML
stay. DeviceProfiles that it refers to (profileRefs) are in the same call, and so are the Secrets
that a value of it or of a DeviceProfile is taken from (valueFrom), or what the device proves itself
by (credentialSecretRef): nothing is kept of a Secret but values that are desired, which stand in
the cluster as any other, and credentials, which nobody can read.

A DeviceGroup, DeviceProfile, EnrollmentPolicy or ObjectModel becomes the group, profile, policy or
definition of its name, and stays until `drover groups|profiles|enrollment|models remove`. What
Kubernetes has declared is left alone. A SecurityProfile that a policy names is in the same call.

A BootstrapProfile becomes the bootstrap profile NAME-drover-apply, for every device that
bootstraps, and stays until `drover bootstrap remove`.

A FirmwareRollout becomes a campaign, once. After that, paused, abort and approvedThrough are passed
on. The FirmwareImages that it names have to be in the same call, and so has the DeviceGroup: only
the campaign keeps what they say. An image that the cluster is to fetch is fetched here, checked and
stored before anything begins, as `drover artefacts put` does. The public key of its signature is in
a ConfigMap or Secret of the same call; so may be what its source asks for, which is else what
`docker login` has written, or what AWS_ACCESS_KEY_ID and the like say.

A DeviceOperation is asked of one device: of that with its endpointName, or of that of a Device of
the same call. The result is waited for as long as --timeout lets it; what waits for its device then
stays in the queue (`drover operations wait`). The same name, device and action again, within ten
minutes, is the same operation, and is not done twice; but what only reads is asked again.

Examples:
  drover apply -f examples/device.yaml
  drover apply -f devices/ -o json
  drover apply -f examples/resources/device-group.yaml -f examples/resources/device-profile.yaml
  drover apply -f examples/rollout.yaml
  drover apply -f examples/resources/bootstrap-profile.yaml \\
    -f examples/resources/security-profile-psk.yaml
  drover apply -f examples/resources/device-operation.yaml --timeout 2m
  cat device.yaml | drover apply -f -

JSON: {\"models\", \"groups\", \"profiles\", \"enrollmentPolicies\",
  \"bootstrapProfiles\": [{\"name\", \"result\"}],
  \"devices\": [{\"name\", \"endpoint\", \"result\"}], \"images\": [{\"name\", \"digest\", \"result\"}],
  \"rollouts\": [{\"name\", \"campaign\", \"result\"}], \"operations\": [{\"name\", \"endpoint\", \"result\",
  \"message\", \"operation\", \"values\": [{\"coapCode\", \"value\"}]}]}. Images are those that a rollout
  begins with and the cluster fetches. The result is created (never of a device), configured or
  unchanged; of an operation succeeded, failed, expired, pending, unheard or suspended.")]
pub(crate) struct Apply {
    /// A file, a folder of .yaml files, or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What became of each object.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliedView {
    models: Vec<AppliedObject>,
    groups: Vec<AppliedObject>,
    profiles: Vec<AppliedObject>,
    enrollment_policies: Vec<AppliedObject>,
    devices: Vec<AppliedDevice>,
    bootstrap_profiles: Vec<AppliedObject>,
    images: Vec<AppliedImage>,
    rollouts: Vec<AppliedRollout>,
    operations: Vec<AppliedOperation>,
}

/// What the state tier keeps under the name of the object.
#[derive(Debug, Serialize)]
struct AppliedObject {
    name: String,
    result: Applied,
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
        for one in &documents.operations {
            operation::check(one, &documents.devices)?;
        }
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
    // What others name comes first: values are typed by definitions, and profiles are of groups.
    for model in &documents.models {
        view.models.push(model::apply(api, model).await?);
    }
    for group in &documents.groups {
        view.groups.push(group::apply(api, group).await?);
    }
    for profile in &documents.profiles {
        view.profiles
            .push(profile::apply(api, profile, documents).await?);
    }
    let namespace = global.proof.namespace();
    for policy in &documents.enrollment {
        let applied = enrollment::apply(api, namespace, policy, &documents.security).await?;
        view.enrollment_policies.push(applied);
    }
    for device in &documents.devices {
        view.devices
            .push(device::apply(api, device, documents).await?);
    }
    let bootstraps = bootstrap::Call {
        profiles: &documents.bootstraps,
        security: &documents.security,
    };
    for profile in &documents.bootstraps {
        let applied = bootstrap::apply(api, namespace, profile, &bootstraps).await?;
        view.bootstrap_profiles.push(applied);
    }
    roll_out(api, namespace, documents, view).await?;
    // What is asked once comes after what is declared. One that fails keeps the others from nothing.
    for one in &documents.operations {
        let applied = operation::apply(api, one, &documents.devices).await?;
        view.operations.push(applied);
    }
    let mut failures = view.operations.iter().filter_map(AppliedOperation::failure);
    failures.next().map_or(Ok(()), Err)
}

/// All rollouts are planned before an image is fetched for one, and nothing begins before every image is where devices
/// get it. What devices were told of before is not looked at again.
async fn roll_out(
    api: &Api,
    namespace: &Namespace,
    documents: &Documents,
    view: &mut AppliedView,
) -> Result<(), Failure> {
    let images = documents.images.iter().map(image::planned);
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let named = (images.as_slice(), documents.groups.as_slice());
    let mut rollouts = Vec::new();
    for rollout in &documents.rollouts {
        rollouts.push(rollout::plan(api, namespace, rollout, named).await?);
    }
    for image in &images {
        if rollouts.iter().any(|rollout| rollout.begins_with(image)) {
            let provided = image::provide(api, image, documents).await?;
            view.images.extend(provided);
        }
    }
    for rollout in rollouts {
        view.rollouts.push(rollout.carry_out(api).await?);
    }
    Ok(())
}

impl AppliedView {
    fn is_empty(&self) -> bool {
        self.lines().is_empty() && self.operations.is_empty()
    }

    /// Kind, name and result of each object that was declared.
    fn lines(&self) -> Vec<(&str, &str, Applied)> {
        let devices = self.devices.iter();
        let (images, rollouts) = (self.images.iter(), self.rollouts.iter());
        of_kind("objectmodel", &self.models)
            .chain(of_kind("devicegroup", &self.groups))
            .chain(of_kind("deviceprofile", &self.profiles))
            .chain(of_kind("enrollmentpolicy", &self.enrollment_policies))
            .chain(devices.map(|one| ("device", one.name.as_str(), one.result)))
            .chain(of_kind("bootstrapprofile", &self.bootstrap_profiles))
            .chain(images.map(|one| ("firmwareimage", one.name.as_str(), one.result)))
            .chain(rollouts.map(|one| ("firmwarerollout", one.name.as_str(), one.result)))
            .collect()
    }

    fn text(&self) -> String {
        let declared = self.lines().into_iter();
        let declared = declared
            .map(|(kind, name, result)| format!("{kind}.drover.dev/{name} {}\n", result.as_str()));
        let asked = self.operations.iter();
        let asked =
            asked.map(|one| format!("deviceoperation.drover.dev/{} {}", one.name, one.lines()));
        declared.chain(asked).collect()
    }

    fn show(&self, global: &Global) -> Result<(), Failure> {
        global.output.show(self, Self::text)
    }
}

/// What became of objects of a kind that is kept under its name.
fn of_kind<'a>(
    kind: &'static str,
    objects: &'a [AppliedObject],
) -> impl Iterator<Item = (&'static str, &'a str, Applied)> {
    let line = move |one: &'a AppliedObject| (kind, one.name.as_str(), one.result);
    objects.iter().map(line)
}
