//! One connection (RFC 8323 §3.3, §5).
//!
//! 1. Each side sends a CSM before anything else (§5.3). Ours lies ready from the start.
//! 2. Once the peer's CSM is there, requests and responses pass in both directions; a Ping is
//!    answered by a Pong (§5.4).
//! 3. A Release announces the end; what was asked before is still answered (§5.5).
//! 4. What breaks the rules is answered by an Abort, and is the end at once (§5.6).

#[cfg(test)]
mod tests;

use std::time::Instant;

use super::output::{Capabilities, CloseReason, NotSent, Output};
use super::signal::{self, BlockWise, Custody, Signal};
use super::{BASE_MESSAGE_SIZE, Config, frame};
use crate::message::{Message, Token};

#[derive(Debug)]
enum State {
    /// The peer's CSM has to come until then.
    Opening {
        deadline: Instant,
    },
    Open {
        /// When a Ping was sent that nothing has answered.
        pinged: Option<Instant>,
    },
    /// One side has announced the end.
    Releasing {
        by: Side,
        reason: CloseReason,
        deadline: Instant,
    },
    /// Over, which the caller is still to be told.
    Ending(CloseReason),
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Us,
    Peer,
}

/// Requests of the peer that are watched for their answer; what is beyond is only not waited for
/// at the end.
const MAX_UNANSWERED: usize = 32;

/// The state of one connection, of either side.
///
/// Memory: an incomplete message of at most `max_message_size`, the bytes of the newest
/// [`Connection::handle_bytes`], and `max_output` bytes to be written.
#[derive(Debug)]
pub struct Connection {
    config: Config,
    state: State,
    input: Vec<u8>,
    /// How much of `input` has been read.
    consumed: usize,
    output: Vec<u8>,
    peer: Capabilities,
    block_wise: BlockWise,
    /// Tokens of requests that were handed out and are not answered.
    unanswered: Vec<Token>,
    /// When the peer was heard last.
    heard: Instant,
}

impl Connection {
    /// A connection that has just been made.
    pub fn new(now: Instant, config: Config) -> Self {
        let config = Config {
            max_message_size: config.max_message_size.max(BASE_MESSAGE_SIZE),
            ..config
        };
        let mut output = Vec::new();
        frame::encode(&signal::settings(config.max_message_size), &mut output);
        Self {
            state: State::Opening {
                deadline: now + config.csm_timeout,
            },
            input: Vec::new(),
            consumed: 0,
            output,
            peer: Capabilities::default(),
            block_wise: BlockWise::NotSaid,
            unanswered: Vec::new(),
            heard: now,
            config,
        }
    }

