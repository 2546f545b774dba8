//! Round trips of random entries, and random bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::registry::{ObjectModel, ResourceModel};
use crate::value::ValueType;

/// Objects that have resources of every type, single and multiple, and one that no registry knows.
const OBJECTS: [u16; 8] = [0, 1, 2, 3, 5, 25, 3303, UNKNOWN_OBJECT];
const UNKNOWN_OBJECT: u16 = 33_000;

const STRUCTURED: [ContentFormat; 5] = [
    ContentFormat::JSON,
    ContentFormat::LWM2M_CBOR,
    ContentFormat::TLV,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
];

const COMPOSITE: [ContentFormat; 5] = [
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::SENML_ETCH_JSON,
    ContentFormat::SENML_ETCH_CBOR,
    ContentFormat::LWM2M_CBOR,
];

fn any_format() -> impl Strategy<Value = ContentFormat> {
    prop::sample::select(vec![
        ContentFormat::TEXT,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
        ContentFormat::TLV,
        ContentFormat::JSON,
        ContentFormat::LWM2M_CBOR,
        ContentFormat::SENML_JSON,
        ContentFormat::SENML_CBOR,
    ])
}

fn finite() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL
}

fn value_of(value_type: ValueType) -> BoxedStrategy<Value> {
    match value_type {
        ValueType::String => any::<String>().prop_map(Value::String).boxed(),
        ValueType::CoreLink => any::<String>().prop_map(Value::CoreLink).boxed(),
        ValueType::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        ValueType::Unsigned => any::<u64>().prop_map(Value::Unsigned).boxed(),
        ValueType::Time => any::<i64>().prop_map(Value::Time).boxed(),
        ValueType::Float => finite().prop_map(Value::Float).boxed(),
        ValueType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ValueType::Opaque => prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(Value::Opaque)
            .boxed(),
        ValueType::ObjectLink => any::<(u16, u16)>()
            .prop_map(|(object, instance)| Value::ObjectLink { object, instance })
            .boxed(),
    }
}

/// Resources of an object with their types; what an unknown object holds is opaque, because that
/// is the one type every format keeps without a registry.
fn resources(object: u16) -> Vec<(u16, bool, ValueType)> {
    let known = Registry::oma()
        .object(object, None)
        .map(ObjectModel::resources);
    let typed = |model: &ResourceModel| Some((model.id, model.multiple, model.value_type?));
    match known {
        Some(models) => models.iter().filter_map(typed).collect(),
        None => vec![
            (0, false, ValueType::Opaque),
            (40_000, true, ValueType::Opaque),
        ],
    }
}

fn entry_of(object: u16) -> impl Strategy<Value = Entry> {
    let resource = prop::sample::select(resources(object));
    (resource, 0_u16..3, any::<u16>()).prop_flat_map(move |((id, multiple, value_type), i, ri)| {
        let path = if multiple {
            Path::ResourceInstance(object, i, id, ri)
        } else {
            Path::Resource(object, i, id)
        };
        value_of(value_type).prop_map(move |value| Entry::new(path, value))
    })
}

/// Entries of one object, sorted by path and without repetition.
fn entries() -> impl Strategy<Value = (u16, Vec<Entry>)> {
    prop::sample::select(OBJECTS.to_vec()).prop_flat_map(|object| {
        prop::collection::vec(entry_of(object), 0..20).prop_map(move |entries| {
            let unique: BTreeMap<Path, Entry> = entries
                .into_iter()
                .map(|entry| (entry.path, entry))
                .collect();
            (object, unique.into_values().collect())
        })
    })
}

fn time() -> impl Strategy<Value = Option<SampleTime>> {
    prop::option::of(prop_oneof![
        (268_435_456_000_i64..4_000_000_000_000).prop_map(SampleTime::UnixMillis),
        (-4_000_000_000_000_i64..268_435_456_000).prop_map(SampleTime::FromNow),
    ])
}

