#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use serde_json::{Value, json};

use super::*;

/// Packages with a layer are members; `"b"` is a normal dependency, `"dev:b"` one of the tests.
fn workspace(packages: &[(&str, Option<&str>, &[&str])]) -> Workspace {
    let described: Vec<Value> = packages
        .iter()
        .map(|(name, layer, _)| {
            json!({
                "id": name,
                "name": name,
                "manifest_path": format!("/w/crates/{name}/Cargo.toml"),
                "metadata": layer.map(|layer| json!({"drover": {"layer": layer}})),
            })
        })
        .collect();
    let nodes: Vec<Value> = packages
        .iter()
        .map(|(name, _, dependencies)| {
            let deps: Vec<Value> = dependencies
                .iter()
                .map(|dependency| match dependency.strip_prefix("dev:") {
                    Some(name) => json!({"pkg": name, "dep_kinds": [{"kind": "dev"}]}),
                    None => json!({"pkg": dependency, "dep_kinds": [{"kind": null}]}),
                })
                .collect();
            json!({"id": name, "deps": deps})
        })
        .collect();
    let members: Vec<_> = packages
        .iter()
        .filter(|(_, layer, _)| layer.is_some())
        .map(|(name, ..)| name)
        .collect();
    let metadata = json!({
        "packages": described,
        "workspace_members": members,
        "workspace_root": "/w",
        "resolve": {"nodes": nodes},
    });
    Workspace::from_metadata(serde_json::from_value(metadata).unwrap())
}

#[test]
fn the_arrows_of_the_architecture_are_allowed() {
    let workspace = workspace(&[
        ("coap", Some("vocabulary"), &["thiserror"]),
        ("lwm2m", Some("vocabulary"), &["coap"]),
        ("device-state", Some("engine"), &["lwm2m", "dev:tokio"]),
        (
            "lwm2m-server",
            Some("engine"),
            &["lwm2m", "dev:lwm2m-client"],
        ),
        ("lwm2m-client", Some("engine"), &["lwm2m"]),
        ("crd", Some("contract"), &["kube"]),
        ("fleet-plan", Some("engine"), &["crd", "device-state"]),
        ("proto", Some("contract"), &["device-state", "prost"]),
        ("state-client", Some("io"), &["proto"]),
        (
            "ingress-node",
            Some("binary"),
            &["state-client", "lwm2m-server"],
        ),
        ("tests", Some("tool"), &["ingress-node", "state-client"]),
        ("thiserror", None, &[]),
        ("kube", None, &["tokio"]),
        ("prost", None, &[]),
        ("tokio", None, &[]),
    ]);
    assert_eq!(check(&workspace), [""; 0]);
}

#[test]
fn an_arrow_upwards_is_named_with_its_rule() {
    let check = |from: (&str, &str), to: (&str, &str)| {
        check(&workspace(&[
            (from.0, Some(from.1), &[to.0]),
            (to.0, Some(to.1), &[]),
        ]))
    };
    assert_eq!(
        check(("coap", "vocabulary"), ("device-state", "engine")),
        [
            "coap (Vocabulary) must not depend on device-state (Engine): vocabulary sees vocabulary only"
        ]
    );
    assert_eq!(
        check(("device-state", "engine"), ("proto", "contract")).len(),
        1
    );
    assert_eq!(
        check(("lwm2m-server", "engine"), ("crd", "contract")).len(),
        1
    );
    assert_eq!(
        check(("proto", "contract"), ("state-client", "io")).len(),
        1
    );
    assert_eq!(
        check(("state-client", "io"), ("node-runtime", "io")).len(),
        1
    );
    assert_eq!(check(("cli", "binary"), ("simulator", "binary")).len(), 1);
    assert_eq!(check(("cli", "binary"), ("xtask", "tool")).len(), 1);
}

#[test]
fn tests_may_borrow_a_library_but_not_a_binary() {
    let workspace = workspace(&[
        (
            "coap",
            Some("vocabulary"),
            &["dev:lwm2m-server", "dev:simulator"],
        ),
        ("lwm2m-server", Some("engine"), &["coap"]),
        ("simulator", Some("binary"), &[]),
    ]);
    let violations = check(&workspace);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].contains("simulator"), "{violations:?}");
}

#[test]
fn the_way_to_an_impure_library_is_told() {
    let workspace = workspace(&[
        ("coap", Some("vocabulary"), &["cache"]),
        ("cache", None, &["timers"]),
        ("timers", None, &["tokio"]),
        ("tokio", None, &[]),
    ]);
    assert_eq!(
        check(&workspace),
        ["coap is pure but reaches tokio: coap → cache → timers → tokio"]
    );
}

#[test]
fn a_package_must_name_a_layer_that_exists() {
    let violations = check(&workspace(&[("coap", Some("helpers"), &[])]));
    assert_eq!(violations.len(), 1);
    assert!(
        violations[0].starts_with("crates/coap/Cargo.toml: "),
        "{violations:?}"
    );
}
