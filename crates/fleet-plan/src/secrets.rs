//! What Secrets hold that specs take values from.
//!
//! The values go where they are asked for, and nowhere else: no message has them, and printed a Secret has its keys only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crd::desired_value::ValueSource;
use crd::device_profile::SecretVersion;
use crd::reference::SecretKeyReference;
use crd::{Device, DeviceProfile};

use crate::typing::{Given, Problem};

/// What a status shows in the place of a value that is of a Secret.
pub(crate) const REDACTED: &str = "(redacted)";

/// The Secrets that a spec names, by name, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Secret>);

/// A Secret that is there.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It may be used.
    Held {
        /// Its resourceVersion.
        version: String,
        /// What it has, by key.
        entries: BTreeMap<String, Vec<u8>>,
    },
    /// It may not be used.
    Withheld {
        /// Why.
        why: &'static str,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { version, entries } => f
                .debug_struct("Held")
                .field("version", version)
                .field("keys", &entries.keys())
                .finish(),
            Self::Withheld { why } => f.debug_struct("Withheld").field("why", why).finish(),
        }
    }
}

impl FromIterator<(String, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (String, Secret)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Secrets {
    /// What stands under a key.
    fn entry(&self, reference: &SecretKeyReference) -> Result<&[u8], Problem> {
        let SecretKeyReference { name, key } = reference;
        let problem = |why: String| Problem::Secret {
            name: name.clone(),
            key: key.clone(),
            why,
        };
        match self.0.get(name) {
            None => Err(problem(format!(
                "is not there; make it: kubectl create secret generic {name} --from-file={key}=FILE"
            ))),
            Some(Secret::Withheld { why }) => {
                Err(problem(format!("cannot be used: {why}; name another one")))
            }
            Some(Secret::Held { entries, .. }) => {
                let entry = entries.get(key).map(Vec::as_slice);
                let why = "has no such key; add it to its data, or name one that it has";
                entry.ok_or_else(|| problem(why.to_owned()))
            }
        }
    }

    /// Everything that stands in one: its resourceVersion, and what it has by key.
    pub(crate) fn whole(&self, name: &str) -> Result<(&str, &BTreeMap<String, Vec<u8>>), String> {
        match self.0.get(name) {
            None => Err(format!("the Secret {name} is not there")),
            Some(Secret::Withheld { why }) => {
                Err(format!("the Secret {name} cannot be used: {why}"))
            }
            Some(Secret::Held { version, entries }) => Ok((version, entries)),
        }
    }

    /// The versions of all of them.
    pub(crate) fn versions(&self) -> Vec<SecretVersion> {
        let version = |(name, secret): (&String, &Secret)| match secret {
            Secret::Held { version, .. } => Some(SecretVersion {
                name: name.clone(),
                resource_version: version.clone(),
            }),
            Secret::Withheld { .. } => None,
        };
        self.0.iter().filter_map(version).collect()
    }
}

/// What a resource is to have, by one of the two fields that say it.
pub(crate) fn given<'a>(
    value: Option<&'a str>,
    source: Option<&ValueSource>,
    secrets: &'a Secrets,
) -> Result<Given<'a>, Problem> {
    match (value, source) {
        (Some(text), None) => Ok(Given::Text(text)),
        (None, Some(source)) => secrets.entry(&source.secret_key_ref).map(Given::Bytes),
        (None, None) | (Some(_), Some(_)) => Err(Problem::NotOneValue),
    }
}

/// The names of the Secrets that an object takes values from by itself, or what its device proves itself by.
pub fn of_device(device: &Device) -> BTreeSet<&str> {
    let resources = device.spec.resources.iter();
    let credential = device.spec.credential_secret_ref.iter();
    let mut names = names(resources.map(|one| one.value_from.as_ref()));
    names.extend(credential.map(|one| one.name.as_str()));
    names
}

/// The names of the Secrets that a profile takes values from.
pub fn of_profile(profile: &DeviceProfile) -> BTreeSet<&str> {
    let resources = profile.spec.resources.iter();
    names(resources.map(|one| one.value_from.as_ref()))
}

fn names<'a>(sources: impl Iterator<Item = Option<&'a ValueSource>>) -> BTreeSet<&'a str> {
    let named = sources.flatten();
    named.map(|one| one.secret_key_ref.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn source(name: &str, key: &str) -> ValueSource {
        ValueSource {
            secret_key_ref: SecretKeyReference {
                name: name.to_owned(),
                key: key.to_owned(),
            },
        }
    }

    #[test]
    fn what_is_printed_has_no_value() {
        let held = Secret::Held {
            version: "7".to_owned(),
            entries: [("psk".to_owned(), b"hunter2".to_vec())].into(),
        };
        let secrets: Secrets = [("k".to_owned(), held)].into_iter().collect();
        let printed = format!("{secrets:?}");
        assert!(printed.contains("psk") && !printed.contains("hunter2"));
        let entry = given(None, Some(&source("k", "psk")), &secrets).unwrap();
        assert!(!format!("{entry:?}").contains("104"));
    }

    #[test]
    fn what_is_missing_is_named_and_so_is_what_to_do() {
        let held = Secret::Held {
            version: "7".to_owned(),
            entries: BTreeMap::new(),
        };
        let withheld = Secret::Withheld { why: "not yours" };
        let secrets: Secrets = [("k".to_owned(), held), ("t".to_owned(), withheld)]
            .into_iter()
            .collect();
        for (name, said) in [
            (
                "k",
                "the Secret k, of which it takes the key psk, has no such key",
            ),
            ("l", "kubectl create secret generic l --from-file=psk=FILE"),
            ("t", "cannot be used: not yours"),
        ] {
            let problem = given(None, Some(&source(name, "psk")), &secrets).unwrap_err();
            assert!(problem.to_string().contains(said), "{problem}");
        }
    }
}