/// Times as the JSON of LwM2M 1.0 tells them apart.
fn old_time() -> impl Strategy<Value = Option<SampleTime>> {
    prop::option::of(prop_oneof![
        (1_i64..4_000_000_000_000).prop_map(SampleTime::UnixMillis),
        (-4_000_000_000_000_i64..=0).prop_map(SampleTime::FromNow),
    ])
}

fn any_path() -> impl Strategy<Value = Path> {
    let ids = prop::collection::vec(0_u16..65_535, 0..=4);
    ids.prop_map(|ids| Path::from_segments(&ids).unwrap())
}

/// The type every value has that a self-describing format carries without a registry.
fn self_described(value: Value) -> Value {
    match value {
        Value::Time(seconds) => Value::Integer(seconds),
        Value::CoreLink(text) => Value::String(text),
        Value::Unsigned(number) if i64::try_from(number).is_ok() => Value::Integer(number as i64),
        other => other,
    }
}

/// What is read back of an entry. The JSON of LwM2M 1.0 cannot tell bytes from their Base64 if no
/// registry does.
fn kept(format: ContentFormat, entry: Entry) -> Entry {
    let unknown = entry.path.object_id() == Some(UNKNOWN_OBJECT);
    match entry.value {
        Value::Opaque(_) if unknown && format == ContentFormat::JSON => Entry {
            value: Value::String(entry.value.to_text()),
            ..entry
        },
        _ => entry,
    }
}

fn all_kept(format: ContentFormat, entries: &[Entry]) -> Vec<Entry> {
    let kept = |entry: &Entry| kept(format, entry.clone());
    entries.iter().map(kept).collect()
}

