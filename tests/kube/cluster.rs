//! The Kubernetes API and the operator under test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tests::{Drover, Program, binary, until_some};

/// Its scripts; cargo starts a test in the folder of its package.
fn folder() -> &'static Path {
    Path::new("kube")
}

/// An API server, or the cluster of `$KUBECONFIG`.
pub(crate) struct Kubernetes {
    kubeconfig: PathBuf,
}

impl Kubernetes {
    /// Starts etcd and kube-apiserver; the first time they are built, which takes minutes.
    pub(crate) fn start() -> Self {
        let output = Command::new(folder().join("up.sh"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "up.sh: {output:?}");
        Self {
            kubeconfig: PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()),
        }
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command
    }

    /// Applies the committed custom resource definitions and waits until they are served.
    pub(crate) fn install_definitions(&self) {
        let applied = self.kubectl(&["apply", "--server-side", "-f", "../crds"]);
        assert!(applied.status.success(), "{applied:?}");
        let served = self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd/devices.drover.dev",
        ]);
        assert!(served.status.success(), "{served:?}");
    }

    /// `kubectl apply -f -`.
    pub(crate) fn apply(&self, manifest: &str) -> Output {
        let mut child = self
            .command(&["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn wait_for_ready(&self, name: &str) {
        let device = format!("devices.drover.dev/{name}");
        let waited = self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &device]);
        assert!(
            waited.status.success(),
            "{waited:?} {:?}",
            self.kubectl(&["get", &device, "-o", "yaml"])
        );
    }

    pub(crate) fn resource_version(&self, name: &str) -> String {
        let output = self.kubectl(&[
            "get",
            "devices.drover.dev",
            name,
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ]);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        if std::env::var_os("KUBECONFIG").is_none() {
            let status = Command::new(folder().join("down.sh")).status();
            assert!(status.is_ok_and(|status| status.success()), "down.sh");
        }
    }
}

/// A running operator.
pub(crate) struct Operator {
    admin: String,
    _program: Program,
}

impl Operator {
    pub(crate) fn start(kubernetes: &Kubernetes, drover: &Drover, name: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let admin = format!("127.0.0.1:{port}");
        let mut command = Command::new(binary("drover-operator"));
        command
            .env("KUBECONFIG", &kubernetes.kubeconfig)
            // An idle operator looks at every object often enough for a test to watch it.
            .env("DROVER_OPERATOR__RESYNC_SECONDS", "1")
            .args(["run", "--api", &drover.apis()]);
        command.args(["--admin-listen", &admin, "--no-leader-election"]);
        let log = drover.scratch().join(format!("operator-{name}.log"));
        let mut program = Program::start(&mut command, &log).unwrap();
        until_some("a ready operator", Duration::from_secs(60), || {
            assert!(program.is_running(), "{}", program.output());
            match get(&admin, "/readyz") {
                Some(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
                other => Err((other, program.output())),
            }
        });
        Self {
            admin,
            _program: program,
        }
    }

    /// A counter's value, 0 while it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = get(&self.admin, "/metrics").unwrap_or_default();
        metrics
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

/// A plain HTTP GET; the whole answer.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
