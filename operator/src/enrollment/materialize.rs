//! Making the objects of devices that are registered by a policy.

use std::time::Instant;

use crd::{Device, EnrollmentPolicy};
use device_state::Namespace;
use fleet_plan::enrollment::materialize::{Materialized, is_made_by, most_objects, object};
use kube::ResourceExt;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::arrivals::{PolicyRef, Terms};
use crate::controller::ReconcileError;
use crate::feed::Sight;
use crate::kubernetes::objects;

/// Objects that are made in one look: what the spec says may have changed meanwhile.
const MADE_AT_ONCE: usize = 100;

/// What came of making an object.
enum Attempt {
    /// It is there, and counts if it has the label of the policy.
    There {
        is_own: bool,
    },
    /// There is still the one that is being deleted.
    Leaving,
    Refused(String),
}

/// Makes the objects that are missing, as many as there may be. `None` if the policy makes none, or which objects there are is not
/// known yet.
pub(super) async fn carry_out(
    policy: &EnrollmentPolicy,
    namespace: &Namespace,
    context: &Context,
) -> Result<Option<Materialized>, ReconcileError> {
    let Some(most) = most_objects(policy).filter(|_| context.devices.are_listed()) else {
        return Ok(None);
    };
    let mut look = Look::new(policy, namespace, most, context);
    look.find().await?;
    let tried = look.make().await?;
    let told = context.arrivals.told(&look.reference, look.objects);
    if tried == MADE_AT_ONCE && told.has_more {
        context.shared.triggers.add([look.reference]);
    }
    Ok(Some(told))
}

/// A look under way.
struct Look<'a> {
    policy: &'a EnrollmentPolicy,
    reference: PolicyRef,
    namespace: &'a Namespace,
    /// How many objects there are, and may be.
    objects: usize,
    most: usize,
    context: &'a Context,
}

impl<'a> Look<'a> {
    fn new(
        policy: &'a EnrollmentPolicy,
        namespace: &'a Namespace,
        most: usize,
        context: &'a Context,
    ) -> Self {
        let (place, name) = (namespace.as_str(), policy.name_any());
        let (devices, reference) = (&context.devices, ObjectRef::from_obj(policy));
        let is_shown = |endpoint: &str| devices.has_object(place, endpoint);
        let unshown = context
            .arrivals
            .unshown(&reference, Instant::now(), is_shown);
        let shown = devices
            .count(|one| one.namespace().as_deref() == Some(place) && is_made_by(one, &name));
        Self {
            policy,
            reference,
            namespace,
            objects: shown + unshown,
            most,
            context,
        }
    }

    const fn has_room(&self) -> bool {
        self.objects < self.most
    }

    fn has_object(&self, endpoint: &str) -> bool {
        let devices = &self.context.devices;
        devices.has_object(self.namespace.as_str(), endpoint)
    }

    /// Lists the devices of the policy, if that is due, and remembers those that have no object.
    async fn find(&self) -> Result<(), ReconcileError> {
        let (arrivals, settings) = (&self.context.arrivals, &self.context.shared.settings);
        arrivals.bring_back(&self.reference, |endpoint| self.has_object(endpoint));
        let terms = Terms {
            now: Instant::now(),
            resync: settings.resync,
            retry: settings.recount,
            is_untold: self.context.feed.sight(self.namespace) == Sight::Untold,
            has_room: self.has_room(),
        };
        if !arrivals.begin_look(&self.reference, &terms) {
            return Ok(());
        }
        let listed = self.list().await;
        match &listed {
            Ok(()) => arrivals.listed(&self.reference),
            Err(_) => arrivals.failed(&self.reference),
        }
        listed
    }

    /// Remembers the devices that have no object, as many as can be.
    async fn list(&self) -> Result<(), ReconcileError> {
        let _turn = self.context.listing.acquire().await;
        // A policy has 1 to 63 of a-z, 0-9 and -.
        let filter = format!("enrollment_policy = \"{}\"", self.policy.name_any());
        let mut token = String::new();
        loop {
            let state_tier = &self.context.shared.state_tier;
            let page = state_tier.devices(self.namespace, &filter, &token).await?;
            let mut missing = page.endpoints;
            missing.retain(|endpoint| !self.has_object(endpoint));
            let has_room = self.context.arrivals.find(&self.reference, missing);
            if !has_room || page.next.is_empty() {
                return Ok(());
            }
            token = page.next;
        }
    }

    /// Makes the objects of the devices that were found and of those that have come. Returns how many were tried.
    async fn make(&mut self) -> Result<usize, ReconcileError> {
        let arrivals = &self.context.arrivals;
        let mut tried = 0;
        while tried < MADE_AT_ONCE
            && let Some(endpoint) = arrivals.next(&self.reference)
        {
            if self.has_object(&endpoint) {
                continue;
            }
            if !self.has_room() {
                arrivals.fill(&self.reference);
                break;
            }
            tried += 1;
            match self.make_one(&endpoint).await {
                Ok(Attempt::There { is_own: true }) => {
                    let is_news = arrivals.note_made(&self.reference, endpoint, Instant::now());
                    self.objects += usize::from(is_news);
                }
                Ok(Attempt::There { is_own: false }) => {}
                Ok(Attempt::Leaving) => arrivals.wait(&self.reference, endpoint),
                Ok(Attempt::Refused(why)) => {
                    arrivals.refuse(&self.reference, endpoint, why, Instant::now());
                }
                Err(error) => {
                    arrivals.put_back(&self.reference, endpoint);
                    return Err(error);
                }
            }
        }
        Ok(tried)
    }

    async fn make_one(&self, endpoint: &str) -> Result<Attempt, ReconcileError> {
        let shared = &self.context.shared;
        let namespace = self.namespace.as_str();
        let device = object(self.policy, endpoint);
        let name = device.name_any();
        let parameters = PostParams {
            field_manager: Some(shared.field_manager().to_owned()),
            ..PostParams::default()
        };
        let api = objects::<Device>(shared.client.clone(), Some(namespace));
        match api.create(&parameters, &device).await {
            Ok(_) => {
                shared.changed("create");
                tracing::info!(
                    namespace,
                    object = name,
                    endpoint,
                    policy = self.policy.name_any(),
                    "the object of a device was made"
                );
                Ok(Attempt::There { is_own: true })
            }
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                self.meet(&name, endpoint).await
            }
            // What is wrong with this one, or with all of them: whoever may make objects, and how many.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 404 | 413 | 422) => {
                Ok(Attempt::Refused(status.message.clone()))
            }
            Err(error) => Err(ReconcileError::Create(Box::new(error))),
        }
    }

    /// There is an object of this name already: the watch has not shown it yet, or it is of another device.
    async fn meet(&self, name: &str, endpoint: &str) -> Result<Attempt, ReconcileError> {
        let shared = &self.context.shared;
        let other = shared.read::<Device>(Some(self.namespace.as_str()), name);
        Ok(match other.await? {
            Some(other) if other.spec.endpoint_name != endpoint => Attempt::Refused(format!(
                "the object of {endpoint} would be called {name}, which is the one of {}",
                other.spec.endpoint_name
            )),
            Some(other) if other.metadata.deletion_timestamp.is_none() => Attempt::There {
                is_own: is_made_by(&other, &self.policy.name_any()),
            },
            // It goes, or has just gone.
            Some(_) | None => Attempt::Leaving,
        })
    }
}

#[cfg(test)]
mod tests;
