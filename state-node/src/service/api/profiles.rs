//! `drover.v1.DeviceProfiles`.

use campaign::Hold;
use device_state::query;
use device_state::{Command, DeviceName, Namespace, Outcome, Profile, ShardId};
use proto::convert::public::{
    Defined, InNamespace, checked_name, device_filter, profile_device, profile_overlaps,
    profile_states,
};
use proto::drover::v1 as public;
use proto::drover::v1::device_profiles_server::DeviceProfiles;
use tonic::{Request, Response, Status};

use crate::profiles;
use crate::router::COMMON;
use crate::service::api::devices::after_name;
use crate::service::api::token::PageToken;
use crate::service::api::{Api, page_size, tenant, terms};
use crate::service::status;

/// Devices that are looked at for one page, over all shards.
const MAX_EXAMINED: usize = 50_000;
/// Devices that are looked at between two breaths: others use this thread too.
const CHUNK: usize = 1_000;

#[tonic::async_trait]
impl DeviceProfiles for Api {
    async fn put_device_profile(
        &self,
        request: Request<public::PutDeviceProfileRequest>,
    ) -> Result<Response<public::DeviceProfile>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let profile = Profile::try_from(Defined {
            request: asked.request,
            namespace: &asked.namespace,
            definitions: &self.definitions(),
        });
        let profile = profile.map_err(|error| status::convert(&error))?;
        // A group that is misspelled would have no devices, for ever, and both filters together have to be one.
        let both = self.filter_of(&profile.namespace, &profile.group, &profile.selector.text)?;
        device_filter(&both).map_err(|error| status::field("profile.filter", &error))?;
        check_rollout(&profile)?;
        let command = Command::PutProfile {
            profile: Box::new(profile.clone()),
        };
        if profile.rollout.is_some() {
            // Of every shard: each has devices of it.
            self.all_know(command.needs()).await?;
        }
        let outcome = self.commit_on(COMMON, &terms, command).await?;
        let Outcome::Revised { revision } = outcome else {
            return Err(Status::internal("a profile has no revision"));
        };
        // Shards do not go by it yet.
        let status = public::ProfileStatus {
            revision,
            ..Default::default()
        };
        Ok(Response::new(public::DeviceProfile {
            status: Some(status),
            ..profile.into()
        }))
    }

    async fn get_device_profile(
        &self,
        request: Request<public::GetDeviceProfileRequest>,
    ) -> Result<Response<public::DeviceProfile>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let profile = self.profile(&namespace, &request.name)?;
        Ok(Response::new(self.with_status(profile)))
    }

    async fn list_device_profiles(
        &self,
        request: Request<public::ListDeviceProfilesRequest>,
    ) -> Result<Response<public::ListDeviceProfilesResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let profiles = self.profiles(&namespace).into_iter();
        Ok(Response::new(public::ListDeviceProfilesResponse {
            profiles: profiles.map(|profile| self.with_status(profile)).collect(),
        }))
    }

    async fn delete_device_profile(
        &self,
        request: Request<public::DeleteDeviceProfileRequest>,
    ) -> Result<Response<public::DeleteDeviceProfileResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteDeviceProfileResponse {}))
    }

    async fn list_profile_devices(
        &self,
        request: Request<public::ListProfileDevicesRequest>,
    ) -> Result<Response<public::ListProfileDevicesResponse>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let profile = self.profile(&namespace, &request.name)?;
        self.profile_devices(&profile, request)
            .await
            .map(Response::new)
    }
}

fn check_rollout(profile: &Profile) -> Result<(), Status> {
    profile.rollout.as_ref().map_or(Ok(()), |rollout| {
        campaign::check_rollout(rollout).map_err(|error| {
            status::field(&format!("profile.rollout.{}", error.field), &error.problem)
        })
    })
}

impl Api {
    fn profiles(&self, namespace: &Namespace) -> Vec<Profile> {
        let common = self.router().common_group();
        common
            .store()
            .read(|tables| query::profiles(tables, Some(namespace)))
    }

    fn profile(&self, namespace: &Namespace, name: &str) -> Result<Profile, Status> {
        checked_name("name", name).map_err(|error| status::convert(&error))?;
        let common = self.router().common_group();
        let found = common
            .store()
            .read(|tables| query::profile(tables, namespace, name));
        found.ok_or_else(|| status::not_found("the profile"))
    }

    /// With what this node's replicas of the shards have counted.
    fn with_status(&self, profile: Profile) -> public::DeviceProfile {
        let progress = profiles::progress(self.router(), &profile);
        let others = self.profiles(&profile.namespace);
        let status = public::ProfileStatus {
            revision: profile.revision,
            applied: progress.applied,
            counts: Some(progress.tally.into()),
            overlaps: profile_overlaps(&profile, &others),
            hold: match progress.hold {
                None => public::profile_status::Hold::Unspecified,
                Some(Hold::Window) => public::profile_status::Hold::Window,
                Some(Hold::Failures) => public::profile_status::Hold::Failures,
            }
            .into(),
        };
        public::DeviceProfile {
            status: Some(status),
            ..profile.into()
        }
    }

    async fn profile_devices(
        &self,
        profile: &Profile,
        request: public::ListProfileDevicesRequest,
    ) -> Result<public::ListProfileDevicesResponse, Status> {
        let states = profile_states(&request.states).map_err(|error| status::convert(&error))?;
        let question = format!("profile\0{}\0{:?}", profile.name, request.states);
        let mut page = PageToken::of_request(
            &self.signer,
            &request.page_token,
            &profile.namespace.qualify(&question),
            self.cluster_id(),
        )?;
        let size = page_size(request.page_size);
        let (mut devices, mut examined) = (Vec::new(), 0);
        while let Some(group) = self.router().group(ShardId(page.shard)) {
            let after = page.after.take();
            let after: Option<DeviceName> = after.map(|name| after_name(&name)).transpose()?;
            let room = (size - devices.len()).min(CHUNK);
            let name = (&profile.namespace, &*profile.name);
            let next = group.store().read(|tables| {
                let found = query::profile_devices(tables, name, &states, after.as_ref(), room);
                for device in found.devices {
                    let desired = query::desired(tables, &device.endpoint);
                    devices.push(profile_device(device, &desired));
                }
                found.next
            });
            examined += room;
            match next {
                Some(last) => page.after = Some(last.stored().as_bytes().to_vec()),
                None => page.shard += 1,
            }
            if devices.len() >= size || examined >= MAX_EXAMINED {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(public::ListProfileDevicesResponse {
            devices,
            next_page_token: self.next_token(&page),
        })
    }
}
