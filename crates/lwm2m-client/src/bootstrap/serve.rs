//! Requests of the bootstrap server (LwM2M Core 1.2 §6.1.7).

use coap::{Code, Request, Response};
use lwm2m::{ContentFormat, LwM2mVersion, Path, Registry, decode, encode};

use super::account::{StoredAccount, accounts};
use super::client::BootstrapClient;
use super::config::Misbehaviour;
use super::discover::discover;
use crate::refusal::Refusal;
use crate::uri::parse_path;

/// An answer, and what it means.
pub(super) enum Served {
    Answered(Response),
    /// The bootstrap ends with this answer.
    Finished(Response, Vec<StoredAccount>),
    /// The accounts make no sense.
    Inconsistent(Response),
}

impl BootstrapClient {
    pub(super) fn serve(&mut self, request: &Request) -> Served {
        if request.path == ["bs"] {
            return match request.method {
                Code::POST => self.finish(),
                _ => Served::Answered(Refusal::Method.response()),
            };
        }
        let response = parse_path(&request.path).and_then(|path| self.operate(path, request));
        Served::Answered(response.unwrap_or_else(Refusal::response))
    }

    fn operate(&mut self, path: Path, request: &Request) -> Result<Response, Refusal> {
        match request.method {
            Code::GET if request.accept == Some(ContentFormat::LINK.0) => {
                let config = &self.config;
                let links = discover(&self.store, path, config.version, config.discover)?;
                Ok(Response {
                    content_format: Some(ContentFormat::LINK.0),
                    payload: links.into_bytes(),
                    ..Response::new(Code::CONTENT_2_05)
                })
            }
            Code::GET => self.read(path, request.accept),
            Code::PUT => self.write(path, request),
            Code::DELETE => {
                self.store.delete(path)?;
                Ok(Response::new(Code::DELETED_2_02))
            }
            _ => Err(Refusal::Method),
        }
    }

    fn read(&self, path: Path, accept: Option<u16>) -> Result<Response, Refusal> {
        let entries = self.store.read(path)?;
        let format = match (accept, self.config.version) {
            (Some(number), _) => ContentFormat(number),
            (None, LwM2mVersion::V1_0) => ContentFormat::TLV,
            (None, _) => ContentFormat::SENML_CBOR,
        };
        if !self.config.formats.contains(&format) {
            return Err(Refusal::NotAcceptable);
        }
        let payload = encode(format, path, &entries).map_err(|_| Refusal::NotAcceptable)?;
        Ok(Response {
            content_format: Some(format.0),
            payload,
            ..Response::new(Code::CONTENT_2_05)
        })
    }

    fn write(&mut self, path: Path, request: &Request) -> Result<Response, Refusal> {
        let format = request.content_format.map(ContentFormat);
        let format = format.ok_or(Refusal::NoFormat)?;
        if !self.config.formats.contains(&format) {
            return Err(Refusal::UnsupportedFormat);
        }
        if let Misbehaviour::RefusesWrite(refused) = self.config.misbehaviour
            && path.starts_with(refused)
        {
            return Err(Refusal::BadValue(path));
        }
        let entries = decode(format, path, &request.payload, Registry::oma())?;
        self.store.write(path, &entries)?;
        Ok(Response::new(Code::CHANGED_2_04))
    }

    fn finish(&mut self) -> Served {
        let pretends = match &mut self.config.misbehaviour {
            Misbehaviour::Inconsistent { times } if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        };
        match accounts(&self.store) {
            Some(accounts) if !pretends => {
                Served::Finished(Response::new(Code::CHANGED_2_04), accounts)
            }
            _ => Served::Inconsistent(Response::new(Code::NOT_ACCEPTABLE_4_06)),
        }
    }

    /// Takes the accounts in a pack, or leaves everything as it was.
    pub(super) fn unpack(&mut self, response: &Response) -> Option<Vec<StoredAccount>> {
        if response.code != Code::CONTENT_2_05 {
            return None;
        }
        let format = ContentFormat(response.content_format?);
        let entries = decode(format, Path::Root, &response.payload, Registry::oma()).ok()?;
        let mut store = self.store.clone();
        store.unpack(&entries).ok()?;
        let accounts = accounts(&store)?;
        self.store = store;
        Some(accounts)
    }
}
