//! Whose something in the state tier is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::Refusal;

/// What objects of a kind put into the state tier says that it is theirs, where people can read it: the kind, and the uid
/// of the object. Nobody writes that by chance, so that what people have made is told from it, and never touched.
#[derive(Clone, Copy, Debug)]
pub struct Owner(&'static str);

/// The uid of all objects in files that `drover apply` was given: they have none of Kubernetes. What it has put stays until
/// somebody removes it, or an object of Kubernetes says the same and takes it over.
pub const APPLIED: &str = "drover-apply";

/// The most bytes of the names of groups and profiles.
const MAX_NAME: usize = 63;

impl Owner {
    /// `kind` is the plural with its API group.
    pub(crate) const fn new(kind: &'static str) -> Self {
        Self(kind)
    }

    /// What says that something is of an object.
    pub fn of(self, metadata: &ObjectMeta) -> String {
        format!("{}/{}", self.0, metadata.uid.as_deref().unwrap_or_default())
    }

    /// The uid of the object that has made something, if an object of this kind has.
    pub fn maker(self, text: &str) -> Option<&str> {
        text.strip_prefix(self.0)?.strip_prefix('/')
    }
}

/// Whether something in the state tier can have this name.
pub(crate) fn is_sound_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(sound)
}

/// The name of an object as that of something in the state tier, if it is fit for one. Another object can never have the
/// same, so that whatever an object of the kind has put there under the name is for this one to replace.
pub(crate) fn checked_name(metadata: &ObjectMeta) -> Result<String, Refusal> {
    let name = metadata.name.as_deref().unwrap_or_default();
    if !is_sound_name(name) {
        let why = "in the state tier it has 1 to 63 characters of a-z, 0-9 and -";
        return Err(Refusal::invalid("metadata.name", why));
    }
    Ok(name.to_owned())
}
