//! `raw`: a request as it is.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use lwm2m::Method;
use proto::drover::v1::{RawAnswer, SendRawRequest};
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::command::write::{DeliveryOptions, ended_badly, request};
use crate::failure::Failure;
use crate::{model, table};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover raw sim-0001 GET /3/0 --accept tlv
  drover raw sim-0001 PUT \"/3303/0/5700?pmin=10&pmax=60\"
  drover raw sim-0001 PUT /1/0/2 --format text --text 101
  drover raw sim-0001 POST /1/0 --format tlv --hex c10265c20203f2

Nothing is checked but the size. GET and FETCH are sent at once; anything else is committed first,
and sent at most once. An answer with an error is shown like any other.

JSON: {\"coapCode\", \"format\", \"payload\" in hexadecimal, \"text\" if it is one}.")]
pub(crate) struct Raw {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// GET, POST, PUT, DELETE, FETCH or iPATCH.
    #[arg(value_name = "METHOD", value_parser = parse_method)]
    method: Method,
    /// Path and query, such as /3/0?pmin=10.
    #[arg(value_name = "TARGET")]
    target: String,
    /// Content format of the payload: a name as with `drover read --accept`, or a number.
    #[arg(long, value_name = "FORMAT", value_parser = model::parse_format)]
    format: Option<u32>,
    /// Content format to ask for.
    #[arg(long, value_name = "FORMAT", value_parser = model::parse_format)]
    accept: Option<u32>,
    #[command(flatten)]
    payload: Payload,
    #[command(flatten)]
    delivery: DeliveryOptions,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Payload {
    /// Payload as text.
    #[arg(long)]
    text: Option<String>,
    /// Payload in hexadecimal.
    #[arg(long)]
    hex: Option<String>,
    /// Payload from a file; - is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Payload {
    fn bytes(self) -> Result<Vec<u8>, Failure> {
        if let Some(text) = self.text {
            return Ok(text.into_bytes());
        }
        if let Some(digits) = self.hex {
            return hex::decode(&digits).map_err(|error| {
                Failure::usage(
                    format!("--hex {digits}: {error}"),
                    "give two hexadecimal digits for each byte",
                )
            });
        }
        let Some(file) = self.file else {
            return Ok(Vec::new());
        };
        let mut bytes = Vec::new();
        let read = if file.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut bytes).map(drop)
        } else {
            std::fs::read(&file).map(|read| bytes = read)
        };
        read.map_err(|error| anyhow::anyhow!("cannot read {}: {error}", file.display()))?;
        Ok(bytes)
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    Method::ALL
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| "a method is GET, POST, PUT, DELETE, FETCH or iPATCH".to_owned())
}

impl Raw {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let action = format!("{} {} of {}", self.method, self.target, self.endpoint);
        let delivery = (!self.method.is_safe()).then(|| self.delivery.message(global));
        let message = SendRawRequest {
            endpoint: self.endpoint,
            method: self.method.to_string(),
            target: self.target,
            content_format: self.format,
            accept: self.accept,
            payload: self.payload.bytes()?,
            delivery,
        };
        let api = Api::connect(global).await?;
        let answer = api.operations().send_raw(request(global, message)).await;
        let answer = answer.map_err(Failure::call(action))?.into_inner();
        if let Some(operation) = answer.operation.filter(ended_badly) {
            return Err(Failure::Operation {
                operation: Box::new(operation),
            });
        }
        let view = AnswerView::from(answer.answer.unwrap_or_default());
        global.output.show(&view, AnswerView::lines)
    }
}

/// What the device answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerView {
    coap_code: String,
    format: Option<String>,
    payload: String,
    text: Option<String>,
}

impl From<RawAnswer> for AnswerView {
    fn from(answer: RawAnswer) -> Self {
        let printable = |text: &&str| !text.chars().any(char::is_control);
        let text = str::from_utf8(&answer.payload).ok().filter(printable);
        Self {
            coap_code: answer.coap_code,
            format: answer.content_format.map(model::format_name),
            text: text.filter(|text| !text.is_empty()).map(str::to_owned),
            payload: hex::encode(&answer.payload),
        }
    }
}

impl AnswerView {
    /// `2.05 text` and below it the payload.
    fn lines(&self) -> String {
        let format = self.format.as_deref().unwrap_or_default();
        let payload = self.text.as_ref().unwrap_or(&self.payload);
        let head = format!("{} {format}", self.coap_code);
        let mut lines = table::printable(head.trim_end()) + "\n";
        if !payload.is_empty() {
            lines += &table::printable(payload);
            lines.push('\n');
        }
        lines
    }
}
