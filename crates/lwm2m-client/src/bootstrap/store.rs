//! What a device holds while it is bootstrapped: its accounts and the access control objects.

use std::collections::{BTreeMap, BTreeSet};

use lwm2m::{Entry, Path, Registry, Value};

use super::config::BootstrapAccount;
use crate::refusal::Refusal;

pub(super) const SECURITY: u16 = 0;
pub(super) const SERVER: u16 = 1;
pub(super) const ACCESS_CONTROL: u16 = 2;
pub(super) const OSCORE: u16 = 21;

/// The objects that a bootstrap server may write here.
const OBJECTS: [u16; 4] = [SECURITY, SERVER, ACCESS_CONTROL, OSCORE];

/// Values that a device keeps.
const MAX_VALUES: usize = 1024;

/// Bytes of one text or opaque value, large enough for a certificate.
const MAX_VALUE_BYTES: usize = 8192;

#[derive(Clone)]
pub(super) struct Store {
    values: BTreeMap<Path, Value>,
}

impl Store {
    /// The bootstrap account alone.
    pub(super) fn new(account: &BootstrapAccount) -> Self {
        let values = account.entries();
        Self {
            values: values
                .into_iter()
                .map(|entry| (entry.path, entry.value))
                .collect(),
        }
    }

    pub(super) fn value(&self, path: Path) -> Option<&Value> {
        self.values.get(&path)
    }

    /// The instances of an object.
    pub(super) fn instances(&self, object: u16) -> BTreeSet<u16> {
        self.below(Path::Object(object))
            .filter_map(|(path, _)| path.object_instance_id())
            .collect()
    }

    fn below(&self, path: Path) -> impl Iterator<Item = (&Path, &Value)> {
        self.values
            .iter()
            .filter(move |(at, _)| at.starts_with(path))
    }

    /// Whether an instance is part of the bootstrap account.
    pub(super) fn is_bootstrap_account(&self, instance: Path) -> bool {
        match instance {
            Path::ObjectInstance(SECURITY, id) => {
                self.value(Path::Resource(SECURITY, id, 1)) == Some(&Value::Boolean(true))
            }
            Path::ObjectInstance(OSCORE, id) => {
                let mut security = self.instances(SECURITY).into_iter();
                security.any(|security| {
                    self.is_bootstrap_account(Path::ObjectInstance(SECURITY, security))
                        && self.oscore_of(security) == Some(id)
                })
            }
            _ => false,
        }
    }

    /// The OSCORE instance that a Security instance refers to.
    pub(super) fn oscore_of(&self, security: u16) -> Option<u16> {
        match self.value(Path::Resource(SECURITY, security, 17))? {
            Value::ObjectLink {
                object: OSCORE,
                instance,
            } => Some(*instance),
            _ => None,
        }
    }

    /// LwM2M Core 1.2 §6.1.7, Bootstrap-Read: the Server and Access Control objects and nothing else.
    pub(super) fn read(&self, path: Path) -> Result<Vec<Entry>, Refusal> {
        if !matches!(path.object_id(), Some(SERVER | ACCESS_CONTROL)) {
            return Err(Refusal::NotAllowed(path));
        }
        let found = self.below(path);
        let entries: Vec<Entry> = found
            .map(|(at, value)| Entry::new(*at, value.clone()))
            .collect();
        if entries.is_empty() && path.depth() > 1 {
            return Err(Refusal::Missing(path));
        }
        Ok(entries)
    }

    /// LwM2M Core 1.2 §6.1.7, Bootstrap-Write: what is not there is made, what is there is replaced, and what the device
    /// does not know is passed over.
    pub(super) fn write(&mut self, path: Path, entries: &[Entry]) -> Result<(), Refusal> {
        let is_ours = |id: &u16| OBJECTS.contains(id);
        path.object_id()
            .filter(is_ours)
            .ok_or(Refusal::Missing(path))?;
        let mut known = Vec::new();
        for entry in entries {
            if let Some(model) = Registry::oma().resource(entry.path) {
                if model.multiple != entry.path.resource_instance_id().is_some() {
                    return Err(Refusal::BadValue(entry.path));
                }
                check_size(entry)?;
                known.push(entry);
            }
        }
        self.keep_bootstrap_account(&known)?;
        if self.values.len() + known.len() > MAX_VALUES {
            return Err(Refusal::Full);
        }
        if path.depth() <= 2 {
            let written: BTreeSet<_> = known
                .iter()
                .filter_map(|entry| instance_of(entry.path))
                .collect();
            self.values.retain(|at, _| {
                instance_of(*at).is_none_or(|instance| !written.contains(&instance))
            });
        }
        for entry in known {
            self.values.insert(entry.path, entry.value.clone());
        }
        Ok(())
    }

    /// The account of the bootstrap server is changed by another one of that kind only.
    fn keep_bootstrap_account(&self, entries: &[&Entry]) -> Result<(), Refusal> {
        for entry in entries {
            let Some(instance) = instance_of(entry.path) else {
                continue;
            };
            let flag = instance.child(1);
            let stays = entries
                .iter()
                .any(|entry| Some(entry.path) == flag && entry.value == Value::Boolean(true));
            if self.is_bootstrap_account(instance) && !stays {
                return Err(Refusal::BadValue(entry.path));
            }
        }
        Ok(())
    }

    /// LwM2M Core 1.2 §6.1.7, Bootstrap-Delete: the bootstrap account stays, and so does `/3/0`, which is not here.
    pub(super) fn delete(&mut self, path: Path) -> Result<(), Refusal> {
        let is_ours = path.object_id().is_none_or(|id| OBJECTS.contains(&id));
        if path.depth() > 2 || !is_ours {
            return Err(Refusal::NotAllowed(path));
        }
        if path.depth() == 2 {
            if self.is_bootstrap_account(path) {
                return Err(Refusal::BadValue(path));
            }
            self.below(path).next().ok_or(Refusal::Missing(path))?;
        }
        let before = self.clone();
        let stays = |at: &Path| {
            instance_of(*at).is_some_and(|instance| before.is_bootstrap_account(instance))
        };
        self.values
            .retain(|at, _| !at.starts_with(path) || stays(at));
        Ok(())
    }

    /// LwM2M Core 1.2 §6.1.7, Bootstrap-Pack: all instances of the objects in it are replaced, others stay.
    pub(super) fn unpack(&mut self, entries: &[Entry]) -> Result<(), Refusal> {
        let objects: BTreeSet<_> = entries
            .iter()
            .filter_map(|entry| entry.path.object_id())
            .filter(|id| OBJECTS.contains(id))
            .collect();
        for object in objects {
            let path = Path::Object(object);
            self.delete(path)?;
            let of_object = |entry: &&Entry| entry.path.starts_with(path);
            let entries: Vec<Entry> = entries.iter().filter(of_object).cloned().collect();
            self.write(path, &entries)?;
        }
        Ok(())
    }
}

fn check_size(entry: &Entry) -> Result<(), Refusal> {
    let length = match &entry.value {
        Value::String(text) | Value::CoreLink(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        _ => 0,
    };
    if length > MAX_VALUE_BYTES {
        return Err(Refusal::TooLarge(entry.path));
    }
    Ok(())
}

fn instance_of(path: Path) -> Option<Path> {
    Some(Path::ObjectInstance(
        path.object_id()?,
        path.object_instance_id()?,
    ))
}
