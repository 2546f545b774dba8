//! Devices that register, as a reason to look at the policies that make objects.

use crd::EnrollmentPolicy;
use device_state::Namespace;
use kube::runtime::reflector::ObjectRef;
use proto::drover::v1 as api;
use proto::drover::v1::event::Kind;

use super::Context;
use crate::feed::{Audience, Listener};

impl Listener for Context {
    fn audience(&self) -> Audience {
        Audience::Enrollment
    }

    fn hear(&self, namespace: &Namespace, event: &api::Event) -> usize {
        let Some(Kind::Registered(device)) = &event.kind else {
            return 0;
        };
        if device.enrollment_policy.is_empty() {
            return 0;
        }
        let place = namespace.as_str();
        let policy = ObjectRef::<EnrollmentPolicy>::new(&device.enrollment_policy).within(place);
        if self.devices.has_object(place, &event.endpoint) {
            if self.devices.is_leaving(place, &event.endpoint) {
                self.arrivals.wait(&policy, event.endpoint.clone());
            }
            return 0;
        }
        if !self.arrivals.add(&policy, &event.endpoint) {
            return 0;
        }
        self.shared.triggers.add([policy]);
        1
    }

    fn miss(&self, namespace: &Namespace) {
        let policies = self.arrivals.miss(namespace.as_str());
        self.shared.triggers.add(policies);
    }

    // Without being told, each look is at all devices.
    fn lose_sight(&self, _: &Namespace) {}
}
