//! Requests for devices behind the gateway that the device is (OMA LwM2M Gateway 1.1).

use std::time::Instant;

use coap::{Code, Request, Response, Token};
use lwm2m::{AlternatePath, ChildPrefix, ContentFormat, Path, Registry, WriteMode, decode_below};

use super::Towards;
use super::effect::Effect;
use super::request::Reply;
use crate::attributes::parse_known;
use crate::objects::gateway::links_below;
use crate::observation::Target;
use crate::refusal::Refusal;
use crate::tree::ObjectTree;
use crate::uri::parse_path;

impl Towards<'_> {
    /// The answer to a request whose path begins with the prefix of a device behind it; none if it
    /// does not.
    pub(super) fn serve_child(
        &mut self,
        now: Instant,
        token: Token,
        request: &Request,
    ) -> Option<Result<Reply, Refusal>> {
        let (first, rest) = request.path.split_first()?;
        let prefix: ChildPrefix = first.parse().ok()?;
        if !self.body.children.contains_key(&prefix) {
            return None;
        }
        let path = parse_path(rest);
        Some(path.and_then(|path| self.ask_child(now, token, &prefix, path, request)))
    }

    fn ask_child(
        &mut self,
        now: Instant,
        token: Token,
        prefix: &ChildPrefix,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        match request.method {
            Code::GET if request.accept == Some(ContentFormat::LINK.0) => {
                self.discover_child(prefix, path)
            }
            Code::GET => self.get_child(now, token, prefix, path, request),
            Code::PUT if request.content_format.is_none() => {
                self.write_child_attributes(prefix, path, request)
            }
            Code::PUT => self.write_child(prefix, path, WriteMode::Replace, request),
            Code::POST if self.child(prefix)?.is_action(path) => {
                Ok(Reply::new(Code::CHANGED_2_04, Effect::None))
            }
            Code::POST if path.depth() >= 2 => {
                self.write_child(prefix, path, WriteMode::Update, request)
            }
            _ => Err(Refusal::Method),
        }
    }

    fn child(&self, prefix: &ChildPrefix) -> Result<&ObjectTree, Refusal> {
        self.body.children.get(prefix).ok_or(Refusal::NotFound)
    }

    fn discover_child(&self, prefix: &ChildPrefix, path: Path) -> Result<Reply, Refusal> {
        let written = self.link.child_attributes.get(prefix);
        let listed = |at| {
            written
                .map(|written| written.listed(path, at))
                .unwrap_or_default()
        };
        let links = self.child(prefix)?.discover(path, None, listed)?;
        let response = Response {
            content_format: Some(ContentFormat::LINK.0),
            payload: links_below(prefix, &links).into_bytes(),
            ..Response::new(Code::CONTENT_2_05)
        };
        Ok(Reply {
            response,
            effect: Effect::None,
        })
    }

    /// Read, Observe and the end of an observation.
    fn get_child(
        &mut self,
        now: Instant,
        token: Token,
        prefix: &ChildPrefix,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let mut response = self.read_child(prefix, path, request.accept)?;
        let effect = match request.observe {
            Some(0) => {
                let parameters = self.observe_parameters(&request.query)?;
                let target = Target::OfChild(prefix.clone(), path);
                let sequence = self.observe(now, token, target, request.accept, parameters)?;
                response.observe = Some(sequence);
                Effect::None
            }
            Some(_) => Effect::ObservationCancelled(token),
            None => Effect::None,
        };
        Ok(Reply { response, effect })
    }

    pub(super) fn read_child(
        &self,
        prefix: &ChildPrefix,
        path: Path,
        accept: Option<u16>,
    ) -> Result<Response, Refusal> {
        let entries = self.child(prefix)?.read(path)?;
        let root = AlternatePath::default().of_child(prefix);
        self.content(&root, path, &entries, accept)
    }

    fn write_child(
        &mut self,
        prefix: &ChildPrefix,
        path: Path,
        mode: WriteMode,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        self.child(prefix)?.require_instance(path)?;
        let format = self.payload_format(request)?;
        let root = AlternatePath::default().of_child(prefix);
        let values = decode_below(&root, format, path, &request.payload, Registry::oma())?;
        let child = self.body.children.get_mut(prefix);
        let changed = child.ok_or(Refusal::NotFound)?.write(path, mode, &values)?;
        let child = prefix.clone();
        let effect = Effect::ChildWritten { child, changed };
        Ok(Reply::new(Code::CHANGED_2_04, effect))
    }

    fn write_child_attributes(
        &mut self,
        prefix: &ChildPrefix,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        if request.query.is_empty() {
            return Err(Refusal::NoFormat);
        }
        self.child(prefix)?.require(path)?;
        let attributes = parse_known(&request.query, self.body.tree.release())?;
        let written = self.link.child_attributes.entry(prefix.clone());
        written.or_default().write(path, attributes)?;
        let effect = Effect::ChildAttributesWritten;
        Ok(Reply::new(Code::CHANGED_2_04, effect))
    }
}
