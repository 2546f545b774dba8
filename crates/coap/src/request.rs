//! Whole requests, and how they map to options.

use std::time::Duration;

use crate::blockwise::{Block, BlockSize};
use crate::message::{Code, Message, MessageId, Token, Type};
use crate::option::{ETag, ExtraOption, Fnv, number, uint};

/// Whether a message is repeated until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reliability {
    Confirmable,
    NonConfirmable,
}

impl Reliability {
    pub(crate) fn kind(self) -> Type {
        match self {
            Self::Confirmable => Type::Confirmable,
            Self::NonConfirmable => Type::NonConfirmable,
        }
    }
}

/// A whole request; a body that travelled in blocks is already joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Code,
    pub confirmable: Reliability,
    /// Sending: the token to use, or `None` for one the endpoint makes. Received: always set.
    pub token: Option<Token>,
    /// Uri-Host.
    pub host: Option<String>,
    /// Uri-Path, one element per segment, without percent encoding.
    pub path: Vec<String>,
    /// Uri-Query, one element per argument.
    pub query: Vec<String>,
    pub content_format: Option<u16>,
    pub accept: Option<u16>,
    /// 0 registers, 1 cancels (RFC 7641 §2).
    pub observe: Option<u32>,
    /// Versions of the representation which the requester holds.
    pub etag: Vec<ETag>,
    /// The largest blocks in which the requester wants a large response.
    pub block_size: Option<BlockSize>,
    /// Sending: how long the response may take once the request was acknowledged, in place of
    /// [`crate::Config::response_timeout`]. Received: never set.
    pub response_timeout: Option<Duration>,
    /// Options of [`crate::Config::passed_options`].
    pub extra: Vec<ExtraOption>,
    pub payload: Vec<u8>,
}

impl Request {
    /// A confirmable request with a path and nothing else.
    pub fn new<S: Into<String>>(method: Code, path: impl IntoIterator<Item = S>) -> Self {
        Self {
            method,
            confirmable: Reliability::Confirmable,
            token: None,
            host: None,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            content_format: None,
            accept: None,
            observe: None,
            etag: Vec::new(),
            block_size: None,
            response_timeout: None,
            extra: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// Code and options of this request without token, observe, block options and payload, or
    /// `None` if a value is longer than its option allows (RFC 7252 §5.10).
    pub(crate) fn template(&self) -> Option<Message> {
        let text = self.path.iter().chain(&self.query).chain(&self.host);
        if text.into_iter().any(|value| value.len() > 255)
            || self.extra.iter().any(|extra| extra.value.len() > 1034)
        {
            return None;
        }
        let mut message = Message::new(self.confirmable.kind(), self.method, MessageId(0));
        let options = &mut message.options;
        if let Some(host) = &self.host {
            options.push(number::URI_HOST, host.as_bytes());
        }
        for etag in &self.etag {
            options.push(number::ETAG, etag.as_bytes());
        }
        for segment in &self.path {
            options.push(number::URI_PATH, segment.as_bytes());
        }
        if let Some(format) = self.content_format {
            options.push_uint(number::CONTENT_FORMAT, u32::from(format));
        }
        for argument in &self.query {
            options.push(number::URI_QUERY, argument.as_bytes());
        }
        if let Some(accept) = self.accept {
            options.push_uint(number::ACCEPT, u32::from(accept));
        }
        for extra in &self.extra {
            options.push(extra.number, &extra.value);
        }
        Some(message)
    }
}

/// Why a request cannot be handed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A critical option that is unknown, repeated or of a wrong form.
    BadOption,
    /// Proxy-Uri or Proxy-Scheme.
    Proxy,
}

/// A request message with its block-wise control taken apart.
#[derive(Debug)]
pub(crate) struct ParsedRequest {
    pub(crate) request: Request,
    pub(crate) block1: Option<Block>,
    pub(crate) block2: Option<Block>,
    /// The announced size of the whole body.
    pub(crate) size1: Option<u32>,
    /// Present when the requester asks for the size of the response.
    pub(crate) size2: Option<u32>,
    /// Method, path and query: what later blocks of a response are matched by.
    pub(crate) resource: u64,
    /// `resource` and the Request-Tag: what the blocks of an upload are matched by.
    pub(crate) upload: u64,
}

impl ParsedRequest {
    /// `largest` is the largest block size which the transport knows.
    pub(crate) fn new(
        message: Message,
        passed: &[u16],
        largest: BlockSize,
    ) -> Result<Self, Refused> {
        let Message {
            kind,
            code,
            token,
            options,
            payload,
            ..
        } = message;
        let mut parsed = Self {
            request: Request {
                confirmable: if kind == Type::Confirmable {
                    Reliability::Confirmable
                } else {
                    Reliability::NonConfirmable
                },
                token: Some(token),
                payload,
                ..Request::new::<String>(code, [])
            },
            block1: None,
            block2: None,
            size1: None,
            size2: None,
            resource: 0,
            upload: 0,
        };
        let mut resource = Fnv::new().bytes(&[code.as_byte()]);
        let mut tag = Fnv::new();
        for (number, value) in options.iter() {
            match number {
                number::URI_PATH | number::URI_QUERY => resource = resource.option(number, value),
                number::REQUEST_TAG => tag = tag.option(number, value),
                _ => {}
            }
            parsed.take(number, value, passed, largest)?;
        }
        parsed.resource = resource.finish();
        parsed.upload = resource.bytes(&tag.finish().to_be_bytes()).finish();
        Ok(parsed)
    }

