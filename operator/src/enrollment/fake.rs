//! A state tier in memory that has enrollment policies and devices.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use proto::drover::v1 as api;
use proto::drover::v1::devices_server::DevicesServer;
use proto::drover::v1::enrollment_policies_server::{EnrollmentPolicies, EnrollmentPoliciesServer};
use proto::drover::v1::enrollment_policy::Counts;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::Context;
use crate::controller::rig::{self, ApiServer, Calls, ListedDevices};
use crate::controller::take_in;
use crate::device;
use crate::feed::Feed;

type Answer<T> = Result<Response<T>, Status>;

#[derive(Clone)]
pub(super) struct FakeStateTier {
    policies: Arc<Mutex<BTreeMap<String, api::EnrollmentPolicy>>>,
    /// Those that are registered by a policy.
    devices: ListedDevices,
    calls: Calls,
}

/// A controller between a scripted API server and this.
pub(super) async fn start() -> (Arc<Context>, ApiServer, FakeStateTier) {
    let fake = FakeStateTier::new();
    let services = Server::builder()
        .add_service(EnrollmentPoliciesServer::new(fake.clone()))
        .add_service(DevicesServer::new(fake.devices.clone()));
    let state_tier = rig::state_tier(services).await;
    let (shared, _) = rig::shared(state_tier.clone());
    let feed = Feed::default();
    let devices = device::Context::new(shared, feed.clone(), reflector::store().0);
    let (shared, api_server) = rig::shared(state_tier);
    let context = Context::new(shared, Arc::new(devices), feed);
    (Arc::new(context), api_server, fake)
}

impl Context {
    /// The watch has shown these objects and no others.
    pub(super) fn list_devices(&self, devices: &[crd::Device]) {
        let shown = devices.iter().cloned().map(Event::InitApply);
        for event in std::iter::once(Event::Init)
            .chain(shown)
            .chain([Event::InitDone])
        {
            take_in(&*self.devices, &event);
        }
    }
}

impl FakeStateTier {
    fn new() -> Self {
        let calls = Calls::default();
        Self {
            policies: Arc::default(),
            devices: ListedDevices::new(calls.clone()),
            calls,
        }
    }

    /// What was asked for that changes something, so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.all()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.policies.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn put(&self, name: &str, description: &str) {
        let policy = api::EnrollmentPolicy {
            name: name.to_owned(),
            description: description.to_owned(),
            etag: format!("etag of {description}"),
            ..Default::default()
        };
        self.policies
            .lock()
            .unwrap()
            .insert(name.to_owned(), policy);
    }

    /// These devices are registered by any policy.
    pub(super) fn have_devices(&self, endpoints: &[&str]) {
        self.devices.are(endpoints);
    }

    /// So many devices are registered by a policy.
    pub(super) fn have_registered(&self, name: &str, admitted: u64) {
        let mut policies = self.policies.lock().unwrap();
        policies.get_mut(name).unwrap().counts = Some(Counts {
            admitted,
            ..Counts::default()
        });
    }

    fn unchanged(&self, name: &str, etag: &str) -> Result<(), Status> {
        let policies = self.policies.lock().unwrap();
        match policies.get(name) {
            Some(policy) if !etag.is_empty() && policy.etag != etag => {
                Err(Status::aborted("it is another one now"))
            }
            _ => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl EnrollmentPolicies for FakeStateTier {
    async fn put_enrollment_policy(
        &self,
        request: Request<api::PutEnrollmentPolicyRequest>,
    ) -> Answer<api::EnrollmentPolicy> {
        let policy = request.get_ref().policy.clone().unwrap();
        self.calls.add_of("put", &request, &policy.name);
        self.unchanged(&policy.name, &policy.etag)?;
        if policy.endpoint_pattern.contains('(') {
            let message = "policy.endpoint_pattern: is no regular expression";
            return Err(Status::invalid_argument(message));
        }
        let policy = api::EnrollmentPolicy {
            etag: format!("etag of {}", policy.description),
            ..policy
        };
        let mut policies = self.policies.lock().unwrap();
        policies.insert(policy.name.clone(), policy.clone());
        Ok(Response::new(policy))
    }

    async fn get_enrollment_policy(
        &self,
        request: Request<api::GetEnrollmentPolicyRequest>,
    ) -> Answer<api::EnrollmentPolicy> {
        let policies = self.policies.lock().unwrap();
        let policy = policies.get(&request.get_ref().name).cloned();
        policy
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such policy"))
    }

    async fn list_enrollment_policies(
        &self,
        _: Request<api::ListEnrollmentPoliciesRequest>,
    ) -> Answer<api::ListEnrollmentPoliciesResponse> {
        let policies = self.policies.lock().unwrap();
        Ok(Response::new(api::ListEnrollmentPoliciesResponse {
            policies: policies.values().cloned().collect(),
        }))
    }

    async fn delete_enrollment_policy(
        &self,
        request: Request<api::DeleteEnrollmentPolicyRequest>,
    ) -> Answer<api::DeleteEnrollmentPolicyResponse> {
        let asked = request.get_ref();
        self.calls.add_of("delete", &request, &asked.name);
        self.unchanged(&asked.name, &asked.etag)?;
        self.policies.lock().unwrap().remove(&asked.name);
        Ok(Response::new(api::DeleteEnrollmentPolicyResponse {}))
    }
}
