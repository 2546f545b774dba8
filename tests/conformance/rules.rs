//! What a server gets wrong most often, as rules with ids of our own, and the tests that hold us to them.

mod attributes;
mod bootstrap;
mod coap;
mod firmware;
mod operations;
mod queue;
mod registration;
mod security;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

/// A rule.
pub(crate) struct Rule {
    /// `srv-` and a number.
    pub(crate) id: &'static str,
    /// What the server does, with the section of the specification that says so.
    pub(crate) what: &'static str,
    pub(crate) proofs: &'static [Proof],
}

/// What shows that a rule holds.
#[derive(Clone, Copy)]
pub(crate) enum Proof {
    Test(Test),
    /// A case of this lane, by its id.
    Case(&'static str),
}

/// A test of this workspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    package: &'static str,
    /// The name of a file or folder in `tests`; `lib` for those beside the code.
    target: &'static str,
    /// With its modules.
    pub(crate) name: &'static str,
}

impl Proof {
    /// As the page names it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Test(test) => format!("`{}` {}", test.package, test.name),
            Self::Case(id) => format!("case {id}"),
        }
    }
}

/// A test beside the code of a library.
const fn unit(package: &'static str, name: &'static str) -> Proof {
    test(package, "lib", name)
}

const fn test(package: &'static str, target: &'static str, name: &'static str) -> Proof {
    Proof::Test(Test {
        package,
        target,
        name,
    })
}

/// Every rule, in the order of their ids.
pub(crate) fn all() -> Vec<&'static Rule> {
    let parts = [
        coap::RULES,
        transfers::RULES,
        registration::RULES,
        operations::RULES,
        attributes::RULES,
        queue::RULES,
        bootstrap::RULES,
        security::RULES,
        firmware::RULES,
    ];
    parts.into_iter().flatten().collect()
}

/// Runs the tests of the rules; gives those that passed.
#[expect(clippy::print_stdout, reason = "it goes with the failure")]
pub(crate) fn run(rules: &[&'static Rule]) -> BTreeSet<Test> {
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<Test>> = BTreeMap::new();
    for proof in rules.iter().flat_map(|rule| rule.proofs) {
        if let Proof::Test(test) = proof {
            let executable = wanted.entry((test.package, test.target)).or_default();
            executable.insert(*test);
        }
    }
    let executables = executables();
    let mut passed = BTreeSet::new();
    for (target, tests) in wanted {
        let Some((executable, folder)) =
            executables.get(&(target.0.to_owned(), target.1.to_owned()))
        else {
            continue;
        };
        let names = tests.iter().map(|test| test.name);
        let output = Command::new(executable)
            .arg("--exact")
            .args(names)
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            println!("{} of {}:\n{said}", target.1, target.0);
        }
        let ok = |test: &Test| {
            said.lines()
                .any(|line| line == format!("test {} ... ok", test.name))
        };
        passed.extend(tests.into_iter().filter(ok));
    }
    passed
}

/// The test executables of the workspace and the folders of their packages, by package and target.
fn executables() -> BTreeMap<(String, String), (PathBuf, PathBuf)> {
    // The same selection as `make test`, so that nothing is built twice.
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--no-run", "--message-format=json"])
        .current_dir("..")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let messages = lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter_map(|message| executable(&message))
        .collect()
}

fn executable(message: &Json) -> Option<((String, String), (PathBuf, PathBuf))> {
    if message["profile"]["test"] != true {
        return None;
    }
    let executable = PathBuf::from(message["executable"].as_str()?);
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let target = match message["target"]["kind"][0].as_str()? {
        "lib" => "lib",
        _ => message["target"]["name"].as_str()?,
    };
    let package = package_name(message["package_id"].as_str()?);
    Some((
        (package, target.to_owned()),
        (executable, folder.to_owned()),
    ))
}

/// The name in `path+file:///folder/name#0.1.0` or `path+file:///folder#name@0.1.0`.
fn package_name(id: &str) -> String {
    let (source, version) = id.rsplit_once('#').unwrap();
    let name = match version.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap(),
    };
    name.to_owned()
}
