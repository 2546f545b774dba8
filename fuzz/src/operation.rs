//! What a server asks of a device, as a script has it.

use lwm2m::{
    CompositePaths, ExecuteArguments, Method, NotificationAttributes, Observed, Operation, Patch,
    Path, RawRequest, WriteMode,
};

use crate::coap_messages::{entries, format, path, pick};
use crate::script::Script;

/// The queries of Write-Attributes and Observe.
const ATTRIBUTES: [&[&str]; 6] = [
    &["pmin=1", "pmax=60"],
    &["pmin"],
    &["gt=20", "lt=10", "st=1"],
    &["edge=1"],
    &["con=1", "hqmax=3"],
    &["pmin=9", "pmax=3"],
];

/// One of them is none.
const CHILDREN: [&str; 4] = ["dev0", "dev1", "a4:c1:38:00", "3"];

const ARGUMENTS: [&str; 3] = ["0", "0='x',1", "9='https://example.com'"];

fn attributes(script: &mut Script<'_>) -> NotificationAttributes {
    let query = pick(&ATTRIBUTES, script.byte());
    query
        .and_then(|query| NotificationAttributes::parse_query(query).ok())
        .unwrap_or_default()
}

fn paths(script: &mut Script<'_>) -> Vec<Path> {
    (0..script.byte() % 6).map(|_| path(script)).collect()
}

fn observed(script: &mut Script<'_>, several: bool) -> Observed {
    if several && let Some(paths) = CompositePaths::new(paths(script)) {
        return Observed::Composite(paths);
    }
    Observed::Path(path(script))
}

fn patches(script: &mut Script<'_>) -> Vec<Patch> {
    let removed = (0..script.byte() % 3).map(|_| Patch::Remove(path(script)));
    let mut patches: Vec<Patch> = removed.collect();
    patches.extend(entries(script, Path::Root).into_iter().map(Patch::Set));
    patches
}

fn raw(script: &mut Script<'_>) -> RawRequest {
    let method = pick(&Method::ALL, script.byte()).unwrap_or(Method::Get);
    let target = format!("/{}", String::from_utf8_lossy(script.chunk()));
    let mut raw = RawRequest::new(method, &target)
        .or_else(|_| RawRequest::new(method, "/3/0"))
        .expect("a target");
    raw.accept = format(script);
    raw.content_format = format(script);
    raw.payload = script.chunk().to_vec();
    raw
}

/// Any operation, also one that no device could accept.
pub(crate) fn operation(script: &mut Script<'_>) -> Operation {
    match script.byte() % 20 {
        behind @ 16.. => {
            let child = pick(&CHILDREN, behind).and_then(|text| text.parse().ok());
            let asked = asked(script.byte() % 16, script);
            match child {
                Some(child) => asked.behind(child),
                None => asked,
            }
        }
        kind => asked(kind, script),
    }
}

/// An operation on the registered device itself.
fn asked(kind: u8, script: &mut Script<'_>) -> Operation {
    match kind {
        0 => Operation::Read {
            path: path(script),
            accept: format(script),
        },
        1 => {
            let path = path(script);
            let mode = match script.byte() & 1 {
                0 => WriteMode::Replace,
                _ => WriteMode::Update,
            };
            let values = entries(script, path);
            Operation::Write { path, mode, values }
        }
        2 => Operation::Execute {
            path: path(script),
            arguments: pick(&ARGUMENTS, script.byte())
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(ExecuteArguments::default),
        },
        3 => Operation::Discover {
            path: path(script),
            depth: Some(script.byte()).filter(|depth| *depth < 8),
        },
        kind @ 4..=6 => Operation::Observe {
            observed: observed(script, kind == 5),
            parameters: attributes(script),
        },
        kind @ (7 | 8) => Operation::CancelObserve {
            observed: observed(script, kind == 8),
        },
        9 => Operation::ReadComposite {
            paths: paths(script),
            accept: format(script),
        },
        10 => Operation::WriteComposite {
            patches: patches(script),
        },
        11 => create(script),
        12 => Operation::Delete { path: path(script) },
        13 => Operation::WriteAttributes {
            path: path(script),
            attributes: attributes(script),
        },
        14 => Operation::Raw(raw(script)),
        _ => Operation::ReadComposite {
            paths: vec![Path::Resource(3, 0, 9), Path::Object(3303)],
            accept: None,
        },
    }
}

fn create(script: &mut Script<'_>) -> Operation {
    let path = path(script);
    let instance = Some(u16::from(script.byte())).filter(|id| *id < 128);
    let below = path.child(instance.unwrap_or(0)).unwrap_or(path);
    let values = entries(script, below);
    Operation::Create {
        path,
        instance,
        values,
    }
}
