//! Fetching a response body block by block (Block2, RFC 7959 §2.4).

use super::{Block, BlockSize, Budget};
use crate::message::{Code, Message};
use crate::option::number;
use crate::response::{ParsedResponse, Response};

/// A response body on its way in.
#[derive(Debug)]
pub(crate) struct Download {
    /// The first response of the present attempt, without payload.
    head: Option<Response>,
    /// Sequence number of the notification or first response that started this.
    observe: Option<u32>,
    body: Vec<u8>,
    size: BlockSize,
    restarts_left: u8,
    /// Repeated in every leg of a FETCH: it is part of what is asked for (RFC 8132 §2).
    request_body: Vec<u8>,
}

/// What one more block means for the download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DownloadStep {
    /// Send the leg that [`Download::push`] now makes.
    Continue,
    /// A block that is already there; keep waiting.
    Repeated,
    /// The body is complete, or the server answered otherwise.
    Done(Response),
    /// The server broke the protocol or changed the representation again.
    Broken,
    /// The body is larger than the configuration allows.
    TooLarge,
}

impl Download {
    /// Starts with the response that carried the first block and says what it means.
    /// `request_body` is only kept for a FETCH, whose payload selects the representation.
    pub(crate) fn start(
        first: ParsedResponse,
        request_body: Vec<u8>,
        max_body: usize,
        budget: &mut Budget,
    ) -> (Self, DownloadStep) {
        let mut download = Self {
            head: None,
            observe: first.response.observe,
            body: Vec::new(),
            size: BlockSize::B1024,
            restarts_left: 1,
            request_body,
        };
        let step = download.step(first, max_body, budget);
        if step != DownloadStep::Continue {
            download.release(budget);
        }
        (download, step)
    }

    /// Adds the options and payload of the next leg.
    pub(crate) fn push(&self, message: &mut Message) {
        if message.code == Code::FETCH {
            message.payload.extend_from_slice(&self.request_body);
        }
        if let Some(block) = Block::at(self.body.len(), self.size) {
            block.push(number::BLOCK2, &mut message.options);
        }
    }

    pub(crate) fn release(&mut self, budget: &mut Budget) {
        budget.release(self.body.len());
        self.body = Vec::new();
    }

    pub(crate) fn step(
        &mut self,
        answer: ParsedResponse,
        max_body: usize,
        budget: &mut Budget,
    ) -> DownloadStep {
        let ParsedResponse {
            mut response,
            block2,
            ..
        } = answer;
        let Some(block) = block2 else {
            // The server gave the whole representation (or an error) in one message after all.
            if response.code.is_success() {
                response.observe = self.observe;
            }
            return DownloadStep::Done(response);
        };
        if self
            .head
            .as_ref()
            .is_some_and(|head| head.code != response.code)
        {
            return DownloadStep::Done(response);
        }
        if block.offset() < self.body.len() {
            return DownloadStep::Repeated;
        }
        // RFC 7959 §2.4: blocks of different versions must never be put together.
        if self
            .head
            .as_ref()
            .is_some_and(|head| head.etag != response.etag)
        {
            return self.restart(block.size, budget);
        }
        let payload = std::mem::take(&mut response.payload);
        let fitting = if block.more {
            block.size.is_full(payload.len())
        } else {
            block.size.holds(payload.len())
        };
        if block.offset() != self.body.len() || !fitting {
            return DownloadStep::Broken;
        }
        if self.body.len() + payload.len() > max_body || budget.charge(payload.len()).is_err() {
            return DownloadStep::TooLarge;
        }
        self.body.extend_from_slice(&payload);
        self.size = block.size;
        let head = self.head.get_or_insert(response);
        if block.more {
            return match Block::at(self.body.len(), self.size) {
                Some(_) => DownloadStep::Continue,
                None => DownloadStep::TooLarge,
            };
        }
        budget.release(self.body.len());
        let payload = std::mem::take(&mut self.body);
        DownloadStep::Done(Response {
            payload,
            observe: self.observe,
            ..head.clone()
        })
    }

    fn restart(&mut self, size: BlockSize, budget: &mut Budget) -> DownloadStep {
        if self.restarts_left == 0 {
            return DownloadStep::Broken;
        }
        self.restarts_left -= 1;
        self.release(budget);
        self.head = None;
        self.size = size;
        DownloadStep::Continue
    }
}
