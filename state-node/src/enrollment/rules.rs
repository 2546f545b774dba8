//! The policies of a namespace, ready to be asked.

use std::cmp::Reverse;

use device_state::{
    CredentialId, DeviceName, EnrollmentAction, EnrollmentCriteria, EnrollmentPolicy,
    SecurityIdentity,
};
use regex::{Regex, RegexBuilder};

/// Memory of one compiled pattern, in bytes: a longer one is refused.
const MAX_COMPILED: usize = 64 << 10;
/// Memory of what is learnt of one while it is used, for each thread.
const MAX_LEARNT: usize = 256 << 10;

/// Policies in the order in which they decide.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// As they are stored.
    stored: Vec<EnrollmentPolicy>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    policy: EnrollmentPolicy,
    /// `None`: any name.
    pattern: Option<Regex>,
}

/// What is no regular expression, or too large a one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no regular expression: {0}")]
pub struct PatternError(String);

/// Checks the pattern of a policy.
pub fn check_pattern(criteria: &EnrollmentCriteria) -> Result<(), PatternError> {
    compiled(criteria).map(|_| ())
}

/// A pattern stands for the whole name, whether it says so or not.
fn compiled(criteria: &EnrollmentCriteria) -> Result<Option<Regex>, PatternError> {
    let pattern = &criteria.endpoint_pattern;
    if pattern.is_empty() {
        return Ok(None);
    }
    // Alone first: what is put around it must not make something else of it.
    let whole = regex(pattern).and_then(|_| regex(&format!(r"\A(?:{pattern})\z")));
    whole
        .map(Some)
        .map_err(|error| PatternError(error.to_string()))
}

fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_LEARNT)
        .build()
}

impl Rules {
    /// Patterns that there were `before` are not made anew.
    pub(super) fn new(stored: Vec<EnrollmentPolicy>, before: Option<&Self>) -> Self {
        let rule = |policy: &EnrollmentPolicy| {
            let known = before.and_then(|before| before.pattern_of(&policy.criteria));
            match known.map_or_else(|| compiled(&policy.criteria), |known| Ok(Some(known))) {
                Ok(pattern) => Some(Rule {
                    policy: policy.clone(),
                    pattern,
                }),
                Err(error) => {
                    tracing::error!(policy = policy.name, %error, "the pattern of an enrollment policy cannot be read");
                    // Whom it keeps out is kept out all the same; whom it lets in is for others to say.
                    (policy.action != EnrollmentAction::Admit).then(|| Rule {
                        policy: policy.clone(),
                        pattern: None,
                    })
                }
            }
        };
        let mut rules: Vec<Rule> = stored.iter().filter_map(rule).collect();
        // They are in the order of their names already.
        rules.sort_by_key(|rule| Reverse(rule.policy.priority));
        Self { stored, rules }
    }

    /// The pattern of a policy, if there is a policy with the same one here.
    fn pattern_of(&self, criteria: &EnrollmentCriteria) -> Option<Regex> {
        let pattern = &criteria.endpoint_pattern;
        let mut rules = self.rules.iter();
        let same = rules.find(|rule| rule.policy.criteria.endpoint_pattern == *pattern)?;
        same.pattern.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether they were made of these policies.
    pub(super) fn are_of(&self, policies: &[EnrollmentPolicy]) -> bool {
        self.stored == policies
    }

    /// The policy that decides about a device.
    pub(super) fn about(
        &self,
        endpoint: &DeviceName,
        identity: &SecurityIdentity,
    ) -> Option<&EnrollmentPolicy> {
        let mut rules = self.rules.iter();
        let decisive = rules.find(|rule| rule.is_about(endpoint, identity));
        decisive.map(|rule| &rule.policy)
    }
}

impl Rule {
    fn is_about(&self, endpoint: &DeviceName, identity: &SecurityIdentity) -> bool {
        let prefix = self.policy.criteria.psk_identity_prefix.as_bytes();
        let proved = prefix.is_empty()
            || matches!(
                identity,
                SecurityIdentity::Credential(CredentialId::PskIdentity(id)) if id.starts_with(prefix)
            );
        proved
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(endpoint.endpoint_str()))
    }
}

#[cfg(test)]
mod tests;
