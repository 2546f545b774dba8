use std::collections::{BTreeMap, VecDeque};

use super::workspace::{Id, Layer, Member, Workspace};

/// What would bring a runtime, a wire format, a cluster or a disk into a pure package.
const NOT_PURE: [&str; 8] = [
    "axum", "hyper", "kube", "openraft", "prost", "rocksdb", "tokio", "tonic",
];

/// The one engine that reads a contract: the operator's decisions are made from custom resources,
/// as plain data.
const PLANNER: (&str, &str) = ("fleet-plan", "crd");

/// The one tool that starts everything.
const TESTS: &str = "tests";

pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let mut violations = Vec::new();
    for (id, member) in &workspace.members {
        let Some(layer) = member.layer else {
            violations.push(format!(
                "{}/Cargo.toml: [package.metadata.drover] layer must be one of vocabulary, engine, \
                 contract, io, binary, tool",
                member.folder
            ));
            continue;
        };
        violations.extend(wrong_arrows(workspace, id, member, layer));
        if layer.is_pure() {
            violations.extend(impure_paths(workspace, id, member));
        }
    }
    violations
}

fn wrong_arrows(workspace: &Workspace, id: &Id, member: &Member, layer: Layer) -> Vec<String> {
    let package = &workspace.packages[id];
    package
        .all
        .iter()
        .filter_map(|to| Some((to, workspace.members.get(to)?)))
        .filter_map(|(to, target)| {
            let target_layer = target.layer?;
            let allowed = if package.normal.contains(to) {
                may_depend(&member.name, layer, &target.name, target_layer)
            } else {
                may_test_with(&member.name, target_layer)
            };
            (!allowed).then(|| {
                format!(
                    "{} ({layer:?}) must not depend on {} ({target_layer:?}): {}",
                    member.name,
                    target.name,
                    rule(layer)
                )
            })
        })
        .collect()
}

fn may_depend(from: &str, layer: Layer, to: &str, target: Layer) -> bool {
    use Layer::{Binary, Contract, Engine, Io, Tool, Vocabulary};
    match layer {
        Vocabulary => target == Vocabulary,
        Engine => matches!(target, Vocabulary | Engine) || (from, to) == PLANNER,
        Contract => matches!(target, Vocabulary | Engine),
        Io => matches!(target, Vocabulary | Engine | Contract),
        Tool if from == TESTS => true,
        Binary | Tool => !matches!(target, Binary | Tool),
    }
}

/// Tests may borrow any library: an engine's tests use the engine on the other side.
fn may_test_with(from: &str, target: Layer) -> bool {
    from == TESTS || !matches!(target, Layer::Binary | Layer::Tool)
}

fn rule(layer: Layer) -> &'static str {
    match layer {
        Layer::Vocabulary => "vocabulary sees vocabulary only",
        Layer::Engine => "engines see vocabulary and engines",
        Layer::Contract => "contracts see vocabulary and engines",
        Layer::Io => "io sees contracts, engines and vocabulary",
        Layer::Binary | Layer::Tool => {
            "what two binaries share belongs into a contract, an engine or the vocabulary"
        }
    }
}

/// The shortest way from a pure package to each library that it must not reach.
fn impure_paths(workspace: &Workspace, start: &Id, member: &Member) -> Vec<String> {
    let mut came_from: BTreeMap<&Id, &Id> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    let mut violations = Vec::new();
    while let Some(id) = queue.pop_front() {
        let package = &workspace.packages[id];
        for next in &package.normal {
            let name = &workspace.packages[next].name;
            let planned = (member.name.as_str(), name.as_str()) == PLANNER;
            if planned || next == start || came_from.contains_key(next) {
                continue;
            }
            came_from.insert(next, id);
            if NOT_PURE.contains(&name.as_str()) {
                let way = way(workspace, &came_from, next);
                violations.push(format!("{} is pure but reaches {name}: {way}", member.name));
            } else {
                queue.push_back(next);
            }
        }
    }
    violations
}

fn way(workspace: &Workspace, came_from: &BTreeMap<&Id, &Id>, end: &Id) -> String {
    let mut names = vec![workspace.packages[end].name.as_str()];
    let mut id = end;
    while let Some(before) = came_from.get(id) {
        names.push(workspace.packages[*before].name.as_str());
        id = before;
    }
    names.reverse();
    names.join(" → ")
}

#[cfg(test)]
mod tests;
