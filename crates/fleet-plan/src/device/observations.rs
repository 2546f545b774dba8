//! What a device should report by itself.
//!
//! A device has one observation of a path, whoever wants it: what an object asks for stays when others ask for the same,
//! and cannot be had while they observe it otherwise.

use crd::Device;
use lwm2m::{NotificationAttributes, Path};

use super::asked::AskedObservation;
use super::{Action, Observed, StoredObservation, WantedObservation};
use crate::Refusal;
use crate::observation::parameters;

/// The observations that are asked for, by path.
pub(super) fn wanted(asked: &[AskedObservation<'_>]) -> Result<Vec<WantedObservation>, Refusal> {
    let mut wanted = Vec::with_capacity(asked.len());
    for AskedObservation { observation, of } in asked {
        let one = *observation;
        let field = format!("spec.observations: {}", of.name(&one.path));
        let of_path = |why: &str| Refusal::invalid(&field, why);
        let path: Path = one.path.parse().map_err(|_| of_path("is not a path"))?;
        let query = parameters(one);
        let query: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
        let parameters = NotificationAttributes::parse_query(&query);
        let parameters = parameters
            .and_then(|parameters| parameters.validate(path).map(|()| parameters))
            .map_err(|error| of_path(&error.to_string()))?;
        if wanted
            .iter()
            .any(|other: &WantedObservation| other.path == path)
        {
            return Err(of_path("is listed twice"));
        }
        wanted.push(WantedObservation { path, parameters });
    }
    wanted.sort_by_key(|one| one.path);
    Ok(wanted)
}

/// Asks for what is missing, and takes back what the object no longer wants.
pub(super) fn changes(
    device: &Device,
    observed: &Observed,
    wanted: &[WantedObservation],
) -> Vec<Action> {
    let mut actions = removal(device, observed, wanted);
    let missing = wanted.iter().filter(|one| is_missing(observed, one));
    actions.extend(missing.map(|one| Action::PutObservation {
        path: one.path,
        parameters: one.parameters,
    }));
    actions
}

/// Takes back what the object has asked for and nobody wants.
pub(super) fn removal(
    device: &Device,
    observed: &Observed,
    wanted: &[WantedObservation],
) -> Vec<Action> {
    let unwanted = owned(device).filter(|path| !wanted.iter().any(|one| one.path == *path));
    let declared = |path: &Path| stored(observed, *path).is_some_and(|one| one.declared);
    unwanted
        .filter(declared)
        .map(|path| Action::DeleteObservation { path })
        .collect()
}

/// Of those that are wanted, the paths of those that the object has asked for or is about to: what stood before as it is
/// wanted stays when the object goes.
pub(super) fn own(
    device: &Device,
    observed: &Observed,
    wanted: &[WantedObservation],
) -> Vec<String> {
    let is_own = |one: &&WantedObservation| {
        is_missing(observed, one) || owned(device).any(|path| path == one.path)
    };
    let own = wanted.iter().filter(is_own);
    own.map(|one| one.path.to_string()).collect()
}

fn is_missing(observed: &Observed, wanted: &WantedObservation) -> bool {
    stored(observed, wanted.path).is_none_or(|stored| !stored.is(wanted) && !stored.hinders(wanted))
}

/// Of those that are wanted, the paths that others observe otherwise.
pub(super) fn hindered(observed: &Observed, wanted: &[WantedObservation]) -> Vec<Path> {
    let is_hindered = |one: &&WantedObservation| {
        stored(observed, one.path).is_some_and(|stored| stored.hinders(one))
    };
    wanted
        .iter()
        .filter(is_hindered)
        .map(|one| one.path)
        .collect()
}

/// What the object has asked for, as its status says.
pub(super) fn owned(device: &Device) -> impl Iterator<Item = Path> {
    let paths = device.status.iter().flat_map(|status| &status.observations);
    paths.filter_map(|path| path.parse().ok())
}

fn stored(observed: &Observed, path: Path) -> Option<&StoredObservation> {
    observed.observations.iter().find(|one| one.path == path)
}

impl StoredObservation {
    /// Whether it is what an object asks for.
    fn is(&self, wanted: &WantedObservation) -> bool {
        self.declared && self.parameters == wanted.parameters
    }

    /// Whether it keeps what an object asks for from being asked for.
    fn hinders(&self, wanted: &WantedObservation) -> bool {
        self.has_others && self.parameters != wanted.parameters
    }
}
