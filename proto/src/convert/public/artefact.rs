//! Packages that devices fetch from the cluster.

use device_state::{Artefact, ArtefactName, Command, Digest, Namespace};

use super::{InNamespace, timestamp};
use crate::convert::{ConvertError, InField, Reason};
use crate::drover::v1 as public;
use crate::drover::v1::put_artefact_request::Description;

impl From<Artefact> for public::Artefact {
    fn from(artefact: Artefact) -> Self {
        Self {
            digest: artefact.name.digest.to_string(),
            size_bytes: artefact.size,
            title: artefact.title,
            uri: artefact.name.digest.package_uri(),
            create_time: timestamp(artefact.created_at),
        }
    }
}

/// A package that a caller announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewArtefact {
    /// `None`: whatever arrives.
    pub digest: Option<Digest>,
    /// Bytes, 1 to [`Artefact::MAX_SIZE`].
    pub size: u64,
    pub title: String,
}

impl TryFrom<Description> for NewArtefact {
    type Error = ConvertError;

    fn try_from(asked: Description) -> Result<Self, ConvertError> {
        let given = Some(asked.digest.as_str()).filter(|text| !text.is_empty());
        let digest = given.map(str::parse).transpose().in_field("digest")?;
        if !(1..=Artefact::MAX_SIZE).contains(&asked.size_bytes) {
            let reason = Reason::OutOfRange(asked.size_bytes);
            return Err(ConvertError::new("size_bytes", reason));
        }
        if asked.title.len() > Artefact::MAX_TITLE {
            let reason = Reason::Length(asked.title.len());
            return Err(ConvertError::new("title", reason));
        }
        Ok(Self {
            digest,
            size: asked.size_bytes,
            title: asked.title,
        })
    }
}

/// The package that a caller in a namespace names.
pub fn artefact_name(namespace: &Namespace, digest: &str) -> Result<ArtefactName, ConvertError> {
    Ok(ArtefactName {
        namespace: namespace.clone(),
        digest: digest.parse().in_field("digest")?,
    })
}

impl TryFrom<InNamespace<public::DeleteArtefactRequest>> for Command {
    type Error = ConvertError;

    fn try_from(asked: InNamespace<public::DeleteArtefactRequest>) -> Result<Self, ConvertError> {
        Ok(Self::RemoveArtefact {
            artefact: artefact_name(&asked.namespace, &asked.request.digest)?,
        })
    }
}
