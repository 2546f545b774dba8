//! Which objects describe which endpoint, as the watch says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crd::{Device, ManagementPolicy};
use fleet_plan::device::{RegistrationEnd, Rival};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use proto::drover::v1 as api;

pub(super) type DeviceRef = ObjectRef<Device>;

/// Bounded by the objects that the API server has.
#[derive(Default)]
pub(super) struct Index {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    endpoints: HashMap<String, Endpoint>,
    devices: HashMap<DeviceRef, Arc<Device>>,
    /// What a list under way has shown so far.
    listed: HashSet<DeviceRef>,
}

#[derive(Default)]
struct Endpoint {
    devices: BTreeMap<(Option<String>, String), DeviceRef>,
    ended: Option<RegistrationEnd>,
}

/// What follows from an event of the watch.
#[derive(Debug, Default)]
pub(super) struct TakenIn {
    /// The object, if its spec changed.
    pub(super) changed: Option<Device>,
    /// Objects whose rivals have changed.
    pub(super) touched: Vec<DeviceRef>,
    /// Objects that are gone.
    pub(super) gone: Vec<Arc<Device>>,
    /// How many objects there are now.
    pub(super) devices: i64,
}

impl Index {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn take_in(&self, event: &Event<Device>) -> TakenIn {
        self.with(|inner| {
            let mut taken = TakenIn::default();
            match event {
                Event::Apply(device) => inner.put(device, &mut taken),
                Event::InitApply(device) => {
                    inner.listed.insert(ObjectRef::from_obj(device));
                    inner.put(device, &mut taken);
                }
                Event::Delete(device) => inner.remove(&ObjectRef::from_obj(device), &mut taken),
                Event::Init => inner.listed.clear(),
                Event::InitDone => inner.keep_listed(&mut taken),
            }
            taken.devices = i64::try_from(inner.devices.len()).unwrap_or(i64::MAX);
            taken
        })
    }

    /// The other objects with the endpoint name of `device`.
    pub(super) fn rivals(&self, device: &Device) -> Vec<Rival> {
        let own = ObjectRef::from_obj(device);
        self.with(|inner| {
            let same = inner.of_endpoint(&device.spec.endpoint_name);
            let others = same.filter(|known| **known != own);
            others
                .filter_map(|known| inner.devices.get(known))
                .map(|known| Rival::from_device(known))
                .collect()
        })
    }

    /// How the last registration of an endpoint ended, if that was seen.
    pub(super) fn ended(&self, endpoint: &str) -> Option<RegistrationEnd> {
        self.with(|inner| inner.endpoints.get(endpoint)?.ended)
    }

    pub(super) fn is_described(&self, endpoint: &str) -> bool {
        self.with(|inner| inner.endpoints.contains_key(endpoint))
    }

    pub(super) fn all(&self) -> Vec<DeviceRef> {
        self.with(|inner| inner.devices.keys().cloned().collect())
    }

    /// The objects that an event of the state tier may change the status of.
    pub(super) fn concerned(&self, event: &api::Event) -> Vec<DeviceRef> {
        use api::event::Kind;
        let Some(kind) = &event.kind else {
            return Vec::new();
        };
        self.with(|inner| {
            let Some(endpoint) = inner.endpoints.get_mut(&event.endpoint) else {
                return Vec::new();
            };
            match kind {
                Kind::Registered(_) => endpoint.ended = None,
                Kind::Deregistered(_) => endpoint.ended = Some(RegistrationEnd::Deregistered),
                Kind::Expired(_) => endpoint.ended = Some(RegistrationEnd::Expired),
                _ => {}
            }
            let matters = |device: &Device| match kind {
                Kind::Registered(_)
                | Kind::Deregistered(_)
                | Kind::Expired(_)
                | Kind::DesiredChanged(_)
                | Kind::DesiredRemoved(_)
                | Kind::Deleted(_) => true,
                Kind::Updated(now) => is_news(device, now),
                // What a device behind a gateway reports is not of the gateway.
                Kind::ValuesReported(reported) => {
                    device.spec.management_policy == ManagementPolicy::ObserveOnly
                        && reported.values.iter().all(|value| value.child.is_empty())
                }
                // Those that are present are not asked for: all objects are looked at when a watch begins.
                Kind::OperationFinished(_)
                | Kind::Bootstrapped(_)
                | Kind::CampaignMoved(_)
                | Kind::LabelsChanged(_)
                | Kind::Present(_) => false,
            };
            let is_concerned =
                |known: &&DeviceRef| inner.devices.get(*known).is_some_and(|one| matters(one));
            inner
                .of_endpoint(&event.endpoint)
                .filter(is_concerned)
                .cloned()
                .collect()
        })
    }
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

impl Inner {
    fn of_endpoint(&self, endpoint: &str) -> impl Iterator<Item = &DeviceRef> {
        self.endpoints
            .get(endpoint)
            .into_iter()
            .flat_map(|known| known.devices.values())
    }

    fn put(&mut self, device: &Device, taken: &mut TakenIn) {
        let key = ObjectRef::from_obj(device);
        let previous = self.devices.get(&key);
        let known = previous.filter(|known| known.metadata.uid == device.metadata.uid);
        let changed =
            known.is_none_or(|known| known.metadata.generation != device.metadata.generation);
        if known.is_none() {
            // The same name again may be another endpoint.
            self.remove(&key, taken);
            taken
                .touched
                .extend(self.of_endpoint(&device.spec.endpoint_name).cloned());
        }
        let endpoint = self
            .endpoints
            .entry(device.spec.endpoint_name.clone())
            .or_default();
        endpoint
            .devices
            .insert((device.namespace(), device.name_any()), key.clone());
        self.devices.insert(key, Arc::new(device.clone()));
        taken.changed = changed.then(|| device.clone());
    }

    fn remove(&mut self, key: &DeviceRef, taken: &mut TakenIn) {
        let Some(device) = self.devices.remove(key) else {
            return;
        };
        let name = &device.spec.endpoint_name;
        if let Some(endpoint) = self.endpoints.get_mut(name) {
            endpoint
                .devices
                .remove(&(device.namespace(), device.name_any()));
            if endpoint.devices.is_empty() {
                self.endpoints.remove(name);
            } else {
                taken.touched.extend(endpoint.devices.values().cloned());
            }
        }
        taken.gone.push(device);
    }

    fn keep_listed(&mut self, taken: &mut TakenIn) {
        let listed = std::mem::take(&mut self.listed);
        let gone: Vec<DeviceRef> = self
            .devices
            .keys()
            .filter(|known| !listed.contains(*known))
            .cloned()
            .collect();
        for key in gone {
            self.remove(&key, taken);
        }
    }
}

#[cfg(test)]
mod tests;
