//! One device: what is known of it, and what its object asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use device_state::CredentialId;
use fleet_plan::device::{
    Action, FirmwareCampaign, FirmwareProgress, Observed, Proof, Registration, ReportedValue,
    StoredCredential, StoredObservation, StoredResource, StoredState, WantedCredential,
    WantedResource,
};
use lwm2m::{NotificationAttributes, Path, Value};
use proto::drover::v1 as api;
use proto::drover::v1::credentials_client::CredentialsClient;
use proto::drover::v1::desired_state_client::DesiredStateClient;
use proto::drover::v1::devices_client::DevicesClient;
use proto::drover::v1::observations_client::ObservationsClient;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic::{Response, Status};

use crate::{AnswerError, drift, presence, reason, time, wire_drift, wire_presence};

/// The call that carries an action out.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Values to have.
    SetDesired(api::SetDesiredRequest),
    /// Labels. A device of which nothing is known becomes known by it.
    UpdateDevice(Box<api::UpdateDeviceRequest>),
    /// Something to report.
    PutObservation(api::PutObservationRequest),
    /// What is not to be reported any more.
    DeleteObservation(api::DeleteObservationRequest, Path),
    /// Something to prove itself by, and of which version of a Secret it is.
    AddCredential(Box<Secretive>, String),
    /// What it is not to prove itself by any more.
    DeleteCredential(api::DeleteCredentialRequest, CredentialId),
}

/// A request that is never printed.
#[derive(Clone, PartialEq)]
pub struct Secretive(api::PutCredentialRequest);

impl fmt::Debug for Secretive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PutCredentialRequest");
        shown.field("endpoint", &self.0.endpoint);
        shown.finish_non_exhaustive()
    }
}

/// What stands after a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// All that is desired.
    Desired(api::DesiredResources),
    /// The device with its labels.
    Device(Box<api::Device>),
    /// The observation that was asked for.
    Observation(Option<api::Observation>),
    /// The object asks for no observation of this path any more.
    Released(Path),
    /// The credential that was stored, and of which version of a Secret it is.
    Credential(api::Credential, String),
    /// This one is gone.
    Revoked(CredentialId),
}

impl Call {
    /// The call for an action about an endpoint.
    pub fn of(endpoint: &str, action: &Action) -> Self {
        let endpoint = endpoint.to_owned();
        match action {
            Action::SetDesired {
                generation,
                resources,
            } => Self::SetDesired(api::SetDesiredRequest {
                endpoint,
                generation: *generation,
                resources: resources.iter().map(desired_value).collect(),
                ..Default::default()
            }),
            Action::SetLabels { set, remove } => {
                Self::UpdateDevice(Box::new(label_change(endpoint, set, remove)))
            }
            Action::PutObservation { path, parameters } => {
                Self::PutObservation(api::PutObservationRequest {
                    endpoint,
                    paths: vec![path.to_string()],
                    parameters: parameters.to_query().join("&"),
                    ..Default::default()
                })
            }
            Action::DeleteObservation { path } => {
                let request = api::DeleteObservationRequest {
                    endpoint,
                    paths: vec![path.to_string()],
                    ..Default::default()
                };
                Self::DeleteObservation(request, *path)
            }
            Action::AddCredential(wanted) => {
                let request = put_credential(endpoint, wanted);
                Self::AddCredential(Box::new(Secretive(request)), wanted.version.clone())
            }
            Action::DeleteCredential { id, etag } => {
                let request = api::DeleteCredentialRequest {
                    id: Some(id.clone().into()),
                    etag: etag.clone(),
                    ..Default::default()
                };
                Self::DeleteCredential(request, id.clone())
            }
        }
    }

    /// Makes the call. The service says who calls, of which namespace, and how long it may take.
    pub async fn send<S>(self, service: S) -> Result<Response<Reply>, Status>
    where
        S: GrpcService<
                Body,
                Error: Into<StdError>,
                ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
            >,
    {
        match self {
            Self::SetDesired(request) => {
                let answer = DesiredStateClient::new(service)
                    .set_desired(request)
                    .await?;
                Ok(answer.map(Reply::Desired))
            }
            Self::UpdateDevice(request) => {
                let answer = DevicesClient::new(service).update_device(*request).await?;
                Ok(answer.map(|device| Reply::Device(Box::new(device))))
            }
            Self::PutObservation(request) => {
                let answer = ObservationsClient::new(service)
                    .put_observation(request)
                    .await?;
                Ok(answer.map(|told| Reply::Observation(told.observation)))
            }
            Self::DeleteObservation(request, path) => {
                let mut observations = ObservationsClient::new(service);
                match observations.delete_observation(request).await {
                    Ok(answer) => Ok(answer.map(|_| Reply::Released(path))),
                    // One that is not there is deleted.
                    Err(status) if status.code() == tonic::Code::NotFound => {
                        Ok(Response::new(Reply::Released(path)))
                    }
                    Err(status) => Err(status),
                }
            }
            Self::AddCredential(request, version) => {
                let answer = CredentialsClient::new(service)
                    .put_credential(request.0)
                    .await?;
                Ok(answer.map(|stored| Reply::Credential(stored, version)))
            }
            Self::DeleteCredential(request, id) => {
                let mut credentials = CredentialsClient::new(service);
                match credentials.delete_credential(request).await {
                    Ok(answer) => Ok(answer.map(|_| Reply::Revoked(id))),
                    // It is not there, or is what somebody else has put there.
                    Err(status)
                        if status.code() == tonic::Code::NotFound
                            || reason(&status) == "ETAG_MISMATCH" =>
                    {
                        Ok(Response::new(Reply::Revoked(id)))
                    }
                    Err(status) => Err(status),
                }
            }
        }
    }
}

