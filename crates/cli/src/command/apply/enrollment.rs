//! `EnrollmentPolicy`: which devices may register.

use crd::{EnrollmentPolicy, EnrollmentPolicyStatus, SecurityProfile};
use device_state::Namespace;
use fleet_plan::enrollment::materialize::most_objects;
use fleet_plan::enrollment::{Counts, OWNER, Observed, Stored, Surroundings, plan};
use fleet_wire::enrollment as wire;
use proto::drover::v1::{GetEnrollmentPolicyRequest, PutEnrollmentPolicyRequest};
use tonic::Code;

use super::{Applied, AppliedObject, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// Observes, plans and acts for one policy.
pub(super) async fn apply(
    api: &Api,
    namespace: &Namespace,
    policy: &EnrollmentPolicy,
    security: &[SecurityProfile],
) -> Result<AppliedObject, Failure> {
    let name = declared::name(&policy.metadata, fleet_plan::enrollment::name(policy))?;
    if most_objects(policy).is_some() {
        let why = "spec.materialize: the operator makes Device objects, and there are none here; leave it out";
        return Err(declared::refused(&name, why));
    }
    let stored = stored(api, namespace, &name).await?;
    let maker = stored
        .as_ref()
        .and_then(|(it, _)| OWNER.maker(&it.policy.description));
    declared::not_of_kubernetes(maker, "enrollmentpolicy", &name)?;
    let mut asked = policy.clone();
    declared::of_file(&mut asked.metadata);
    asked.status = Some(EnrollmentPolicyStatus::default());
    let named = asked.spec.security_profile_ref.as_ref();
    let around = Surroundings {
        namespace,
        security: named.and_then(|named| {
            let mut profiles = security.iter();
            profiles.find(|one| one.metadata.name.as_deref() == Some(&*named.name))
        }),
    };
    let is_there = stored.is_some();
    let observed = Observed {
        stored,
        refused: None,
        materialized: None,
    };
    let planned = plan(&asked, &around, &observed, &time::kubernetes());
    declared::accepted(&name, &planned.status.conditions)?;
    let result = match planned.put {
        None => Applied::Unchanged,
        Some(wanted) => {
            let request = api.request(PutEnrollmentPolicyRequest {
                policy: Some(wire::asked(wanted)),
                ..Default::default()
            });
            let answer = api.enrollment().put_enrollment_policy(request).await;
            answer.map_err(Failure::call(format!("put the enrollment policy {name}")))?;
            declared::put_over(is_there)
        }
    };
    Ok(AppliedObject { name, result })
}

/// The policy of a name, if there is one.
async fn stored(
    api: &Api,
    namespace: &Namespace,
    name: &str,
) -> Result<Option<(Stored, Counts)>, Failure> {
    let request = api.request(GetEnrollmentPolicyRequest {
        name: name.to_owned(),
    });
    let action = format!("look at the enrollment policy {name}");
    match api.enrollment().get_enrollment_policy(request).await {
        Ok(answer) => {
            let stored = wire::stored(namespace, answer.into_inner());
            Ok(Some(stored.map_err(anyhow::Error::from)?))
        }
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::call(action)(status)),
    }
}
