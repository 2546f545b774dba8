//! `BootstrapProfile`: the servers that devices of the namespace are told of, with its security profiles.

use crd::{BootstrapProfile, SecurityProfile};
use device_state::Namespace;
use fleet_plan::bootstrap::{
    Action, Observed, Stored, Surroundings, applied, maker, name_of_file, named, plan,
};
use fleet_wire::bootstrap as wire;
use proto::drover::v1::{
    DeleteBootstrapProfileRequest, ListBootstrapProfilesRequest, PutBootstrapProfileRequest,
};

use super::{Applied, AppliedObject, declared};
use crate::api::Api;
use crate::failure::Failure;
use crate::time;

/// The bootstrap profiles of a call, in their order.
pub(super) struct Call<'a> {
    pub(super) profiles: &'a [BootstrapProfile],
    pub(super) security: &'a [SecurityProfile],
}

/// Observes, plans and acts for one profile.
pub(super) async fn apply(
    api: &Api,
    namespace: &Namespace,
    profile: &BootstrapProfile,
    call: &Call<'_>,
) -> Result<AppliedObject, Failure> {
    let named = profile.metadata.name.clone().unwrap_or_default();
    let name = declared::name(&profile.metadata, name_of_file(&profile.metadata))?;
    call.has_security_of(profile)?;
    let all = stored(api, namespace).await?;
    call.nobody_else_counts(&named, &all)?;
    let mut asked = profile.clone();
    declared::of_file(&mut asked.metadata);
    asked.status = None;
    let around = Surroundings {
        namespace,
        security: call.security,
        before: call.before(&named),
    };
    let observed = Observed {
        stored: all.into_iter().find(|one| one.profile.name == name),
        refused: None,
    };
    let planned = plan(&asked, &around, &observed, &time::kubernetes());
    let mut result = Applied::Unchanged;
    match planned.action {
        None => {}
        Some(Action::Put(wanted)) => {
            put(api, &named, &wanted).await?;
            result = declared::put_over(observed.stored.is_some());
        }
        Some(Action::Delete(stored)) => delete(api, &named, *stored).await?,
    }
    declared::accepted(&named, &planned.status.conditions)?;
    Ok(AppliedObject {
        name: named,
        result,
    })
}

impl<'a> Call<'a> {
    /// The profile of this call that counts before that of the name.
    fn before(&self, name: &str) -> Option<&'a str> {
        let names = self.profiles.iter().map(own_name);
        names.filter(|own| *own < name).min()
    }

    /// Nothing keeps a security profile, so it has to be here.
    fn has_security_of(&self, profile: &BootstrapProfile) -> Result<(), Failure> {
        let is_here = |name: &&str| {
            let mut security = self.security.iter();
            security.any(|one| one.metadata.name.as_deref() == Some(*name))
        };
        match named(profile).into_iter().find(|name| !is_here(name)) {
            None => Ok(()),
            Some(missing) => Err(declared::refused(
                own_name(profile),
                &format!("securityProfileRef: the SecurityProfile {missing} is not in this call"),
            )),
        }
    }

    /// One profile counts for every device of the namespace. Of this call it is the first; what somebody else has declared
    /// is theirs to take back.
    fn nobody_else_counts(&self, name: &str, stored: &[Stored]) -> Result<(), Failure> {
        for one in stored {
            let standing = one.profile.name.as_str();
            if maker(standing).is_some() {
                return Err(Failure::usage(
                    format!(
                        "{name}: {standing}, of a BootstrapProfile of Kubernetes, counts for every device of the namespace"
                    ),
                    "change it there: kubectl edit bootstrapprofile",
                ));
            }
            let is_of_call = |other: &str| self.profiles.iter().any(|one| own_name(one) == other);
            if applied(standing).is_some_and(|other| !is_of_call(other)) {
                return Err(Failure::usage(
                    format!(
                        "{name}: {standing}, of an earlier call, counts for every device of the namespace"
                    ),
                    format!("remove it first: drover bootstrap remove {standing}"),
                ));
            }
        }
        Ok(())
    }
}

