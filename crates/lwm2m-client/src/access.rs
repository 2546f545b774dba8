//! What the server may do with an object instance (LwM2M Core 1.2 §8.2).
//!
//! Of the Access Control object only what one server can see of it: an object instance that no
//! access control instance names is open to it.

use lwm2m::{Path, Value};

use crate::objects::ACCESS_CONTROL;
use crate::refusal::Refusal;
use crate::tree::ObjectTree;

/// The object instance id by which an access control instance is about creating.
const CREATION: u16 = 65_535;

/// The bits of `/2/x/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read, Observe, Write-Attributes.
    Read = 1,
    Write = 2,
    Execute = 4,
    Delete = 8,
    Create = 16,
}

impl ObjectTree {
    /// Refuses what the server has no right to do at a path.
    pub(crate) fn authorize(&self, server: u16, path: Path, right: Right) -> Result<(), Refusal> {
        let Some(object) = path.object_id() else {
            return Ok(());
        };
        let allowed = match (object, path.object_instance_id()) {
            // Its owner, and nobody else, changes who may do what.
            (ACCESS_CONTROL, Some(instance)) => {
                right == Right::Read || self.is_owner(server, instance)
            }
            (_, Some(instance)) => self.allows(server, (object, instance), right),
            (_, None) if right == Right::Create => self.allows(server, (object, CREATION), right),
            // Reading an object leaves out what may not be read.
            (_, None) => true,
        };
        if allowed {
            Ok(())
        } else {
            Err(Refusal::Forbidden(path))
        }
    }

    fn allows(&self, server: u16, about: (u16, u16), right: Right) -> bool {
        let named = |instance: &u16| {
            self.number(Path::Resource(ACCESS_CONTROL, *instance, 0)) == Some(i64::from(about.0))
                && self.number(Path::Resource(ACCESS_CONTROL, *instance, 1))
                    == Some(i64::from(about.1))
        };
        let Some(instance) = self.instance_ids(ACCESS_CONTROL).find(named) else {
            return true;
        };
        let rights =
            |server| self.number(Path::ResourceInstance(ACCESS_CONTROL, instance, 2, server));
        // LwM2M Core 1.2 §8.2.2: what is granted to the server, else an owner has all rights, else
        // what instance 0 grants to everybody.
        match rights(server) {
            Some(granted) => granted & right as i64 != 0,
            None if self.is_owner(server, instance) => true,
            None => rights(0).is_some_and(|granted| granted & right as i64 != 0),
        }
    }

    fn is_owner(&self, server: u16, instance: u16) -> bool {
        self.number(Path::Resource(ACCESS_CONTROL, instance, 3)) == Some(i64::from(server))
    }

    /// LwM2M Core 1.2 §8.2.1: who creates an object instance owns it.
    /// Returns the access control instance.
    pub(crate) fn own(&mut self, server: u16, created: Path) -> Option<Path> {
        let (object, instance) = (created.object_id()?, created.object_instance_id()?);
        let free = self.free_id(ACCESS_CONTROL)?;
        let at = |id| Path::Resource(ACCESS_CONTROL, free, id);
        self.put(at(0), Value::Integer(i64::from(object)));
        self.put(at(1), Value::Integer(i64::from(instance)));
        self.put(at(3), Value::Integer(i64::from(server)));
        Some(Path::ObjectInstance(ACCESS_CONTROL, free))
    }

    /// LwM2M Core 1.2 §8.2.1: what is deleted has no owner. Returns the access control instance
    /// that went with it.
    pub(crate) fn disown(&mut self, deleted: Path) -> Option<Path> {
        let (object, instance) = (deleted.object_id()?, deleted.object_instance_id()?);
        let about = |tree: &Self, id: u16, number: u16| {
            tree.number(Path::Resource(ACCESS_CONTROL, id, number))
        };
        let gone = self.instance_ids(ACCESS_CONTROL).find(|id| {
            about(self, *id, 0) == Some(i64::from(object))
                && about(self, *id, 1) == Some(i64::from(instance))
        })?;
        self.remove_instance(ACCESS_CONTROL, gone);
        Some(Path::ObjectInstance(ACCESS_CONTROL, gone))
    }

    fn number(&self, path: Path) -> Option<i64> {
        match self.value(path)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}