    /// Takes bytes that were read. Drain [`Self::poll_output`] before the next ones.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_over() {
            return;
        }
        self.heard = now;
        if let State::Open { pinged } = &mut self.state {
            *pinged = None;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The peer has closed the connection, or the transport has failed.
    pub fn handle_end(&mut self) {
        if !self.is_over() {
            self.state = State::Ending(match &self.state {
                State::Releasing { reason, .. } => reason.clone(),
                _ => CloseReason::Ended,
            });
        }
    }

    /// The next thing to do; drain this to `None` after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if matches!(self.state, State::Ending(_)) {
                self.input = Vec::new();
                self.consumed = 0;
                let State::Ending(reason) = std::mem::replace(&mut self.state, State::Closed)
                else {
                    return None;
                };
                return Some(Output::Closed(reason));
            }
            let unread = self.input.get(self.consumed..).unwrap_or_default();
            match frame::decode(unread, self.config.max_message_size) {
                Ok(Some((message, len))) => {
                    self.consumed += len;
                    if let Some(output) = self.take(message) {
                        return Some(output);
                    }
                }
                Ok(None) => {
                    self.discard_consumed();
                    if self.end_release() {
                        continue;
                    }
                    return None;
                }
                Err(error) => {
                    self.fail(None, &error.to_string(), CloseReason::Malformed(error));
                }
            }
        }
    }

    /// All bytes that are to be written, if there are any. Ask for them when the transport has
    /// taken the ones before: what waits here counts for [`Config::max_output`].
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Opening { deadline } | State::Releasing { deadline, .. } => Some(*deadline),
            State::Open { pinged } => {
                let idle = self.heard + self.config.idle_timeout;
                let alive = match (pinged, self.config.keepalive) {
                    (Some(at), _) => Some(*at + self.config.pong_timeout),
                    (None, Some(silence)) => Some(self.heard + silence),
                    (None, None) => None,
                };
                Some(alive.map_or(idle, |alive| alive.min(idle)))
            }
            State::Ending(_) | State::Closed => None,
        }
    }

    /// Does what is due at `now`; calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Opening { deadline } if *deadline <= now => {
                self.fail(None, "no CSM in time", CloseReason::NoSettings);
            }
            State::Releasing {
                deadline, reason, ..
            } if *deadline <= now => {
                self.state = State::Ending(reason.clone());
            }
            State::Open { .. } if self.heard + self.config.idle_timeout <= now => {
                frame::encode(&signal::release(), &mut self.output);
                self.state = State::Ending(CloseReason::Idle);
            }
            State::Open { pinged: Some(at) } if *at + self.config.pong_timeout <= now => {
                self.state = State::Ending(CloseReason::Unresponsive);
            }
            State::Open {
                pinged: pinged @ None,
            } => {
                let silence = self.config.keepalive;
                if silence.is_some_and(|silence| self.heard + silence <= now) {
                    *pinged = Some(now);
                    self.queue(&signal::ping());
                }
            }
            _ => {}
        }
    }

    /// Sends a request or response.
    pub fn send(&mut self, message: &Message) -> Result<(), NotSent> {
        if self.is_over() {
            return Err(NotSent::Closed);
        }
        if message.code.is_response()
            && let Some(at) = self
                .unanswered
                .iter()
                .position(|token| *token == message.token)
        {
            self.unanswered.swap_remove(at);
        }
        if frame::encoded_len(message) > self.peer.max_message_size {
            return Err(NotSent::TooLarge);
        }
        self.queue(message);
        if self.is_over() {
            return Err(NotSent::Closed);
        }
        Ok(())
    }

    /// Announces the end (§5.5). The peer closes the connection, or it is over after
    /// [`Config::release_timeout`].
    pub fn release(&mut self, now: Instant) {
        if self.is_over() || matches!(self.state, State::Releasing { .. }) {
            return;
        }
        self.queue(&signal::release());
        if !self.is_over() {
            self.state = State::Releasing {
                by: Side::Us,
                reason: CloseReason::Ended,
                deadline: now + self.config.release_timeout,
            };
        }
    }

    /// Ends the connection at once and says why (§5.6).
    pub fn abort(&mut self, diagnostic: &str) {
        if !self.is_over() {
            let reason = CloseReason::Refused {
                diagnostic: diagnostic.to_owned(),
            };
            self.fail(None, diagnostic, reason);
        }
    }

    /// What the peer takes, as far as it has said.
    pub fn capabilities(&self) -> Capabilities {
        self.peer
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ending(_) | State::Closed)
    }

    /// §5.5: the end announced by the peer waits for the answers which that still wants.
    fn end_release(&mut self) -> bool {
        match &self.state {
            State::Releasing {
                by: Side::Peer,
                reason,
                ..
            } if self.unanswered.is_empty() => {
                self.state = State::Ending(reason.clone());
                true
            }
            _ => false,
        }
    }

    fn discard_consumed(&mut self) {
        if self.consumed == self.input.len() {
            // Most connections are quiet most of the time, so they hold no buffer.
            self.input = Vec::new();
        } else {
            self.input.drain(..self.consumed);
        }
        self.consumed = 0;
    }

    fn take(&mut self, message: Message) -> Option<Output> {
        if signal::is_signal(message.code) {
            return self.signalled(&message);
        }
        if message.code.is_empty() {
            // §3.4: an empty message has no meaning here and is ignored.
            return None;
        }
        if matches!(self.state, State::Opening { .. }) {
            // §5.3: the CSM "MUST be sent as the first message".
            self.fail(None, "the first message is no CSM", CloseReason::NoSettings);
            return None;
        }
        if message.code.is_request() && self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.push(message.token);
        }
        Some(Output::Message(message))
    }

    fn signalled(&mut self, message: &Message) -> Option<Output> {
        let signal = match Signal::read(message) {
            Ok(signal) => signal,
            Err(signal::UnknownOption(option)) => {
                let of_csm = signal::is_settings(message.code).then_some(option);
                let text = format!("unknown critical option {option}");
                self.fail(of_csm, &text, CloseReason::UnknownOption(option));
                return None;
            }
        };
        match signal {
            Signal::Settings {
                max_message_size,
                block_wise,
            } => return Some(self.settings(max_message_size, block_wise)),
            Signal::Abort { diagnostic } => {
                self.state = State::Ending(CloseReason::Aborted { diagnostic });
            }
            _ if matches!(self.state, State::Opening { .. }) => {
                self.fail(None, "the first message is no CSM", CloseReason::NoSettings);
            }
            // §5.4.1: custody says that what came before has been processed. The answer to a Ping
            // with that option is not delayed until then, it only goes without it.
            Signal::Ping(asked) => {
                let custody = if self.unanswered.is_empty() {
                    asked
                } else {
                    Custody::None
                };
                self.queue(&signal::pong(message.token, custody));
            }
            Signal::Release { hold_off } => {
                self.state = State::Releasing {
                    by: Side::Peer,
                    reason: CloseReason::Released { hold_off },
                    deadline: self.heard + self.config.release_timeout,
                };
            }
            // That bytes arrived has answered the Ping already.
            Signal::Pong | Signal::Unknown => {}
        }
        None
    }

    /// §5.3.2: BERT is supported where block-wise transfer and larger messages are.
    fn settings(&mut self, max_message_size: Option<u32>, block_wise: BlockWise) -> Output {
        let said = max_message_size.map(|size| size as usize);
        let size = said.unwrap_or(self.peer.max_message_size);
        if block_wise == BlockWise::Supported {
            self.block_wise = block_wise;
        }
        self.peer = Capabilities {
            max_message_size: size.min(self.config.max_message_size),
            bert: self.block_wise == BlockWise::Supported && size > BASE_MESSAGE_SIZE,
        };
        if matches!(self.state, State::Opening { .. }) {
            self.state = State::Open { pinged: None };
        }
        Output::Ready(self.peer)
    }

    fn fail(&mut self, bad_csm_option: Option<u16>, diagnostic: &str, reason: CloseReason) {
        frame::encode(&signal::abort(bad_csm_option, diagnostic), &mut self.output);
        self.state = State::Ending(reason);
    }

    fn queue(&mut self, message: &Message) {
        if self.output.len() + frame::encoded_len(message) > self.config.max_output {
            self.output = Vec::new();
            self.state = State::Ending(CloseReason::Overflow);
            return;
        }
        frame::encode(message, &mut self.output);
    }
}
