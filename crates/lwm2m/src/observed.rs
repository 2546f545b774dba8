//! What one observation is of.

use std::fmt;

use crate::gateway::ChildPrefix;
use crate::path::Path;

/// A path, the paths of an Observe-Composite, which the device reports together, or a path of a device behind a gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observed {
    /// What lies at and below one path.
    Path(Path),
    /// What lies at and below any of these.
    Composite(CompositePaths),
    /// What lies at and below a path of a device behind the gateway that is asked (OMA LwM2M Gateway 1.1).
    Behind {
        /// What the gateway calls the device in paths.
        child: ChildPrefix,
        /// A path of that device, without the prefix.
        path: Path,
    },
}

/// The paths of a composite operation that must name the same ones again later: at least one, at
/// most [`CompositePaths::MAX`], in order and each once.
// LwM2M-Core 1.2 §6.4.3: a Cancel Observation-Composite carries the list of its Observe-Composite,
// so there is only one way to write a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompositePaths(Box<[Path]>);

impl CompositePaths {
    /// The most paths of one list.
    pub const MAX: usize = 64;

    /// The list of these paths; `None` if there are none or too many.
    pub fn new(mut paths: Vec<Path>) -> Option<Self> {
        paths.sort_unstable();
        paths.dedup();
        (1..=Self::MAX)
            .contains(&paths.len())
            .then(|| Self(paths.into_boxed_slice()))
    }
}

impl Observed {
    /// The device behind a gateway that is observed, if it is not the registered device itself.
    pub const fn child(&self) -> Option<&ChildPrefix> {
        match self {
            Self::Behind { child, .. } => Some(child),
            Self::Path(_) | Self::Composite(_) => None,
        }
    }

    /// The observed paths, at least one; those of a child without its prefix.
    pub fn paths(&self) -> &[Path] {
        match self {
            Self::Path(path) | Self::Behind { path, .. } => std::slice::from_ref(path),
            Self::Composite(paths) => &paths.0,
        }
    }

    /// Whether a value at `path` is part of what is reported, if it is of `child`, or without one of the registered device.
    pub fn covers(&self, child: Option<&ChildPrefix>, path: Path) -> bool {
        let mut paths = self.paths().iter();
        self.child() == child && paths.any(|observed| path.starts_with(*observed))
    }

    /// The path that every reported value lies below: the root for a composite observation, whose
    /// notifications name absolute paths.
    pub const fn base(&self) -> Path {
        match self {
            Self::Path(path) | Self::Behind { path, .. } => *path,
            Self::Composite(_) => Path::Root,
        }
    }
}

impl From<Path> for Observed {
    fn from(path: Path) -> Self {
        Self::Path(path)
    }
}

impl fmt::Display for Observed {
    /// The paths with spaces between them; that of a child with its prefix in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(child) = self.child() {
            write!(f, "/{child}")?;
        }
        write_paths(f, self.paths())
    }
}

/// Paths with spaces between them.
pub(crate) fn write_paths(f: &mut fmt::Formatter<'_>, paths: &[Path]) -> fmt::Result {
    for (index, path) in paths.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{path}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATTERY: Path = Path::Resource(3, 0, 9);
    const SIGNAL: Path = Path::Resource(4, 0, 2);

    #[test]
    fn a_list_is_written_one_way_only() {
        let list = |paths: &[Path]| CompositePaths::new(paths.to_vec());
        assert_eq!(
            list(&[SIGNAL, BATTERY, SIGNAL]),
            list(&[BATTERY, SIGNAL, BATTERY])
        );
        assert_eq!(list(&[]), None);
        let many: Vec<Path> = (0..65).map(Path::Object).collect();
        assert_eq!(list(&many), None);
        assert!(list(many.get(..64).unwrap_or_default()).is_some());
    }

    #[test]
    fn a_composite_observation_covers_what_lies_below_any_path() {
        let list = CompositePaths::new(vec![BATTERY, Path::Object(4)]);
        let observed = list.map(Observed::Composite);
        let covers = |path| {
            observed
                .as_ref()
                .is_some_and(|them| them.covers(None, path))
        };
        assert!(covers(BATTERY) && covers(SIGNAL));
        assert!(!covers(Path::Resource(3, 0, 10)) && !covers(Path::Object(3)));
        assert_eq!(
            observed.map(|observed| observed.to_string()).as_deref(),
            Some("/3/0/9 /4")
        );
    }

    #[test]
    fn an_observation_behind_a_gateway_covers_values_of_that_child_only() {
        let child = |prefix: &str| prefix.parse::<ChildPrefix>().ok();
        let observed = child("dev0").map(|child| Observed::Behind {
            child,
            path: Path::Object(3),
        });
        let covers = |prefix: Option<&str>, path| {
            let child = prefix.and_then(child);
            observed
                .as_ref()
                .is_some_and(|them| them.covers(child.as_ref(), path))
        };
        assert!(covers(Some("dev0"), BATTERY));
        assert!(!covers(Some("dev0"), SIGNAL));
        assert!(!covers(Some("dev1"), BATTERY) && !covers(None, BATTERY));
        let own = Observed::Path(Path::Object(3));
        assert!(own.covers(None, BATTERY) && !own.covers(child("dev0").as_ref(), BATTERY));
        let text = observed.as_ref().map(ToString::to_string);
        assert_eq!(text.as_deref(), Some("/dev0/3"));
        let list = CompositePaths::new(vec![SIGNAL]).map(Observed::Composite);
        assert!(observed > list, "sorts after every other");
    }
}
