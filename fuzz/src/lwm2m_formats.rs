//! LwM2M payloads: values, lists of paths and patches in every format.

use lwm2m::format::MAX_ENTRIES;
use lwm2m::{
    ContentFormat, Entry, Patch, Path, Registry, Value, decode, decode_patch, decode_paths, encode,
    encode_patch, encode_paths,
};

use crate::script::Script;

const FORMATS: [ContentFormat; 8] = [
    ContentFormat::TEXT,
    ContentFormat::OPAQUE,
    ContentFormat::CBOR,
    ContentFormat::TLV,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::JSON,
    ContentFormat::LWM2M_CBOR,
];

const COMPOSITE: [ContentFormat; 5] = [
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::SENML_ETCH_JSON,
    ContentFormat::SENML_ETCH_CBOR,
    ContentFormat::LWM2M_CBOR,
];

/// A byte for what the payload is, a byte and so many numbers for the path it is for, then the payload. What is read lies
/// at or below that path, and what can be written of it is read as what is written alike.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let kind = usize::from(script.byte());
    if let Some(format) = FORMATS.get(kind % 16) {
        let ids: Vec<u16> = (0..script.byte() % 5).map(|_| script.number()).collect();
        let Some(base) = Path::from_segments(&ids) else {
            return;
        };
        values(*format, base, script.rest());
    } else {
        let payload = script.rest();
        for format in COMPOSITE {
            paths(format, payload);
            patches(format, payload);
        }
    }
}

fn values(format: ContentFormat, base: Path, payload: &[u8]) {
    let Ok(mut entries) = decode(format, base, payload, Registry::oma()) else {
        return;
    };
    assert!(entries.len() <= MAX_ENTRIES);
    assert!(entries.iter().all(|entry| entry.path.starts_with(base)));
    for entry in &mut entries {
        entry.time = None;
    }
    assert!(encode(ContentFormat::SENML_CBOR, base, &entries).is_ok());
    for format in FORMATS {
        let Ok(written) = encode(format, base, &entries) else {
            continue;
        };
        match decode(format, base, &written, Registry::oma()) {
            Ok(read) => assert_eq!(encode(format, base, &read), Ok(written), "{entries:?}"),
            Err(error) => panic!("{format}: {error} after {entries:?}"),
        }
    }
}

fn paths(format: ContentFormat, payload: &[u8]) {
    let Ok(paths) = decode_paths(format, payload) else {
        return;
    };
    assert!(paths.len() <= MAX_ENTRIES);
    let written = encode_paths(format, &paths).expect("what was read can be written");
    let read = decode_paths(format, &written).expect("what was written can be read");
    assert_eq!(encode_paths(format, &read), Ok(written));
    if format != ContentFormat::LWM2M_CBOR {
        assert_eq!(read, paths);
    }
}

fn patches(format: ContentFormat, payload: &[u8]) {
    let Ok(patches) = decode_patch(format, payload, Registry::oma()) else {
        return;
    };
    assert!(patches.len() <= MAX_ENTRIES);
    assert!(patches.iter().all(|patch| patch.path().depth() >= 3));
    let Ok(written) = encode_patch(format, &patches) else {
        return;
    };
    match decode_patch(format, &written, Registry::oma()) {
        Ok(read) => assert_eq!(encode_patch(format, &read), Ok(written), "{patches:?}"),
        Err(error) => panic!("{format}: {error} after {patches:?}"),
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let path = |text: &str| -> Path { text.parse().expect("a path") };
    let link = Value::ObjectLink {
        object: 4,
        instance: 0,
    };
    let entries = [
        Entry::new(path("/3/0/6/1"), Value::Integer(5)),
        Entry::new(path("/3/0/9"), Value::Integer(100)),
        Entry::new(path("/3/0/13"), Value::Time(1_367_491_215)),
        Entry::new(path("/3/0/14"), Value::String("+02:00".to_owned())),
        Entry::new(path("/3/0/22/0"), link),
    ];
    let script = |kind: usize, base: &[u16], payload: &[u8]| {
        let mut script = vec![kind as u8, base.len() as u8];
        script.extend(base.iter().flat_map(|id| id.to_be_bytes()));
        script.extend_from_slice(payload);
        script
    };
    let mut seeds = Vec::new();
    for (kind, format) in FORMATS.into_iter().enumerate() {
        if let Ok(payload) = encode(format, path("/3/0"), &entries) {
            seeds.push(script(kind, &[3, 0], &payload));
        }
        if let Ok(payload) = encode(format, path("/3/0/14"), &entries[3..4]) {
            seeds.push(script(kind, &[3, 0, 14], &payload));
        }
    }
    let bytes = [Entry::new(path("/0/0/3"), Value::Opaque(vec![1, 2]))];
    if let Ok(payload) = encode(ContentFormat::OPAQUE, path("/0/0/3"), &bytes) {
        seeds.push(script(1, &[0, 0, 3], &payload));
    }
    let mut changes: Vec<Patch> = entries.iter().cloned().map(Patch::Set).collect();
    changes.push(Patch::Remove(path("/3442/0/1110/2")));
    for format in COMPOSITE {
        let paths = encode_paths(format, &[path("/3/0/9"), path("/4")]);
        let changes = encode_patch(format, &changes);
        for payload in [paths, changes].into_iter().flatten() {
            seeds.push([&[15], payload.as_slice()].concat());
        }
    }
    seeds
}
