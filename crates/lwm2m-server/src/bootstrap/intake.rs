//! What devices send: Bootstrap-Request and Bootstrap-Pack-Request (LwM2M Core 1.2 §6.1.7).

use coap::{Code, ExchangeId, PeerKey, Request};
use lwm2m::{ContentFormat, EndpointName};

use super::engine::BootstrapEngine;
use super::output::{BootstrapId, BootstrapMethod, BootstrapOutcome, BootstrapOutput};
use super::table::{Bootstrap, Client, Stage};
use crate::output::{Now, Origin};
use crate::response::Refusal;
use crate::uplink::bound_endpoint;

/// Query parameters that are looked at.
const MAX_PARAMETERS: usize = 16;

/// What a device asks for.
struct Wish {
    endpoint: Option<EndpointName>,
    method: BootstrapMethod,
    preferred_format: Option<ContentFormat>,
}

impl<P: PeerKey> BootstrapEngine<P> {
    pub(super) fn handle_request(
        &mut self,
        now: Now,
        origin: &Origin,
        peer: P,
        exchange: ExchangeId,
        request: &Request,
    ) {
        if let Err(refusal) = self.admit(now, origin, peer, exchange, request) {
            self.counters.refused += 1;
            self.coap.respond(now.instant, exchange, refusal.response());
        }
    }

    fn admit(
        &mut self,
        now: Now,
        origin: &Origin,
        peer: P,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), Refusal> {
        let wish = wish(request)?;
        let client = Client {
            endpoint: bound_endpoint(origin, wish.endpoint)?,
            identity: origin.principal.identity.clone(),
        };
        // A message that is merely repeated never comes up to here, so the device has begun anew.
        let former = [
            self.bootstraps.at_peer(peer),
            self.bootstraps.of_client(&client),
        ];
        for id in former.into_iter().flatten() {
            self.end(now, id, BootstrapOutcome::Gone);
        }
        if self.bootstraps.len() >= self.config.max_bootstraps {
            self.refuse_for_overload(now, exchange);
            return Ok(());
        }
        let id = BootstrapId(self.next_id);
        self.next_id += 1;
        let ends_at = now.instant + self.config.timeout;
        self.outputs.push_back(BootstrapOutput::Prepare {
            id,
            endpoint: client.endpoint.clone(),
            method: wish.method,
            preferred_format: wish.preferred_format,
            identity: client.identity.clone(),
        });
        let bootstrap = Bootstrap {
            id,
            peer,
            client,
            preferred_format: wish.preferred_format,
            ends_at,
            deadline: ends_at.min(now.instant + self.config.prepare_within),
            log: Vec::new(),
            unanswered: None,
        };
        let stage = Stage::Preparing {
            exchange,
            method: wish.method,
        };
        self.bootstraps.insert(bootstrap, stage);
        Ok(())
    }
}

fn wish(request: &Request) -> Result<Wish, Refusal> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let method = match path.as_slice() {
        ["bs"] if request.method == Code::POST => BootstrapMethod::Sequence,
        ["bspack"] if request.method == Code::GET => BootstrapMethod::Pack,
        ["bs" | "bspack"] => return Err(Refusal::MethodNotAllowed),
        _ => return Err(Refusal::NotFound),
    };
    let endpoint = parameter(&request.query, "ep")?
        .map(EndpointName::new)
        .transpose()
        .map_err(|error| Refusal::BadPayload(format!("ep: {error}")))?;
    let preferred_format = match method {
        BootstrapMethod::Sequence => preferred_format(&request.query)?,
        BootstrapMethod::Pack => Some(pack_format(request.accept)?),
    };
    Ok(Wish {
        endpoint,
        method,
        preferred_format,
    })
}

/// The value of a query parameter; those that are not known are passed over.
fn parameter<'a>(query: &'a [String], name: &str) -> Result<Option<&'a str>, Refusal> {
    if query.len() > MAX_PARAMETERS {
        return Err(Refusal::BadPayload("too many parameters".to_owned()));
    }
    let mut values = query.iter().filter_map(|argument| {
        let (key, value) = argument.split_once('=')?;
        (key == name).then_some(value)
    });
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::BadPayload(format!("{name} is repeated")));
    }
    Ok(value)
}

/// LwM2M Core 1.2 §6.1.7, Bootstrap-Request: 4.15 for a `pct` that the server does not have.
fn preferred_format(query: &[String]) -> Result<Option<ContentFormat>, Refusal> {
    let Some(text) = parameter(query, "pct")? else {
        return Ok(None);
    };
    let number: u16 = text
        .parse()
        .map_err(|_| Refusal::BadPayload("pct is no content format".to_owned()))?;
    let format = ContentFormat(number);
    if !format.is_structured() {
        return Err(Refusal::UnsupportedFormat);
    }
    Ok(Some(format))
}

/// LwM2M Core 1.2 §6.1.7, Bootstrap-Pack-Request: a pack is SenML or LwM2M CBOR, the formats that name objects.
fn pack_format(accept: Option<u16>) -> Result<ContentFormat, Refusal> {
    let format = accept.map_or(ContentFormat::SENML_CBOR, ContentFormat);
    let names_objects = matches!(
        format,
        ContentFormat::SENML_JSON | ContentFormat::SENML_CBOR | ContentFormat::LWM2M_CBOR
    );
    if names_objects && format.is_structured() {
        Ok(format)
    } else {
        Err(Refusal::NotAcceptable)
    }
}
