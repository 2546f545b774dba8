//! Waves as they are typed: `canary:size=5%,max-failed=2,approve,filter=labels.site = north`.

use crate::selector::{self, SelectorError};
use crate::view::campaign::plan::WaveView;

/// Why a text is no wave.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WaveError {
    #[error("a wave begins with its name: NAME[:SETTING,…], for example canary:size=5%,approve")]
    Name,
    #[error(
        "{0:?} is no setting of a wave: size=, concurrent=, success=, max-failed=, max-failed-percent=, minimum=, \
         soak=, approve, and last filter= or labels=, which take all that follows, commas as well"
    )]
    Setting(String),
    #[error("{0}= is there twice")]
    Twice(&'static str),
    #[error("{setting}= takes a number, not {value:?}")]
    Number {
        setting: &'static str,
        value: String,
    },
    #[error("soak={0:?}: {1}")]
    Soak(String, String),
    #[error("labels=: {0}")]
    Labels(#[from] SelectorError),
}

/// Reads one wave. Whether sizes and parts make sense is for the API to say.
pub(crate) fn parse(text: &str) -> Result<WaveView, WaveError> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() || name.contains(['=', ',']) {
        return Err(WaveError::Name);
    }
    let mut wave = WaveView {
        name: name.to_owned(),
        ..WaveView::default()
    };
    let mut left = settings;
    while !left.is_empty() {
        left = setting(&mut wave, left)?;
    }
    Ok(wave)
}

/// Takes the first setting and leaves what follows.
fn setting<'t>(wave: &mut WaveView, text: &'t str) -> Result<&'t str, WaveError> {
    // These may have commas in them, and so go on to the end.
    let text = text.trim_start();
    if let Some(filter) = text.strip_prefix("filter=") {
        filter.trim().clone_into(&mut wave.filter);
        return Ok("");
    }
    if let Some(labels) = text.strip_prefix("labels=") {
        wave.filter = selector::filter(labels)?;
        return Ok("");
    }
    let (first, rest) = text.split_once(',').unwrap_or((text, ""));
    let first = first.trim();
    let (key, value) = first.split_once('=').unwrap_or((first, ""));
    match key {
        "size" => once("size", &mut wave.size, value)?,
        "concurrent" => once("concurrent", &mut wave.max_concurrent, value)?,
        "success" => once("success", &mut wave.success_threshold, value)?,
        "max-failed" => wave.max_failed_devices = number("max-failed", value)?,
        "max-failed-percent" => {
            once("max-failed-percent", &mut wave.max_failed_percent, value)?;
        }
        "minimum" => wave.minimum_results = number("minimum", value)?,
        "soak" => {
            let soak = value.parse();
            wave.soak = Some(soak.map_err(|why| WaveError::Soak(value.to_owned(), why))?);
        }
        "approve" if first == "approve" => wave.needs_approval = true,
        _ => return Err(WaveError::Setting(first.to_owned())),
    }
    Ok(rest)
}

fn once(setting: &'static str, field: &mut String, value: &str) -> Result<(), WaveError> {
    match (field.as_str(), value) {
        (_, "") => Err(WaveError::Setting(format!("{setting}="))),
        ("", value) => {
            value.clone_into(field);
            Ok(())
        }
        _ => Err(WaveError::Twice(setting)),
    }
}

fn number(setting: &'static str, value: &str) -> Result<u64, WaveError> {
    value.parse().map_err(|_| WaveError::Number {
        setting,
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::view::campaign::plan::Span;

    #[test]
    fn a_wave_has_a_name_and_settings() {
        let read = parse(
            "canary:size=5%,concurrent=10,success=99%,max-failed=2,max-failed-percent=1%,minimum=20,soak=1h,approve,\
             filter=labels.site = \"a,b\" OR objects:3303",
        );
        let expected = WaveView {
            name: "canary".to_owned(),
            size: "5%".to_owned(),
            filter: "labels.site = \"a,b\" OR objects:3303".to_owned(),
            max_concurrent: "10".to_owned(),
            success_threshold: "99%".to_owned(),
            max_failed_devices: 2,
            max_failed_percent: "1%".to_owned(),
            minimum_results: 20,
            soak: Some(Span(Duration::from_secs(3600))),
            needs_approval: true,
        };
        assert_eq!(read, Ok(expected));
        let named = WaveView {
            name: "rest".to_owned(),
            ..WaveView::default()
        };
        assert_eq!(parse("rest"), Ok(named.clone()));
        assert_eq!(parse("rest:"), Ok(named));
    }

    #[test]
    fn labels_are_those_of_kubectl() {
        let read = parse("north:size=3, labels=site=north,tier in (a,b)").map(|wave| wave.filter);
        let expected = r#"labels.site = "north" AND (labels.tier = "a" OR labels.tier = "b")"#;
        assert_eq!(read.as_deref(), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "begins with its name"),
            ("size=5%", "begins with its name"),
            ("a:sise=5%", "\"sise=5%\""),
            ("a:approve=no", "\"approve=no\""),
            ("a:size=", "\"size=\""),
            ("a:size=1,size=2", "twice"),
            ("a:max-failed=many", "\"many\""),
            ("a:soak=soon", "30m"),
            ("a:labels=a b", "labels="),
            ("a:size=5%,,approve", "\"\""),
        ] {
            let error = parse(text).map_err(|error| error.to_string());
            assert!(
                error.as_ref().is_err_and(|error| error.contains(part)),
                "{text}: {error:?}"
            );
        }
    }
}
