//! What happens in the state tier, as a reason to reconcile.

use crd::{ConditionStatus, ConditionType, Device, DeviceStatus, ManagementPolicy};
use device_state::Namespace;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use proto::drover::v1 as api;

use super::Context;
use crate::feed::{Audience, Depth, Listener};

impl Listener for Context {
    fn audience(&self) -> Audience {
        Audience::Devices
    }

    fn hear(&self, namespace: &Namespace, event: &api::Event) -> usize {
        let known = &self.shared.known;
        let concerned = self.index.concerned(namespace.as_str(), event, known);
        let count = concerned.len();
        if count > 0 {
            self.shared.triggers.add(concerned);
        }
        count
    }

    fn miss(&self, namespace: &Namespace) {
        self.shared.trigger_in(namespace.as_str());
    }

    fn lose_sight(&self, namespace: &Namespace) {
        let all = self.shared.known.all().into_iter();
        let here = all.filter(|device| device.namespace().as_deref() == Some(namespace.as_str()));
        let waiting = here.filter(|device| is_waiting(device.status.as_ref()));
        let waiting = waiting.map(|device| ObjectRef::from_obj(&*device));
        self.shared.triggers.add(waiting);
    }
}

/// Which events the status of an object comes from.
pub(super) const fn depth(device: &Device) -> Depth {
    match device.spec.management_policy {
        ManagementPolicy::ObserveOnly => Depth::Values,
        ManagementPolicy::Managed | ManagementPolicy::Suspended => Depth::Course,
    }
}

/// Whether something has yet to happen, by a status: the device is not as it should be.
pub(super) fn is_waiting(status: Option<&DeviceStatus>) -> bool {
    let conditions = status.map(|status| status.conditions.as_slice());
    let mut conditions = conditions.unwrap_or_default().iter();
    let (ready, is_true) = (ConditionType::Ready.as_str(), ConditionStatus::True);
    !conditions.any(|one| one.type_ == ready && one.status == is_true.as_str())
}

#[cfg(test)]
mod tests;
