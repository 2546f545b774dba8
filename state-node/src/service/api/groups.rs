//! `drover.v1.DeviceGroups`.

use std::collections::HashMap;
use std::time::Duration;

use device_state::query::{self, DeviceQuery};
use device_state::{Command, DeviceName, DevicePrefix, Group, Namespace, Timestamp};
use lwm2m::{Path, Value};
use node_runtime::clock;
use proto::convert::public::{InNamespace, both, checked_name};
use proto::drover::v1 as public;
use proto::drover::v1::device_group::{Counts, FirmwareVersion};
use proto::drover::v1::device_groups_server::DeviceGroups;
use tonic::{Request, Response, Status};

use crate::raft;
use crate::router::COMMON;
use crate::service::api::{Api, tenant, terms};
use crate::service::status;

/// What a device runs.
const FIRMWARE_VERSION: Path = Path::Resource(3, 0, 3);
/// Devices that are looked at between two breaths: others use this thread too.
const CHUNK: usize = 512;
/// Versions that are told one by one.
const MAX_VERSIONS: usize = 16;
/// Different versions that are counted: devices say what they like.
const MAX_COUNTED: usize = 4_096;

#[tonic::async_trait]
impl DeviceGroups for Api {
    async fn put_device_group(
        &self,
        request: Request<public::PutDeviceGroupRequest>,
    ) -> Result<Response<public::DeviceGroup>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let group = Group::try_from(asked).map_err(|error| status::convert(&error))?;
        let command = Command::PutGroup {
            group: group.clone(),
        };
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(group.into()))
    }

    async fn get_device_group(
        &self,
        request: Request<public::GetDeviceGroupRequest>,
    ) -> Result<Response<public::DeviceGroup>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        let group = self.group(&namespace, &request.name)?;
        let counts = if request.count {
            Some(self.count(&group).await)
        } else {
            None
        };
        Ok(Response::new(public::DeviceGroup {
            counts,
            ..group.into()
        }))
    }

    async fn list_device_groups(
        &self,
        request: Request<public::ListDeviceGroupsRequest>,
    ) -> Result<Response<public::ListDeviceGroupsResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let common = self.router().common_group();
        let groups = common
            .store()
            .read(|tables| query::groups(tables, &namespace));
        Ok(Response::new(public::ListDeviceGroupsResponse {
            groups: groups.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_device_group(
        &self,
        request: Request<public::DeleteDeviceGroupRequest>,
    ) -> Result<Response<public::DeleteDeviceGroupResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteDeviceGroupResponse {}))
    }
}

impl Api {
    fn group(&self, namespace: &Namespace, name: &str) -> Result<Group, Status> {
        checked_name("group", name).map_err(|error| status::convert(&error))?;
        let common = self.router().common_group();
        let found = common
            .store()
            .read(|tables| query::group(tables, namespace, name));
        found.ok_or_else(|| status::not_found("the group"))
    }

    /// What a filter and a group of this name let through; a name that is empty stands for no group.
    pub(super) fn filter_of(
        &self,
        namespace: &Namespace,
        group: &str,
        filter: &str,
    ) -> Result<String, Status> {
        if group.is_empty() {
            return Ok(filter.to_owned());
        }
        let group = self.group(namespace, group)?;
        Ok(both(&group.selector.text, filter))
    }

    /// Shard by shard, as this node has applied them.
    async fn count(&self, group: &Group) -> Counts {
        let mut census = Census::new(self.state.attachments.awake_window());
        for shard in self.router().groups() {
            let mut after = None;
            loop {
                after = census.read(shard, group, after.as_ref());
                if after.is_none() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        census.told()
    }
}

/// Devices of a group on their way to being counted.
#[derive(Debug)]
struct Census {
    /// When it began.
    now: Timestamp,
    awake_window: Duration,
    devices: u64,
    registered: u64,
    asleep: u64,
    versions: HashMap<String, u64>,
    /// Of a version that is one too many, or of none.
    others: u64,
}

impl Census {
    fn new(awake_window: Duration) -> Self {
        Self {
            now: Timestamp(clock::now_ms()),
            awake_window,
            devices: 0,
            registered: 0,
            asleep: 0,
            versions: HashMap::new(),
            others: 0,
        }
    }

    /// Reads on in a shard; where to go on in it, if it is not at its end.
    fn read(
        &mut self,
        shard: &raft::group::Group,
        group: &Group,
        after: Option<&DeviceName>,
    ) -> Option<DeviceName> {
        let prefix = DevicePrefix::of(&group.namespace);
        let asked = DeviceQuery {
            filter: &group.selector.filter,
            prefix: &prefix,
            after,
            limit: CHUNK,
            examine: CHUNK,
        };
        shard.store().read(|tables| {
            let page = query::select_devices(tables, &asked);
            for device in page.devices {
                self.devices += 1;
                if let Some(registration) = &device.registration {
                    self.registered += 1;
                    let (window, now) = (self.awake_window, self.now);
                    let sleeps = query::is_asleep(tables, registration, window, now);
                    self.asleep += u64::from(sleeps);
                }
                let version = query::last_value(tables, &device.endpoint, FIRMWARE_VERSION);
                self.add(version.map(|known| known.value));
            }
            page.next
        })
    }

    fn add(&mut self, version: Option<Value>) {
        let Some(Value::String(version)) = version else {
            self.others += 1;
            return;
        };
        if self.versions.len() >= MAX_COUNTED && !self.versions.contains_key(&version) {
            self.others += 1;
            return;
        }
        *self.versions.entry(version).or_default() += 1;
    }

    fn told(self) -> Counts {
        let mut versions: Vec<(String, u64)> = self.versions.into_iter().collect();
        versions.sort_by(|(left, more), (right, fewer)| fewer.cmp(more).then(left.cmp(right)));
        let rest = versions.split_off(versions.len().min(MAX_VERSIONS));
        let others = self.others + rest.iter().map(|(_, devices)| devices).sum::<u64>();
        if others > 0 {
            versions.push((String::new(), others));
        }
        let version = |(version, devices)| FirmwareVersion { version, devices };
        Counts {
            devices: self.devices,
            registered: self.registered,
            asleep: self.asleep,
            firmware_versions: versions.into_iter().map(version).collect(),
        }
    }
}
