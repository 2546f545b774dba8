//! Who may do what with an object instance (LwM2M Core 1.2 §8, object 2).

use lwm2m::{Entry, Path, Value};

use super::plan::BootstrapWrite;

/// An instance of the Access Control object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessControl {
    /// The instance of `/2`.
    pub instance: u16,
    /// The object that it is about.
    pub object: u16,
    /// The instance that it is about; 65535 for the right to create instances.
    pub object_instance: u16,
    /// Rights by short server id; 0 stands for all servers without an entry of their own. Bits: 1 Read, Observe and
    /// Write-Attributes, 2 Write, 4 Execute, 8 Delete, 16 Create.
    pub rights: Vec<(u16, u8)>,
    /// The short server id that may change this instance; 65535 for the bootstrap server alone.
    pub owner: u16,
}

impl AccessControl {
    pub(super) fn write(&self) -> BootstrapWrite {
        let at = |id| Path::Resource(2, self.instance, id);
        let mut values = vec![
            Entry::new(at(0), Value::Integer(self.object.into())),
            Entry::new(at(1), Value::Integer(self.object_instance.into())),
        ];
        values.extend(self.rights.iter().map(|(server, rights)| {
            let path = Path::ResourceInstance(2, self.instance, 2, *server);
            Entry::new(path, Value::Integer((*rights).into()))
        }));
        values.push(Entry::new(at(3), Value::Integer(self.owner.into())));
        BootstrapWrite {
            path: Path::ObjectInstance(2, self.instance),
            values,
        }
    }
}
