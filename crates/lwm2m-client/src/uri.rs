//! What a request is about.

use lwm2m::Path;

use crate::refusal::Refusal;

/// The path that Uri-Path names; a last empty segment is a trailing slash.
pub(crate) fn parse_path(segments: &[String]) -> Result<Path, Refusal> {
    let segments = match segments {
        [rest @ .., last] if last.is_empty() => rest,
        all => all,
    };
    if segments.len() > 4 {
        return Err(Refusal::NotFound);
    }
    format!("/{}", segments.join("/"))
        .parse()
        .map_err(|_| Refusal::NotFound)
}
