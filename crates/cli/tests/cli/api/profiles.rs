//! Profiles: none is there.

use proto::drover::v1::device_profiles_server::DeviceProfiles;
use proto::drover::v1::{
    DeleteDeviceProfileRequest, DeleteDeviceProfileResponse, DeviceProfile,
    GetDeviceProfileRequest, ListDeviceProfilesRequest, ListDeviceProfilesResponse,
    ListProfileDevicesRequest, ListProfileDevicesResponse, PutDeviceProfileRequest,
};
use tonic::{Request, Response, Status};

use super::{Answer, Script};

#[tonic::async_trait]
impl DeviceProfiles for Script {
    async fn put_device_profile(
        &self,
        request: Request<PutDeviceProfileRequest>,
    ) -> Answer<DeviceProfile> {
        Ok(Response::new(
            request.into_inner().profile.unwrap_or_default(),
        ))
    }

    async fn get_device_profile(
        &self,
        _: Request<GetDeviceProfileRequest>,
    ) -> Answer<DeviceProfile> {
        Err(Status::not_found("no such profile"))
    }

    async fn list_device_profiles(
        &self,
        _: Request<ListDeviceProfilesRequest>,
    ) -> Answer<ListDeviceProfilesResponse> {
        Ok(Response::new(ListDeviceProfilesResponse::default()))
    }

    async fn delete_device_profile(
        &self,
        _: Request<DeleteDeviceProfileRequest>,
    ) -> Answer<DeleteDeviceProfileResponse> {
        Err(Status::not_found("no such profile"))
    }

    async fn list_profile_devices(
        &self,
        _: Request<ListProfileDevicesRequest>,
    ) -> Answer<ListProfileDevicesResponse> {
        Err(Status::not_found("no such profile"))
    }
}
