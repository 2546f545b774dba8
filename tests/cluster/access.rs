//! Who may call what: every method of the API, as the descriptors list them, with every kind of credential.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use access::{Permission, methods};
use node_runtime::tls::{ClientTls, Connector, Peer};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tests::{Drover, Options, Program, binary, until_some};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use raw::Body;

mod raw;

const SOON: Duration = Duration::from_secs(30);

fn secure() -> Drover {
    Drover::start(&Options {
        state_nodes: 1,
        flags: vec![
            "--secure".to_owned(),
            "--bootstrap-nodes".to_owned(),
            "0".to_owned(),
        ],
        ..Options::default()
    })
}

/// What a cluster has in its folder for the command line.
fn file(drover: &Drover, name: &str) -> String {
    drover.dir().join("access").join(name).display().to_string()
}

/// A token of somebody in a group, or in none.
fn token(drover: &Drover, name: &str, group: Option<&str>, more: &[&str]) -> String {
    let dir = drover.dir().display().to_string();
    let mut arguments = vec!["--dir", &dir, "token", name];
    if let Some(group) = group {
        arguments.extend(["--group", group]);
    }
    arguments.extend(more);
    let made = drover.run(&arguments);
    assert_eq!(made.code, 0, "{made:?}");
    made.stdout.trim().to_owned()
}

/// Every method that is served, by the descriptors.
fn served() -> Vec<String> {
    let files = FileDescriptorSet::decode(proto::drover::FILE_DESCRIPTOR_SET).unwrap();
    let mut paths = Vec::new();
    for file in files
        .file
        .iter()
        .filter(|file| file.package() == "drover.v1")
    {
        for service in &file.service {
            let methods = service.method.iter();
            paths.extend(
                methods.map(|method| format!("/drover.v1.{}/{}", service.name(), method.name())),
            );
        }
    }
    assert!(paths.len() > 30, "{paths:?}");
    paths
}

/// A connection that shows a certificate of the cluster's folder, or none.
fn channel(drover: &Drover, certificate: Option<&str>) -> Channel {
    let shown =
        |ending: &str| certificate.map(|name| file(drover, &format!("{name}.{ending}")).into());
    let tls = ClientTls {
        authorities_file: Some(file(drover, "ca.pem").into()),
        certificate_file: shown("pem"),
        key_file: shown("key"),
    };
    connect(drover, &tls)
}

fn connect(drover: &Drover, tls: &ClientTls) -> Channel {
    let connector = Connector::once(tls, &Peer::Host).unwrap();
    let address = format!("http://{}", drover.endpoint("/state/0/api"));
    let endpoint = Endpoint::from_shared(address).unwrap();
    endpoint.connect_with_connector_lazy(connector)
}

async fn all(channel: &Channel, token: Option<&str>, expected: impl Fn(&str, Code) -> bool) {
    for path in served() {
        for body in [Body::Empty, Body::Garbage] {
            let code = raw::call(channel, &path, token, body).await;
            assert!(expected(&path, code), "{path} with {body:?}: {code:?}");
        }
    }
}

