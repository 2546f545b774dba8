//! Everything that is known of one device, as it travels between nodes.

use device_state::campaign::Ledger;
use device_state::query::{DeviceView, FirmwareCampaign};
use device_state::{
    BootstrapRecord, ChildValue, DesiredResource, DeviceName, LastValue, Metadata, Observation,
    OperationRecord, Registration, Revision, limit,
};

use super::list::each;
use super::{ConvertError, Within, message};
use crate::rpc::v1::DescribeDeviceResponse;
use crate::rpc::v1::describe_device_response as response;

/// The most operations of one device: those that wait or are in flight (of callers, and one for each desired
/// resource), those that ended, and room for releases with other limits.
const MAX_OPERATIONS: usize = 4_096;

/// The answer to a question for `view`, which was read at `revision`. A device without desired state has generation 0,
/// as no intent has.
pub fn wire_device_view(view: DeviceView, revision: Revision) -> DescribeDeviceResponse {
    DescribeDeviceResponse {
        registration: view.registration.map(Into::into),
        desired: view.desired.into_iter().map(Into::into).collect(),
        values: view.values.into_iter().map(Into::into).collect(),
        child_values: view.child_values.into_iter().map(Into::into).collect(),
        operations: view.operations.into_iter().map(Into::into).collect(),
        observations: view.observations.into_iter().map(Into::into).collect(),
        revision: revision.0,
        desired_generation: view.desired_generation.unwrap_or_default(),
        bootstrap: view.bootstrap.map(Into::into),
        metadata: view.metadata.map(Into::into),
        firmware: view.firmware.map(Into::into),
    }
}

/// What `response` says of `endpoint`.
pub fn device_view(
    endpoint: &DeviceName,
    response: DescribeDeviceResponse,
) -> Result<(DeviceView, Revision), ConvertError> {
    let registration = response.registration.map(Registration::try_from);
    let view = DeviceView {
        endpoint: endpoint.clone(),
        registration: registration.transpose().within("registration")?,
        desired: each(
            "desired",
            response.desired,
            limit::MAX_DESIRED,
            DesiredResource::try_from,
        )?,
        desired_generation: (response.desired_generation != 0)
            .then_some(response.desired_generation),
        values: each(
            "values",
            response.values,
            limit::MAX_VALUES,
            LastValue::try_from,
        )?,
        child_values: each(
            "child_values",
            response.child_values,
            limit::MAX_CHILD_VALUES,
            ChildValue::try_from,
        )?,
        operations: each(
            "operations",
            response.operations,
            MAX_OPERATIONS,
            OperationRecord::try_from,
        )?,
        observations: each(
            "observations",
            response.observations,
            Observation::MAX_PATHS,
            Observation::try_from,
        )?,
        bootstrap: response
            .bootstrap
            .map(BootstrapRecord::try_from)
            .transpose()
            .within("bootstrap")?,
        metadata: response
            .metadata
            .map(Metadata::try_from)
            .transpose()
            .within("metadata")?,
        firmware: response
            .firmware
            .map(FirmwareCampaign::try_from)
            .transpose()
            .within("firmware")?,
    };
    Ok((view, Revision(response.revision)))
}

impl From<FirmwareCampaign> for response::FirmwareCampaign {
    fn from(campaign: FirmwareCampaign) -> Self {
        Self {
            name: campaign.name,
            image: campaign.image,
            version: campaign.version,
            device: Some(campaign.ledger.into()),
        }
    }
}

impl TryFrom<response::FirmwareCampaign> for FirmwareCampaign {
    type Error = ConvertError;

    fn try_from(campaign: response::FirmwareCampaign) -> Result<Self, ConvertError> {
        let ledger: Ledger = message("device", campaign.device)?;
        Ok(Self {
            name: campaign.name,
            image: campaign.image,
            version: campaign.version,
            ledger,
        })
    }
}
