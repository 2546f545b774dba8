#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::collections::BTreeSet;
use std::path::Path;

use crate::rules::{example, examples, pruned, schema};

use super::*;

#[test]
fn committed_manifests_are_the_generated_ones() {
    let folder = Path::new("../../crds");
    for manifest in manifests().unwrap() {
        let committed = std::fs::read_to_string(folder.join(&manifest.file_name));
        assert!(
            committed.unwrap_or_default() == manifest.to_yaml().unwrap(),
            "crds/{} differs: run `cargo run -p operator -- crd --output crds`",
            manifest.file_name
        );
    }
    let committed: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let generated = manifests().unwrap();
    let generated: BTreeSet<_> = generated.iter().map(|one| one.file_name.clone()).collect();
    assert_eq!(committed, generated);
}

#[test]
fn a_definition_is_small_enough_for_client_side_apply() {
    // The last-applied annotation may have at most 262,144 bytes.
    for manifest in manifests().unwrap() {
        let length = manifest.to_yaml().unwrap().len();
        assert!(length < 200_000, "{}: {length}", manifest.file_name);
    }
}

#[test]
fn every_kind_has_a_category_and_a_status() {
    let mut short_names = BTreeSet::new();
    for crd in crds() {
        let names = &crd.spec.names;
        assert_eq!(names.categories.as_deref(), Some(&["lwm2m".to_owned()][..]));
        for short in names.short_names.iter().flatten() {
            assert!(short_names.insert(short.clone()), "{short} twice");
        }
        let version = &crd.spec.versions[0];
        assert_eq!(version.name, "v1alpha1");
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        assert!(
            version
                .selectable_fields
                .as_ref()
                .is_none_or(|all| all.len() <= 8)
        );
    }
    let expected = ["fwi", "fwr", "lwd", "lwg", "lwom", "lwop", "lwp"];
    assert!(
        short_names.iter().map(String::as_str).eq(expected),
        "{short_names:?}"
    );
}

#[test]
fn every_kind_has_an_example_that_is_valid() {
    let mut kinds = BTreeSet::new();
    for file in examples() {
        let object = example(&file);
        kinds.insert(object["kind"].as_str().unwrap().to_owned());
        let refusals = crate::rules::refusals(&object, None);
        assert!(refusals.is_empty(), "{file}: {refusals:?}");
        // A field that the schema does not know would be pruned silently by the API server, and
        // one that the types do not know would be lost to the operator.
        assert_eq!(
            pruned(&schema(&object), &object["spec"], "spec"),
            Vec::<String>::new(),
            "{file}"
        );
        let read = crate::rules::read(&object);
        assert_eq!(
            crate::rules::lost(&object["spec"], &read["spec"], "spec"),
            Vec::<String>::new(),
            "{file}"
        );
    }
    let defined: BTreeSet<_> = crds()
        .iter()
        .map(|crd| crd.spec.names.kind.clone())
        .collect();
    assert_eq!(kinds, defined);
}

fn documented(text: &str, kind: &str) -> Vec<String> {
    let heading = format!("\n## {kind}\n");
    let section = text.split_once(&heading).map(|(_, rest)| rest).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(str::to_owned).collect()
}

#[test]
fn conditions_and_their_reasons_are_documented() {
    let text = std::fs::read_to_string("../../docs/resources.md").unwrap();
    for (kind, conditions) in [
        ("BootstrapProfile", BootstrapProfile::CONDITIONS),
        ("Device", Device::CONDITIONS),
        ("DeviceGroup", DeviceGroup::CONDITIONS),
        ("DeviceOperation", DeviceOperation::CONDITIONS),
        ("DeviceProfile", DeviceProfile::CONDITIONS),
        ("EnrollmentPolicy", EnrollmentPolicy::CONDITIONS),
        ("FirmwareImage", FirmwareImage::CONDITIONS),
        ("FirmwareRollout", FirmwareRollout::CONDITIONS),
        ("ObjectModel", ObjectModel::CONDITIONS),
        ("SecurityProfile", SecurityProfile::CONDITIONS),
    ] {
        let rows: Vec<_> = conditions
            .iter()
            .map(|(condition, reasons)| {
                let reasons: Vec<_> = reasons.iter().map(|one| format!("`{one}`")).collect();
                format!("| `{condition}` | {} |", reasons.join(", "))
            })
            .collect();
        assert_eq!(documented(&text, kind), rows, "{kind}");
    }
}
