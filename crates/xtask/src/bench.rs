//! `cargo xtask bench`: measures release builds and writes the figures into `docs/performance.md`.
//!
//! Crates are measured by their criterion benchmarks, the whole path by the one of `tests`. What is promised of each
//! figure is in [`figures`].

mod figures;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

const DOCUMENT: &str = "docs/performance.md";

/// Crates with criterion benchmarks, by the names of these.
const CRATES: [&str; 3] = ["endpoint", "dtls", "formats"];

/// What was measured: a number by the name of its figure.
type Measured = BTreeMap<String, f64>;

pub(crate) fn run(root: &Path) -> Result<()> {
    // The whole workspace is selected each time, so that nothing is built twice with other features.
    let cargo = |arguments: &[&str]| command::cargo(root, arguments);
    command::run(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
    let mut arguments = vec!["bench", "--workspace"];
    arguments.extend(CRATES.iter().flat_map(|name| ["--bench", *name]));
    let printed = command::output(&mut cargo(&arguments))?;
    let mut measured = lines(&printed);
    criterion(&target(root), &mut measured)?;
    let printed = command::output(&mut cargo(&["bench", "--workspace", "--bench", "path"]))?;
    measured.extend(lines(&printed));

    let table = figures::table(&measured)?;
    let document = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&document).context(DOCUMENT)?;
    let text = figures::replace(&text, &format!("{}\n\n{table}", machine()?)).context(DOCUMENT)?;
    std::fs::write(&document, text).context(DOCUMENT)?;
    show(&table);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn show(table: &str) {
    println!("\n{table}\nwritten into {DOCUMENT}");
}

/// `{"figure", "value"}` lines among others.
fn lines(printed: &str) -> Measured {
    printed
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| {
            let name = line.get("figure")?.as_str()?.to_owned();
            Some((name, line.get("value")?.as_f64()?))
        })
        .collect()
}

/// What every criterion benchmark does a second, by its full name: bytes if it counts them, runs otherwise.
fn criterion(target: &Path, measured: &mut Measured) -> Result<()> {
    for folder in benchmarks(&target.join("criterion"))? {
        let read = |file: &str| -> Result<Value> {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(serde_json::from_str(&text)?)
        };
        let (benchmark, estimates) = (read("benchmark.json")?, read("estimates.json")?);
        let name = benchmark.get("full_id").and_then(Value::as_str);
        let nanoseconds = estimates.pointer("/median/point_estimate");
        let nanoseconds = nanoseconds.and_then(Value::as_f64);
        let bytes = benchmark.pointer("/throughput/Bytes");
        let done = bytes.and_then(Value::as_f64).unwrap_or(1.0);
        if let (Some(name), Some(nanoseconds)) = (name, nanoseconds) {
            measured.insert(name.to_owned(), done * 1e9 / nanoseconds);
        }
    }
    Ok(())
}

/// The folders of the last results: `GROUP/BENCHMARK/new`.
fn benchmarks(criterion: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for group in subfolders(criterion)? {
        for benchmark in subfolders(&group)? {
            let last = benchmark.join("new");
            if last.join("estimates.json").exists() {
                found.push(last);
            }
        }
    }
    Ok(found)
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// What the figures depend on most.
fn machine() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let information = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    Ok(format!("{processors} processors: {model}"))
}
