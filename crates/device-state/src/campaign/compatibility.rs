//! Which devices an image can be put over, by what they say of themselves when their turn comes.

use std::cmp::Ordering;

use semver::Version;

/// What must hold of a device. The default holds of every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compatibility {
    /// The oldest version that it can be put over, as semantic version (semver.org 2.0.0).
    pub minimum_version: Option<String>,
    /// The newest version that it can be put over, likewise.
    pub maximum_version: Option<String>,
    /// What `/3/0/18` has to say; compared exactly.
    pub hardware_version: Option<String>,
}

impl Compatibility {
    /// Whether the image is for every device.
    pub fn is_any(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it can be put over what a device runs. A version that is not known, or cannot be compared, lies between
    /// no bounds.
    pub fn admits_version(&self, runs: Option<&str>) -> bool {
        let is = |bound: &str, wrong: Ordering| {
            let compared = runs.and_then(|runs| compared(runs, bound));
            compared.is_some_and(|order| order != wrong)
        };
        let minimum = self.minimum_version.as_deref();
        let maximum = self.maximum_version.as_deref();
        minimum.is_none_or(|bound| is(bound, Ordering::Less))
            && maximum.is_none_or(|bound| is(bound, Ordering::Greater))
    }

    /// Whether it is for the hardware that a device says it is.
    pub fn admits_hardware(&self, is: Option<&str>) -> bool {
        self.hardware_version
            .as_deref()
            .is_none_or(|wanted| is == Some(wanted))
    }
}

/// Whether a version can be compared with others.
pub fn is_comparable(version: &str) -> bool {
    Version::parse(version).is_ok()
}

/// What was built of the same version is the same.
fn compared(version: &str, bound: &str) -> Option<Ordering> {
    let version = Version::parse(version).ok()?;
    Some(version.cmp_precedence(&Version::parse(bound).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(minimum: &str, maximum: &str) -> Compatibility {
        let bound = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Compatibility {
            minimum_version: bound(minimum),
            maximum_version: bound(maximum),
            hardware_version: None,
        }
    }

    #[test]
    fn an_image_is_put_over_versions_between_its_bounds() {
        for (minimum, maximum, runs, admitted) in [
            ("", "", None, true),
            ("", "", Some("of its own kind"), true),
            ("2.1.0", "", Some("2.1.0"), true),
            ("2.1.0", "", Some("2.1.0+build.7"), true),
            ("2.1.0", "", Some("2.10.0"), true),
            ("2.1.0", "", Some("2.1.0-rc.1"), false),
            ("2.1.0", "", Some("2.0.9"), false),
            ("2.1.0", "", Some("2.1"), false),
            ("2.1.0", "", Some(""), false),
            ("2.1.0", "", None, false),
            ("", "2.9.9", Some("2.9.9"), true),
            ("", "2.9.9", Some("3.0.0"), false),
            ("2.1.0", "2.9.9", Some("2.5.0"), true),
            ("2.1.0", "2.9.9", Some("1.5.0"), false),
        ] {
            let compatibility = between(minimum, maximum);
            assert_eq!(
                compatibility.admits_version(runs),
                admitted,
                "{minimum:?} {maximum:?} {runs:?}"
            );
        }
    }

    #[test]
    fn hardware_is_compared_exactly() {
        let compatibility = Compatibility {
            hardware_version: Some("B".to_owned()),
            ..Compatibility::default()
        };
        assert!(!compatibility.is_any());
        assert!(compatibility.admits_hardware(Some("B")));
        assert!(!compatibility.admits_hardware(Some("b")));
        assert!(!compatibility.admits_hardware(None));
        assert!(Compatibility::default().admits_hardware(None));
    }
}
