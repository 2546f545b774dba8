//! Requests of the server (LwM2M Core 1.2 §6.3, Transport 1.2 §6.4.4).

use std::time::Instant;

use coap::{Code, ExchangeId, Request, Response, Token};
use lwm2m::operation::MAX_DISCOVER_DEPTH;
use lwm2m::{
    ContentFormat, DecodeError, Entry, ExecuteArguments, LwM2mVersion, Path, Registry, Value,
    WriteMode, decode, first_instance,
};

use super::Towards;
use super::effect::Effect;
use crate::access::Right;
use crate::attributes::parse_known;
use crate::fault::Fault;
use crate::objects::server::{self, BINDING, DEFAULT_PMAX, DEFAULT_PMIN, LIFETIME};
use crate::observation::Target;
use crate::output::Output;
use crate::refusal::Refusal;
use crate::updates;
use crate::uri::parse_path;

/// The range of Package URI, `/5/0/1`.
const MAX_URI_BYTES: usize = 255;

/// An answer, and what follows once it is on its way.
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) effect: Effect,
}

impl Reply {
    pub(super) fn new(code: Code, effect: Effect) -> Self {
        Self {
            response: Response::new(code),
            effect,
        }
    }
}

impl Towards<'_> {
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        token: Token,
        request: &Request,
    ) {
        self.refresh_clock(now);
        let counted = self.refresh_statistics();
        let served = if let Some(served) = self.serve_child(now, token, request) {
            served
        } else {
            let path = parse_path(&request.path);
            if path.is_ok_and(|path| self.swallows(path, request)) {
                return;
            }
            path.and_then(|path| {
                self.refuses(request)?;
                self.serve(now, token, path, request)
            })
        };
        let reply = served.unwrap_or_else(|refusal| Reply {
            response: self.refusal_response(refusal),
            effect: Effect::None,
        });
        let code = reply.response.code;
        self.answer(now, exchange, reply.response);
        self.follow(now, reply.effect);
        self.note_request(now, request, code, counted);
    }

    /// Refuses what the server has no right to do.
    pub(super) fn authorize(&self, path: Path, right: Right) -> Result<(), Refusal> {
        self.body
            .tree
            .authorize(self.link.short_server_id, path, right)
    }

    fn serve(
        &mut self,
        now: Instant,
        token: Token,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        match request.method {
            Code::GET if request.accept == Some(ContentFormat::LINK.0) => {
                self.serve_discover(path, request)
            }
            Code::GET => self.serve_get(now, token, path, request),
            Code::PUT => self.serve_put(now, path, request),
            Code::POST => self.serve_post(now, path, request),
            Code::DELETE => {
                self.body.tree.require(path)?;
                self.authorize(path, right_to_delete(path))?;
                self.body.tree.delete(path)?;
                Ok(Reply::new(Code::DELETED_2_02, Effect::Deleted(path)))
            }
            Code::FETCH => self.serve_fetch(now, token, path, request),
            Code::IPATCH => self.serve_ipatch(now, path, request),
            _ => Err(Refusal::Method),
        }
    }

    fn serve_discover(&self, path: Path, request: &Request) -> Result<Reply, Refusal> {
        let depth = match request.query.as_slice() {
            [] => None,
            _ if self.has_fault(Fault::IgnoresDepth) => None,
            [parameter] if self.body.tree.release() == LwM2mVersion::V1_2 => {
                let depth = parameter
                    .strip_prefix("depth=")
                    .and_then(|depth| depth.parse::<u8>().ok())
                    .filter(|depth| *depth <= MAX_DISCOVER_DEPTH);
                Some(depth.ok_or(Refusal::BadQuery)?)
            }
            _ => return Err(Refusal::BadQuery),
        };
        let listed = |at| self.link.attributes.listed(path, at);
        let links = self.body.tree.discover(path, depth, listed)?;
        let mut text = links.to_string();
        if self.has_fault(Fault::DiscoversWithSlashes) {
            text = text.replace('>', "/>");
        }
        let response = Response {
            content_format: Some(ContentFormat::LINK.0),
            payload: text.into_bytes(),
            ..Response::new(Code::CONTENT_2_05)
        };
        Ok(Reply {
            response,
            effect: Effect::None,
        })
    }

    fn serve_get(
        &mut self,
        now: Instant,
        token: Token,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let mut response = self.represent(path, request.accept)?;
        let effect = match request.observe {
            Some(0) => {
                let parameters = self.observe_parameters(&request.query)?;
                let target = Target::One(path);
                let sequence = self.observe(now, token, target, request.accept, parameters)?;
                response.observe = Some(sequence);
                Effect::ObservationStarted(path)
            }
            Some(_) => Effect::ObservationCancelled(token),
            None => Effect::None,
        };
        Ok(Reply { response, effect })
    }

    fn serve_put(&mut self, now: Instant, path: Path, request: &Request) -> Result<Reply, Refusal> {
        let has_values = request.content_format.is_some() || !request.payload.is_empty();
        if has_values {
            return self.serve_write(now, path, WriteMode::Replace, request);
        }
        if request.query.is_empty() {
            return Err(Refusal::NoFormat);
        }
        self.body.tree.require(path)?;
        self.authorize(path, Right::Read)?;
        let attributes = parse_known(&request.query, self.body.tree.release())?;
        self.link.attributes.write(path, attributes)?;
        Ok(Reply::new(
            Code::CHANGED_2_04,
            Effect::AttributesWritten(path),
        ))
    }

    fn serve_post(
        &mut self,
        now: Instant,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        match path {
            Path::Root | Path::ResourceInstance(..) => {
                self.body.tree.require(path)?;
                Err(Refusal::NotAllowed(path))
            }
            Path::Object(object) => self.serve_create(object, request),
            Path::Resource(..) if self.body.tree.is_action(path) => {
                self.serve_execute(now, path, request)
            }
            Path::ObjectInstance(..) | Path::Resource(..) => {
                self.serve_write(now, path, WriteMode::Update, request)
            }
        }
    }

    fn serve_write(
        &mut self,
        now: Instant,
        path: Path,
        mode: WriteMode,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        self.body.tree.require_instance(path)?;
        self.authorize(path, Right::Write)?;
        let format = self.payload_format(request)?;
        let values = decode(format, path, &request.payload, Registry::oma())?;
        for entry in &values {
            check_meaning(entry)?;
        }
        let (packages, values): (Vec<Entry>, Vec<Entry>) = values
            .into_iter()
            .partition(|entry| updates::takes_package(entry.path));
        if let [_, second, ..] = packages.as_slice() {
            // The two ways to get a package exclude each other.
            return Err(Refusal::NotAllowed(second.path));
        }
        let mut changed = Vec::new();
        if packages.is_empty() || !values.is_empty() {
            changed = self.body.tree.write(path, mode, &values)?;
        }
        for entry in &packages {
            self.write_package(now, entry)?;
        }
        let effect = Effect::Written {
            path,
            mode,
            values,
            changed,
        };
        Ok(Reply::new(Code::CHANGED_2_04, effect))
    }

    pub(super) fn write_package(&mut self, now: Instant, entry: &Entry) -> Result<(), Refusal> {
        let Entry { path, value, .. } = entry;
        let refused = |_| Refusal::NotAllowed(*path);
        match value {
            Value::Opaque(bytes) => {
                let pushed = self.body.updates.push(now, *path, bytes);
                pushed.ok_or(Refusal::Missing(*path))?.map_err(refused)
            }
            Value::String(uri) if uri.len() > MAX_URI_BYTES => Err(Refusal::BadValue(*path)),
            Value::String(uri) => {
                let pull = self.body.updates.pull(*path, uri);
                let pull = pull.ok_or(Refusal::Missing(*path))?.map_err(refused)?;
                self.body.tree.put(*path, Value::String(uri.clone()));
                if let Some(pull) = pull {
                    self.output(Output::Pull(pull));
                }
                Ok(())
            }
            _ => Err(Refusal::BadValue(*path)),
        }
    }

    fn serve_execute(
        &mut self,
        now: Instant,
        path: Path,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        self.authorize(path, Right::Execute)?;
        let format = request
            .content_format
            .map_or(ContentFormat::TEXT, ContentFormat);
        if format.canonical() != ContentFormat::TEXT {
            return Err(Refusal::UnsupportedFormat);
        }
        let text = str::from_utf8(&request.payload).map_err(|_| Refusal::BadValue(path))?;
        let arguments: ExecuteArguments = text.parse()?;
        let done = self.body.updates.execute(now, path, &arguments);
        done.unwrap_or(Ok(()))
            .map_err(|_| Refusal::NotAllowed(path))?;
        Ok(Reply::new(
            Code::CHANGED_2_04,
            Effect::Executed { path, arguments },
        ))
    }

    fn serve_create(&mut self, object: u16, request: &Request) -> Result<Reply, Refusal> {
        let free = self.body.tree.free_instance(object)?;
        self.authorize(Path::Object(object), Right::Create)?;
        let values = if request.payload.is_empty() {
            Vec::new()
        } else {
            let format = self.payload_format(request)?;
            decode_new_instance(format, object, free, &request.payload)?
        };
        let is_tlv = request
            .content_format
            .map(ContentFormat)
            .is_some_and(|format| format.canonical() == ContentFormat::TLV);
        let of_values = values
            .first()
            .and_then(|entry| entry.path.object_instance_id());
        // One without values is named all the same.
        let empty = || first_instance(&request.payload).filter(|_| is_tlv);
        let named = of_values.or_else(empty);
        let path = Path::Object(object)
            .child(named.unwrap_or(free))
            .ok_or(Refusal::NotFound)?;
        if let Some(entry) = values.iter().find(|entry| !entry.path.starts_with(path)) {
            return Err(Refusal::BadValue(entry.path));
        }
        self.body.tree.create(path, &values)?;
        let mut reply = Reply::new(Code::CREATED_2_01, Effect::Created(path));
        reply.response.location_path = path.segments().map(|id| id.to_string()).collect();
        Ok(reply)
    }
}

