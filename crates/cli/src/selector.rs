//! Label selectors as kubectl has them, put into the language of the API's filters.

use clap::Args;

/// Which devices, by their labels or by a filter, or by both.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selection {
    /// Only devices with such labels, as of kubectl: a=b, a!=b, a in (b,c), a notin (b,c), a, !a.
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = filter)]
    selector: Option<String>,
    /// Only devices that pass this filter, as of the API.
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
}

impl Selection {
    /// As the API takes it; `None` if nothing is given.
    pub(crate) fn filter(self) -> Option<String> {
        match (self.selector, self.filter) {
            (Some(selector), Some(filter)) => Some(format!("{selector} AND ({filter})")),
            (selector, filter) => selector.or(filter),
        }
    }
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error(
        "{0:?} is no condition on a label: key, !key, key=value, key!=value, key in (a,b) or key notin (a,b)"
    )]
    Condition(String),
    #[error("{0:?} is not the key or value of a label")]
    Word(String),
}

/// The filter that a selector stands for. Like kubectl's, `!=` and `notin` choose devices without the label as well.
pub(crate) fn filter(selector: &str) -> Result<String, SelectorError> {
    let conditions: Result<Vec<_>, _> = parts(selector).into_iter().map(condition).collect();
    Ok(conditions?.join(" AND "))
}

/// Parts between commas, those inside parentheses aside.
fn parts(selector: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let outside = move |character: char| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    };
    selector.split(outside).collect()
}

fn condition(text: &str) -> Result<String, SelectorError> {
    let text = text.trim();
    if let Some((key, value)) = text.split_once("!=") {
        return Ok(format!("NOT {}", equal(key, value)?));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return equal(key, value);
    }
    if let Some(list) = text.strip_suffix(')') {
        let wrong = || SelectorError::Condition(text.to_owned());
        let (head, values) = list.split_once('(').ok_or_else(wrong)?;
        let any = |key: &str| -> Result<String, SelectorError> {
            let each: Result<Vec<_>, _> =
                values.split(',').map(|value| equal(key, value)).collect();
            Ok(format!("({})", each?.join(" OR ")))
        };
        return match head.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => any(key),
            Some((key, "notin")) => Ok(format!("NOT {}", any(key)?)),
            _ => Err(wrong()),
        };
    }
    match text.strip_prefix('!') {
        Some(key) => Ok(format!("NOT {}", present(key)?)),
        None if text.is_empty() || text.contains(char::is_whitespace) => {
            Err(SelectorError::Condition(text.to_owned()))
        }
        None => present(text),
    }
}

fn equal(key: &str, value: &str) -> Result<String, SelectorError> {
    let (key, value) = (key_of(key)?, word(value)?);
    Ok(format!("labels.{key} = \"{value}\""))
}

fn present(key: &str) -> Result<String, SelectorError> {
    Ok(format!("labels:{}", key_of(key)?))
}

fn key_of(text: &str) -> Result<&str, SelectorError> {
    let key = word(text)?;
    if key.is_empty() {
        return Err(SelectorError::Word(text.to_owned()));
    }
    Ok(key)
}

/// Only what needs no quotes; the API says what is a label.
fn word(text: &str) -> Result<&str, SelectorError> {
    let text = text.trim();
    let plain = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '/')
    };
    if text.chars().all(plain) {
        Ok(text)
    } else {
        Err(SelectorError::Word(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_become_filters() {
        for (selector, expected) in [
            ("a=b", r#"labels.a = "b""#),
            (
                "a==b,x.y/c!=d",
                r#"labels.a = "b" AND NOT labels.x.y/c = "d""#,
            ),
            ("e in (x,y)", r#"(labels.e = "x" OR labels.e = "y")"#),
            ("e notin ( x )", r#"NOT (labels.e = "x")"#),
            ("f, !g", "labels:f AND NOT labels:g"),
        ] {
            assert_eq!(filter(selector).as_deref(), Ok(expected), "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        for selector in ["", "a=b,", "a b", "a in x", "a=\"b\"", "(a)", "=b"] {
            assert!(filter(selector).is_err(), "{selector}");
        }
    }
}
