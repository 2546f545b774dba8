//! Words of policies.

use serde::Deserialize;

/// A word, the beginning of words before a `*`, or any word.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    word: String,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Anything,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatternError {
    #[error("an empty word stands for nothing")]
    Empty,
    #[error("{0:?} has a * that is not at its end")]
    Star(String),
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        let (word, rest) = match text.strip_suffix('*') {
            Some(word) => (word, Rest::Anything),
            None => (text.as_str(), Rest::Nothing),
        };
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if word.contains('*') {
            return Err(PatternError::Star(text));
        }
        Ok(Self {
            word: word.to_owned(),
            rest,
        })
    }
}

impl Pattern {
    pub(crate) fn literal(text: &str) -> Self {
        Self::try_from(text.to_owned()).expect("patterns in this crate are well-formed")
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self.rest {
            Rest::Nothing => text == self.word,
            Rest::Anything => text.starts_with(&self.word),
        }
    }
}

/// Whether one of them matches.
pub(crate) fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::try_from(pattern.to_owned()).unwrap().matches(text)
    }

    #[test]
    fn a_star_stands_for_any_end() {
        assert!(matches("ci-*", "ci-east") && matches("ci-*", "ci-") && matches("*", "x"));
        assert!(!matches("ci-*", "ci") && !matches("ci", "ci-east"));
        assert!(Pattern::try_from("a*b".to_owned()).is_err());
        assert!(Pattern::try_from(String::new()).is_err());
    }
}