impl Reply {
    /// Takes what stands now into what was observed.
    pub fn take_in(self, observed: &mut Observed) -> Result<(), AnswerError> {
        match self {
            Self::Desired(desired) => {
                observed.desired_generation = desired.generation;
                observed.desired = stored_resources(desired.resources)?;
            }
            Self::Device(device) => {
                observed.labels = device.labels.into_iter().collect();
                observed.is_known = true;
            }
            Self::Observation(observation) => {
                let stands = stored_observations(observation)?;
                let replaced =
                    |one: &StoredObservation| stands.iter().any(|stands| stands.path == one.path);
                observed.observations.retain(|one| !replaced(one));
                observed.observations.extend(stands);
                observed.is_known = true;
            }
            Self::Released(path) => {
                for one in &mut observed.observations {
                    one.declared &= one.path != path;
                }
            }
            Self::Credential(credential, version) => {
                let stored = StoredCredential {
                    version: Some(version),
                    ..stored_credential(credential)?
                };
                observed.credentials.retain(|one| one.id != stored.id);
                observed.credentials.push(stored);
            }
            Self::Revoked(id) => observed.revoked.push(id),
        }
        Ok(())
    }
}

/// One update for the labels that change.
fn label_change(
    endpoint: String,
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> api::UpdateDeviceRequest {
    let paths = set.keys().chain(remove);
    let mask = prost_types::FieldMask {
        paths: paths.map(|key| format!("labels.{key}")).collect(),
    };
    let labels = set.iter();
    api::UpdateDeviceRequest {
        device: Some(api::Device {
            endpoint,
            labels: labels
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            ..Default::default()
        }),
        update_mask: Some(mask),
        allow_missing: true,
        ..Default::default()
    }
}

fn put_credential(endpoint: String, wanted: &WantedCredential) -> api::PutCredentialRequest {
    use api::put_credential_request::Credential;
    let credential = match wanted.proof.clone() {
        Proof::PreSharedKey { identity, key } => {
            Credential::PreSharedKey(api::PreSharedKey { identity, key })
        }
        Proof::PublicKey(info) => Credential::PublicKey(info),
        Proof::Oscore { client_id, secret } => Credential::Oscore(api::OscoreContext {
            client_id,
            server_id: secret.server_id,
            master_secret: secret.master_secret,
            master_salt: secret.master_salt,
            id_context: secret.id_context,
        }),
    };
    api::PutCredentialRequest {
        endpoint,
        credential: Some(credential),
        only_if_free: true,
        ..Default::default()
    }
}

fn stored_credential(told: api::Credential) -> Result<StoredCredential, AnswerError> {
    let id = told
        .id
        .ok_or_else(|| AnswerError::Value("the id of a credential".to_owned()))?;
    Ok(StoredCredential {
        id: id.try_into()?,
        etag: told.etag,
        version: None,
    })
}

/// What was asked of the state tier about one endpoint, as it answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// What is known of the device, if anything is.
    pub device: Option<api::Device>,
    /// What is desired of it.
    pub desired: api::DesiredResources,
    /// What is observed of it; none if that does not matter.
    pub observations: Vec<api::Observation>,
    /// What it may prove itself by; none if that does not matter.
    pub credentials: Vec<api::Credential>,
}

/// What the planner compares.
pub fn observed(answers: Answers) -> Result<Observed, AnswerError> {
    let Answers {
        device,
        desired,
        observations,
        credentials,
    } = answers;
    let is_known = device.is_some();
    let mut device = device.unwrap_or_default();
    let labels = std::mem::take(&mut device.labels).into_iter().collect();
    let values = device
        .values
        .iter()
        .filter_map(|one| reported(one).transpose());
    Ok(Observed {
        values: values.collect::<Result<_, _>>()?,
        instances: instances(&device.objects),
        firmware: device.firmware_campaign.take().map(firmware),
        registration: registration(device),
        ended: None,
        desired_generation: desired.generation,
        desired: stored_resources(desired.resources)?,
        is_known,
        labels,
        observations: stored_observations(observations)?,
        credentials: credentials
            .into_iter()
            .map(stored_credential)
            .collect::<Result<_, _>>()?,
        revoked: Vec::new(),
        refused: None,
    })
}

