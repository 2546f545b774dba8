//! Packages from a registry and from an object store that nobody here wrote, signed as cosign signs.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::leshan::cache;
use tests::openssl::{Curve, KeyPair, digest};
use tests::{Answer, Drover, Options, Program, free_address, until};

use crate::leshan::SOON;
use crate::object_storage::Store;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

fn registry() -> PathBuf {
    let program = cache().join("registry/registry");
    assert!(
        program.exists(),
        "the registry is missing: run make interop"
    );
    program
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

struct Registry {
    address: String,
    _program: Program,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let address = free_address();
        let mut command = Command::new(registry());
        command.args(["serve", &address]);
        let program = Program::start(&mut command, &folder.join("registry")).unwrap();
        until("a registry", SOON, || TcpStream::connect(&address).is_ok());
        Self {
            address,
            _program: program,
        }
    }

    /// The digest of the manifest.
    fn push(&self, tag: &str, file: &Path, annotations: &[String]) -> String {
        let mut command = Command::new(registry());
        command.args(["push", &format!("{}/meters:{tag}", self.address)]);
        let digest = output(command.arg(file).args(annotations));
        String::from_utf8(digest).unwrap().trim().to_owned()
    }

    /// As `cosign sign --key` does.
    fn sign(&self, folder: &Path, manifest: &str, key: &KeyPair) {
        let payload = json!({"critical": {
            "identity": {"docker-reference": format!("{}/meters", self.address)},
            "image": {"docker-manifest-digest": manifest},
            "type": "cosign container image signature",
        }, "optional": null});
        let file = folder.join("payload");
        fs::write(&file, payload.to_string()).unwrap();
        let signature = key.sign(&file);
        let tag = format!("{}.sig", manifest.replace(':', "-"));
        self.push(&tag, &file, &[format!("{SIGNATURE}={signature}")]);
    }
}

fn put(drover: &Drover, source: &str, further: &[&str]) -> Answer {
    drover.run(&[&["artefacts", "put", source], further, &["-o", "json"]].concat())
}

fn package(folder: &Path) -> (PathBuf, String) {
    let file = folder.join("meters-2.0.0.bin");
    let mut bytes = b"meters 2.0.0\n".to_vec();
    bytes.extend((0..3_000_000_u32).map(|byte| (byte * 7 / 5) as u8));
    fs::write(&file, bytes).unwrap();
    let digest = digest(&file);
    (file, digest)
}

#[test]
fn a_package_comes_from_a_registry_if_it_is_signed() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    let folder = drover.scratch();
    let registry = Registry::start(folder);
    let key = |name| KeyPair::make(folder, name, Curve::P256);
    let (release, other) = (key("release"), key("other"));
    let (file, digest) = package(folder);
    let manifest = registry.push("2.0.0", &file, &[]);
    assert_ne!(manifest, digest);
    let source = format!("oci://{}/meters@{manifest}", registry.address);

    let unsigned = put(&drover, &source, &["--public-key", release.public()]);
    assert!(unsigned.stderr.contains("no signature"), "{unsigned:?}");
    registry.sign(folder, &manifest, &release);
    let untrusted = put(&drover, &source, &["--public-key", other.public()]);
    assert!(untrusted.stderr.contains("trusted key"), "{untrusted:?}");
    let missing = drover.run(&["artefacts", "get", &digest]);
    assert_eq!(missing.code, 3, "{missing:?}");

    let stored: Value = put(&drover, &source, &["--public-key", release.public()]).json();
    assert_eq!(stored["digest"], digest, "{stored}");
}

#[test]
fn a_package_comes_from_an_object_store() {
    let drover = Drover::start(&Options {
        state_nodes: 1,
        ..Options::default()
    });
    let folder = drover.scratch();
    let store = Store::start(folder);
    let (file, digest) = package(folder);
    let url = format!("http://{}/backups/meters-2.0.0.bin", store.address);
    output(Command::new("curl").args(["--fail", "-sS", "-T", file.to_str().unwrap(), &url]));
    let put = [
        "artefacts",
        "put",
        "s3://backups/meters-2.0.0.bin",
        "-o",
        "json",
    ];
    let stored = store.run(drover.command(&put)).json();
    assert_eq!(stored["digest"], digest, "{stored}");
    assert_eq!(stored["title"], "meters-2.0.0.bin", "{stored}");
    let gone = ["artefacts", "put", "s3://backups/gone.bin"];
    let gone = store.run(drover.command(&gone));
    assert_ne!(gone.code, 0);
    assert!(gone.stderr.contains("s3://backups/gone.bin"), "{gone:?}");
}