fn own_name(profile: &BootstrapProfile) -> &str {
    profile.metadata.name.as_deref().unwrap_or_default()
}

/// All profiles of the namespace.
async fn stored(api: &Api, namespace: &Namespace) -> Result<Vec<Stored>, Failure> {
    let request = api.request(ListBootstrapProfilesRequest {});
    let answer = api.bootstrap().list_bootstrap_profiles(request).await;
    let told = answer
        .map_err(Failure::call("look at the bootstrap profiles"))?
        .into_inner()
        .profiles;
    let heard = told.into_iter().map(|one| wire::stored(namespace, one));
    let heard: Result<_, _> = heard.collect();
    Ok(heard.map_err(anyhow::Error::from)?)
}

async fn put(api: &Api, name: &str, wanted: &Stored) -> Result<(), Failure> {
    let request = api.request(PutBootstrapProfileRequest {
        profile: Some(wire::asked(wanted)),
        ..Default::default()
    });
    let answer = api.bootstrap().put_bootstrap_profile(request).await;
    let action = format!("put the bootstrap profile {name}");
    answer.map(drop).map_err(Failure::call(action))
}

async fn delete(api: &Api, name: &str, stored: Stored) -> Result<(), Failure> {
    let request = api.request(DeleteBootstrapProfileRequest {
        name: stored.profile.name,
        etag: stored.etag,
        ..Default::default()
    });
    let answer = api.bootstrap().delete_bootstrap_profile(request).await;
    let action = format!("take back the bootstrap profile {name}");
    answer.map(drop).map_err(Failure::call(action))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const PROFILE: &str = include_str!("../../../../../examples/resources/bootstrap-profile.yaml");
    const SECURITY: &str =
        include_str!("../../../../../examples/resources/security-profile-psk.yaml");

    fn profile(name: &str) -> BootstrapProfile {
        let mut profile: BootstrapProfile = serde_yaml_ng::from_str(PROFILE).unwrap();
        profile.metadata.name = Some(name.to_owned());
        profile
    }

    fn standing(name: &str) -> Stored {
        let profile = device_state::BootstrapProfile {
            namespace: Namespace::default(),
            name: name.to_owned(),
            endpoint_prefix: String::new(),
            servers: Vec::new(),
            access: Vec::new(),
        };
        Stored {
            profile,
            etag: String::new(),
        }
    }

    #[test]
    fn of_a_call_the_first_profile_counts() {
        let profiles = [profile("a"), profile("b"), profile("c")];
        let call = Call {
            profiles: &profiles,
            security: &[],
        };
        assert_eq!(call.before("a"), None);
        assert_eq!(call.before("c"), Some("a"));
    }

    #[test]
    fn a_security_profile_has_to_be_in_the_call() {
        let security: SecurityProfile = serde_yaml_ng::from_str(SECURITY).unwrap();
        let with = |security: &[SecurityProfile]| {
            let call = Call {
                profiles: &[],
                security,
            };
            call.has_security_of(&profile("meters"))
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(with(&[security]), Ok(()));
        let refused = with(&[]).unwrap_err();
        assert!(
            refused.contains("SecurityProfile psk is not in this call"),
            "{refused}"
        );
    }

    #[test]
    fn what_others_have_declared_for_everybody_is_theirs() {
        let profiles = [profile("meters")];
        let call = Call {
            profiles: &profiles,
            security: &[],
        };
        let said = |name: &str| {
            call.nobody_else_counts("meters", &[standing(name)])
                .map_err(|failure| failure.to_string())
        };
        assert_eq!(said("meters-drover-apply"), Ok(()));
        assert_eq!(said("by-hand"), Ok(()));
        let kubernetes = said("m-k8s-0f4a2c6e-7b1d-4c8e-9a53-1d2e3f405162").unwrap_err();
        assert!(kubernetes.contains("of Kubernetes"), "{kubernetes}");
        let earlier = said("cars-drover-apply").unwrap_err();
        assert!(earlier.contains("of an earlier call"), "{earlier}");
    }
}