fn firmware(campaign: api::FirmwareCampaign) -> FirmwareCampaign {
    use api::campaign_device::Phase;
    let progress = match campaign.phase() {
        Phase::Waiting | Phase::Scheduled => FirmwareProgress::Scheduled,
        Phase::Offered
        | Phase::Downloading
        | Phase::Downloaded
        | Phase::Updating
        | Phase::Verifying
        | Phase::Retrying => FirmwareProgress::Updating,
        Phase::Succeeded => FirmwareProgress::Succeeded,
        Phase::Failed | Phase::Expired => FirmwareProgress::Failed,
        Phase::Skipped | Phase::Cancelled | Phase::Unspecified => FirmwareProgress::LeftOut,
    };
    FirmwareCampaign {
        name: campaign.campaign,
        version: campaign.version,
        progress,
        reason: campaign.reason,
    }
}

/// What is no instance, or of no device, is not compared with anything.
fn instances(objects: &[api::ObjectInstance]) -> Vec<Path> {
    let path = |one: &api::ObjectInstance| {
        let object = u16::try_from(one.object).ok()?;
        let instance = u16::try_from(one.instance?).ok()?;
        Some(Path::ObjectInstance(object, instance))
    };
    objects.iter().filter_map(path).collect()
}

/// Observations of one path of the device itself: objects ask for no others.
fn stored_observations(
    observations: impl IntoIterator<Item = api::Observation>,
) -> Result<Vec<StoredObservation>, AnswerError> {
    let mut stored = Vec::new();
    for one in observations {
        let ([text], true) = (one.paths.as_slice(), one.child.is_empty()) else {
            continue;
        };
        let query: Vec<&str> = one
            .parameters
            .split('&')
            .filter(|one| !one.is_empty())
            .collect();
        let parameters = NotificationAttributes::parse_query(&query);
        stored.push(StoredObservation {
            path: path(text)?,
            parameters: parameters.map_err(|_| AnswerError::Value(text.clone()))?,
            declared: one.declared,
            has_others: one.callers > 0,
        });
    }
    Ok(stored)
}

fn registration(device: api::Device) -> Option<Registration> {
    if device.state() != api::device::State::Registered {
        return None;
    }
    let lifetime = device.lifetime.map_or(0, |lifetime| lifetime.seconds);
    Some(Registration {
        id: device.registration_id,
        since: device
            .registration_time
            .and_then(|since| time(since.seconds)),
        lifetime_seconds: u32::try_from(lifetime).unwrap_or(0),
        version: device.lwm2m_version,
        binding: device.binding,
        transport: device.transport,
    })
}

fn stored_resources(
    resources: Vec<api::DesiredResource>,
) -> Result<Vec<StoredResource>, AnswerError> {
    let one = |resource: api::DesiredResource| {
        let drift = drift(resource.drift_policy());
        let text = match presence(resource.presence()) {
            Some(presence) => presence.name().to_owned(),
            None => resource.text.clone(),
        };
        let state = match resource.state() {
            api::desired_resource::State::Pending => StoredState::Pending,
            api::desired_resource::State::InSync => StoredState::InSync,
            api::desired_resource::State::Drifted => StoredState::Drifted,
            api::desired_resource::State::Rejected => StoredState::Rejected {
                coap_code: resource.coap_code,
                diagnostic: resource.diagnostic,
                since: resource.since.and_then(|since| time(since.seconds)),
            },
            api::desired_resource::State::Unspecified => {
                return Err(AnswerError::State(resource.path));
            }
        };
        Ok(StoredResource {
            path: path(&resource.path)?,
            drift,
            text,
            state,
        })
    };
    // What profiles desire of the device is not of its object.
    let of_device = resources.into_iter().filter(|one| one.profile.is_empty());
    of_device.map(one).collect()
}

fn desired_value(wanted: &WantedResource) -> api::DesiredValue {
    api::DesiredValue {
        path: wanted.path.to_string(),
        text: wanted.goal.value().map(Value::to_text).unwrap_or_default(),
        drift_policy: wire_drift(wanted.drift).into(),
        presence: wire_presence(wanted.goal.presence()).into(),
    }
}

fn reported(reported: &api::ReportedValue) -> Result<Option<ReportedValue>, AnswerError> {
    let path = path(&reported.path)?;
    let Some(value) = reported.value.clone().filter(|value| value.kind.is_some()) else {
        return Ok(None);
    };
    let value = Value::try_from(value).map_err(|_| AnswerError::Value(reported.path.clone()))?;
    Ok(Some(ReportedValue {
        path,
        text: value.to_text(),
    }))
}

fn path(text: &str) -> Result<Path, AnswerError> {
    text.parse().map_err(|_| AnswerError::Path(text.to_owned()))
}
