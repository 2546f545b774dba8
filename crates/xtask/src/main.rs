//! The workspace's own tool: `cargo xtask codegen | check-layers | ci | bench`.
//!
//! It regenerates what is committed but written by a program, checks the rules that the compiler
//! cannot see, and is what continuous integration runs. It is no part of any product.

mod bench;
mod ci;
mod codegen;
mod command;
mod layers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Drover's workspace tool")]
enum Task {
    /// Rewrites proto/src/gen from the .proto files, and crds/ from the Rust types.
    Codegen,
    /// Checks which package may depend on which, and which file may name which library.
    CheckLayers,
    /// Everything that a change must pass, except the lanes that need other programs.
    Ci,
    /// Measures release builds and writes docs/performance.md.
    Bench,
}

#[expect(
    clippy::print_stderr,
    reason = "a failed check is a sentence for a person, without the backtrace of a returned error"
)]
fn main() -> ExitCode {
    match run(&Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let root = root()?;
    match task {
        Task::Codegen => codegen::run(&root),
        Task::CheckLayers => layers::run(&root),
        Task::Bench => bench::run(&root),
        Task::Ci => ci::run(&root),
    }
}

/// The workspace's folder, wherever the command was started. Asked at run time: two checkouts may share a target
/// folder, and with it this program.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("start it by: cargo xtask")?;
    Path::new(&package)
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the package lies two folders below the workspace")
}
