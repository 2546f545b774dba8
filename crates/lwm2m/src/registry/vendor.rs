//! Definitions of vendors over those of the OMA.
//!
//! A definition is known by its object id and its version. The rule of what may be added:
//!
//! 1. Objects 0 to 1023 are the OMA's own, and no vendor defines any version of them.
//! 2. Of another object that the registry has, only versions that are newer than all it has.
//! 3. Everything else is free. The ids 26241 to 32768 are meant for objects that nobody registers.

use std::ops::RangeInclusive;

use thiserror::Error;

use super::{ObjectModel, ObjectVersion, Registry};

/// Ids of objects that the OMA alone defines (OMNA LwM2M Registry, label `oma`).
pub const OMA_ONLY: RangeInclusive<u16> = 0..=1_023;

/// Why a definition is not laid over a registry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAdmitted {
    /// The object is the OMA's own.
    #[error(
        "objects 0 to 1023 are defined by the OMA alone, and this is object {0}; vendors use 10241 \
         and above, and 26241 to 32768 for objects that they do not register"
    )]
    OmaOnly(u16),
    /// The registry has this version or a newer one.
    #[error(
        "object {id} is in the OMA registry in version {known}, and this is version {version}; only \
         a newer version can be added"
    )]
    NotNewer {
        /// The object.
        id: u16,
        /// What was to be added.
        version: ObjectVersion,
        /// The newest that is known.
        known: ObjectVersion,
    },
}

impl Registry {
    /// Whether a definition may be laid over this registry.
    pub fn admits(&self, model: &ObjectModel) -> Result<(), NotAdmitted> {
        if OMA_ONLY.contains(&model.id) {
            return Err(NotAdmitted::OmaOnly(model.id));
        }
        match self.object(model.id, None) {
            Some(newest) if newest.version >= model.version => Err(NotAdmitted::NotNewer {
                id: model.id,
                version: model.version,
                known: newest.version,
            }),
            _ => Ok(()),
        }
    }

    /// This registry with the definitions of vendors over it. What it does not admit is left out:
    /// a release that knows more objects may have overtaken what was once added. Of two definitions
    /// of the same object and version the first counts.
    #[must_use]
    pub fn with(&self, models: impl IntoIterator<Item = ObjectModel>) -> Self {
        let mut added: Vec<ObjectModel> = models
            .into_iter()
            .filter(|model| self.admits(model).is_ok())
            .collect();
        added.sort_by_key(ObjectModel::key);
        added.dedup_by_key(|model| model.key());
        added.extend(self.objects.iter().cloned());
        Self::from_models(added)
    }
}
