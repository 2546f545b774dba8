//! Which formats the device reads and answers in (LwM2M Transport 1.2 §6.4.4).

use coap::{Code, Request, Response};
use lwm2m::{AlternatePath, ContentFormat, Entry, LwM2mVersion, Path, Value, encode_below};

use super::Towards;
use crate::access::Right;
use crate::fault::Fault;
use crate::refusal::Refusal;

impl Towards<'_> {
    /// A 2.05 with what a path holds, in the format that was asked for.
    pub(super) fn represent(&self, path: Path, accept: Option<u16>) -> Result<Response, Refusal> {
        if path == Path::Root {
            return Err(Refusal::NotAllowed(path));
        }
        let entries = self.readable(path)?;
        let accept = accept.filter(|_| !self.has_fault(Fault::IgnoresAccept));
        self.content(&AlternatePath::default(), path, &entries, accept)
    }

    /// A 2.05 with these values, named below `root`, in the format that was asked for.
    pub(super) fn content(
        &self,
        root: &AlternatePath,
        path: Path,
        entries: &[Entry],
        accept: Option<u16>,
    ) -> Result<Response, Refusal> {
        let format = match accept {
            Some(number) => ContentFormat(number),
            None => self.preferred_format(path, entries),
        };
        if !self.speaks(format) {
            return Err(Refusal::NotAcceptable);
        }
        let payload = encode_below(root, format, path, entries);
        Ok(Response {
            content_format: Some(format.0),
            payload: payload.map_err(|_| Refusal::NotAcceptable)?,
            ..Response::new(Code::CONTENT_2_05)
        })
    }

    /// What the server may read at and below a path.
    pub(super) fn readable(&self, path: Path) -> Result<Vec<Entry>, Refusal> {
        let mut entries = match path {
            Path::Root => self.body.tree.read_all(),
            path => self.body.tree.read(path)?,
        };
        self.authorize(path, Right::Read)?;
        if path.object_instance_id().is_none() {
            entries.retain(|entry| self.authorize(entry.path, Right::Read).is_ok());
        }
        Ok(entries)
    }

    fn preferred_format(&self, path: Path, entries: &[Entry]) -> ContentFormat {
        match entries {
            [entry] if entry.path == path => match entry.value {
                Value::Opaque(_) => ContentFormat::OPAQUE,
                _ => ContentFormat::TEXT,
            },
            _ => match self.body.tree.release() {
                LwM2mVersion::V1_0 => ContentFormat::TLV,
                LwM2mVersion::V1_1 => ContentFormat::SENML_CBOR,
                LwM2mVersion::V1_2 => ContentFormat::LWM2M_CBOR,
            },
        }
    }

    pub(super) fn speaks(&self, format: ContentFormat) -> bool {
        match format.canonical() {
            ContentFormat::TEXT
            | ContentFormat::OPAQUE
            | ContentFormat::TLV
            | ContentFormat::JSON => true,
            ContentFormat::CBOR | ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR => {
                self.body.tree.release() >= LwM2mVersion::V1_1
            }
            ContentFormat::LWM2M_CBOR => self.body.tree.release() >= LwM2mVersion::V1_2,
            _ => false,
        }
    }

    pub(super) fn payload_format(&self, request: &Request) -> Result<ContentFormat, Refusal> {
        let format = request.content_format.map(ContentFormat);
        let format = format.ok_or(Refusal::NoFormat)?;
        if self.speaks(format) {
            Ok(format)
        } else {
            Err(Refusal::UnsupportedFormat)
        }
    }
}
