//! Which objects describe which endpoint, as the watch says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crd::{Device, ManagementPolicy};
use fleet_plan::device::{RegistrationEnd, Rival};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use proto::drover::v1 as api;

use crate::controller::{Known, TakenIn};

pub(super) type DeviceRef = ObjectRef<Device>;

/// Bounded by the objects that the API server has.
#[derive(Default)]
pub(super) struct Index {
    namespaces: Mutex<Namespaces>,
}

/// Endpoints by name, by namespace: those of another namespace are other devices.
type Namespaces = HashMap<String, HashMap<String, Endpoint>>;

#[derive(Default)]
struct Endpoint {
    /// By name.
    devices: BTreeMap<String, DeviceRef>,
    ended: Option<RegistrationEnd>,
}

impl Index {
    fn with<T>(&self, work: impl FnOnce(&mut Namespaces) -> T) -> T {
        work(
            &mut self
                .namespaces
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Returns the objects whose rivals have changed.
    pub(super) fn take_in(&self, taken: &TakenIn<Device>) -> Vec<DeviceRef> {
        self.with(|namespaces| {
            let mut touched = Vec::new();
            for device in &taken.gone {
                touched.extend(remove(namespaces, device));
            }
            // What is known already has its place: an endpoint name never changes.
            if let Some((device, None)) = &taken.applied {
                let (namespace, endpoint) = (namespace(device), &device.spec.endpoint_name);
                touched.extend(of_endpoint(namespaces, &namespace, endpoint).cloned());
                let endpoints = namespaces.entry(namespace).or_default();
                let endpoint = endpoints.entry(endpoint.clone());
                let devices = &mut endpoint.or_default().devices;
                devices.insert(device.name_any(), ObjectRef::from_obj(device));
            }
            touched
        })
    }

    /// The other objects of the namespace with the endpoint name of `device`.
    pub(super) fn rivals(&self, device: &Device, known: &Known<Device>) -> Vec<Rival> {
        let own = device.name_any();
        let all = self.describing(&namespace(device), &device.spec.endpoint_name, known);
        let others = all.into_iter().filter(|one| one.name_any() != own);
        others.map(|one| Rival::from_device(&one)).collect()
    }

    /// How the last registration of an endpoint ended, if that was seen.
    pub(super) fn ended(&self, namespace: &str, endpoint: &str) -> Option<RegistrationEnd> {
        self.with(|namespaces| namespaces.get(namespace)?.get(endpoint)?.ended)
    }

    /// The object that the device of `device` is of, now that this one is gone: the oldest.
    pub(super) fn heir(&self, device: &Device, known: &Known<Device>) -> Option<Arc<Device>> {
        let heirs = self.describing(&namespace(device), &device.spec.endpoint_name, known);
        heirs
            .into_iter()
            .min_by(|one, other| Rival::from_device(one).by_seniority(&Rival::from_device(other)))
    }

    /// All objects that describe the device of an endpoint.
    pub(super) fn describing(
        &self,
        namespace: &str,
        endpoint: &str,
        known: &Known<Device>,
    ) -> Vec<Arc<Device>> {
        let all: Vec<DeviceRef> = self.with(|namespaces| {
            of_endpoint(namespaces, namespace, endpoint)
                .cloned()
                .collect()
        });
        all.iter().filter_map(|one| known.get(one)).collect()
    }

    /// Whether an endpoint has an object.
    pub(super) fn describes(&self, namespace: &str, endpoint: &str) -> bool {
        self.with(|namespaces| {
            of_endpoint(namespaces, namespace, endpoint)
                .next()
                .is_some()
        })
    }

    /// Whether a namespace has objects.
    pub(super) fn has_any(&self, namespace: &str) -> bool {
        self.with(|namespaces| namespaces.contains_key(namespace))
    }

    /// The objects that an event of a namespace of the state tier may change the status of.
    pub(super) fn concerned(
        &self,
        namespace: &str,
        event: &api::Event,
        known: &Known<Device>,
    ) -> Vec<DeviceRef> {
        use api::event::Kind;
        let Some(kind) = &event.kind else {
            return Vec::new();
        };
        let described: Vec<DeviceRef> = self.with(|namespaces| {
            let endpoints = namespaces.get_mut(namespace);
            let Some(endpoint) = endpoints.and_then(|all| all.get_mut(&event.endpoint)) else {
                return Vec::new();
            };
            match kind {
                Kind::Registered(_) => endpoint.ended = None,
                Kind::Deregistered(_) => endpoint.ended = Some(RegistrationEnd::Deregistered),
                Kind::Expired(_) => endpoint.ended = Some(RegistrationEnd::Expired),
                _ => {}
            }
            endpoint.devices.values().cloned().collect()
        });
        let is_concerned = |one: &DeviceRef| known.get(one).is_some_and(|one| matters(&one, kind));
        described.into_iter().filter(is_concerned).collect()
    }
}

/// Whether an event may change the status of an object that describes its device.
fn matters(device: &Device, kind: &api::event::Kind) -> bool {
    use api::event::Kind;
    match kind {
        Kind::Registered(_)
        | Kind::Deregistered(_)
        | Kind::Expired(_)
        | Kind::DesiredChanged(_)
        | Kind::DesiredRemoved(_)
        | Kind::LabelsChanged(_)
        | Kind::CampaignMoved(_)
        | Kind::Deleted(_) => true,
        Kind::Updated(now) => is_news(device, now) || compares_instances(device),
        // What a device behind a gateway reports is not of the gateway.
        Kind::ValuesReported(reported) => {
            device.spec.management_policy == ManagementPolicy::ObserveOnly
                && reported.values.iter().all(|value| value.child.is_empty())
        }
        // Those that are present are not asked for: all objects are looked at when a watch begins.
        Kind::OperationFinished(_) | Kind::Bootstrapped(_) | Kind::Present(_) => false,
    }
}

/// Whether the status tells what the device lists of its object instances.
fn compares_instances(device: &Device) -> bool {
    let spec = &device.spec;
    let may_have = !spec.instances.is_empty() || !spec.profile_refs.is_empty();
    spec.management_policy == ManagementPolicy::ObserveOnly && may_have
}

/// Whether an Update changed what the status shows of a registration.
fn is_news(device: &Device, now: &api::Device) -> bool {
    let Some(shown) = device
        .status
        .as_ref()
        .and_then(|status| status.registration.as_ref())
    else {
        return true;
    };
    let same = |shown: &Option<String>, now: &str| shown.as_deref().unwrap_or_default() == now;
    let lifetime = now.lifetime.as_ref().map(|lifetime| lifetime.seconds);
    !(same(&shown.registration_id, &now.registration_id)
        && same(&shown.binding, &now.binding)
        && shown.lifetime_seconds == lifetime)
}

fn namespace(device: &Device) -> String {
    device.namespace().unwrap_or_default()
}

/// The objects that describe the device of an endpoint.
fn of_endpoint<'e>(
    namespaces: &'e Namespaces,
    namespace: &str,
    endpoint: &str,
) -> impl Iterator<Item = &'e DeviceRef> + use<'e> {
    let endpoints = namespaces.get(namespace);
    let known = endpoints.and_then(|endpoints| endpoints.get(endpoint));
    known.into_iter().flat_map(|known| known.devices.values())
}

/// Returns those that describe the same endpoint and stay.
fn remove(namespaces: &mut Namespaces, device: &Device) -> Vec<DeviceRef> {
    let (namespace, name) = (namespace(device), &device.spec.endpoint_name);
    let Some(endpoints) = namespaces.get_mut(&namespace) else {
        return Vec::new();
    };
    let Some(endpoint) = endpoints.get_mut(name) else {
        return Vec::new();
    };
    endpoint.devices.remove(&device.name_any());
    if !endpoint.devices.is_empty() {
        return endpoint.devices.values().cloned().collect();
    }
    endpoints.remove(name);
    if endpoints.is_empty() {
        namespaces.remove(&namespace);
    }
    Vec::new()
}

#[cfg(test)]
mod tests;
