//! The parameters of a request.

use std::time::Duration;

use lwm2m::{ContentFormat, Path};

/// How long Leshan waits for a device when it is not told.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The suite's tests of block-wise transfers ask for ten minutes.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
/// More parameters say nothing more.
const MAX_PARAMETERS: usize = 64;

/// A query, such as `timeout=10&format=SENML_CBOR&active`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    parameters: Vec<(String, String)>,
    raw: String,
}

impl Query {
    /// `raw` is what follows the question mark.
    pub(super) fn new(raw: Option<&str>) -> Self {
        let raw = raw.unwrap_or_default();
        let parameters = form_urlencoded::parse(raw.as_bytes())
            .into_owned()
            .take(MAX_PARAMETERS);
        Self {
            parameters: parameters.collect(),
            raw: raw.to_owned(),
        }
    }

    /// The first value of a parameter; the empty text if it has none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.parameters.iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// `timeout`, in seconds. What is no number counts as missing, as with Leshan.
    pub(super) fn timeout(&self) -> Duration {
        let seconds = self.get("timeout").and_then(|text| text.parse().ok());
        seconds
            .map_or(DEFAULT_TIMEOUT, Duration::from_secs)
            .clamp(Duration::from_secs(1), LONGEST_TIMEOUT)
    }

    /// A content format by Leshan's name for it.
    pub(super) fn format(&self, name: &str) -> Result<Option<ContentFormat>, String> {
        self.get(name)
            .map(|text| {
                named_format(text)
                    .ok_or_else(|| format!("{name}: \"{text}\" is no content format of this API"))
            })
            .transpose()
    }

    /// `replace`, which is true unless it is said otherwise.
    pub(super) fn replaces(&self) -> bool {
        self.get("replace")
            .is_none_or(|text| text.eq_ignore_ascii_case("true"))
    }

    /// `paths`, with commas between them.
    pub(super) fn paths(&self) -> Result<Vec<Path>, String> {
        let text = self
            .get("paths")
            .ok_or("paths: name at least one, such as paths=/3,/1/0/1")?;
        text.split(',')
            .map(|path| {
                path.parse::<Path>()
                    .map_err(|error| format!("paths: \"{path}\": {error}"))
            })
            .collect()
    }

    /// Notification attributes as the device gets them: all parameters but `timeout`. The text is passed on, because
    /// `gt` without a value is not `gt=`.
    pub(super) fn attributes(&self) -> String {
        let own = |parameter: &&str| !parameter.starts_with("timeout=") && !parameter.is_empty();
        let kept: Vec<&str> = self.raw.split('&').filter(own).collect();
        kept.join("&")
    }
}

fn named_format(name: &str) -> Option<ContentFormat> {
    Some(match name.to_ascii_uppercase().as_str() {
        "TEXT" => ContentFormat::TEXT,
        "OPAQUE" => ContentFormat::OPAQUE,
        "CBOR" => ContentFormat::CBOR,
        "TLV" => ContentFormat::TLV,
        "JSON" => ContentFormat::JSON,
        "SENML_JSON" => ContentFormat::SENML_JSON,
        "SENML_CBOR" => ContentFormat::SENML_CBOR,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_parameters_are_read() {
        let query = Query::new(Some("timeout=10&format=SENML_CBOR&replace=false"));
        assert_eq!(query.timeout(), Duration::from_secs(10));
        assert_eq!(query.format("format"), Ok(Some(ContentFormat::SENML_CBOR)));
        assert!(!query.replaces());
        // Python's requests writes slashes and commas as escapes.
        let query = Query::new(Some(
            "pathformat=SENML_JSON&nodeformat=SENML_JSON&timeout=10&paths=%2F3%2C%2F1%2F0",
        ));
        let expected = vec![Path::Object(3), Path::ObjectInstance(1, 0)];
        assert_eq!(query.paths(), Ok(expected));
        assert!(
            Query::new(Some("paths=/1/0/1&active"))
                .get("active")
                .is_some()
        );
    }

    #[test]
    fn what_is_missing_is_as_with_leshan() {
        let query = Query::new(None);
        assert_eq!(query.timeout(), DEFAULT_TIMEOUT);
        assert_eq!(query.format("format"), Ok(None));
        assert!(query.replaces());
        assert!(query.paths().is_err());
        assert!(query.get("active").is_none());
        assert_eq!(
            Query::new(Some("timeout=soon")).timeout(),
            DEFAULT_TIMEOUT,
            "Leshan passes over a timeout that is no number"
        );
        assert_eq!(
            Query::new(Some("timeout=99999999999999")).timeout(),
            LONGEST_TIMEOUT
        );
        assert!(Query::new(Some("format=YAML")).format("format").is_err());
    }

    #[test]
    fn attributes_are_passed_on() {
        assert_eq!(Query::new(Some("pmin=10")).attributes(), "pmin=10");
        assert_eq!(
            Query::new(Some("pmin&pmax&timeout=5")).attributes(),
            "pmin&pmax"
        );
    }
}
