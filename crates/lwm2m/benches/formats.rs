//! What decoding costs: the answer of a device about itself, and a large pack of measurements.
#![expect(missing_docs, reason = "criterion generates the entry point")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lwm2m::{ContentFormat, Entry, Path, Registry, Value, decode, encode};

const FORMATS: [(&str, ContentFormat); 5] = [
    ("tlv", ContentFormat::TLV),
    ("senml cbor", ContentFormat::SENML_CBOR),
    ("lwm2m cbor", ContentFormat::LWM2M_CBOR),
    ("senml json", ContentFormat::SENML_JSON),
    ("json", ContentFormat::JSON),
];

/// The Device object of the examples in LwM2M-Core.
fn device() -> Vec<Entry> {
    let resource = |id, value| Entry::new(Path::Resource(3, 0, id), value);
    let instance = |id, instance, value| {
        let path = Path::ResourceInstance(3, 0, id, instance);
        Entry::new(path, Value::Integer(value))
    };
    let text = |text: &str| Value::String(text.to_owned());
    vec![
        resource(0, text("Open Mobile Alliance")),
        resource(1, text("Lightweight M2M Client")),
        resource(2, text("345000123")),
        resource(3, text("1.0")),
        instance(6, 0, 1),
        instance(6, 1, 5),
        instance(7, 0, 3_800),
        instance(7, 1, 5_000),
        instance(8, 0, 125),
        instance(8, 1, 900),
        resource(9, Value::Integer(100)),
        resource(10, Value::Integer(15)),
        instance(11, 0, 0),
        resource(13, Value::Time(1_367_491_215)),
        resource(14, text("+02:00")),
        resource(16, text("U")),
    ]
}

/// Temperatures of 200 sensors, each with its range and unit.
fn sensors() -> Vec<Entry> {
    let sensor = |instance: u16| {
        let resource = move |id, value| Entry::new(Path::Resource(3303, instance, id), value);
        let degrees = f64::from(instance) * 0.1;
        [
            resource(5601, Value::Float(degrees - 4.25)),
            resource(5602, Value::Float(degrees + 7.5)),
            resource(5700, Value::Float(degrees)),
            resource(5701, Value::String("Cel".to_owned())),
        ]
    };
    (0..200).flat_map(sensor).collect()
}

fn formats(criterion: &mut Criterion) {
    let registry = Registry::oma();
    let mut group = criterion.benchmark_group("decode");
    for (what, base, entries) in [
        ("device", Path::ObjectInstance(3, 0), device()),
        ("800 values", Path::Object(3303), sensors()),
    ] {
        for (name, format) in FORMATS {
            let payload = encode(format, base, &entries).expect("every format has these values");
            assert_eq!(
                decode(format, base, &payload, registry).as_ref(),
                Ok(&entries)
            );
            group.throughput(Throughput::Bytes(payload.len() as u64));
            group.bench_function(format!("{what}, {name}"), |bencher| {
                bencher.iter(|| decode(format, base, black_box(&payload), registry));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
