//! Standard output: tables for people, JSON and YAML for programs.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; may change between releases.
    #[default]
    Table,
    /// Stable field names. A stream is one object a line.
    Json,
    /// The same fields as JSON. A stream is one document each.
    Yaml,
    /// Comma-separated values, of one command only.
    Csv,
}

impl Format {
    /// Writes `view`, or for people what `table` makes of it.
    pub(crate) fn show<T: Serialize>(
        self,
        view: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = match self {
            Self::Table => table(view),
            Self::Json => serde_json::to_string_pretty(view)? + "\n",
            Self::Yaml => serde_yaml_ng::to_string(view)?,
            Self::Csv => return Err(no_csv()),
        };
        write(&text)
    }

    /// Writes one item of a stream.
    pub(crate) fn show_item<T: Serialize>(
        self,
        view: &T,
        line: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let text = match self {
            Self::Table => line(view),
            Self::Json => serde_json::to_string(view)? + "\n",
            Self::Yaml => format!("---\n{}", serde_yaml_ng::to_string(view)?),
            Self::Csv => return Err(no_csv()),
        };
        write(&text)
    }
}

pub(crate) fn no_csv() -> Failure {
    Failure::usage(
        "this command has no -o csv",
        "`drover rollout devices` has; -o json gives any other output to a program",
    )
}

/// Writes text to standard output at once.
pub(crate) fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

/// Writes a line of progress to standard error; a closed one is no reason to stop.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
