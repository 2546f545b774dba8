//! Paths, values, and who and where a device is.

use std::net::{IpAddr, SocketAddr};

use device_state::{Transport, ValueOrigin};
use lwm2m::{CompositePaths, Observed, Path, Value};

use super::list::each;
use super::{ConvertError, InField, Reason, Within, message, narrow, required};
use crate::storage::v1 as wire;

impl From<Path> for wire::Path {
    fn from(path: Path) -> Self {
        Self {
            ids: path.segments().map(u32::from).collect(),
        }
    }
}

impl TryFrom<wire::Path> for Path {
    type Error = ConvertError;

    fn try_from(path: wire::Path) -> Result<Self, ConvertError> {
        let mut ids = [0_u16; 4];
        let slots = ids.get_mut(..path.ids.len()).ok_or_else(|| {
            ConvertError::new(
                "ids",
                Reason::TooMany {
                    found: path.ids.len(),
                    limit: 4,
                },
            )
        })?;
        for (slot, id) in slots.iter_mut().zip(&path.ids) {
            *slot = narrow("ids", *id)?;
        }
        Self::from_segments(slots).ok_or_else(|| ConvertError::new("ids", Reason::Path))
    }
}

/// The fields that stand for what is observed in messages: one of them is set.
pub(crate) type WireObserved = (Option<wire::Path>, Vec<wire::Path>, Option<wire::ChildPath>);

pub(crate) fn wire_observed(observed: &Observed) -> WireObserved {
    match observed {
        Observed::Path(path) => (Some((*path).into()), Vec::new(), None),
        Observed::Composite(_) => {
            let paths = observed.paths().iter().map(|path| (*path).into());
            (None, paths.collect(), None)
        }
        Observed::Behind { child, path } => {
            let behind = wire::ChildPath {
                child: child.to_string(),
                path: Some((*path).into()),
            };
            (None, Vec::new(), Some(behind))
        }
    }
}

pub(crate) fn observed((path, composite, behind): WireObserved) -> Result<Observed, ConvertError> {
    if path.is_some() && !composite.is_empty() {
        return Err(ConvertError::new("composite", Reason::Conflict("path")));
    }
    if let Some(behind) = behind {
        if path.is_some() || !composite.is_empty() {
            return Err(ConvertError::new("behind", Reason::Conflict("path")));
        }
        return observed_behind(behind).within("behind");
    }
    if composite.is_empty() {
        return message("path", path).map(Observed::Path);
    }
    let paths = each("composite", composite, CompositePaths::MAX, Path::try_from)?;
    let paths = CompositePaths::new(paths);
    paths
        .map(Observed::Composite)
        .ok_or_else(|| ConvertError::new("composite", Reason::Missing))
}

fn observed_behind(behind: wire::ChildPath) -> Result<Observed, ConvertError> {
    Ok(Observed::Behind {
        child: behind.child.parse().in_field("child")?,
        path: message("path", behind.path)?,
    })
}

impl From<Value> for wire::Value {
    fn from(value: Value) -> Self {
        use wire::value::Kind;
        let kind = match value {
            Value::String(text) => Kind::String(text),
            Value::Integer(number) => Kind::Integer(number),
            Value::Unsigned(number) => Kind::Unsigned(number),
            Value::Float(number) => Kind::Float(number),
            Value::Boolean(truth) => Kind::Boolean(truth),
            Value::Opaque(bytes) => Kind::Opaque(bytes),
            Value::Time(seconds) => Kind::Time(seconds),
            Value::ObjectLink { object, instance } => {
                Kind::ObjectLink(u32::from(object) << 16 | u32::from(instance))
            }
            Value::CoreLink(text) => Kind::CoreLink(text),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Value> for Value {
    type Error = ConvertError;

    fn try_from(value: wire::Value) -> Result<Self, ConvertError> {
        use wire::value::Kind;
        Ok(match required("kind", value.kind)? {
            Kind::String(text) => Self::String(text),
            Kind::Integer(number) => Self::Integer(number),
            Kind::Unsigned(number) => Self::Unsigned(number),
            Kind::Float(number) => Self::Float(number),
            Kind::Boolean(truth) => Self::Boolean(truth),
            Kind::Opaque(bytes) => Self::Opaque(bytes),
            Kind::Time(seconds) => Self::Time(seconds),
            Kind::ObjectLink(link) => Self::ObjectLink {
                object: (link >> 16) as u16,
                instance: link as u16,
            },
            Kind::CoreLink(text) => Self::CoreLink(text),
        })
    }
}

impl From<SocketAddr> for wire::Peer {
    fn from(peer: SocketAddr) -> Self {
        let ip = match peer.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        Self {
            ip,
            port: u32::from(peer.port()),
        }
    }
}

impl TryFrom<wire::Peer> for SocketAddr {
    type Error = ConvertError;

    fn try_from(peer: wire::Peer) -> Result<Self, ConvertError> {
        let ip = match (
            <[u8; 4]>::try_from(&*peer.ip),
            <[u8; 16]>::try_from(&*peer.ip),
        ) {
            (Ok(octets), _) => IpAddr::from(octets),
            (_, Ok(octets)) => IpAddr::from(octets),
            _ => return Err(ConvertError::new("ip", Reason::Length(peer.ip.len()))),
        };
        Ok(Self::new(ip, narrow("port", peer.port)?))
    }
}

/// A domain enum as the number of a wire enum, and back with unknown numbers refused.
macro_rules! wire_enum {
    ($domain:ty, $wire:ty, $to:ident, $from:ident, {$($variant:ident),+ $(,)?}) => {
        pub(crate) const fn $to(value: $domain) -> i32 {
            match value {
                $(<$domain>::$variant => <$wire>::$variant as i32,)+
            }
        }

        pub(crate) fn $from(field: &str, number: i32) -> Result<$domain, ConvertError> {
            match <$wire>::try_from(number) {
                $(Ok(<$wire>::$variant) => Ok(<$domain>::$variant),)+
                Ok(<$wire>::Unspecified) | Err(_) => {
                    Err(ConvertError::new(field, Reason::UnknownEnum(number)))
                }
            }
        }
    };
}

wire_enum!(Transport, wire::Transport, wire_transport, transport, { Udp, Dtls, Tcp, Tls });
wire_enum!(ValueOrigin, wire::ValueOrigin, wire_origin, origin, { Notify, Send, Read, Write });

pub(crate) use wire_enum;
