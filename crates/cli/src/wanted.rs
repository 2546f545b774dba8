//! `PATH=VALUE` arguments: which value a resource should have, or whether an object instance should be there.

use device_state::Presence;
use lwm2m::Path;

use crate::model::parse_path;

/// What should be at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of a resource, an instance of one, or an object instance.
    pub(crate) path: Path,
    /// The value; empty for an object instance.
    pub(crate) text: String,
    /// Whether the object instance should be there.
    pub(crate) presence: Option<Presence>,
}

impl Wanted {
    /// Reads `/3/0/14=+02:00`, `/3311/0=present` or `/3311/0=absent`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (path, value) = text
            .split_once('=')
            .ok_or("is not PATH=VALUE, such as /3/0/14=+02:00 or /3311/0=present")?;
        let path = parse_path(path)?;
        let presence = match (path, value) {
            (Path::ObjectInstance(..), "present") => Some(Presence::Present),
            (Path::ObjectInstance(..), "absent") => Some(Presence::Absent),
            (Path::ObjectInstance(..), _) => {
                return Err(format!(
                    "{path} is an object instance: say present or absent"
                ));
            }
            (Path::Resource(..) | Path::ResourceInstance(..), _) => None,
            (Path::Root | Path::Object(_), _) => {
                return Err(format!(
                    "{path} is neither a resource nor an object instance"
                ));
            }
        };
        let text = if presence.is_none() { value } else { "" };
        Ok(Self {
            path,
            text: text.to_owned(),
            presence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_instances_are_told_apart_by_their_path() {
        let parsed = |text| Wanted::parse(text).map(|one| (one.path, one.text, one.presence));
        let value = |path, text: &str| Ok((path, text.to_owned(), None));
        let instance = |presence| {
            let path = Path::ObjectInstance(3311, 0);
            Ok((path, String::new(), Some(presence)))
        };
        assert_eq!(
            parsed("/3/0/14=+02:00"),
            value(Path::Resource(3, 0, 14), "+02:00")
        );
        assert_eq!(parsed("3/0/15=a=b"), value(Path::Resource(3, 0, 15), "a=b"));
        assert_eq!(
            parsed("/16/0/0/1=present"),
            value(Path::ResourceInstance(16, 0, 0, 1), "present")
        );
        assert_eq!(parsed("/3311/0=present"), instance(Presence::Present));
        assert_eq!(parsed("/3311/0=absent"), instance(Presence::Absent));
        for (text, says) in [
            ("/3/0/14", "is not PATH=VALUE"),
            ("/3311/0=1", "say present or absent"),
            ("/3311=present", "neither a resource nor an object instance"),
            ("/x/0/1=1", "a path is /object/instance/resource"),
        ] {
            let error = parsed(text).err().unwrap_or_default();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
