//! Logs: to stderr, as text or JSON, with a filter that can be changed while the node runs.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Directives such as `info` or `warn,ingress_node::udp=debug`. Default: `info`.
    pub filter: String,
    /// Default: text.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// A filter that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("log filter {filter:?} cannot be parsed")]
pub struct FilterError {
    /// As it was given.
    pub filter: String,
    source: ParseError,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The configured filter is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The process has a log subscriber already.
    #[error("logs are already set up")]
    AlreadySet(#[from] TryInitError),
}

/// Why the filter was not changed.
#[derive(Debug, thiserror::Error)]
pub enum SetLevelError {
    /// The new filter is wrong; the old one stays.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The subscriber that the filter belonged to no longer exists.
    #[error("log subscriber is gone")]
    Gone(#[source] reload::Error),
}

/// The filter of a running subscriber. Clones change the same one.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogLevel").field(&self.current()).finish()
    }
}

impl LogLevel {
    /// The directives in force; empty if the subscriber no longer exists.
    pub fn current(&self) -> String {
        self.handle
            .with_current(ToString::to_string)
            .unwrap_or_default()
    }

    /// Replaces all directives.
    pub fn set(&self, directives: &str) -> Result<(), SetLevelError> {
        let filter = parse(directives)?;
        self.handle.reload(filter).map_err(SetLevelError::Gone)
    }
}

/// Sets up the process's logs. Call it once, first thing in `main`.
pub fn init(config: &LogConfig) -> Result<LogLevel, InitError> {
    let (subscriber, level) = subscriber(config, io::stderr)?;
    subscriber.try_init()?;
    Ok(level)
}

/// What [`init`] would install, writing to `writer`; for a test or a tool that has several.
pub fn subscriber<W>(
    config: &LogConfig,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogLevel), FilterError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    Ok((subscriber, LogLevel { handle }))
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| FilterError {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logged(config: &LogConfig, work: impl FnOnce(&LogLevel)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, level) = subscriber(config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || work(&level));
        lines.text()
    }

    #[test]
    fn the_filter_can_be_changed_while_running() {
        let text = logged(&LogConfig::default(), |level| {
            tracing::debug!("before");
            level.set("debug").unwrap();
            assert_eq!(level.current(), "debug");
            tracing::debug!("after");
        });
        assert!(!text.contains("before") && text.contains("after"), "{text}");
    }

    #[test]
    fn a_wrong_filter_changes_nothing() {
        logged(&LogConfig::default(), |level| {
            assert!(level.set("ingress=loudly").is_err());
            assert_eq!(level.current(), "info");
        });
    }

    #[test]
    fn json_has_one_object_a_line() {
        let config = LogConfig {
            format: LogFormat::Json,
            ..LogConfig::default()
        };
        let text = logged(&config, |_| tracing::info!(shard = 3, "elected"));
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        assert!(text.contains("\"shard\":3"), "{text}");
    }
}