    /// RFC 7252 §5.4.1, §5.4.3 and §5.4.5: a value of a wrong form and a repeated option that
    /// is not repeatable count as unknown: refused when critical, ignored when elective.
    fn take(
        &mut self,
        number: u16,
        value: &[u8],
        passed: &[u16],
        largest: BlockSize,
    ) -> Result<(), Refused> {
        let request = &mut self.request;
        match number {
            number::URI_HOST => once(&mut request.host, text(value)),
            number::URI_PORT => uint(value, 2).map(drop).ok_or(Refused::BadOption),
            number::URI_PATH => text(value)
                .map(|text| request.path.push(text))
                .ok_or(Refused::BadOption),
            number::URI_QUERY => text(value)
                .map(|text| request.query.push(text))
                .ok_or(Refused::BadOption),
            number::ACCEPT => once(
                &mut request.accept,
                uint(value, 2).map(|format| format as u16),
            ),
            number::BLOCK1 => once(&mut self.block1, Block::up_to(largest, value)),
            number::BLOCK2 => {
                once(&mut self.block2, Block::up_to(largest, value))?;
                request.block_size = self.block2.map(|block| block.size);
                Ok(())
            }
            number::PROXY_URI | number::PROXY_SCHEME => Err(Refused::Proxy),
            _ if passed.contains(&number) => {
                request.extra.push(ExtraOption {
                    number,
                    value: value.to_vec(),
                });
                Ok(())
            }
            _ if number & 1 == 1 => Err(Refused::BadOption),
            _ => {
                self.take_elective(number, value);
                Ok(())
            }
        }
    }

    fn take_elective(&mut self, number: u16, value: &[u8]) {
        let request = &mut self.request;
        match number {
            number::CONTENT_FORMAT => {
                let format = uint(value, 2).map(|format| format as u16);
                request.content_format = request.content_format.or(format);
            }
            number::OBSERVE => request.observe = request.observe.or_else(|| uint(value, 3)),
            number::ETAG => request.etag.extend(ETag::new(value)),
            number::SIZE1 => self.size1 = self.size1.or_else(|| uint(value, 4)),
            number::SIZE2 => self.size2 = self.size2.or_else(|| uint(value, 4)),
            _ => {}
        }
    }
}

fn text(value: &[u8]) -> Option<String> {
    let text = (value.len() <= 255).then(|| str::from_utf8(value).ok())??;
    Some(text.to_owned())
}

fn once<T>(field: &mut Option<T>, value: Option<T>) -> Result<(), Refused> {
    if field.is_some() {
        return Err(Refused::BadOption);
    }
    *field = Some(value.ok_or(Refused::BadOption)?);
    Ok(())
}
