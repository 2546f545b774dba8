//! `drover.v1.EnrollmentPolicies`.

use device_state::{Command, EnrollmentPolicy, FeatureLevel, query};
use proto::convert::public::{InNamespace, checked_name, enrollment_counts};
use proto::drover::v1 as public;
use proto::drover::v1::enrollment_policies_server::EnrollmentPolicies;
use tonic::{Request, Response, Status};

use crate::enrollment::check_pattern;
use crate::router::COMMON;
use crate::service::api::{Api, tenant, terms};
use crate::service::status;

#[tonic::async_trait]
impl EnrollmentPolicies for Api {
    async fn put_enrollment_policy(
        &self,
        request: Request<public::PutEnrollmentPolicyRequest>,
    ) -> Result<Response<public::EnrollmentPolicy>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let policy = EnrollmentPolicy::try_from(asked).map_err(|error| status::convert(&error))?;
        check_pattern(&policy.criteria)
            .map_err(|error| status::field("policy.endpoint_pattern", &error))?;
        self.all_know(FeatureLevel::ENROLLMENT).await?;
        let command = Command::PutEnrollmentPolicy {
            policy: Box::new(policy.clone()),
        };
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(self.told_policy(policy)))
    }

    async fn get_enrollment_policy(
        &self,
        request: Request<public::GetEnrollmentPolicyRequest>,
    ) -> Result<Response<public::EnrollmentPolicy>, Status> {
        let InNamespace { namespace, request } = tenant(request)?;
        checked_name("name", &request.name).map_err(|error| status::convert(&error))?;
        let common = self.router().common_group();
        let found = common
            .store()
            .read(|tables| query::enrollment_policy(tables, &namespace, &request.name));
        let policy = found.ok_or_else(|| status::not_found("the enrollment policy"))?;
        Ok(Response::new(self.told_policy(policy)))
    }

    async fn list_enrollment_policies(
        &self,
        request: Request<public::ListEnrollmentPoliciesRequest>,
    ) -> Result<Response<public::ListEnrollmentPoliciesResponse>, Status> {
        let namespace = tenant(request)?.namespace;
        let common = self.router().common_group();
        let policies = common
            .store()
            .read(|tables| query::enrollment_policies(tables, &namespace));
        let policies = policies.into_iter().map(|policy| self.told_policy(policy));
        Ok(Response::new(public::ListEnrollmentPoliciesResponse {
            policies: policies.collect(),
        }))
    }

    async fn delete_enrollment_policy(
        &self,
        request: Request<public::DeleteEnrollmentPolicyRequest>,
    ) -> Result<Response<public::DeleteEnrollmentPolicyResponse>, Status> {
        let asked = tenant(request)?;
        let terms = terms(&asked)?;
        let command = Command::try_from(asked).map_err(|error| status::convert(&error))?;
        self.commit_on(COMMON, &terms, command).await?;
        Ok(Response::new(public::DeleteEnrollmentPolicyResponse {}))
    }
}

impl Api {
    /// With what this node's replicas of the shards have counted, and whom this node has refused.
    fn told_policy(&self, policy: EnrollmentPolicy) -> public::EnrollmentPolicy {
        let router = self.router();
        let (tally, denied) = router.enrollments().counts(router, &policy);
        public::EnrollmentPolicy {
            counts: Some(enrollment_counts(tally, denied)),
            ..policy.into()
        }
    }
}
