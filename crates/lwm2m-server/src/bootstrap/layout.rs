//! Fits a plan to what a device has.

use lwm2m::{
    LwM2mVersion, ObjectLinks, Path, Registry, Value, default_object_version, path::RESERVED_ID,
};

use super::plan::{BootstrapPlan, BootstrapWrite};

const SECURITY: u16 = 0;
const SERVER: u16 = 1;
const OSCORE: u16 = 21;
const BOOTSTRAP_SERVER: u16 = 1;
const OSCORE_LINK: u16 = 17;

/// What the answer to a Discover says about a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    version: Option<LwM2mVersion>,
    /// The instances of `/0` and `/21` that are the bootstrap account.
    kept: Vec<Path>,
}

impl Layout {
    // LwM2M Core 1.2 §6.1.7, Bootstrap-Discover: of Security and OSCORE, every instance is listed with the short server
    // id (`ssid`) of its account, but for those of the bootstrap account, which has none.
    pub(super) fn new(links: &ObjectLinks) -> Self {
        let root = links.get(Path::Root);
        let version = root.and_then(|root| root.attribute("lwm2m"));
        let is_kept = |path: Path| matches!(path, Path::ObjectInstance(SECURITY | OSCORE, _));
        let kept = links
            .iter()
            .filter(|link| is_kept(link.path) && link.attribute("ssid").is_none())
            .map(|link| link.path)
            .collect();
        Self {
            version: version.and_then(|version| version.parse().ok()),
            kept,
        }
    }

    /// Changes `plan` so that the bootstrap account stays what it is, unless the plan has another one.
    pub(super) fn fit(&self, plan: &mut BootstrapPlan) {
        plan.deletes.retain(|path| !self.kept.contains(path));
        for index in 0..plan.writes.len() {
            let Some(from) = plan.writes.get(index).map(|write| write.path) else {
                continue;
            };
            let to = self.place(plan, index);
            if from != to {
                move_instance(&mut plan.writes, from, to);
            }
        }
        for write in &mut plan.writes {
            self.leave_out_unknown(write);
        }
        plan.writes.retain(|write| !write.values.is_empty());
    }

    /// Where the write belongs.
    fn place(&self, plan: &BootstrapPlan, index: usize) -> Path {
        let Some(write) = plan.writes.get(index) else {
            return Path::Root;
        };
        if is_bootstrap_account(write) {
            let mut known = self.kept.iter();
            let known = known.find(|path| path.object_id() == Some(SECURITY));
            return known.copied().unwrap_or(write.path);
        }
        let (Some(object), true) = (write.path.object_id(), self.kept.contains(&write.path)) else {
            return write.path;
        };
        let mut free = (0..RESERVED_ID)
            .map(|id| Path::ObjectInstance(object, id))
            .filter(|path| !self.kept.contains(path))
            .filter(|path| plan.writes.iter().all(|write| write.path != *path));
        free.next().unwrap_or(write.path)
    }

    /// A client of an older release need not take what it does not know.
    fn leave_out_unknown(&self, write: &mut BootstrapWrite) {
        let Some(version) = self.version else { return };
        let Some(object @ (SECURITY | SERVER)) = write.path.object_id() else {
            return;
        };
        let known = default_object_version(object, version);
        let Some(model) = Registry::oma().object(object, Some(known)) else {
            return;
        };
        let is_known = |path: Path| {
            path.resource_id()
                .is_some_and(|id| model.resource(id).is_some())
        };
        write.values.retain(|entry| is_known(entry.path));
    }
}

fn is_bootstrap_account(write: &BootstrapWrite) -> bool {
    let Path::ObjectInstance(SECURITY, instance) = write.path else {
        return false;
    };
    let flag = Path::Resource(SECURITY, instance, BOOTSTRAP_SERVER);
    let mut values = write.values.iter();
    values.any(|entry| entry.path == flag && entry.value == Value::Boolean(true))
}

/// Moves a write, and what refers to it.
fn move_instance(writes: &mut [BootstrapWrite], from: Path, to: Path) {
    let (Some(object), Some(instance)) = (from.object_id(), from.object_instance_id()) else {
        return;
    };
    let Some(target) = to.object_instance_id() else {
        return;
    };
    for write in writes {
        let moves = write.path == from;
        if moves {
            write.path = to;
        }
        for entry in &mut write.values {
            if moves {
                entry.path = moved(entry.path, target);
            }
            let link = Value::ObjectLink { object, instance };
            if object == OSCORE && is_oscore_link(entry.path) && entry.value == link {
                entry.value = Value::ObjectLink {
                    object,
                    instance: target,
                };
            }
        }
    }
}

fn is_oscore_link(path: Path) -> bool {
    matches!(path, Path::Resource(SECURITY, _, OSCORE_LINK))
}

fn moved(path: Path, instance: u16) -> Path {
    match path {
        Path::Resource(object, _, id) => Path::Resource(object, instance, id),
        Path::ResourceInstance(object, _, id, item) => {
            Path::ResourceInstance(object, instance, id, item)
        }
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]
mod tests;
