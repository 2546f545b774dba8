//! Which operations wait for which devices, so that events find them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crd::DeviceOperation;
use device_state::Namespace;
use fleet_plan::operation::unfinished;
use kube::runtime::reflector::ObjectRef;
use proto::drover::v1 as api;

use super::Context;
use crate::controller::TakenIn;
use crate::feed::{Audience, Depth, Listener, Sight};

type OperationRef = ObjectRef<DeviceOperation>;

/// Bounded by the objects that the API server has.
#[derive(Default)]
pub(super) struct Awaited {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the namespace of the device and its endpoint name.
    devices: HashMap<Namespace, HashMap<String, HashMap<OperationRef, Awaits>>>,
    /// For which device each object waits.
    objects: HashMap<OperationRef, (Namespace, String)>,
}

/// What an operation waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Awaits {
    /// That the device listens.
    Listening,
    /// That what the state tier has taken has ended; its id.
    End(String),
}

impl Awaits {
    fn of(operation: &DeviceOperation) -> Self {
        unfinished(operation).map_or(Self::Listening, |id| Self::End(id.to_owned()))
    }

    fn is_told_by(&self, kind: &api::event::Kind) -> bool {
        use api::event::Kind;
        match (self, kind) {
            // Nothing is known any more of what was asked of a device that was deleted.
            (_, Kind::Deleted(_)) => true,
            (Self::End(id), Kind::OperationFinished(ended)) => *id == ended.id,
            // It is there, is awake, or has nothing else to do any more.
            (
                Self::Listening,
                Kind::Registered(_) | Kind::Updated(_) | Kind::OperationFinished(_),
            ) => true,
            _ => false,
        }
    }
}

impl Inner {
    fn remove(&mut self, object: &OperationRef) -> Option<Namespace> {
        let (namespace, endpoint) = self.objects.remove(object)?;
        if let Some(devices) = self.devices.get_mut(&namespace) {
            if let Some(waiting) = devices.get_mut(&endpoint) {
                waiting.remove(object);
                if waiting.is_empty() {
                    devices.remove(&endpoint);
                }
            }
            if devices.is_empty() {
                self.devices.remove(&namespace);
            }
        }
        Some(namespace)
    }
}

impl Context {
    fn with_awaited<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        let inner = &self.awaited.inner;
        work(&mut inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has an object triggered by what happens to its device, for as long as it waits for that.
    pub(super) fn await_device(
        &self,
        operation: &DeviceOperation,
        namespace: &Namespace,
        endpoint: Option<&str>,
    ) {
        let Some(endpoint) = endpoint.filter(|_| is_waiting(operation)) else {
            return;
        };
        let object = ObjectRef::from_obj(operation);
        self.with_awaited(|inner| {
            // One that is gone meanwhile would stay for ever.
            if self.shared.known.get(&object).is_none() {
                return;
            }
            let of_namespace = inner.devices.entry(namespace.clone()).or_default();
            let waiting = of_namespace.entry(endpoint.to_owned()).or_default();
            waiting.insert(object.clone(), Awaits::of(operation));
            let place = (namespace.clone(), endpoint.to_owned());
            inner.objects.insert(object, place);
            self.feed
                .want(Audience::Operations, namespace, Depth::Course);
        });
    }

    /// Forgets objects that wait for nothing or are gone.
    pub(super) fn await_no_more(&self, taken: &TakenIn<DeviceOperation>) {
        let applied = taken.applied.as_ref().map(|(operation, _)| operation);
        let through = applied.filter(|operation| !is_waiting(operation));
        let gone = taken.gone.iter().map(|gone| &**gone);
        for operation in gone.chain(through) {
            self.with_awaited(|inner| {
                let left = inner.remove(&ObjectRef::from_obj(operation));
                if let Some(namespace) = left.filter(|left| !inner.devices.contains_key(left)) {
                    self.feed.forgo(Audience::Operations, &namespace);
                }
            });
        }
        if let Some(operation) = applied {
            self.with_awaited(|inner| {
                let object = ObjectRef::from_obj(operation);
                let place = inner.objects.get(&object);
                let devices = place.and_then(|(namespace, endpoint)| {
                    inner.devices.get_mut(namespace)?.get_mut(endpoint)
                });
                // What was asked for stands in the status now.
                if let Some(awaits) = devices.and_then(|waiting| waiting.get_mut(&object)) {
                    *awaits = Awaits::of(operation);
                }
            });
        }
    }

    /// How long until one is looked at again whose end is told, if anything is. After `left` it is to be cancelled.
    pub(super) fn until_told(&self, namespace: &Namespace, left: Duration) -> Duration {
        let settings = self.shared.settings;
        match self.feed.sight(namespace) {
            Sight::Untold => settings.poll,
            // It should have ended.
            Sight::Told if left.is_zero() => settings.poll,
            Sight::Told => settings.wait.min(left),
        }
    }
}

impl Listener for Context {
    fn audience(&self) -> Audience {
        Audience::Operations
    }

    fn hear(&self, namespace: &Namespace, event: &api::Event) -> usize {
        let Some(kind) = &event.kind else {
            return 0;
        };
        let told: Vec<OperationRef> = self.with_awaited(|inner| {
            let devices = inner.devices.get(namespace);
            let Some(waiting) = devices.and_then(|devices| devices.get(&event.endpoint)) else {
                return Vec::new();
            };
            let told = waiting.iter().filter(|(_, awaits)| awaits.is_told_by(kind));
            told.map(|(object, _)| object.clone()).collect()
        });
        let count = told.len();
        if count > 0 {
            self.shared.triggers.add(told);
        }
        count
    }

    fn miss(&self, namespace: &Namespace) {
        let waiting: Vec<OperationRef> = self.with_awaited(|inner| {
            let devices = inner.devices.get(namespace).into_iter();
            let waiting = devices.flat_map(HashMap::values);
            waiting.flat_map(HashMap::keys).cloned().collect()
        });
        self.shared.triggers.add(waiting);
    }

    fn lose_sight(&self, namespace: &Namespace) {
        self.miss(namespace);
    }
}

/// Whether anything that happens to a device lets an operation go on: it is not through, and is not held before its begin.
fn is_waiting(operation: &DeviceOperation) -> bool {
    let status = operation.status.as_ref();
    let is_through = status.is_some_and(|status| status.completion_time.is_some());
    let is_held = operation.spec.suspend && unfinished(operation).is_none();
    !is_through && !is_held
}

#[cfg(test)]
mod tests;
