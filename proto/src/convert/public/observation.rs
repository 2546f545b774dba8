//! Observations that are wanted, whoever listens.

use device_state::{Observation, ObservationHolder};
use lwm2m::operation::OperationError;
use lwm2m::{CompositePaths, Observed, Path};

use super::value::path;
use crate::convert::list::{MAX_VALUES, bounded};
use crate::convert::{ConvertError, InField, Reason};
use crate::drover::v1 as public;

impl From<Observation> for public::Observation {
    fn from(observation: Observation) -> Self {
        let declared = |held: &ObservationHolder| held.id == ObservationHolder::DECLARED;
        let callers = observation.holders.iter().filter(|held| !declared(held));
        Self {
            paths: observation
                .observed
                .paths()
                .iter()
                .map(ToString::to_string)
                .collect(),
            parameters: observation.parameters.to_query().join("&"),
            declared: observation.holders.iter().any(declared),
            callers: callers.count() as u32,
            child: observation
                .observed
                .child()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

/// What paths stand for: one observation, which is composite if there are several. It is of the device that `prefix`
/// names, or of the registered device itself if it is empty.
pub fn observed(prefix: &str, texts: &[String]) -> Result<Observed, ConvertError> {
    let own = observed_itself(texts)?;
    if prefix.is_empty() {
        return Ok(own);
    }
    match own {
        Observed::Path(path) => Ok(Observed::Behind {
            child: prefix.parse().in_field("child")?,
            path,
        }),
        _ => Err(ConvertError::new(
            "child",
            OperationError::NotBehindGateway("observe-composite"),
        )),
    }
}

fn observed_itself(texts: &[String]) -> Result<Observed, ConvertError> {
    match texts {
        [] => Err(ConvertError::new("paths", Reason::Missing)),
        [text] => path("paths", text).map(Observed::Path),
        _ => {
            let several = composite(paths("paths", texts)?)?;
            // One path, several times.
            Ok(match several.paths() {
                [path] => Observed::Path(*path),
                _ => several,
            })
        }
    }
}

/// A composite observation.
pub(super) fn composite(paths: Vec<Path>) -> Result<Observed, ConvertError> {
    CompositePaths::new(paths)
        .map(Observed::Composite)
        .ok_or_else(|| {
            let error = OperationError::PathCount("observe-composite", CompositePaths::MAX);
            ConvertError::new("paths", error)
        })
}

pub(super) fn paths(field: &str, texts: &[String]) -> Result<Vec<Path>, ConvertError> {
    bounded(field, texts, MAX_VALUES)?;
    texts.iter().map(|text| path(field, text)).collect()
}
