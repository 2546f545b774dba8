//! The notification attributes that the server has written.

use std::collections::BTreeMap;

use lwm2m::attributes::{AttributeName, Confirmation};
use lwm2m::{LwM2mVersion, NotificationAttributes, Path, Setting};

use crate::refusal::Refusal;

/// Paths with attributes of their own.
const MAX_PATHS: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Attributes(BTreeMap<Path, NotificationAttributes>);

impl Attributes {
    /// Changes the attributes of a path (LwM2M Core 1.2 §6.3.4, Write-Attributes).
    pub(crate) fn write(
        &mut self,
        path: Path,
        written: NotificationAttributes,
    ) -> Result<(), Refusal> {
        written.validate(path)?;
        let merged = settled(self.own(path).then(written));
        merged.validate_thresholds()?;
        if merged.is_empty() {
            self.0.remove(&path);
        } else if self.0.len() < MAX_PATHS || self.0.contains_key(&path) {
            self.0.insert(path, merged);
        } else {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// What was written to exactly this path.
    pub(crate) fn own(&self, path: Path) -> NotificationAttributes {
        self.0.get(&path).copied().unwrap_or_default()
    }

    /// What holds at a path: lower levels override higher ones.
    pub(crate) fn effective(&self, path: Path) -> NotificationAttributes {
        let mut levels: Vec<Path> = std::iter::successors(Some(path), |at| at.parent()).collect();
        levels.reverse();
        levels
            .into_iter()
            .fold(NotificationAttributes::default(), |above, at| {
                above.then(self.own(at))
            })
    }

    /// What a Discover of `asked` lists at a path. LwM2M Core 1.2 §6.3.2: of a resource, inherited
    /// attributes are listed as well.
    pub(crate) fn listed(&self, asked: Path, at: Path) -> NotificationAttributes {
        match at {
            Path::Resource(..) if at == asked => self.effective(at),
            _ => self.own(at),
        }
    }

    /// What holds for a composite observation: the most eager of what holds at its paths. LwM2M
    /// leaves it open; real clients do it so, and thresholds of one value cannot hold for all.
    pub(crate) fn effective_for_all(&self, paths: &[Path]) -> NotificationAttributes {
        let mut all = NotificationAttributes::default();
        for path in paths {
            let one = self.effective(*path);
            all.pmin = smaller(all.pmin, one.pmin);
            all.pmax = smaller(all.pmax, one.pmax);
            if one.con.value() == Some(Confirmation::Confirmable) {
                all.con = one.con;
            }
        }
        all
    }

    /// Forgets what was written to a path and below it.
    pub(crate) fn remove_below(&mut self, path: Path) {
        self.0.retain(|at, _| !at.starts_with(path));
    }
}

fn smaller(one: Setting<u32>, other: Setting<u32>) -> Setting<u32> {
    let values = one.value().into_iter().chain(other.value());
    Setting::from(values.min())
}

/// The attributes in a query, as a device of this release knows them.
// LwM2M Core 1.1 §5.1.2 added epmin and epmax, 1.2 §5.1.2 added edge, con and hqmax. A device
// answers 4.00 to what it does not know.
pub(crate) fn parse_known(
    query: &[String],
    release: LwM2mVersion,
) -> Result<NotificationAttributes, Refusal> {
    let attributes = NotificationAttributes::parse_query(query)?;
    let since = |name| match name {
        AttributeName::Epmin | AttributeName::Epmax => LwM2mVersion::V1_1,
        AttributeName::Edge | AttributeName::Con | AttributeName::Hqmax => LwM2mVersion::V1_2,
        _ => LwM2mVersion::V1_0,
    };
    match named(attributes).find(|name| since(*name) > release) {
        Some(name) => Err(Refusal::UnknownAttribute(name)),
        None => Ok(attributes),
    }
}

/// The attributes that are set or cleared.
pub(crate) fn named(attributes: NotificationAttributes) -> impl Iterator<Item = AttributeName> {
    let parameters = attributes.to_query();
    AttributeName::ALL.into_iter().filter(move |name| {
        parameters.iter().any(|parameter| {
            let key = parameter
                .split_once('=')
                .map_or(parameter.as_str(), |(key, _)| key);
            key == name.as_str()
        })
    })
}

/// Attributes that are at rest: what was cleared is not there.
fn settled(attributes: NotificationAttributes) -> NotificationAttributes {
    fn settle<T: Copy>(setting: Setting<T>) -> Setting<T> {
        Setting::from(setting.value())
    }
    NotificationAttributes {
        pmin: settle(attributes.pmin),
        pmax: settle(attributes.pmax),
        gt: settle(attributes.gt),
        lt: settle(attributes.lt),
        st: settle(attributes.st),
        epmin: settle(attributes.epmin),
        epmax: settle(attributes.epmax),
        edge: settle(attributes.edge),
        con: settle(attributes.con),
        hqmax: settle(attributes.hqmax),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use super::*;

    fn attributes(query: &[&str]) -> NotificationAttributes {
        NotificationAttributes::parse_query(query).unwrap()
    }

    #[test]
    fn lower_levels_override_higher_ones() {
        let mut store = Attributes::default();
        let resource = Path::Resource(3303, 0, 5700);
        store
            .write(Path::Object(3303), attributes(&["pmin=10", "pmax=60"]))
            .unwrap();
        store.write(resource, attributes(&["pmin=1"])).unwrap();
        let effective = store.effective(resource);
        assert_eq!(effective.pmin, Setting::To(1));
        assert_eq!(effective.pmax, Setting::To(60));
    }

    #[test]
    fn a_cleared_attribute_no_longer_hides_the_level_above() {
        let mut store = Attributes::default();
        let resource = Path::Resource(3303, 0, 5700);
        store
            .write(Path::Object(3303), attributes(&["pmin=10"]))
            .unwrap();
        store.write(resource, attributes(&["pmin=1"])).unwrap();
        store.write(resource, attributes(&["pmin"])).unwrap();
        assert_eq!(store.effective(resource).pmin, Setting::To(10));
        assert!(store.own(resource).is_empty());
    }

    #[test]
    fn thresholds_must_fit_what_was_written_before() {
        let mut store = Attributes::default();
        let resource = Path::Resource(3303, 0, 5700);
        store.write(resource, attributes(&["gt=10"])).unwrap();
        assert!(store.write(resource, attributes(&["lt=20"])).is_err());
        assert_eq!(store.own(resource), attributes(&["gt=10"]));
    }
}
