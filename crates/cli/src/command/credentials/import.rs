//! `credentials import`: the pre-shared keys of many devices from a file.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::drover::v1::PreSharedKey;
use serde::Serialize;
use tokio::time::{Duration, Instant};

use super::{Secret, new, put};
use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::output::note;

/// Calls under way at once: the state tier commits them together.
const PARALLEL: usize = 64;
/// Progress is told this often.
const TELL: Duration = Duration::from_secs(5);
/// More than a million devices; a larger file is a mistake.
const MAX_FILE: u64 = 256 << 20;

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// CSV of endpoint,identity,key with the key in hex, one device a line; - reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A pre-shared key as a line of a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PskLine {
    pub(crate) endpoint: String,
    pub(crate) identity: String,
    pub(crate) key: Vec<u8>,
}

/// `{"imported"}`.
#[derive(Debug, Serialize)]
struct Imported {
    imported: usize,
}

impl Import {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        let text = self.read().with_context(|| format!("cannot read {name}"))?;
        // All of it first: a file with a mistake stores nothing.
        let lines = parse(&text).map_err(|mistake| {
            Failure::usage(
                format!("{name}: {mistake}"),
                "each line is endpoint,identity,key with the key in hex; lines with # are comments",
            )
        })?;
        let api = Api::connect(global).await?;
        put_all(&api, &lines).await?;
        let imported = lines.len();
        global.output.show(&Imported { imported }, |_| {
            format!("{imported} credentials stored\n")
        })
    }

    fn read(&self) -> std::io::Result<String> {
        let mut text = String::new();
        let mut input: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(std::fs::File::open(&self.file)?)
        };
        let read = input
            .by_ref()
            .take(MAX_FILE + 1)
            .read_to_string(&mut text)?;
        if read as u64 > MAX_FILE {
            return Err(std::io::Error::other("it is larger than 256 MiB"));
        }
        Ok(text)
    }
}

/// Reads `endpoint,identity,key`, with or without this line as a header. What is wrong never repeats a key.
pub(crate) fn parse(text: &str) -> Result<Vec<PskLine>, String> {
    let (mut lines, mut seen) = (Vec::new(), HashMap::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let header = number == 1 && line.starts_with("endpoint,");
        if line.is_empty() || line.starts_with('#') || header {
            continue;
        }
        let mistake = |what: &str| format!("line {number}: {what}");
        let [endpoint, identity, key] = line.split(',').map(str::trim).collect::<Vec<_>>()[..]
        else {
            return Err(mistake("there must be three fields"));
        };
        if endpoint.is_empty() || identity.is_empty() {
            return Err(mistake("endpoint and identity must not be empty"));
        }
        if let Some(before) = seen.insert(identity.to_owned(), number) {
            return Err(mistake(&format!("the identity is that of line {before}")));
        }
        let key = hex::decode(key)
            .ok()
            .filter(|key| (1..=64).contains(&key.len()))
            .ok_or_else(|| mistake("the key must be 1 to 64 bytes in hex"))?;
        lines.push(PskLine {
            endpoint: endpoint.to_owned(),
            identity: identity.to_owned(),
            key,
        });
    }
    Ok(lines)
}

/// Stores all keys; those that are there already are replaced, so doing it again does no harm.
pub(crate) async fn put_all(api: &Api, lines: &[PskLine]) -> Result<(), Failure> {
    let calls = lines.iter().map(|line| {
        let PskLine {
            endpoint,
            identity,
            key,
        } = line.clone();
        let identity = identity.into_bytes();
        let secret = Secret::PreSharedKey(PreSharedKey { identity, key });
        put(api, new(endpoint, secret))
    });
    let (mut stored, mut told) = (0_usize, Instant::now());
    let mut calls = std::pin::pin!(stream::iter(calls).buffer_unordered(PARALLEL));
    while calls.try_next().await?.is_some() {
        stored += 1;
        if told.elapsed() >= TELL {
            told = Instant::now();
            note(&format!("  {stored} of {} credentials stored", lines.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn a_file_has_one_device_a_line() {
        let text = "endpoint,identity,key\n# lamps\nlamp-1,id-1,00ff\n\nlamp-2, id-2, a0b0\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (lines[1].endpoint.as_str(), lines[1].identity.as_str()),
            ("lamp-2", "id-2")
        );
        assert_eq!(lines[1].key, [0xa0, 0xb0]);
    }

    #[test]
    fn mistakes_name_their_line_and_no_key() {
        for (text, told) in [
            ("a,b\n", "line 1: there must be three fields"),
            ("a,b,00\nc,b,01\n", "line 2: the identity is that of line 1"),
            (
                "\na,b,secret\n",
                "line 2: the key must be 1 to 64 bytes in hex",
            ),
            ("a,,00\n", "line 1: endpoint and identity must not be empty"),
        ] {
            assert_eq!(parse(text).unwrap_err(), told);
        }
    }
}
