use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{command, layers};

/// One step, and the arguments of its `cargo`.
struct Step {
    headline: &'static str,
    arguments: &'static [&'static str],
}

/// `--locked` on the first command that resolves: a Cargo.lock that is out of date fails there.
/// Generated code is compared by tests of the packages that own it.
const STEPS: [Step; 5] = [
    Step {
        headline: "format",
        arguments: &["fmt", "--all", "--check"],
    },
    Step {
        headline: "lints",
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
    },
    Step {
        headline: "lints of the lanes, which are no tests of the workspace",
        arguments: &[
            "clippy",
            "--workspace",
            "--test",
            "chaos",
            "--test",
            "conformance",
            "--test",
            "examples",
            "--test",
            "interop",
            "--test",
            "kube",
            "--",
            "--deny",
            "warnings",
        ],
    },
    Step {
        headline: "binaries, for the tests that start them",
        arguments: &["build", "--workspace", "--bins"],
    },
    Step {
        headline: "tests",
        arguments: &["test", "--workspace"],
    },
];

pub(crate) fn run(root: &Path) -> Result<()> {
    step("layers", || layers::run(root))?;
    for Step {
        headline,
        arguments,
    } in STEPS
    {
        step(headline, || {
            command::run(&mut command::cargo(root, arguments))
        })?;
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "headlines tell which step a line of output belongs to"
)]
fn step(headline: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {headline}");
    let began = Instant::now();
    work().with_context(|| format!("step `{headline}`"))?;
    println!("    {headline}: {} s", began.elapsed().as_secs());
    Ok(())
}
