//! Requests for devices behind the gateway that the device is (OMA LwM2M Gateway 1.1).

use coap::{Code, Request, Response};
use lwm2m::{
    AlternatePath, ChildPrefix, ContentFormat, NotificationAttributes, Path, Registry, WriteMode,
    decode_below,
};

use super::Towards;
use crate::objects::gateway::links_below;
use crate::refusal::Refusal;
use crate::tree::ObjectTree;
use crate::uri::parse_path;

impl Towards<'_> {
    /// The answer to a request whose path begins with the prefix of a device behind it; none if it does not.
    pub(super) fn serve_child(&mut self, request: &Request) -> Option<Response> {
        let (first, rest) = request.path.split_first()?;
        let prefix: ChildPrefix = first.parse().ok()?;
        if !self.body.children.contains_key(&prefix) {
            return None;
        }
        let response = parse_path(rest).and_then(|path| self.ask_child(&prefix, path, request));
        Some(response.unwrap_or_else(|refusal| self.refusal_response(refusal)))
    }

    fn ask_child(
        &mut self,
        prefix: &ChildPrefix,
        path: Path,
        request: &Request,
    ) -> Result<Response, Refusal> {
        if request.observe.is_some() {
            return Err(Refusal::Method);
        }
        match request.method {
            Code::GET if request.accept == Some(ContentFormat::LINK.0) => {
                self.discover_child(prefix, path)
            }
            Code::GET => self.read_child(prefix, path, request.accept),
            Code::PUT if request.content_format.is_none() => {
                // Attributes are taken: it notifies nobody.
                self.child(prefix)?.require(path)?;
                Ok(Response::new(Code::CHANGED_2_04))
            }
            Code::PUT => self.write_child(prefix, path, WriteMode::Replace, request),
            Code::POST if self.child(prefix)?.is_action(path) => {
                Ok(Response::new(Code::CHANGED_2_04))
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

    fn discover_child(&self, prefix: &ChildPrefix, path: Path) -> Result<Response, Refusal> {
        let none = |_| NotificationAttributes::default();
        let links = self.child(prefix)?.discover(path, None, none)?;
        Ok(Response {
            content_format: Some(ContentFormat::LINK.0),
            payload: links_below(prefix, &links).into_bytes(),
            ..Response::new(Code::CONTENT_2_05)
        })
    }

    fn read_child(
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
    ) -> Result<Response, Refusal> {
        self.child(prefix)?.require_instance(path)?;
        let format = self.payload_format(request)?;
        let root = AlternatePath::default().of_child(prefix);
        let values = decode_below(&root, format, path, &request.payload, Registry::oma())?;
        let child = self.body.children.get_mut(prefix);
        child.ok_or(Refusal::NotFound)?.write(path, mode, &values)?;
        Ok(Response::new(Code::CHANGED_2_04))
    }
}
