//! How the faults of a device show.

use std::time::{Duration, Instant};

use coap::{Code, ExchangeId, Request, Response, Token};
use lwm2m::attributes::AttributeName;
use lwm2m::{ContentFormat, Path};

use super::Towards;
use crate::fault::Fault;
use crate::observation::Phase;
use crate::refusal::Refusal;

/// An answer that waits for its time.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) at: Instant,
    exchange: ExchangeId,
    response: Response,
}

impl Towards<'_> {
    pub(super) fn has_fault(&self, fault: Fault) -> bool {
        self.body.config.faults.contains(&fault)
    }

    /// Whether a request is acknowledged and nothing more.
    pub(super) fn swallows(&self, path: Path, request: &Request) -> bool {
        self.body.config.faults.iter().any(|fault| match fault {
            Fault::SwallowsComposite => is_composite(request),
            Fault::NeverAnswers(below) => path.starts_with(*below),
            _ => false,
        })
    }

    /// A refusal that no other device would make.
    pub(super) fn refuses(&self, request: &Request) -> Result<(), Refusal> {
        for fault in &self.body.config.faults {
            match fault {
                Fault::RefusesComposite if is_composite(request) => return Err(Refusal::Method),
                Fault::RefusesAttribute(name) if names(request, *name) => {
                    return Err(Refusal::UnknownAttribute(*name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn refusal_response(&self, refusal: Refusal) -> Response {
        let code = match refusal {
            Refusal::NotAcceptable if self.has_fault(Fault::RefusesAcceptAsFormat) => {
                Code::UNSUPPORTED_CONTENT_FORMAT_4_15
            }
            Refusal::Exists(_) if self.has_fault(Fault::RefusesKnownInstance) => {
                Code::NOT_ACCEPTABLE_4_06
            }
            _ => refusal.code(),
        };
        Response {
            code,
            ..refusal.response()
        }
    }

    /// An answer or notification as the device would send it.
    pub(super) fn distorted(&self, mut response: Response) -> Response {
        for fault in &self.body.config.faults {
            match fault {
                Fault::MislabelsFormat(format) if response.content_format.is_some() => {
                    response.content_format = Some(format.0);
                }
                Fault::OmitsFormat => response.content_format = None,
                Fault::NumbersFormatsAsDrafts => {
                    response.content_format = response.content_format.map(drafted);
                }
                Fault::OmitsLocation => response.location_path.clear(),
                Fault::OmitsObserve => response.observe = None,
                _ => {}
            }
        }
        response
    }

    /// Gives an answer now, or keeps it for later.
    pub(super) fn answer(&mut self, now: Instant, exchange: ExchangeId, response: Response) {
        let response = self.distorted(response);
        let wait = self
            .body
            .config
            .faults
            .iter()
            .find_map(|fault| match fault {
                Fault::AnswersAfter(wait) => Some(*wait),
                _ => None,
            });
        match now.checked_add(wait.unwrap_or(Duration::ZERO)) {
            Some(at) if at > now => self.link.held.push(Held {
                at,
                exchange,
                response,
            }),
            _ => self.link.coap.respond(now, exchange, response),
        }
    }

    pub(super) fn answer_held(&mut self, now: Instant) {
        // In the order of the requests.
        let due = |held: &mut Held| held.at <= now;
        for held in self.link.held.extract_if(.., due).collect::<Vec<_>>() {
            self.link.coap.respond(now, held.exchange, held.response);
        }
    }

    pub(super) fn observation_reset(&mut self, token: Token) {
        if !self.has_fault(Fault::IgnoresReset) {
            self.end_observation(token);
            return;
        }
        let known = self
            .link
            .observations
            .iter_mut()
            .find(|known| known.token == token);
        if let Some(observation) = known {
            observation.phase = Phase::Quiet;
        }
    }

    /// What leaves the device in place of a datagram.
    pub(super) fn mangled(&self, mut datagram: Vec<u8>) -> Vec<u8> {
        // RFC 7252 §3: the length of the token, the code, the id, and then the token.
        let is_answer = datagram.get(1).is_some_and(|code| *code >= 0x40);
        if is_answer && self.has_fault(Fault::WrongToken) {
            let length = datagram
                .first()
                .map_or(0, |first| usize::from(first & 0x0f));
            for byte in datagram.iter_mut().skip(4).take(length) {
                *byte = !*byte;
            }
        }
        datagram
    }
}

fn is_composite(request: &Request) -> bool {
    matches!(request.method, Code::FETCH | Code::IPATCH)
}

fn names(request: &Request, name: AttributeName) -> bool {
    let is_named = |parameter: &String| {
        let key = parameter
            .split_once('=')
            .map_or(parameter.as_str(), |(key, _)| key);
        key == name.as_str()
    };
    request.query.iter().any(is_named)
}

/// The number that a format had before it was registered.
fn drafted(format: u16) -> u16 {
    match ContentFormat(format) {
        ContentFormat::TEXT => 1_541,
        ContentFormat::TLV => 1_542,
        ContentFormat::JSON => 1_543,
        ContentFormat(other) => other,
    }
}