fn permission(path: &str) -> Permission {
    let found = methods().find(|(known, _)| known == path);
    found.unwrap_or_else(|| panic!("{path} has no rule")).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_asks_who_calls_and_whether_they_may() {
    let drover = secure();
    let nobody = channel(&drover, None);
    all(&nobody, None, |_, code| code == Code::Unauthenticated).await;

    // Tokens that somebody else signed, and that are none.
    let stranger = drover.scratch().join("stranger.key");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(&stranger, key.serialize_pem()).unwrap();
    let forged = token(
        &drover,
        "alice",
        Some("operators"),
        &["--key", &stranger.display().to_string()],
    );
    for bad in [forged.as_str(), "junk", "a.b.c"] {
        all(&nobody, Some(bad), |_, code| code == Code::Unauthenticated).await;
        // A token that is wrong is not made good by a certificate.
        let admin = channel(&drover, Some("admin"));
        let code = raw::call(
            &admin,
            "/drover.v1.Devices/ListDevices",
            Some(bad),
            Body::Empty,
        )
        .await;
        assert_eq!(code, Code::Unauthenticated);
    }

    // Somebody without rights, and somebody whose certificate is good for something else.
    let bob = token(&drover, "bob", None, &[]);
    all(&nobody, Some(&bob), |_, code| {
        code == Code::PermissionDenied
    })
    .await;
    let node = channel(&drover, Some("ingress"));
    all(&node, None, |_, code| code == Code::PermissionDenied).await;

    // A viewer looks, and no more.
    let viewer = token(&drover, "carol", Some("viewers"), &[]);
    all(&nobody, Some(&viewer), |path, code| {
        let Permission { resource, verb } = permission(path);
        let is_hidden = ["credentials", "backups"].contains(&resource);
        let is_allowed = !is_hidden && !verb.is_change();
        (code == Code::PermissionDenied) != is_allowed && code != Code::Unauthenticated
    })
    .await;

    // With all rights, what is wrong is the request.
    let admin = channel(&drover, Some("admin"));
    let refused = [Code::Unauthenticated, Code::PermissionDenied];
    all(&admin, None, |_, code| !refused.contains(&code)).await;

    // What there is not is not told to strangers, and refused to everybody.
    for path in [
        "/drover.v1.Devices/DropAll",
        "/drover.rpc.v1.State/DescribeCluster",
    ] {
        assert_eq!(
            raw::call(&nobody, path, None, Body::Empty).await,
            Code::Unauthenticated
        );
        assert_eq!(
            raw::call(&admin, path, None, Body::Empty).await,
            Code::PermissionDenied
        );
    }
    let health = raw::call(&nobody, "/grpc.health.v1.Health/Check", None, Body::Empty).await;
    assert_eq!(health, Code::Ok);

    // A certificate of another authority ends the handshake; so does plaintext.
    let theirs = Strangers::new(drover.scratch());
    let stranger = connect(&drover, &theirs.tls(&drover));
    let code = raw::call(
        &stranger,
        "/drover.v1.Devices/ListDevices",
        None,
        Body::Empty,
    )
    .await;
    assert!(is_of_the_client(code), "{code:?}");
    let plain = Endpoint::from_shared(format!("http://{}", drover.endpoint("/state/0/api")));
    let plain = plain.unwrap().connect_lazy();
    let code = raw::call(&plain, "/drover.v1.Devices/ListDevices", None, Body::Empty).await;
    assert!(is_of_the_client(code), "{code:?}");
}

/// What a client makes of a connection that the other side ends, depending on how far it was.
fn is_of_the_client(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    )
}

fn https(drover: &Drover) -> String {
    format!("https://{}", drover.endpoint("/state/0/api"))
}

/// A certificate that names the administrator, of an authority that is not the cluster's.
struct Strangers {
    certificate: std::path::PathBuf,
    key: std::path::PathBuf,
}

impl Strangers {
    fn new(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["admin".to_owned()]).unwrap();
        let stranger = Self {
            certificate: folder.join("stranger.pem"),
            key: folder.join("stranger-certificate.key"),
        };
        std::fs::write(&stranger.certificate, made.cert.pem()).unwrap();
        std::fs::write(&stranger.key, made.signing_key.serialize_pem()).unwrap();
        stranger
    }

    fn tls(&self, drover: &Drover) -> ClientTls {
        ClientTls {
            authorities_file: Some(file(drover, "ca.pem").into()),
            certificate_file: Some(self.certificate.clone()),
            key_file: Some(self.key.clone()),
        }
    }
}

