//! `endpoints.json`: where the nodes of `drover dev` listen. Outside programs read it: fields are only ever added.

use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::proof::Files;

/// The file's name in the directory of `drover dev`.
pub(crate) const FILE: &str = "endpoints.json";

/// Addresses are `host:port`; what is not served is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) ingress: Vec<Ingress>,
    #[serde(default)]
    pub(crate) bootstrap: Vec<Ingress>,
    pub(crate) state: Vec<State>,
    /// What the API and the internal service are shown, if they want anything; their addresses are for TLS then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Files>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ingress {
    pub(crate) coap: Option<String>,
    pub(crate) coaps: Option<String>,
    pub(crate) tcp: Option<String>,
    pub(crate) tls: Option<String>,
    pub(crate) admin: String,
    pub(crate) pid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) api: String,
    pub(crate) internal: String,
    pub(crate) admin: String,
    pub(crate) pid: u32,
}

impl Endpoints {
    /// Reads the file in `dir`.
    pub(crate) fn read(dir: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path(dir))?;
        serde_json::from_str(&text).map_err(io::Error::from)
    }

    /// Replaces the file in `dir` in one step, so that a reader sees all of it or none.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        write_atomically(&path(dir), self)
    }
}

/// The file in `dir`.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Writes `content` as JSON beside `path` and moves it there.
pub(crate) fn write_atomically<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, content)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    #[test]
    fn the_file_has_the_documented_fields() {
        let endpoints = Endpoints {
            ingress: vec![Ingress {
                coap: None,
                coaps: Some("127.0.0.1:5684".to_owned()),
                tcp: None,
                tls: None,
                admin: "127.0.0.1:9190".to_owned(),
                pid: 12,
            }],
            bootstrap: Vec::new(),
            access: None,
            state: vec![State {
                api: "127.0.0.1:7443".to_owned(),
                internal: "127.0.0.1:7444".to_owned(),
                admin: "127.0.0.1:9090".to_owned(),
                pid: 11,
            }],
        };
        let dir = tempfile::tempdir().unwrap();
        endpoints.write(dir.path()).unwrap();
        assert_eq!(Endpoints::read(dir.path()).unwrap(), endpoints);
        let value: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path(dir.path())).unwrap()).unwrap();
        let expected = serde_json::json!({
            "ingress": [{"coap": null, "coaps": "127.0.0.1:5684", "tcp": null, "tls": null, "admin": "127.0.0.1:9190", "pid": 12}],
            "bootstrap": [],
            "state": [{"api": "127.0.0.1:7443", "internal": "127.0.0.1:7444", "admin": "127.0.0.1:9090", "pid": 11}],
        });
        assert_eq!(value, expected);
    }
}