proptest! {
    #[test]
    fn structured_formats_keep_entries((object, entries) in entries()) {
        for format in STRUCTURED {
            let base = Path::Object(object);
            let payload = encode(format, base, &entries).unwrap();
            let read = decode(format, base, &payload, Registry::oma());
            prop_assert_eq!(read, Ok(all_kept(format, &entries)));
        }
    }

    #[test]
    fn structured_formats_keep_entries_at_every_depth((_, entries) in entries(), depth in 2_usize..=4) {
        for entry in &entries {
            let ids: Vec<u16> = entry.path.segments().take(depth).collect();
            let base = Path::from_segments(&ids).unwrap();
            for format in STRUCTURED {
                let payload = encode(format, base, std::slice::from_ref(entry)).unwrap();
                let read = decode(format, base, &payload, Registry::oma());
                prop_assert_eq!(read, Ok(vec![kept(format, entry.clone())]));
            }
        }
    }

    #[test]
    fn single_value_formats_keep_the_value((_, entries) in entries()) {
        for entry in &entries {
            let opaque = entry.value.value_type() == ValueType::Opaque;
            for format in [ContentFormat::TEXT, ContentFormat::CBOR, ContentFormat::OPAQUE] {
                let unknown = entry.path.object_id() == Some(UNKNOWN_OBJECT);
                if (format == ContentFormat::OPAQUE && !opaque)
                    || (format == ContentFormat::TEXT && unknown)
                {
                    continue;
                }
                let payload = encode(format, entry.path, std::slice::from_ref(entry)).unwrap();
                let read = decode(format, entry.path, &payload, Registry::oma());
                prop_assert_eq!(read, Ok(vec![entry.clone()]));
            }
        }
    }

    #[test]
    fn senml_describes_itself((object, entries) in entries()) {
        for format in [ContentFormat::SENML_JSON, ContentFormat::SENML_CBOR] {
            let payload = encode(format, Path::Object(object), &entries).unwrap();
            let read = decode(format, Path::Root, &payload, &Registry::default());
            let expected = entries.iter().cloned().map(|entry| Entry {
                value: self_described(entry.value),
                ..entry
            });
            prop_assert_eq!(read, Ok(expected.collect()));
        }
    }

    #[test]
    fn senml_keeps_times((_, entries) in entries(), times in prop::collection::vec(time(), 20)) {
        let timed = |(entry, time): (Entry, _)| Entry { time, ..entry };
        let entries: Vec<Entry> = entries.into_iter().zip(times).map(timed).collect();
        for format in [ContentFormat::SENML_JSON, ContentFormat::SENML_CBOR] {
            let payload = encode(format, Path::Root, &entries).unwrap();
            prop_assert_eq!(
                decode(format, Path::Root, &payload, Registry::oma()),
                Ok(entries.clone())
            );
        }
    }

    #[test]
    fn the_json_of_lwm2m_1_0_keeps_times((_, entries) in entries(), times in prop::collection::vec(old_time(), 20)) {
        let timed = |(entry, time): (Entry, _)| Entry { time, ..entry };
        let entries: Vec<Entry> = entries.into_iter().zip(times).map(timed).collect();
        let payload = encode(ContentFormat::JSON, Path::Root, &entries).unwrap();
        let read = decode(ContentFormat::JSON, Path::Root, &payload, Registry::oma());
        prop_assert_eq!(read, Ok(all_kept(ContentFormat::JSON, &entries)));
    }

    #[test]
    fn lists_of_paths_are_kept(paths in prop::collection::btree_set(any_path(), 0..20)) {
        let paths: Vec<Path> = paths.into_iter().collect();
        for format in COMPOSITE {
            let written = encode_paths(format, &paths);
            if format == ContentFormat::LWM2M_CBOR && paths.contains(&Path::Root) {
                prop_assert_eq!(written, Err(EncodeError::NeedsObject(format)));
                continue;
            }
            prop_assert_eq!(decode_paths(format, &written.unwrap()), Ok(paths.clone()));
        }
    }

    #[test]
    fn patches_are_kept((_, entries) in entries(), removed in prop::collection::vec(any::<bool>(), 20)) {
        let patch = |(entry, removed): (Entry, bool)| match entry.path {
            path @ Path::ResourceInstance(..) if removed => Patch::Remove(path),
            _ => Patch::Set(entry),
        };
        let patches: Vec<Patch> = entries.into_iter().zip(removed).map(patch).collect();
        let removes = patches.iter().any(|patch| matches!(patch, Patch::Remove(_)));
        for format in COMPOSITE {
            let written = encode_patch(format, &patches);
            let plain = matches!(format, ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR);
            if removes && plain {
                prop_assert_eq!(written, Err(EncodeError::NoRemovals(format)));
                continue;
            }
            let read = decode_patch(format, &written.unwrap(), Registry::oma());
            prop_assert_eq!(read, Ok(patches.clone()));
        }
    }

    #[test]
    fn random_composite_bodies_are_read_or_refused(
        format in prop::sample::select(COMPOSITE.to_vec()),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Ok(paths) = decode_paths(format, &payload) {
            prop_assert!(paths.len() <= MAX_ENTRIES);
        }
        if let Ok(patches) = decode_patch(format, &payload, Registry::oma()) {
            prop_assert!(patches.iter().all(|patch| patch.path().depth() >= 3));
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused(
        format in any_format(),
        ids in prop::collection::vec(0_u16..8, 0..=4),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let base = Path::from_segments(&ids).unwrap();
        if let Ok(entries) = decode(format, base, &payload, Registry::oma()) {
            prop_assert!(entries.iter().all(|entry| entry.path.starts_with(base)));
        }
    }

    #[test]
    fn mutated_payloads_are_read_or_refused(
        (object, entries) in entries(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let base = Path::Object(object);
        for format in STRUCTURED {
            let mut payload = encode(format, base, &entries).unwrap();
            for (index, byte) in edits.iter().filter(|_| !payload.is_empty()).collect::<Vec<_>>() {
                let index = index.index(payload.len());
                payload[index] = *byte;
            }
            for end in [payload.len(), cut.index(payload.len() + 1)] {
                if let Ok(read) = decode(format, base, &payload[..end], Registry::oma()) {
                    prop_assert!(read.iter().all(|entry| entry.path.starts_with(base)));
                    // What was read can be written again, in SenML at least.
                    prop_assert!(encode(ContentFormat::SENML_CBOR, base, &read).is_ok());
                }
            }
        }
    }
}
