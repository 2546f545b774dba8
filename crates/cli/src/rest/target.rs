//! What a path below `/api/clients/{endpoint}/` means.

use lwm2m::Path;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `composite`
    Composite,
    /// `composite/observe`
    CompositeObserve,
    /// `3/0/discover`
    Discover(Path),
    /// `3/0/7/attributes`
    Attributes(Path),
    /// `3/0/7/observe`
    Observe(Path),
    /// `3/0/7`
    Node(Path),
}

impl Target {
    /// `rest` is without the leading slash; a slash at its end is passed over.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (below, last) = rest.rsplit_once('/').unwrap_or(("", rest));
        Ok(match (below, last) {
            ("", "composite") => Self::Composite,
            ("composite", "observe") => Self::CompositeObserve,
            (below, "discover") => Self::Discover(path(below)?),
            (below, "attributes") => Self::Attributes(path(below)?),
            (below, "observe") => Self::Observe(path(below)?),
            _ => Self::Node(path(rest)?),
        })
    }
}

fn path(text: &str) -> Result<Path, String> {
    let absolute = format!("/{text}");
    match absolute.parse() {
        Ok(Path::Root) => Err("the root of a device is read with composite?paths=/".to_owned()),
        Ok(path) => Ok(path),
        Err(error) => Err(format!("{absolute}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_paths_are_told_apart() {
        let seven = Path::Resource(3, 0, 7);
        for (text, expected) in [
            ("composite", Target::Composite),
            ("composite/observe", Target::CompositeObserve),
            ("3/discover", Target::Discover(Path::Object(3))),
            ("0/attributes", Target::Attributes(Path::Object(0))),
            ("3/0/7/attributes", Target::Attributes(seven)),
            ("3/0/7/observe", Target::Observe(seven)),
            ("3/0/7", Target::Node(seven)),
            ("3/0/7/", Target::Node(seven)),
            (
                "16/0/0/0",
                Target::Node(Path::ResourceInstance(16, 0, 0, 0)),
            ),
        ] {
            assert_eq!(Target::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "discover",
            "x/observe",
            "3/0/7/0/1",
            "3//0",
            "composite/3",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
