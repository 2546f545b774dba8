//! The table of methods and the API that there is.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeSet;

use access::{Rule, methods, rule};
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Every method of the API, as it is called.
fn served() -> BTreeSet<String> {
    let descriptors = std::fs::read("../../proto/src/gen/drover.bin").unwrap();
    let files = FileDescriptorSet::decode(descriptors.as_slice())
        .unwrap()
        .file;
    let mut paths = BTreeSet::new();
    for file in files.iter().filter(|file| file.package() == "drover.v1") {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!("/drover.v1.{}/{}", service.name(), method.name()));
            }
        }
    }
    paths
}

#[test]
fn every_method_of_the_api_has_a_rule() {
    let known: BTreeSet<String> = methods().map(|(path, _)| path).collect();
    let served = served();
    assert!(served.len() > 30, "{served:?}");
    let missing: Vec<_> = served.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "without a rule in crates/access/src/method.rs: {missing:?}"
    );
    let own = |path: &&String| path.starts_with("/drover.v1.");
    let gone: Vec<_> = known.difference(&served).filter(own).collect();
    assert!(gone.is_empty(), "rules for what is not served: {gone:?}");
    for path in &served {
        assert!(matches!(rule(path), Some(Rule::Needs(_))), "{path}");
    }
}

#[test]
fn what_is_not_in_the_table_has_no_rule() {
    for path in [
        "",
        "/",
        "/drover.v1.Devices/Get",
        "/drover.v1.Devices/GetDevice/",
        "//drover.v1.Devices/GetDevice",
        "/drover.v2.Devices/GetDevice",
        "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo",
        "drover.v1.Devices/GetDevice",
    ] {
        assert_eq!(rule(path), None, "{path}");
    }
}
