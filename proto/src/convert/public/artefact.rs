//! Packages that devices fetch from the cluster.

use std::time::Duration;

use bytes::Bytes;
use device_state::{Artefact, ArtefactName, Command, Digest, Namespace};

use super::{InNamespace, timestamp};
use crate::convert::{ConvertError, InField, Reason};
use crate::drover::v1 as public;
use crate::drover::v1::PutArtefactRequest;
use crate::drover::v1::put_artefact_request::{Description, Kind};

/// How long storing a package may take. State nodes wait no longer for one that arrives.
pub const STORE_TIMEOUT: Duration = Duration::from_mins(10);

/// Bytes of a message with a part of a package.
const PART: usize = 256 << 10;

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

/// The messages of PutArtefact that store a package: what it is, then its bytes in order.
pub fn artefact_parts(
    digest: Digest,
    title: &str,
    package: Bytes,
) -> impl Iterator<Item = PutArtefactRequest> + use<> {
    let size = package.len();
    let description = Kind::Description(Description {
        digest: digest.to_string(),
        size_bytes: size as u64,
        title: title.to_owned(),
    });
    let starts = (0..size).step_by(PART);
    let data = starts.map(move |at| Kind::Data(package.slice(at..size.min(at + PART))));
    let kinds = std::iter::once(description).chain(data);
    kinds.map(|kind| PutArtefactRequest { kind: Some(kind) })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_described_and_then_comes_in_order() {
        let bytes: Vec<u8> = (0..PART as u32 + 7).map(|at| at as u8).collect();
        let package = Bytes::from(bytes);
        let mut parts = artefact_parts(Digest([7; 32]), "meters", package.clone());
        let Some(Kind::Description(description)) = parts.next().and_then(|one| one.kind) else {
            panic!("the first part has to say what comes");
        };
        assert_eq!(description.size_bytes, package.len() as u64);
        assert_eq!(description.title, "meters");
        assert_eq!(description.digest, Digest([7; 32]).to_string());
        let data: Vec<Bytes> = parts
            .map(|one| match one.kind {
                Some(Kind::Data(data)) => data,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(data.len(), 2);
        assert_eq!(data.concat(), package);
    }
}
