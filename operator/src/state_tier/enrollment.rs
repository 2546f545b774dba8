//! Enrollment policies.

use device_state::Namespace;
use fleet_plan::enrollment::{Counts, Stored};
use fleet_wire::enrollment::{asked, stored};
use proto::drover::v1 as api;
use proto::drover::v1::enrollment_policies_client::EnrollmentPoliciesClient;

use super::{CallError, StateTier, about, known};

impl StateTier {
    /// The enrollment policy of a name and what it has done, if there is one.
    pub(crate) async fn enrollment_policy(
        &self,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<(Stored, Counts)>, CallError> {
        let request = api::GetEnrollmentPolicyRequest {
            name: name.to_owned(),
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                EnrollmentPoliciesClient::new(channel)
                    .get_enrollment_policy(request)
                    .await
            }
        });
        known(answer.await)?
            .map(|policy| read(namespace, policy))
            .transpose()
    }

    /// All enrollment policies of a namespace.
    pub(crate) async fn enrollment_policies(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<Stored>, CallError> {
        let answer = self.call(|channel| {
            let request = about(namespace, api::ListEnrollmentPoliciesRequest {});
            async move {
                EnrollmentPoliciesClient::new(channel)
                    .list_enrollment_policies(request)
                    .await
            }
        });
        let policies = answer.await?.policies.into_iter();
        let only = |policy| read(namespace, policy).map(|(stored, _)| stored);
        policies.map(only).collect()
    }

    /// Puts a policy in the place of the one of its name, if that is as its etag says.
    pub(crate) async fn put_enrollment_policy(
        &self,
        namespace: &Namespace,
        policy: &Stored,
    ) -> Result<(Stored, Counts), CallError> {
        let request = api::PutEnrollmentPolicyRequest {
            policy: Some(asked(policy.clone())),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                EnrollmentPoliciesClient::new(channel)
                    .put_enrollment_policy(request)
                    .await
            }
        });
        read(namespace, answer.await?)
    }

    /// Deletes a policy that is as its etag says. One that is not there is deleted.
    pub(crate) async fn delete_enrollment_policy(
        &self,
        namespace: &Namespace,
        policy: &Stored,
    ) -> Result<(), CallError> {
        let request = api::DeleteEnrollmentPolicyRequest {
            name: policy.policy.name.clone(),
            etag: policy.etag.clone(),
            ..Default::default()
        };
        let answer = self.call(|channel| {
            let request = about(namespace, request.clone());
            async move {
                EnrollmentPoliciesClient::new(channel)
                    .delete_enrollment_policy(request)
                    .await
            }
        });
        known(answer.await).map(drop)
    }
}

fn read(
    namespace: &Namespace,
    policy: api::EnrollmentPolicy,
) -> Result<(Stored, Counts), CallError> {
    Ok(stored(namespace, policy)?)
}
