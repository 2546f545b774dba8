//! Profile ids: what a device registers with in place of its objects, of all or of some (LwM2M Core 1.2 §6.2.1).
//!
//! Of a registration one list is kept. In it, what a profile added is marked, so that an Update with another profile
//! takes just that away.

use std::collections::{BTreeMap, BTreeSet};

use lwm2m::link::LinkError;
use lwm2m::registration::UNREGISTERED_OBJECTS;
use lwm2m::{AlternatePath, Link, LwM2mVersion, ObjectLinks, Path, RegisterRequest, UpdateRequest};

use crate::response::Refusal;

/// Attribute of a link that a profile added. Never change: it is in stored registrations.
const MARK: &str = "pid";

/// The longest profile id, in bytes.
const MAX_ID: usize = 255;

/// The lists of objects that profile ids stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(BTreeMap<String, ObjectLinks>);

/// Why a list of objects cannot be that of a profile id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No device could send this id.
    #[error(
        "profile id {0:?} has to have 1 to 255 characters, among them no quote, comma or space"
    )]
    Id(String),
    /// The list is not in link format.
    #[error("profile id {id}: {source}")]
    Links {
        /// Whose list it is.
        id: String,
        /// What is wrong with the list.
        #[source]
        source: LinkError,
    },
    /// A device does not register that, as `/3/0` or `/3`.
    #[error("profile id {0}: only objects and instances can be listed, and neither 0, 21 nor 23")]
    NotRegistered(String),
    /// The list says nothing.
    #[error("profile id {0}: its list names no object")]
    NoObject(String),
}

impl Profiles {
    /// Reads lists in link format (RFC 6690), such as `</1/0>,</3/0>,</3303>;ver=1.1`, by profile id.
    pub fn new<'a>(
        lists: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Self, ProfileError> {
        let mut profiles = BTreeMap::new();
        for (id, list) in lists {
            profiles.insert(id.clone(), profile(id, list)?);
        }
        Ok(Self(profiles))
    }

    /// The list to keep for a Register.
    pub(crate) fn registered(
        &self,
        register: &RegisterRequest,
        payload: &[u8],
    ) -> Result<String, Refusal> {
        let told = names_objects(&register.links);
        if register.version < LwM2mVersion::V1_2 {
            return Ok(kept(&register.links, payload));
        }
        match register.profile_id.as_deref() {
            Some(value) => self.united(value, told.then_some((&register.links, payload))),
            None if told => Ok(kept(&register.links, payload)),
            // LwM2M Core 1.2 §6.2.1: nothing tells the objects, so the client has to.
            None => Err(Refusal::UnknownObjects),
        }
    }

    /// The list to keep from an Update on, if it says anything of objects. `own` is what the device has listed besides its
    /// profile, if it has one.
    pub(crate) fn updated(
        &self,
        version: LwM2mVersion,
        own: Option<&ObjectLinks>,
        update: &UpdateRequest,
        payload: &[u8],
    ) -> Result<Option<String>, Refusal> {
        let pid = update.profile_id.as_deref();
        let pid = pid.filter(|_| version >= LwM2mVersion::V1_2);
        match (pid, &update.links) {
            (None, None) => Ok(None),
            // LwM2M Core 1.2 §6.2.2: a list in an Update is the whole list.
            (None, Some(links)) => Ok(Some(kept(links, payload))),
            (Some(value), Some(links)) => {
                let told = names_objects(links).then_some((links, payload));
                self.united(value, told).map(Some)
            }
            (Some(value), None) => {
                // Of a device that named all its objects, or is not here, it is not known what else it has.
                let own = own.ok_or(Refusal::UnknownObjects)?;
                let found = self.find(value);
                if !found.is_complete {
                    return Err(Refusal::UnknownObjects);
                }
                Ok(Some(found.besides(own).to_string()))
            }
        }
    }

