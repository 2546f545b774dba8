//! What a verified token says, and who that is.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::{Identity, Kind};

/// Names and groups longer or more than these are not believed: each is looked at in every rule.
const MAX_NAME: usize = 512;
const MAX_GROUPS: usize = 256;

/// The claims of a token (RFC 7519 §4), signature and times already verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

/// Which claims of an issuer's tokens say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The claim that names the caller.
    pub username_claim: String,
    /// What is put before the name, so that two issuers cannot name the same caller.
    pub username_prefix: String,
    /// The claim with the caller's groups: a list of texts, or one text.
    pub groups_claim: String,
    /// What is put before each group.
    pub groups_prefix: String,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            username_claim: "sub".to_owned(),
            username_prefix: String::new(),
            groups_claim: "groups".to_owned(),
            groups_prefix: String::new(),
        }
    }
}

/// Why claims name nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    #[error("the token has no text in its claim {0:?}")]
    NoName(String),
    #[error("the token's address is not verified")]
    UnverifiedAddress,
    #[error("the token's name begins with system:, which is kept for the cluster")]
    Reserved,
    #[error("the token's name or groups are too long")]
    TooLong,
}

impl Claims {
    /// Who it is. Groups that are no texts are left out.
    pub fn identity(&self, mapping: &Mapping) -> Result<Identity, ClaimsError> {
        let name = self.0.get(&mapping.username_claim).and_then(Value::as_str);
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ClaimsError::NoName(mapping.username_claim.clone()))?;
        // OpenID Connect Core 1.0 §5.1: without this nobody has checked that the address is the caller's.
        if mapping.username_claim == "email"
            && self
                .0
                .get("email_verified")
                .is_some_and(|verified| verified != &Value::Bool(true))
        {
            return Err(ClaimsError::UnverifiedAddress);
        }
        let groups: Vec<&str> = match self.0.get(&mapping.groups_claim) {
            Some(Value::String(group)) => vec![group.as_str()],
            Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if name.len() > MAX_NAME
            || groups.len() > MAX_GROUPS
            || groups.iter().any(|group| group.len() > MAX_NAME)
        {
            return Err(ClaimsError::TooLong);
        }
        let name = format!("{}{name}", mapping.username_prefix);
        let groups = groups
            .into_iter()
            .map(|group| format!("{}{group}", mapping.groups_prefix));
        let mut all = groups.clone().chain([name.clone()]);
        if all.any(|name| name.starts_with("system:")) {
            return Err(ClaimsError::Reserved);
        }
        Ok(Identity::new(&name, groups, Kind::Token))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn identity(claims: &str, mapping: &Mapping) -> Result<Identity, ClaimsError> {
        let claims: Claims = serde_json::from_str(claims).unwrap();
        claims.identity(mapping)
    }

    #[test]
    fn names_and_groups_come_with_the_prefixes_of_their_issuer() {
        let mapping = Mapping {
            username_prefix: "corp:".to_owned(),
            groups_prefix: "corp:".to_owned(),
            ..Mapping::default()
        };
        let found = identity(r#"{"sub": "alice", "groups": ["ops", 7]}"#, &mapping).unwrap();
        assert_eq!(found.name, "corp:alice");
        assert_eq!(found.groups, ["corp:ops", "system:authenticated"]);
        let found = identity(r#"{"sub": "alice", "groups": "ops"}"#, &mapping).unwrap();
        assert_eq!(found.groups[0], "corp:ops");
    }

    #[test]
    fn a_token_cannot_name_what_only_the_cluster_names() {
        let mapping = Mapping::default();
        let refused = identity(r#"{"sub": "system:admin"}"#, &mapping);
        assert_eq!(refused, Err(ClaimsError::Reserved));
        let refused = identity(r#"{"sub": "a", "groups": ["system:masters"]}"#, &mapping);
        assert_eq!(refused, Err(ClaimsError::Reserved));
        assert!(identity(r#"{"sub": ""}"#, &mapping).is_err());
        assert!(identity(r#"{"sub": 7}"#, &mapping).is_err());
    }

    #[test]
    fn an_address_counts_once_somebody_checked_it() {
        let mapping = Mapping {
            username_claim: "email".to_owned(),
            ..Mapping::default()
        };
        let claims = |verified| format!(r#"{{"email": "a@b.c", "email_verified": {verified}}}"#);
        assert!(identity(&claims("true"), &mapping).is_ok());
        let refused = identity(&claims("\"true\""), &mapping);
        assert_eq!(refused, Err(ClaimsError::UnverifiedAddress));
    }
}
