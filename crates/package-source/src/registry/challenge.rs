//! How a registry asks who asks (RFC 9110 §11.6.1).

/// What a registry wants to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The log-in itself.
    Basic,
    /// A token, which is given out elsewhere.
    Bearer(Bearer),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The URL of who gives tokens out.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// A token rather than the log-in, if the registry takes both.
pub(super) fn preferred<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let all: Vec<Challenge> = headers.flat_map(challenges).collect();
    let mut bearers_first = all;
    bearers_first.sort_by_key(|challenge| *challenge == Challenge::Basic);
    bearers_first.into_iter().next()
}

/// Those of a header that are understood.
fn challenges(header: &str) -> Vec<Challenge> {
    let parsed = http_auth::parse_challenges(header).unwrap_or_default();
    parsed.iter().filter_map(understood).collect()
}

fn understood(challenge: &http_auth::ChallengeRef<'_>) -> Option<Challenge> {
    if challenge.scheme.eq_ignore_ascii_case("Basic") {
        return Some(Challenge::Basic);
    }
    let parameter = |name: &str| {
        let mut named = challenge.params.iter();
        let found = named.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    if challenge.scheme.eq_ignore_ascii_case("Bearer") {
        Some(Challenge::Bearer(Bearer {
            realm: parameter("realm")?,
            service: parameter("service"),
            scope: parameter("scope"),
        }))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[&str]) -> Option<Challenge> {
        preferred(headers.iter().copied())
    }

    #[test]
    fn a_token_is_asked_for_where_the_registry_says() {
        let header = "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",\
                      scope=\"repository:pump/firmware:pull\"";
        let bearer = Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("registry.example".to_owned()),
            scope: Some("repository:pump/firmware:pull".to_owned()),
        };
        assert_eq!(read(&[header]), Some(Challenge::Bearer(bearer)));
    }

    #[test]
    fn a_token_goes_before_the_log_in() {
        let bearer = "bearer realm=\"https://auth.example\"";
        for headers in [
            &["Basic realm=\"x\"", bearer][..],
            &[&format!("Basic realm=\"x\", {bearer}")],
        ] {
            assert!(matches!(read(headers), Some(Challenge::Bearer(_))));
        }
        assert_eq!(read(&["Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        assert_eq!(
            read(&["Negotiate", "Bearer service=\"x\"", "=,=", ""]),
            None
        );
        assert_eq!(read(&["=,=", "Basic realm=\"x\""]), Some(Challenge::Basic));
    }
}