/// A resource instance is part of what is written.
pub(super) fn right_to_delete(path: Path) -> Right {
    match path {
        Path::ResourceInstance(..) => Right::Write,
        _ => Right::Delete,
    }
}

/// LwM2M Core 1.2 §6.3.4: a TLV payload that names no instance leaves the choice to the device.
fn decode_new_instance(
    format: ContentFormat,
    object: u16,
    free: u16,
    payload: &[u8],
) -> Result<Vec<Entry>, DecodeError> {
    // An object instance TLV has zero in its two highest bits.
    let names_instance = first_instance(payload).is_some();
    let base = if format.canonical() == ContentFormat::TLV && !names_instance {
        Path::ObjectInstance(object, free)
    } else {
        Path::Object(object)
    };
    decode(format, base, payload, Registry::oma())
}

/// Values that have the right type and still make no sense to the device.
pub(super) fn check_meaning(entry: &Entry) -> Result<(), Refusal> {
    let sensible = match (entry.path, &entry.value) {
        (
            Path::Resource(server::ID, _, LIFETIME | DEFAULT_PMIN | DEFAULT_PMAX),
            Value::Integer(secs),
        ) => u32::try_from(*secs).is_ok(),
        (Path::Resource(server::ID, _, BINDING), Value::String(text)) => {
            text.parse::<lwm2m::Binding>().is_ok()
        }
        _ => true,
    };
    if sensible {
        Ok(())
    } else {
        Err(Refusal::BadValue(entry.path))
    }
}
