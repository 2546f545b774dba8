//! Whole responses, and how they map to options.

use crate::blockwise::{Block, BlockSize};
use crate::message::{Code, Message};
use crate::option::{ETag, ExtraOption, Options, number, uint};

/// A whole response; a body that travelled in blocks is already joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub code: Code,
    pub content_format: Option<u16>,
    /// Sequence number of a notification, 24 bits (RFC 7641 §3.4).
    pub observe: Option<u32>,
    /// Seconds.
    pub max_age: Option<u32>,
    /// Location-Path, one element per segment.
    pub location_path: Vec<String>,
    /// Location-Query, one element per argument.
    pub location_query: Vec<String>,
    /// A body that is sent in blocks gets a tag made from its content when this is `None`.
    pub etag: Option<ETag>,
    /// Options of [`crate::Config::passed_options`].
    pub extra: Vec<ExtraOption>,
    pub payload: Vec<u8>,
}

impl Response {
    /// A response with a code and nothing else.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            content_format: None,
            observe: None,
            max_age: None,
            location_path: Vec::new(),
            location_query: Vec::new(),
            etag: None,
            extra: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// All options but the block and size ones.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        if let Some(etag) = &self.etag {
            options.push(number::ETAG, etag.as_bytes());
        }
        if let Some(observe) = self.observe {
            options.push_uint(number::OBSERVE, observe & 0x00ff_ffff);
        }
        for segment in &self.location_path {
            options.push(number::LOCATION_PATH, segment.as_bytes());
        }
        if let Some(format) = self.content_format {
            options.push_uint(number::CONTENT_FORMAT, u32::from(format));
        }
        if let Some(max_age) = self.max_age {
            options.push_uint(number::MAX_AGE, max_age);
        }
        for argument in &self.location_query {
            options.push(number::LOCATION_QUERY, argument.as_bytes());
        }
        for extra in &self.extra {
            options.push(extra.number, &extra.value);
        }
        options
    }
}

/// A critical option of a response is unknown or of a wrong form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadOption;

/// A response message with its block-wise control taken apart.
#[derive(Clone, Debug)]
pub(crate) struct ParsedResponse {
    pub(crate) response: Response,
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    /// The largest body the server takes, in a 4.13.
    pub(crate) size1: Option<u32>,
}

impl ParsedResponse {
    /// `largest` is the largest block size which the transport knows.
    pub(crate) fn new(
        message: Message,
        passed: &[u16],
        largest: BlockSize,
    ) -> Result<Self, BadOption> {
        let mut response = Response::new(message.code);
        let (mut block1, mut block2, mut size1) = (None, None, None);
        for (number, value) in message.options.iter() {
            match number {
                number::BLOCK1 if block1.is_none() => {
                    block1 = Some(Block::up_to(largest, value).ok_or(BadOption)?);
                }
                number::BLOCK2 if block2.is_none() => {
                    block2 = Some(Block::up_to(largest, value).ok_or(BadOption)?);
                }
                number::SIZE1 => size1 = size1.or_else(|| uint(value, 4)),
                _ if passed.contains(&number) => {
                    response.extra.push(ExtraOption {
                        number,
                        value: value.to_vec(),
                    });
                }
                _ if number & 1 == 1 => return Err(BadOption),
                _ => take_elective(&mut response, number, value),
            }
        }
        response.payload = message.payload;
        Ok(Self {
            response,
            block1,
            block2,
            size1,
        })
    }
}

fn take_elective(response: &mut Response, number: u16, value: &[u8]) {
    match number {
        number::CONTENT_FORMAT => {
            let format = uint(value, 2).map(|format| format as u16);
            response.content_format = response.content_format.or(format);
        }
        number::OBSERVE => response.observe = response.observe.or_else(|| uint(value, 3)),
        number::MAX_AGE => response.max_age = response.max_age.or_else(|| uint(value, 4)),
        number::ETAG => response.etag = response.etag.or_else(|| ETag::new(value)),
        number::LOCATION_PATH => response.location_path.extend(text(value)),
        number::LOCATION_QUERY => response.location_query.extend(text(value)),
        _ => {}
    }
}

fn text(value: &[u8]) -> Option<String> {
    str::from_utf8(value).ok().map(str::to_owned)
}
