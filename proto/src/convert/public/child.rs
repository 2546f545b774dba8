//! Devices behind a gateway.

use lwm2m::{Child, Entry, LwM2mVersion, Path, Value, gateway};

use super::device::objects;
use crate::drover::v1 as public;

/// The children that the values of a gateway's `/25` tell of.
pub fn children(values: Vec<(Path, Value)>) -> Vec<public::ChildDevice> {
    let entry = |(path, value)| Entry::new(path, value);
    let entries: Vec<Entry> = values.into_iter().map(entry).collect();
    let child = |(instance, child): (u16, Result<Child, gateway::ChildError>)| {
        let bare = public::ChildDevice {
            instance: u32::from(instance),
            ..Default::default()
        };
        match child {
            Ok(child) => public::ChildDevice {
                id: child.id,
                prefix: child.prefix.to_string(),
                // The object came with LwM2M 1.1.
                objects: objects(&child.objects, LwM2mVersion::V1_1),
                ..bare
            },
            Err(error) => public::ChildDevice {
                problem: error.to_string(),
                ..bare
            },
        }
    };
    gateway::children(&entries).into_iter().map(child).collect()
}
