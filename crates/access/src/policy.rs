//! Who may do what, from a file.
//!
//! A policy only allows. Its rules are looked at until one allows; what none allows is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::identity::Identity;
use crate::method::{Permission, Scope, Verb};
use crate::pattern::{self, Pattern};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub scope: Scope<'a>,
    pub permission: Permission,
}

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Allowed>,
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy cannot be read")]
    Form(#[from] serde_yaml_ng::Error),
    #[error("rule {rule} is for nobody: it names neither users nor groups")]
    Nobody { rule: usize },
    #[error("rule {rule} names the role {role:?}, which is not defined")]
    UnknownRole { rule: usize, role: String },
    #[error("rule {rule} allows nothing: it names neither a role nor resources with verbs")]
    Nothing { rule: usize },
    #[error("rule {rule} names a role and resources or verbs; it takes two rules for that")]
    Both { rule: usize },
    #[error("the role {0:?} is built in and cannot be defined again")]
    BuiltIn(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    roles: BTreeMap<String, Vec<Grant>>,
    #[serde(default)]
    rules: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    users: Vec<Pattern>,
    #[serde(default)]
    groups: Vec<Pattern>,
    /// Unset: all, and what is of none.
    namespaces: Option<Vec<Pattern>>,
    role: Option<String>,
    #[serde(default)]
    resources: Vec<Pattern>,
    #[serde(default)]
    verbs: Vec<AnyVerb>,
}

/// Some verbs on some resources.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    resources: Vec<Pattern>,
    verbs: Vec<AnyVerb>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Star {
    #[serde(rename = "*")]
    Star,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum AnyVerb {
    One(Verb),
    Any(Star),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    users: Vec<Pattern>,
    groups: Vec<Pattern>,
    namespaces: Vec<Pattern>,
    grants: Vec<Grant>,
}

impl Policy {
    /// Reads `roles` and `rules`.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        let file: File = serde_yaml_ng::from_str(text)?;
        let mut roles = built_in();
        for (name, grants) in file.roles {
            if roles.insert(name.clone(), grants).is_some() {
                return Err(PolicyError::BuiltIn(name));
            }
        }
        let rules = file.rules.into_iter().enumerate();
        let rules = rules.map(|(index, entry)| entry.resolve(index + 1, &roles));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a rule allows it.
    pub fn allows(&self, identity: &Identity, attributes: &Attributes<'_>) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.is_for(identity) && rule.allows(attributes))
    }
}

impl Entry {
    fn resolve(
        self,
        rule: usize,
        roles: &BTreeMap<String, Vec<Grant>>,
    ) -> Result<Allowed, PolicyError> {
        if self.users.is_empty() && self.groups.is_empty() {
            return Err(PolicyError::Nobody { rule });
        }
        let is_listed = !self.resources.is_empty() && !self.verbs.is_empty();
        let is_mentioned = !self.resources.is_empty() || !self.verbs.is_empty();
        let grants = match self.role {
            Some(_) if is_mentioned => return Err(PolicyError::Both { rule }),
            Some(role) => match roles.get(&role) {
                Some(grants) => grants.clone(),
                None => return Err(PolicyError::UnknownRole { rule, role }),
            },
            None if is_listed => vec![Grant {
                resources: self.resources,
                verbs: self.verbs,
            }],
            None => return Err(PolicyError::Nothing { rule }),
        };
        Ok(Allowed {
            users: self.users,
            groups: self.groups,
            namespaces: self
                .namespaces
                .unwrap_or_else(|| vec![Pattern::literal("*")]),
            grants,
        })
    }
}

impl Allowed {
    fn is_for(&self, identity: &Identity) -> bool {
        let in_group = |group: &String| pattern::any(&self.groups, group);
        pattern::any(&self.users, &identity.name) || identity.groups.iter().any(in_group)
    }

    fn allows(&self, attributes: &Attributes<'_>) -> bool {
        let is_in_scope = match attributes.scope {
            Scope::Namespace(namespace) => pattern::any(&self.namespaces, namespace),
            // Only what is for all namespaces is for what they share: a star alone fits what has no name.
            Scope::Cluster => pattern::any(&self.namespaces, ""),
        };
        is_in_scope
            && self
                .grants
                .iter()
                .any(|grant| grant.allows(attributes.permission))
    }
}

impl Grant {
    fn new(resources: &[&str], verbs: &[AnyVerb]) -> Self {
        Self {
            resources: resources
                .iter()
                .map(|text| Pattern::literal(text))
                .collect(),
            verbs: verbs.to_vec(),
        }
    }

    fn allows(&self, permission: Permission) -> bool {
        let verb = |verb: &AnyVerb| match verb {
            AnyVerb::One(verb) => *verb == permission.verb,
            AnyVerb::Any(Star::Star) => true,
        };
        self.verbs.iter().any(verb) && pattern::any(&self.resources, permission.resource)
    }
}

/// The roles that there are without being defined: who looks, who works with devices, and who may do everything.
fn built_in() -> BTreeMap<String, Vec<Grant>> {
    let looking = [Verb::Get, Verb::List, Verb::Watch].map(AnyVerb::One);
    let seen = [
        "devices",
        "devices/*",
        "objectmodels",
        "bootstrapprofiles",
        "cluster",
        "devicegroups",
        "deviceprofiles",
        "enrollmentpolicies",
        "firmwarerollouts",
        "artefacts",
    ];
    let viewer = Grant::new(&seen, &looking);
    let all = [AnyVerb::Any(Star::Star)];
    let handled = ["devices", "devices/*", "devicegroups", "deviceprofiles"];
    let operator = Grant::new(&handled, &all);
    // Who plans a campaign is not the one who approves it, unless somebody says so.
    let planning = [Verb::Create, Verb::Update, Verb::Delete].map(AnyVerb::One);
    let planner = Grant::new(&["firmwarerollouts", "artefacts"], &planning);
    let admin = Grant::new(&["*"], &all);
    let role = |name: &str, grants: Vec<Grant>| (name.to_owned(), grants);
    BTreeMap::from([
        role("viewer", vec![viewer.clone()]),
        role("operator", vec![viewer, operator, planner]),
        role("admin", vec![admin]),
    ])
}

#[cfg(test)]
mod tests;