#[test]
fn a_secured_cluster_works_and_puts_changes_on_record() {
    let drover = Drover::start(&Options {
        devices: 1,
        flags: vec!["--secure".to_owned()],
        ..Options::default()
    });
    let dir = drover.dir().display().to_string();
    let (api, ca) = (https(&drover), file(&drover, "ca.pem"));
    // Three nodes found each other, and an ingress node found them, by certificates; the command line has its own.
    let listed = drover.run(&["--dir", &dir, "cluster", "-o", "json"]).json();
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 3, "{listed}");
    assert!(listed["nodes"][0]["status"] == "Ready", "{listed}");
    let plain = drover.run(&[
        "cluster",
        "--internal",
        &drover.endpoint("/state/0/internal"),
    ]);
    assert_ne!(plain.code, 0, "{plain:?}");

    let as_somebody = |token: &str, arguments: &[&str]| {
        let shown = ["--api", &api, "--api-ca", &ca, "--api-token", token];
        drover.run(&[&shown, arguments].concat())
    };
    let operator = token(&drover, "alice", Some("operators"), &[]);
    let viewer = token(&drover, "carol", Some("viewers"), &[]);
    let write = ["write", "sim-0001", "/3/0/14", "+07:00"];
    let written = as_somebody(&operator, &write);
    assert_eq!(written.code, 0, "{written:?}");
    let refused = as_somebody(&viewer, &write);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("PERMISSION_DENIED, FORBIDDEN"),
        "{refused:?}"
    );
    assert_eq!(as_somebody(&viewer, &["devices"]).code, 0);

    let records = until_some("both attempts on record", SOON, || {
        let text = std::fs::read_to_string(file(&drover, "audit.jsonl")).unwrap_or_default();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let by = |name: &str| lines.iter().find(|line| line["who"] == name).cloned();
        let found = by("alice").zip(by("carol"));
        found.ok_or(text)
    });
    let (made, refused) = records;
    assert_eq!(made["outcome"], "OK", "{made}");
    assert_eq!(made["method"], "/drover.v1.Operations/Write", "{made}");
    assert_eq!(made["authentication"], "token", "{made}");
    assert_eq!(made["endpoint"], "sim-0001", "{made}");
    assert_eq!(made["paths"][0], "/3/0/14", "{made}");
    assert_eq!(refused["outcome"], "PERMISSION_DENIED", "{refused}");
    assert_eq!(refused["reason"], "FORBIDDEN", "{refused}");
    let text = std::fs::read_to_string(file(&drover, "audit.jsonl")).unwrap();
    assert!(
        !text.contains("+07:00") && !text.contains(&operator),
        "{text}"
    );

    // Rights go when the policy says so, without a restart.
    std::fs::write(
        file(&drover, "policy.yaml"),
        "rules: [{users: [alice], role: viewer}]",
    )
    .unwrap();
    until_some("an operator who may only look", SOON, || {
        let answer = as_somebody(&operator, &write);
        if answer.stderr.contains("FORBIDDEN") {
            Ok(())
        } else {
            Err(answer)
        }
    });
    assert_eq!(as_somebody(&operator, &["devices"]).code, 0);
    // A policy that cannot be read changes nothing.
    std::fs::write(file(&drover, "policy.yaml"), "rules: everybody").unwrap();
    let admin = drover.endpoint("/state/0/admin");
    until_some("a failed reload", SOON, || {
        let failures = tests::metric(&admin, "drover_state_file_reload_failures_total");
        if failures > 0.0 {
            Ok(())
        } else {
            Err(failures)
        }
    });
    assert_eq!(as_somebody(&operator, &["devices"]).code, 0);
}

#[test]
fn a_node_that_strangers_reach_does_not_start_without_protection() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "00".repeat(32)).unwrap();
    let start = |more: &[&str], environment: &[(&str, &str)]| {
        let mut command = Command::new(binary("drover-state"));
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.arg("--cluster-key-file").arg(&key);
        command.args(["--admin-listen", "127.0.0.1:0"]).args(more);
        command.envs(environment.iter().copied());
        Program::start(&mut command, &folder.path().join("log")).unwrap()
    };
    let everywhere = [
        "--api-listen",
        "0.0.0.0:0",
        "--internal-listen",
        "0.0.0.0:0",
    ];
    let anonymous = ("DROVER_STATE__API_ALLOW_ANONYMOUS", "true");
    let plaintext = ("DROVER_STATE__INTERNAL_ALLOW_PLAINTEXT", "true");
    let here = [
        "--api-listen",
        "127.0.0.1:0",
        "--internal-listen",
        "0.0.0.0:0",
    ];
    for (listen, environment, said) in [
        (everywhere, &[][..], "api_allow_anonymous"),
        (everywhere, &[anonymous][..], "internal_allow_plaintext"),
        (here, &[][..], "internal_allow_plaintext"),
    ] {
        let mut node = start(&listen, environment);
        assert_eq!(node.wait_for_end(SOON), Some(1));
        assert!(node.output().contains(said), "{}", node.output());
    }
    let mut node = start(&everywhere, &[anonymous, plaintext]);
    node.wait_for_output("drover-state ready", SOON);
}
