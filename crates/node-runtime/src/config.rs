//! Loading of a node's configuration.
//!
//! Later sources win: the defaults, a TOML file, the environment, the command line. The result is
//! one typed value that is passed down; there is no global getter. Give the configuration's structs
//! `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error and not silence.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file that was asked for is not there.
    #[error("configuration file {} does not exist", path.display())]
    NoFile {
        /// As it was given.
        path: PathBuf,
    },
    /// The overrides are not a struct or a map, or cannot be serialised.
    #[error("command line overrides cannot be read")]
    Overrides {
        /// What serialisation said, if it failed.
        source: Option<Box<figment::Error>>,
    },
    /// A source cannot be parsed, or a value has the wrong type; the message names key and source.
    #[error("{source}")]
    Invalid {
        /// What is wrong and in which source.
        source: Box<figment::Error>,
    },
}

/// A configuration that TOML cannot express.
#[derive(Debug, thiserror::Error)]
#[error("configuration cannot be written as TOML")]
pub struct RenderError(#[from] toml::ser::Error);

/// Builds a `C` from `defaults`, `file`, the environment and `overrides`; later ones win.
///
/// Environment variables are named `PREFIX__KEY` and, for a key in a table, `PREFIX__TABLE__KEY`.
/// The prefix ends in two underscores because Kubernetes puts variables such as
/// `DROVER_INGRESS_PORT=tcp://…` into every container of a namespace that has a service of that
/// name. Values are read as TOML-like literals (`5`, `true`, `[a, b]`), and as text otherwise; text
/// that looks like a number needs quotes inside the value.
///
/// `overrides` is usually the struct of the command line's flags, with `Option` fields; a `None`
/// leaves the other sources alone.
pub fn load<C, O>(
    defaults: &C,
    file: Option<&Path>,
    env_prefix: &str,
    overrides: &O,
) -> Result<C, LoadError>
where
    C: Serialize + DeserializeOwned,
    O: Serialize,
{
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(LoadError::NoFile {
                path: path.to_owned(),
            });
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    figment
        .merge(Env::prefixed(&format!("{env_prefix}__")).split("__"))
        .merge(Serialized::globals(given(overrides)?))
        .extract()
        .map_err(|source| LoadError::Invalid {
            source: Box::new(source),
        })
}

/// The configuration as TOML, for `--print-config`. [`load`] reads it back as the same value.
pub fn render<C: Serialize>(config: &C) -> Result<String, RenderError> {
    Ok(toml::to_string_pretty(config)?)
}

/// The overrides without what was not given: figment would take a `None` for a value that wins.
fn given<O: Serialize>(overrides: &O) -> Result<Dict, LoadError> {
    match Value::serialize(overrides) {
        Ok(Value::Dict(_, dict)) => Ok(without_empty(dict)),
        Ok(_) => Err(LoadError::Overrides { source: None }),
        Err(source) => Err(LoadError::Overrides {
            source: Some(Box::new(source)),
        }),
    }
}

fn without_empty(dict: Dict) -> Dict {
    dict.into_iter()
        .filter_map(|(key, value)| match value {
            Value::Empty(..) => None,
            Value::Dict(tag, inner) => {
                let inner = without_empty(inner);
                (!inner.is_empty()).then_some((key, Value::Dict(tag, inner)))
            }
            value => Some((key, value)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::io::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        listen: String,
        shards: u16,
        raft: Raft,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raft {
        heartbeat_ms: u64,
        seeds: Vec<String>,
        advertise: Option<String>,
    }

    #[derive(Default, Serialize)]
    struct Flags {
        listen: Option<String>,
        raft: RaftFlags,
    }

    #[derive(Default, Serialize)]
    struct RaftFlags {
        advertise: Option<String>,
    }

    fn defaults() -> Config {
        Config {
            listen: "[::]:5683".to_owned(),
            shards: 4,
            raft: Raft {
                heartbeat_ms: 100,
                seeds: Vec::new(),
                advertise: None,
            },
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn without_sources_the_defaults_hold() {
        let config = load(&defaults(), None, "NODE_RUNTIME_NONE", &Flags::default()).unwrap();
        assert_eq!(config, defaults());
    }

    #[test]
    fn a_flag_wins_over_the_file_and_a_missing_flag_does_not() {
        let file = file("listen = \"file\"\n[raft]\nseeds = [\"a\", \"b\"]\nadvertise = \"file\"");
        let flags = Flags {
            listen: Some("flag".to_owned()),
            raft: RaftFlags::default(),
        };
        let config = load(&defaults(), Some(file.path()), "NODE_RUNTIME_NONE", &flags).unwrap();
        assert_eq!(config.listen, "flag");
        assert_eq!(config.raft.seeds, ["a", "b"]);
        assert_eq!(config.raft.advertise.as_deref(), Some("file"));
        assert_eq!(config.raft.heartbeat_ms, 100);
    }

    #[test]
    #[expect(
        clippy::result_large_err,
        reason = "the shape that figment's jail asks for"
    )]
    fn the_environment_wins_over_the_file_and_service_links_are_ignored() {
        figment::Jail::expect_with(|jail| {
            jail.create_file("node.toml", "shards = 8")?;
            jail.set_env("DROVER_STATE__SHARDS", "16");
            jail.set_env("DROVER_STATE__RAFT__HEARTBEAT_MS", "250");
            jail.set_env("DROVER_STATE_PORT", "tcp://10.0.0.1:80");
            let path = Path::new("node.toml");
            let config = load(&defaults(), Some(path), "DROVER_STATE", &Flags::default()).unwrap();
            assert_eq!(config.shards, 16);
            assert_eq!(config.raft.heartbeat_ms, 250);
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_and_a_wrong_type_are_named() {
        let unknown = file("shard = 8");
        let flags = Flags::default();
        let prefix = "NODE_RUNTIME_NONE";
        let error = load(&defaults(), Some(unknown.path()), prefix, &flags).unwrap_err();
        assert!(error.to_string().contains("shard"), "{error}");
        let wrong = file("shards = \"many\"");
        let error = load(&defaults(), Some(wrong.path()), prefix, &flags).unwrap_err();
        assert!(error.to_string().contains("shards"), "{error}");
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let path = Path::new("/nonexistent/node.toml");
        let error = load(
            &defaults(),
            Some(path),
            "NODE_RUNTIME_NONE",
            &Flags::default(),
        );
        assert!(matches!(error, Err(LoadError::NoFile { .. })));
    }

    #[test]
    fn a_rendered_configuration_loads_as_itself() {
        let mut config = defaults();
        config.raft.seeds.push("state-0:7000".to_owned());
        let file = file(&render(&config).unwrap());
        let flags = Flags::default();
        let loaded = load(&defaults(), Some(file.path()), "NODE_RUNTIME_NONE", &flags).unwrap();
        assert_eq!(loaded, config);
    }
}
