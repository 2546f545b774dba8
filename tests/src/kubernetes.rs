//! The Kubernetes API and the operator under test.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{Drover, Program, binary, free_address, metric, wait_until_ready};

/// Its scripts; cargo starts a test in the folder of its package.
fn folder() -> &'static Path {
    Path::new("kube")
}

/// Held by the test that uses the cluster: what one installs is not for the others to find, and
/// the control plane ends with its test.
static ALONE: Mutex<()> = Mutex::new(());

/// An API server, or the cluster of `$KUBECONFIG`.
pub struct Kubernetes {
    kubeconfig: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Kubernetes {
    /// Starts etcd and kube-apiserver; the first time they are built, which takes minutes.
    pub fn start() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let output = Command::new(folder().join("up.sh"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "up.sh: {output:?}");
        Self {
            kubeconfig: PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()),
            _alone: alone,
        }
    }

    /// The file by which others find it.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig.display().to_string()
    }

    /// Runs kubectl.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command
    }

    /// Applies what the folder `crds` holds and waits until every kind is served.
    pub fn install_definitions(&self) {
        let applied = self.kubectl(&["apply", "--server-side", "-f", "../crds", "-o", "name"]);
        assert!(applied.status.success(), "{applied:?}");
        let applied = String::from_utf8(applied.stdout).unwrap();
        let kinds = applied
            .lines()
            .filter(|name| name.starts_with("customresourcedefinition"));
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
        let served = self.kubectl(&wait.into_iter().chain(kinds).collect::<Vec<_>>());
        assert!(served.status.success(), "{served:?}");
    }

    /// `kubectl apply -f -`.
    pub fn apply(&self, manifest: &str) -> Output {
        self.feed(&["apply", "-f", "-"], manifest)
    }

    /// kubectl with a manifest as its standard input.
    pub fn feed(&self, arguments: &[&str], manifest: &str) -> Output {
        let mut child = self
            .command(arguments)
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

    /// Waits until a `Device` is ready.
    pub fn wait_for_ready(&self, name: &str) {
        let device = format!("devices.drover.dev/{name}");
        let waited = self.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &device]);
        assert!(
            waited.status.success(),
            "{waited:?} {:?}",
            self.kubectl(&["get", &device, "-o", "yaml"])
        );
    }

    /// Of a `Device`.
    pub fn resource_version(&self, name: &str) -> String {
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
pub struct Operator {
    admin: String,
    program: Program,
}

impl Operator {
    /// One that looks at every object once a second.
    pub fn start(kubernetes: &Kubernetes, drover: &Drover, name: &str) -> Self {
        // An idle one looks at every object often enough for a test to watch it.
        Self::that_looks_every(1, kubernetes, drover, name)
    }

    /// One that looks at every object after so many seconds, whatever happens.
    pub fn that_looks_every(
        seconds: u32,
        kubernetes: &Kubernetes,
        drover: &Drover,
        name: &str,
    ) -> Self {
        let seconds = seconds.to_string();
        let admin = free_address();
        let mut command = Command::new(binary("drover-operator"));
        command
            .env("KUBECONFIG", &kubernetes.kubeconfig)
            .env("DROVER_OPERATOR__RESYNC_SECONDS", &seconds)
            .env("DROVER_OPERATOR__ROLLOUT_POLL_SECONDS", &seconds)
            .env("DROVER_OPERATOR__RECOUNT_SECONDS", &seconds)
            .args(["run", "--api", &drover.apis()]);
        command.args(["--admin-listen", &admin, "--no-leader-election"]);
        let log = drover.scratch().join(format!("operator-{name}.log"));
        let mut program = Program::start(&mut command, &log).unwrap();
        wait_until_ready(&mut program, &admin);
        Self { admin, program }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// A counter's value, 0 while it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        metric(&self.admin, name)
    }
}
