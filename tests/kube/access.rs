//! Kubernetes decides who may call the API: real ServiceAccount tokens, and real RBAC.

use std::time::Duration;

use tests::{Answer, Drover, Kubernetes, Options, until_some};

const SOON: Duration = Duration::from_secs(60);

const RIGHTS: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules:
- {apiGroups: [drover.dev], resources: [devices, devices/resources], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects:
- {kind: ServiceAccount, name: reader, namespace: default}
";

fn token(kubernetes: &Kubernetes, audience: &[&str]) -> String {
    let arguments = [&["create", "token", "reader"], audience].concat();
    let made = kubernetes.kubectl(&arguments);
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn call(drover: &Drover, token: &str, arguments: &[&str]) -> Answer {
    drover.run(&[&["--api-token", token], arguments].concat())
}

#[test]
fn service_accounts_may_what_their_roles_say() {
    let kubernetes = Kubernetes::start();
    let applied = kubernetes.apply(RIGHTS);
    assert!(applied.status.success(), "{applied:?}");
    let kubeconfig = "DROVER_STATE__API_ACCESS__KUBERNETES__KUBECONFIG";
    let drover = Drover::start(&Options {
        state_nodes: 1,
        devices: 1,
        flags: vec!["--secure".to_owned()],
        environment: vec![(kubeconfig, kubernetes.kubeconfig())],
        ..Options::default()
    });

    let reader = token(&kubernetes, &["--audience", "drover.dev"]);
    let listed = call(&drover, &reader, &["devices"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let read = call(&drover, &reader, &["read", "sim-0001", "/3/0/0"]);
    assert_eq!(read.code, 0, "{read:?}");
    let written = call(
        &drover,
        &reader,
        &["write", "sim-0001", "/3/0/14", "+01:00"],
    );
    let who = "system:serviceaccount:default:reader may not update devices/resources";
    assert!(written.stderr.contains(who), "{written:?}");
    // A token that is for Kubernetes alone.
    let other = token(&kubernetes, &[]);
    let refused = call(&drover, &other, &["devices"]);
    assert!(refused.stderr.contains("TOKEN_REFUSED"), "{refused:?}");

    // A right that is taken away is gone within seconds.
    let removed = kubernetes.kubectl(&["delete", "rolebinding", "reader", "-n", "default"]);
    assert!(removed.status.success(), "{removed:?}");
    until_some("a reader without rights", SOON, || {
        let answer = call(&drover, &reader, &["devices"]);
        if answer.stderr.contains("FORBIDDEN") {
            Ok(())
        } else {
            Err(answer)
        }
    });
}
