use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command;

pub(crate) fn run(root: &Path) -> Result<()> {
    // The generator is the test that compares, so both cannot differ.
    let bootstrap = ["test", "--package", "proto", "--test", "bootstrap"];
    command::run(command::cargo(root, bootstrap).env("DROVER_CODEGEN", "1"))?;

    let print = ["run", "--quiet", "--package", "operator", "--", "crd"];
    let yaml = command::output(&mut command::cargo(root, print))?;
    write_crds(&root.join("crds"), &yaml)
}

/// Writes one file for each definition and removes those that are no longer defined.
fn write_crds(folder: &Path, yaml: &str) -> Result<()> {
    let files = split(yaml)?;
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml");
        if is_yaml && !name.is_some_and(|name| files.contains_key(name)) {
            fs::remove_file(&path)?;
        }
    }
    for (name, content) in files {
        fs::write(folder.join(&name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

/// The documents of a YAML stream, by the file that each belongs into.
fn split(yaml: &str) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let stream = format!("\n{}\n", yaml.trim());
    for document in stream.split("\n---").map(str::trim) {
        if document.is_empty() {
            continue;
        }
        let name = metadata_name(document).context("a document has no metadata.name")?;
        let before = files.insert(format!("{name}.yaml"), format!("{document}\n"));
        ensure!(before.is_none(), "two documents are named {name}");
    }
    ensure!(!files.is_empty(), "no definition was printed");
    Ok(files)
}

fn metadata_name(document: &str) -> Option<&str> {
    document
        .lines()
        .skip_while(|line| *line != "metadata:")
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.strip_prefix("  name: "))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    const TWO: &str = "\
---
kind: CustomResourceDefinition
metadata:
  labels:
    name: not-this
  name: devices.drover.dev
spec: {}
---
metadata:
  name: groups.drover.dev
";

    #[test]
    fn each_document_becomes_a_file_named_after_it() {
        let files = split(TWO).unwrap();
        let names: Vec<_> = files.keys().collect();
        assert_eq!(names, ["devices.drover.dev.yaml", "groups.drover.dev.yaml"]);
        assert!(files["devices.drover.dev.yaml"].ends_with("spec: {}\n"));
    }

    #[test]
    fn an_empty_or_nameless_output_is_an_error() {
        assert!(split("").is_err());
        assert!(split("kind: Device\nspec:\n  name: inner\n").is_err());
    }

    #[test]
    fn definitions_that_are_gone_are_removed_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old.drover.dev.yaml"), "").unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        write_crds(folder.path(), TWO).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "README.md",
                "devices.drover.dev.yaml",
                "groups.drover.dev.yaml"
            ]
        );
    }
}