    /// What `pid` stands for and what the device lists, with its text, together.
    fn united(&self, value: &str, told: Option<(&ObjectLinks, &[u8])>) -> Result<String, Refusal> {
        let found = self.find(value);
        match told {
            None if !found.is_complete => Err(Refusal::UnknownObjects),
            Some((links, payload)) if found.links.is_empty() => Ok(kept(links, payload)),
            told => {
                let own = told.map(|(links, _)| links.clone()).unwrap_or_default();
                Ok(found.besides(&own).to_string())
            }
        }
    }

    /// LwM2M Core 1.2 §6.2.1: the value is an id, or several in quotes.
    fn find(&self, value: &str) -> Found {
        let mut found = Found {
            links: Vec::new(),
            alternate_path: AlternatePath::default(),
            is_complete: true,
        };
        let ids = value.trim_matches('"').split([',', ' ']);
        for id in ids.filter(|id| !id.is_empty()) {
            match self.0.get(id) {
                Some(list) => {
                    if found.links.is_empty() {
                        found.alternate_path = list.alternate_path().clone();
                    }
                    found.links.extend(list.iter().cloned());
                }
                None => found.is_complete = false,
            }
        }
        found.is_complete &= !found.links.is_empty();
        found
    }
}

/// What a `pid` stands for.
struct Found {
    links: Vec<Link>,
    alternate_path: AlternatePath,
    /// Whether every id in it is known.
    is_complete: bool,
}

impl Found {
    /// The union with what the device lists. Where both name something, it is as the device says.
    fn besides(self, own: &ObjectLinks) -> ObjectLinks {
        let path = if names_objects(own) {
            own.alternate_path().clone()
        } else {
            self.alternate_path
        };
        let mut known: BTreeSet<Path> = own.iter().map(|link| link.path).collect();
        let mut links: Vec<Link> = own.iter().cloned().collect();
        for mut link in self.links {
            if known.insert(link.path) {
                link.attributes.push((MARK.to_owned(), None));
                links.push(link);
            }
        }
        ObjectLinks::new(links).with_alternate_path(path)
    }
}

/// What the device itself has listed, if a profile has added to its list.
pub(crate) fn own_links(kept: &ObjectLinks) -> Option<Box<ObjectLinks>> {
    let is_added = |link: &Link| link.attributes.iter().any(|(name, _)| name == MARK);
    if !kept.iter().any(is_added) {
        return None;
    }
    let mut own = kept.clone();
    own.retain(|link| !is_added(link));
    Some(Box::new(own))
}

/// What the device sent, without the links that do not belong in a list.
fn kept(links: &ObjectLinks, payload: &[u8]) -> String {
    let sent = payload.split(|byte| *byte == b'<').skip(1).count();
    if sent == links.len() {
        String::from_utf8_lossy(payload).into_owned()
    } else {
        links.to_string()
    }
}

fn names_objects(links: &ObjectLinks) -> bool {
    links.iter().any(|link| link.path != Path::Root)
}

fn profile(id: &str, list: &str) -> Result<ObjectLinks, ProfileError> {
    let in_an_id = |character: char| !matches!(character, '"' | ',') && !character.is_whitespace();
    if id.is_empty() || id.len() > MAX_ID || !id.chars().all(in_an_id) {
        return Err(ProfileError::Id(id.to_owned()));
    }
    let links = ObjectLinks::parse(list).map_err(|source| ProfileError::Links {
        id: id.to_owned(),
        source,
    })?;
    let is_registered = |link: &Link| match link.path {
        Path::Root => true,
        Path::Object(object) | Path::ObjectInstance(object, _) => {
            !UNREGISTERED_OBJECTS.contains(&object)
        }
        _ => false,
    };
    // What is not a path of LwM2M is passed over when it comes from a device; here it is a slip. In quotes it is neither.
    let written = list.split('"').step_by(2);
    let written: usize = written.map(|part| part.matches('<').count()).sum();
    if written != links.len() || !links.iter().all(is_registered) {
        return Err(ProfileError::NotRegistered(id.to_owned()));
    }
    if !names_objects(&links) {
        return Err(ProfileError::NoObject(id.to_owned()));
    }
    Ok(links)
}

#[cfg(test)]
mod tests;
