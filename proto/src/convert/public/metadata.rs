//! Changes of what is attached to devices.

use std::collections::{BTreeMap, BTreeSet};

use device_state::command::{Live, Missing};
use device_state::{Command, LabelKey, MapChange};

use super::InNamespace;
use crate::convert::metadata::{annotation, label_key, label_value};
use crate::convert::{ConvertError, Reason, Within, device_in, required};
use crate::drover::v1 as public;

impl TryFrom<InNamespace<public::UpdateDeviceRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::UpdateDeviceRequest>) -> Result<Self, ConvertError> {
        let InNamespace { namespace, request } = asked;
        let device = required("device", request.device)?;
        let paths = match request.update_mask {
            Some(mask) if !mask.paths.is_empty() => mask.paths,
            // AIP-134: without a mask, what is there.
            _ => populated(&device),
        };
        let mask = Mask::read(&paths)?;
        Ok(Self::ChangeMetadata {
            endpoint: device_in(&namespace, &device.endpoint).within("device")?,
            labels: change(mask.labels, device.labels, label_value)
                .within("labels")
                .within("device")?,
            annotations: change(mask.annotations, device.annotations, annotation)
                .within("annotations")
                .within("device")?,
            missing: if request.allow_missing {
                Missing::Allowed
            } else {
                Missing::Refused
            },
        })
    }
}

impl TryFrom<InNamespace<public::DeleteDeviceRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::DeleteDeviceRequest>) -> Result<Self, ConvertError> {
        let InNamespace { namespace, request } = asked;
        Ok(Self::Forget {
            endpoint: device_in(&namespace, &request.endpoint)?,
            live: if request.force {
                Live::Deregistered
            } else {
                Live::Refused
            },
            missing: if request.allow_missing {
                Missing::Allowed
            } else {
                Missing::Refused
            },
        })
    }
}

fn populated(device: &public::Device) -> Vec<String> {
    let fields = [
        ("labels", device.labels.is_empty()),
        ("annotations", device.annotations.is_empty()),
    ];
    let there = fields.into_iter().filter(|(_, empty)| !empty);
    there.map(|(name, _)| name.to_owned()).collect()
}

/// What of a map is to change.
#[derive(Debug)]
enum Part {
    All,
    These(BTreeSet<LabelKey>),
}

impl Part {
    fn add(&mut self, key: LabelKey) {
        if let Self::These(keys) = self {
            keys.insert(key);
        }
    }
}

struct Mask {
    labels: Part,
    annotations: Part,
}

impl Mask {
    fn read(paths: &[String]) -> Result<Self, ConvertError> {
        let mut mask = Self {
            labels: Part::These(BTreeSet::new()),
            annotations: Part::These(BTreeSet::new()),
        };
        for path in paths {
            let unknown = || ConvertError::new("update_mask", Reason::MaskPath(path.clone()));
            let (name, key) = match path.split_once('.') {
                // AIP-161: keys with other characters than those of fields are in backticks.
                Some((name, key)) => (name, Some(key.trim_matches('`'))),
                None => (path.as_str(), None),
            };
            let part = match name {
                "labels" => &mut mask.labels,
                "annotations" => &mut mask.annotations,
                "*" if key.is_none() => {
                    (mask.labels, mask.annotations) = (Part::All, Part::All);
                    continue;
                }
                _ => return Err(unknown()),
            };
            match key {
                None => *part = Part::All,
                Some(key) => part.add(label_key(key).within("update_mask")?),
            }
        }
        Ok(mask)
    }
}

fn change<V>(
    part: Part,
    texts: BTreeMap<String, String>,
    value: impl Fn(String) -> Result<V, ConvertError>,
) -> Result<MapChange<V>, ConvertError> {
    let mut map = BTreeMap::new();
    for (key, text) in texts {
        map.insert(label_key(&key)?, value(text)?);
    }
    Ok(match part {
        Part::All => MapChange::Replace(map),
        Part::These(mut keys) => {
            map.retain(|key, _| keys.remove(key));
            MapChange::Merge {
                set: map,
                remove: keys,
            }
        }
    })
}
