//! Read-Composite, Observe-Composite, Write-Composite (LwM2M Core 1.2 §6.3.8, §6.3.9, §6.4.2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use coap::{Code, Request, Response, Token};
use lwm2m::{
    ContentFormat, Entry, LwM2mVersion, Patch, Path, Registry, WriteMode, decode_patch,
    decode_paths, encode,
};

use super::Towards;
use super::effect::Effect;
use super::request::{Reply, check_meaning};
use crate::access::Right;
use crate::observation::{Observation, Target};
use crate::refusal::Refusal;
use crate::tree::ObjectTree;
use crate::updates;

/// Paths of one composite operation.
const MAX_PATHS: usize = 64;

impl Towards<'_> {
    pub(super) fn serve_fetch(
        &mut self,
        now: Instant,
        token: Token,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let format = self.composite_format(path, request)?;
        let paths = listed_paths(format, &request.payload)?;
        let accept = request.accept.unwrap_or_else(|| answer_to(format).0);
        let mut response = self.represent_composite(&paths, Some(accept))?;
        let target = Target::Several(paths);
        let effect = match request.observe {
            Some(0) => {
                let parameters = self.observe_parameters(&request.query)?;
                let sequence = self.observe(now, token, target, Some(accept), parameters)?;
                response.observe = Some(sequence);
                Effect::ObservationStarted(Path::Root)
            }
            Some(_) => self.cancel_composite(token, &target),
            None => Effect::None,
        };
        Ok(Reply { response, effect })
    }

    /// RFC 7641 §3.6 and RFC 8132 §2.4: token and body name the observation to cancel.
    fn cancel_composite(&self, token: Token, target: &Target) -> Effect {
        let known =
            |observation: &Observation| observation.token == token && observation.target == *target;
        if self.link.observations.iter().any(known) {
            Effect::ObservationCancelled(token)
        } else {
            Effect::None
        }
    }

    /// A 2.05 with what lies at and below paths. What is absent or cannot be read is left out.
    pub(super) fn represent_composite(
        &self,
        paths: &[Path],
        accept: Option<u16>,
    ) -> Result<Response, Refusal> {
        let format = accept.map_or(ContentFormat::SENML_CBOR, ContentFormat);
        if !self.answers_composites_in(format) {
            return Err(Refusal::NotAcceptable);
        }
        // Paths may lie within each other; what is named twice is answered once.
        let mut found = BTreeMap::new();
        for path in paths {
            let entries = self.readable(*path).unwrap_or_default();
            found.extend(entries.into_iter().map(|entry| (entry.path, entry)));
        }
        let entries: Vec<Entry> = found.into_values().collect();
        let payload = encode(format, Path::Root, &entries).map_err(|_| Refusal::NotAcceptable)?;
        Ok(Response {
            content_format: Some(format.0),
            payload,
            ..Response::new(Code::CONTENT_2_05)
        })
    }

    fn answers_composites_in(&self, format: ContentFormat) -> bool {
        match format {
            ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR => true,
            ContentFormat::LWM2M_CBOR => self.speaks(format),
            _ => false,
        }
    }

    /// Whether there is a composite operation at this path, and the format of its body.
    fn composite_format(&self, path: Path, request: &Request) -> Result<ContentFormat, Refusal> {
        // LwM2M Core 1.1 added composite operations, all of them at the root.
        if self.body.tree.release() == LwM2mVersion::V1_0 || path != Path::Root {
            return Err(Refusal::Method);
        }
        let format = request.content_format.map(ContentFormat);
        let format = format.ok_or(Refusal::NoFormat)?;
        let known = match format {
            ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR => true,
            ContentFormat::SENML_ETCH_JSON
            | ContentFormat::SENML_ETCH_CBOR
            | ContentFormat::LWM2M_CBOR => self.body.tree.release() >= LwM2mVersion::V1_2,
            _ => false,
        };
        if known {
            Ok(format)
        } else {
            Err(Refusal::UnsupportedFormat)
        }
    }

    /// Either every change is made or none.
    pub(super) fn serve_ipatch(
        &mut self,
        now: Instant,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let format = self.composite_format(path, request)?;
        let patches = decode_patch(format, &request.payload, Registry::oma())?;
        let mut draft = Draft::new(&self.body.tree);
        for patch in patches {
            self.body.tree.require_instance(patch.path())?;
            self.authorize(patch.path(), Right::Write)?;
            draft.apply(patch)?;
        }
        let before = std::mem::replace(&mut self.body.tree, draft.tree);
        if let Some(entry) = draft.package
            && let Err(refusal) = self.write_package(now, &entry)
        {
            self.body.tree = before;
            return Err(refusal);
        }
        let effect = Effect::Patched {
            values: draft.values,
            removed: draft.removed,
            changed: draft.changed,
        };
        Ok(Reply::new(Code::CHANGED_2_04, effect))
    }
}

/// What a Write-Composite would make of the device.
struct Draft {
    tree: ObjectTree,
    values: Vec<Entry>,
    removed: Vec<Path>,
    changed: Vec<Path>,
    package: Option<Entry>,
}

impl Draft {
    fn new(tree: &ObjectTree) -> Self {
        Self {
            tree: tree.clone(),
            values: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            package: None,
        }
    }

    fn apply(&mut self, patch: Patch) -> Result<(), Refusal> {
        match patch {
            Patch::Set(entry) if updates::takes_package(entry.path) => {
                let path = entry.path;
                // The two ways to get a package exclude each other.
                if self.package.replace(entry).is_some() {
                    return Err(Refusal::NotAllowed(path));
                }
            }
            Patch::Set(entry) => {
                check_meaning(&entry)?;
                let written = std::slice::from_ref(&entry);
                let changed = self.tree.write(entry.path, WriteMode::Update, written)?;
                self.changed.extend(changed);
                self.values.push(entry);
            }
            Patch::Remove(path) => {
                self.tree.delete(path)?;
                self.changed.push(path);
                self.removed.push(path);
            }
        }
        Ok(())
    }
}

/// The paths of a body, in order and none twice.
fn listed_paths(format: ContentFormat, payload: &[u8]) -> Result<Arc<[Path]>, Refusal> {
    let mut paths = decode_paths(format, payload)?;
    if paths.len() > MAX_PATHS {
        return Err(Refusal::TooLarge(Path::Root));
    }
    paths.sort_unstable();
    paths.dedup();
    Ok(paths.into())
}

/// The format of an answer where none is asked for: that of the body, with values.
fn answer_to(body: ContentFormat) -> ContentFormat {
    match body {
        ContentFormat::SENML_ETCH_JSON => ContentFormat::SENML_JSON,
        ContentFormat::SENML_ETCH_CBOR => ContentFormat::SENML_CBOR,
        other => other,
    }
}
