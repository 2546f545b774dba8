use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::source;
use super::workspace::{Workspace, relative};

/// A library that only a few files may name, so that exchanging it touches these files only.
struct Door {
    library: &'static str,
    /// As Rust source names it.
    token: &'static str,
    /// Beginnings of paths.
    inside: &'static [&'static str],
}

const DOORS: [Door; 11] = [
    Door {
        library: "coap-lite",
        token: "coap_lite",
        inside: &["crates/coap/"],
    },
    Door {
        library: "aws-lc-rs",
        token: "aws_lc_rs",
        inside: &[
            "crates/dtls/",
            "crates/forward/",
            "crates/oscore/",
            "crates/package-source/src/signature.rs",
            "state-node/src/seal",
        ],
    },
    Door {
        library: "http-auth",
        token: "http_auth",
        inside: &["crates/package-source/src/registry/challenge.rs"],
    },
    Door {
        library: "minicbor",
        token: "minicbor",
        inside: &["crates/lwm2m/src/format"],
    },
    Door {
        library: "quick-xml",
        token: "quick_xml",
        inside: &["crates/lwm2m/src/ddf"],
    },
    Door {
        library: "jsonwebtoken",
        token: "jsonwebtoken",
        inside: &["state-node/src/access/"],
    },
    Door {
        library: "x509-parser",
        token: "x509_parser",
        inside: &["state-node/src/access/certificate.rs"],
    },
    Door {
        library: "object_store",
        token: "object_store",
        inside: &[
            "crates/backup/src/target.rs",
            "crates/package-source/src/bucket.rs",
        ],
    },
    Door {
        library: "openraft",
        token: "openraft",
        inside: &["state-node/src/raft", "state-node/tests/"],
    },
    Door {
        library: "reqwest",
        token: "reqwest",
        inside: &["crates/package-source/src/web.rs"],
    },
    Door {
        library: "rocksdb",
        token: "rocksdb",
        inside: &["state-node/src/store", "state-node/tests/"],
    },
];

/// What the product code of a pure package must not say, and what to do instead.
const IMPURE: [(&str, &str); 9] = [
    ("Instant::now", "take `now: Instant` as an argument"),
    ("SystemTime::now", "take the wall clock as a value"),
    ("UdpSocket", "give datagrams out of poll_output"),
    ("TcpStream", "give bytes out of poll_output"),
    ("TcpListener", "give bytes out of poll_output"),
    ("std::fs", "take the content as an argument"),
    ("fs::", "take the content as an argument"),
    ("std::thread", "an engine is driven from outside"),
    ("thread::", "an engine is driven from outside"),
];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut violations = manifests(workspace);
    for member in workspace.members.values() {
        let pure = member.layer.is_some_and(super::workspace::Layer::is_pure);
        for path in rust_files(&workspace.root.join(&member.folder))? {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let name = relative(&workspace.root, &path);
            violations.extend(wrong_doors(&name, &text));
            if pure && !is_test(&name) {
                violations.extend(impure_words(&name, &text));
            }
        }
    }
    Ok(violations)
}

/// Only the package behind a door may depend on the library.
fn manifests(workspace: &Workspace) -> Vec<String> {
    let mut violations = Vec::new();
    for (id, member) in &workspace.members {
        for dependency in &workspace.packages[id].all {
            let library = &workspace.packages[dependency].name;
            let folder = format!("{}/", member.folder);
            let door = DOORS.iter().find(|door| door.library == library);
            if let Some(door) = door
                && !door.inside.iter().any(|inside| inside.starts_with(&folder))
            {
                violations.push(format!(
                    "{folder}Cargo.toml: {library} is used by {} only",
                    door.inside.join(", ")
                ));
            }
        }
    }
    violations
}

fn wrong_doors(name: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let code = source::code(text);
    for door in &DOORS {
        if door.inside.iter().any(|inside| name.starts_with(inside)) {
            continue;
        }
        for line in source::lines_with(&code, door.token) {
            violations.push(format!(
                "{name}:{line}: {} is named in {} only",
                door.token,
                door.inside.join(", ")
            ));
        }
    }
    violations
}

fn impure_words(name: &str, text: &str) -> Vec<String> {
    let code = source::product_code(text);
    let mut violations: Vec<(usize, String)> = Vec::new();
    for (token, instead) in IMPURE {
        for line in source::lines_with(&code, token) {
            // `std::fs::read` holds two of the words; one message is enough.
            if violations.iter().all(|(other, _)| *other != line) {
                let told = format!("{name}:{line}: {token} in a pure package: {instead}");
                violations.push((line, told));
            }
        }
    }
    violations.into_iter().map(|(_, told)| told).collect()
}

/// Files of tests, benchmarks and examples may read the clock: somebody has to.
fn is_test(name: &str) -> bool {
    let in_folder = ["tests", "benches", "examples"]
        .iter()
        .any(|folder| name.split('/').any(|part| part == *folder));
    in_folder || name.ends_with("/tests.rs")
}

/// The Rust sources of one package. Generated code counts: it is linked like any other.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if entry.file_name() != "target" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_behind_its_door_only() {
        let text = "use coap_lite::Packet;\n// rocksdb is fine in a comment\n";
        assert_eq!(wrong_doors("crates/coap/src/codec.rs", text), [""; 0]);
        assert_eq!(
            wrong_doors("ingress-node/src/udp.rs", text),
            ["ingress-node/src/udp.rs:1: coap_lite is named in crates/coap/ only"]
        );
        let raft = "use openraft::Raft;";
        assert_eq!(wrong_doors("state-node/src/raft.rs", raft), [""; 0]);
        assert_eq!(wrong_doors("state-node/src/raft/network.rs", raft), [""; 0]);
        assert_eq!(wrong_doors("state-node/src/service.rs", raft).len(), 1);
    }

    #[test]
    fn a_pure_package_gets_time_and_bytes_from_outside() {
        let text = "let now = Instant::now();\nstd::fs::read(path);\n";
        assert_eq!(
            impure_words("crates/coap/src/exchange.rs", text),
            [
                "crates/coap/src/exchange.rs:1: Instant::now in a pure package: take `now: \
                 Instant` as an argument",
                "crates/coap/src/exchange.rs:2: std::fs in a pure package: take the content as an \
                 argument"
            ]
        );
    }

    #[test]
    fn the_files_of_tests_are_known_by_their_place() {
        assert!(is_test("crates/coap/src/exchange/tests.rs"));
        assert!(is_test("crates/coap/benches/codec.rs"));
        assert!(is_test("crates/lwm2m-server/tests/engine/main.rs"));
        assert!(!is_test("crates/coap/src/exchange.rs"));
        assert!(!is_test("crates/coap/src/latests.rs"));
    }
}
