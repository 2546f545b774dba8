//! What the server asks of devices (LwM2M Core 1.2 §6.3, §6.4): operations as CoAP requests and back.

mod answer;
mod failure;
mod pieces;
mod request;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use coap::{Code, ExchangeId, PeerKey, Request, Response, SendError, Token};
use device_state::{Command, Digest, Observation, Quirks, pushed_package, registration_shard};
use lwm2m::{
    AlternatePath, ChildPrefix, ContentFormat, Entry, ObjectLinks, Observed, Operation, Path,
    RegistrationId, Value,
};

use crate::device::Device;
use crate::engine::Engine;
use crate::observation::{Observations, is_final};
use crate::output::{Now, OperationFailure, OperationReply, OperationTag, Output};
use crate::quirks::may_be_unknown_to_device;
use crate::uplink::Awaiting;
use answer::Place;

/// Operations that wait until one device has been answered.
const MAX_EARLY: usize = 16;

/// An operation on a device that has not ended.
#[derive(Debug)]
pub(crate) struct Downlink<P> {
    peer: P,
    registration: RegistrationId,
    /// The device behind it that is meant, where it is a gateway.
    child: Option<ChildPrefix>,
    operation: Operation,
    /// What is written, in place of the value that the operation names.
    package: Option<Bytes>,
    course: Course,
    purpose: Purpose,
    /// Formats that are still to be tried when the device refuses this one, next one last.
    untried: Vec<Option<ContentFormat>>,
}

/// An operation that was asked for and has not begun.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) tag: OperationTag,
    child: Option<ChildPrefix>,
    pub(crate) operation: Operation,
    /// What it writes, in place of the value that it names.
    pub(crate) package: Option<Bytes>,
}

/// How an operation is carried out.
#[derive(Debug)]
enum Course {
    /// By one request.
    Whole,
    /// By several, because the device does not know the one.
    Piecewise {
        /// What is under way.
        step: Operation,
        left: VecDeque<Operation>,
        /// What the steps so far returned.
        values: Vec<(Path, Value)>,
        /// Whether any of them succeeded.
        succeeded: bool,
        /// What it teaches that the device answers all of them.
        lesson: Quirks,
    },
}

impl<P> Downlink<P> {
    /// What is asked of the device now.
    fn current(&self) -> &Operation {
        match &self.course {
            Course::Whole => &self.operation,
            Course::Piecewise { step, .. } => step,
        }
    }

    /// What the paths on the wire begin with.
    fn root<'a>(&self, device: &'a Device<P>) -> Cow<'a, AlternatePath> {
        match &self.child {
            None => Cow::Borrowed(&device.alternate_path),
            Some(child) => Cow::Owned(device.alternate_path.of_child(child)),
        }
    }

    /// Whether it asks the device of the registration for this observation.
    fn asks_for(&self, registration: &RegistrationId, wanted: &Observed) -> bool {
        self.registration == *registration
            && matches!(&self.operation, Operation::Observe { observed, .. } if observed == wanted)
    }

    /// The token of the observation that is asked for once more.
    // RFC 7641 §3.3.1: with the same token it is refreshed, with another the device would have two.
    fn refreshed(&self, observations: &Observations) -> Option<Token> {
        let Operation::Observe {
            observed,
            parameters,
        } = &self.operation
        else {
            return None;
        };
        let Operation::Observe { observed: part, .. } = self.current() else {
            return None;
        };
        observations.token(observed, part.base(), *parameters)
    }
}

/// What a device is asked for.
struct Asked {
    child: Option<ChildPrefix>,
    operation: Operation,
    package: Option<Bytes>,
    purpose: Purpose,
}

impl Asked {
    const fn for_us(child: Option<ChildPrefix>, operation: Operation, purpose: Purpose) -> Self {
        Self {
            child,
            operation,
            package: None,
            purpose,
        }
    }
}

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Whoever asked for the operation.
    Asked(OperationTag),
    /// Nobody: an observation is established again after a registration.
    Restored,
    /// Nobody: it is to be known whether the device answers composite operations.
    Doubt,
}

impl<P: PeerKey> Engine<P> {
    /// An operation on a device of this node; ends in one [`Output::OperationDone`](crate::Output::OperationDone).
    pub fn handle_operation(
        &mut self,
        now: Now,
        tag: OperationTag,
        registration: &RegistrationId,
        operation: Operation,
    ) {
        if let Err(error) = operation.validate() {
            let failure = OperationFailure::Invalid(error.to_string());
            return self.operation_done(tag, Err(failure));
        }
        let (child, operation) = operation.split_child();
        let waiting = Waiting {
            tag,
            child,
            operation,
            package: None,
        };
        self.handle_waiting(now, registration, waiting);
    }

    /// Begins an operation, unless it has to wait on.
    pub(crate) fn handle_waiting(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        mut waiting: Waiting,
    ) {
        if let Some(early) = self.early.get_mut(registration) {
            // LwM2M Core 1.2 §6.2.1: what comes before the 2.01 is ignored by the client, so it waits.
            if early.operations.len() < MAX_EARLY {
                early.operations.push(waiting);
            } else {
                self.operation_done(
                    waiting.tag,
                    Err(OperationFailure::Busy {
                        retry_after: self.config.retry_after,
                    }),
                );
            }
            return;
        }
        if let Some(digest) = pushed_package(&waiting.operation) {
            let tag = waiting.tag;
            if let Err(failure) = self.push_package(now, registration, waiting, digest) {
                self.operation_done(tag, Err(failure));
            }
            return;
        }
        let mut texts = waiting.operation.texts_mut().into_iter();
        if texts.any(|text| Digest::of_package_uri(text).is_some())
            && let Some(peer) = self.peer_of(registration)
        {
            let (tag, registration) = (waiting.tag, registration.clone());
            self.unresolved.insert(tag, (registration, waiting));
            return self.outputs.push_back(Output::Address { tag, peer });
        }
        let Waiting {
            tag,
            child,
            operation,
            package,
        } = waiting;
        if let Operation::CancelObserve { observed } = &operation {
            return self.cancel_observation(now, tag, registration, observed);
        }
        let asked = Asked {
            child,
            operation,
            package,
            purpose: Purpose::Asked(tag),
        };
        if let Err(failure) = self.start_downlink(now, registration, asked) {
            self.operation_done(tag, Err(failure));
        }
    }

    /// The caller no longer waits. What was sent stays sent; what was not is dropped.
    pub fn cancel_operation(&mut self, now: Now, tag: OperationTag) {
        self.unresolved.remove(&tag);
        for waiting in self.early.values_mut() {
            waiting.operations.retain(|waits| waits.tag != tag);
        }
        if let Some(exchange) = self.tags.remove(&tag) {
            let downlink = self.downlinks.remove(&exchange);
            self.coap.cancel(exchange);
            self.drain_coap(now, None);
            if let Some(downlink) = downlink {
                self.doubt(now, &downlink);
            }
        }
    }

    /// LwM2M Core 1.2 §6.4.1: the server establishes its observations again whenever the client registers.
    pub(crate) fn restore_observation(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        observation: &Observation,
    ) {
        let operation = Operation::Observe {
            observed: observation.observed.clone(),
            parameters: observation.parameters,
        };
        if operation.validate().is_err() {
            return;
        }
        if let Some(device) = self.devices.get_mut(registration) {
            device.is_asked(now.instant);
        }
        let (child, operation) = operation.split_child();
        let asked = Asked::for_us(child, operation, Purpose::Restored);
        // A device that is not reached is asked again when it says something (`Engine::restore_missing`).
        let _lost = self.start_downlink(now, registration, asked);
    }

    /// Whether the device is being asked for this observation.
    pub(crate) fn is_asked_for(&self, registration: &RegistrationId, wanted: &Observed) -> bool {
        let mut downlinks = self.downlinks.values();
        downlinks.any(|downlink| downlink.asks_for(registration, wanted))
    }

    /// Gives up establishing an observation again that nobody wants any more.
    pub(crate) fn stop_restoring(&mut self, registration: &RegistrationId, unwanted: &Observed) {
        let restores = |downlink: &Downlink<P>| {
            downlink.purpose == Purpose::Restored && downlink.asks_for(registration, unwanted)
        };
        let exchanges: Vec<ExchangeId> = self
            .downlinks
            .iter()
            .filter_map(|(exchange, downlink)| restores(downlink).then_some(*exchange))
            .collect();
        for exchange in exchanges {
            self.downlinks.remove(&exchange);
            self.coap.cancel(exchange);
        }
    }

    /// Ends what brings a package to a peer: another operation does. A leader of the device's shard that was replaced may have
    /// begun the same, and a device takes one at a time (RFC 7959 §2.5).
    fn end_pushes(&mut self, now: Now, peer: P) {
        let asked = self.downlinks.values().filter_map(|downlink| {
            let pushes = downlink.package.is_some() && downlink.peer == peer;
            match downlink.purpose {
                Purpose::Asked(tag) if pushes => Some(tag),
                _ => None,
            }
        });
        for tag in asked.collect::<Vec<OperationTag>>() {
            self.cancel_operation(now, tag);
            self.operation_done(tag, Err(OperationFailure::Timeout));
        }
    }

    /// The device of the registration, if it can be asked for something now.
    pub(crate) fn check_listening(
        &self,
        now: Now,
        registration: &RegistrationId,
    ) -> Result<&Device<P>, OperationFailure> {
        let device = self.devices.get(registration);
        let device = device.ok_or(OperationFailure::NotHere)?;
        if device.listens(now.instant, self.config.awake_window) {
            Ok(device)
        } else {
            Err(OperationFailure::Asleep)
        }
    }

    fn start_downlink(
        &mut self,
        now: Now,
        registration: &RegistrationId,
        asked: Asked,
    ) -> Result<(), OperationFailure> {
        let Asked {
            child,
            operation,
            package,
            purpose,
        } = asked;
        let device = self.check_listening(now, registration)?;
        let pieces = pieces::needed(&operation, device)?;
        let peer = device.peer;
        if let Operation::Observe {
            observed,
            parameters,
        } = &operation
        {
            // The CoAP layer keeps no more, and what it does not keep it resets.
            let added = pieces.as_ref().map_or(1, |_| observed.paths().len());
            let max = self.config.coap.max_observations_per_peer;
            if !device.observations.has(observed) && device.observations.len() + added > max {
                return Err(OperationFailure::Invalid(
                    "the device has too many observations".to_owned(),
                ));
            }
            self.cancel_changed(now, registration, observed, *parameters);
        }
        if package.is_some() {
            self.end_pushes(now, peer);
        }
        let downlink = Downlink {
            peer,
            registration: registration.clone(),
            child,
            operation,
            package,
            course: Course::Whole,
            purpose,
            untried: Vec::new(),
        };
        match pieces {
            Some(steps) => self.go_piecewise(now, downlink, steps, Quirks::default()),
            None => self.begin(now, downlink),
        }
    }

    fn go_piecewise(
        &mut self,
        now: Now,
        mut downlink: Downlink<P>,
        mut left: VecDeque<Operation>,
        lesson: Quirks,
    ) -> Result<(), OperationFailure> {
        let Some(step) = left.pop_front() else {
            return Err(OperationFailure::Invalid("nothing to do".to_owned()));
        };
        downlink.course = Course::Piecewise {
            step,
            left,
            values: Vec::new(),
            succeeded: false,
            lesson,
        };
        self.begin(now, downlink)
    }

    /// Sends what is now to be asked, in the best format.
    fn begin(&mut self, now: Now, mut downlink: Downlink<P>) -> Result<(), OperationFailure> {
        let device = self
            .devices
            .get(&downlink.registration)
            .ok_or(OperationFailure::NotHere)?;
        if downlink.package.is_some() {
            // In every other format it would have to be copied.
            return self.transmit(now, downlink, Some(ContentFormat::OPAQUE));
        }
        downlink.untried = request::formats(downlink.current(), device);
        let format = downlink.untried.pop().flatten();
        self.transmit(now, downlink, format)
    }

    /// Sends the downlink's operation in `format`.
    fn transmit(
        &mut self,
        now: Now,
        mut downlink: Downlink<P>,
        format: Option<ContentFormat>,
    ) -> Result<(), OperationFailure> {
        let device = self
            .devices
            .get(&downlink.registration)
            .ok_or(OperationFailure::NotHere)?;
        // It may have moved since the last step.
        downlink.peer = device.peer;
        let root = downlink.root(device);
        let names = downlink.child.as_ref().map(|_| root.as_ref());
        let mut request =
            request::encode(downlink.current(), format, device.version, (&root, names))
                .map_err(|error| OperationFailure::Invalid(error.to_string()))?;
        if downlink.pieces_after_silence().is_some() {
            request.response_timeout = Some(self.config.composite_timeout);
        }
        request.token = downlink.refreshed(&device.observations);
        let sent = match downlink.package.clone() {
            Some(package) => {
                self.coap
                    .send_request_shared(now.instant, downlink.peer, request, package)
            }
            None => self.send_request(now, downlink.peer, request),
        };
        let exchange = sent.map_err(|error| match error {
            SendError::PeerBusy { retry_after } | SendError::OutOfMessageIds { retry_after } => {
                OperationFailure::Busy { retry_after }
            }
            SendError::Overloaded => OperationFailure::Busy {
                retry_after: self.config.retry_after,
            },
            error => OperationFailure::Invalid(error.to_string()),
        })?;
        if let Purpose::Asked(tag) = downlink.purpose {
            self.tags.insert(tag, exchange);
        }
        self.note(downlink.peer, |contact| &mut contact.requests);
        self.downlinks.insert(exchange, downlink);
        self.drain_coap(now, None);
        Ok(())
    }

    fn send_request(
        &mut self,
        now: Now,
        peer: P,
        request: Request,
    ) -> Result<ExchangeId, SendError> {
        if request.token.is_none() {
            return self.coap.send_request(now.instant, peer, request);
        }
        match self.coap.send_request(now.instant, peer, request.clone()) {
            // Somebody else is just asking for the same observation.
            Err(SendError::TokenInUse) => {
                let another = Request {
                    token: None,
                    ..request
                };
                self.coap.send_request(now.instant, peer, another)
            }
            sent => sent,
        }
    }

    pub(crate) fn handle_response(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        token: Token,
        response: &Response,
    ) {
        let Some(mut downlink) = self.downlinks.remove(&exchange) else {
            return;
        };
        let purpose = downlink.purpose;
        if matches!(
            response.code,
            Code::NOT_ACCEPTABLE_4_06 | Code::UNSUPPORTED_CONTENT_FORMAT_4_15
        ) && let Some(format) = downlink.untried.pop()
        {
            if let Err(failure) = self.transmit(now, downlink, format) {
                self.fail(purpose, failure);
            }
            return;
        }
        if matches!(downlink.course, Course::Whole)
            && may_be_unknown_to_device(response.code)
            && let Some(steps) = pieces::of(&downlink.operation)
        {
            // What a device behind a gateway refuses says nothing of the gateway.
            if downlink.child.is_none() {
                self.learn(
                    &downlink.registration,
                    pieces::lesson(&downlink.operation, response.code),
                );
            }
            if let Err(failure) = self.go_piecewise(now, downlink, steps, Quirks::default()) {
                self.fail(purpose, failure);
            }
            return;
        }
        self.note_observation(now, &downlink, token, response);
        if response.code.is_success()
            && downlink.child.is_none()
            && let Some(device) = self.devices.get_mut(&downlink.registration)
            && let Some(lifetime) = downlink
                .operation
                .written_lifetime(|instance| device.server == Some(instance))
        {
            device.lives_for(now, lifetime);
        }
        match downlink.course {
            Course::Whole => {
                if let Purpose::Asked(tag) = purpose {
                    let result = self.answered(&downlink, response);
                    self.operation_done(tag, result);
                }
            }
            Course::Piecewise { .. } => self.step_answered(now, downlink, response),
        }
    }

    /// Remembers an observation that the device accepted.
    fn note_observation(
        &mut self,
        now: Now,
        downlink: &Downlink<P>,
        token: Token,
        response: &Response,
    ) {
        let Operation::Observe {
            observed,
            parameters,
        } = &downlink.operation
        else {
            return;
        };
        let Operation::Observe { observed: part, .. } = downlink.current() else {
            return;
        };
        let (registration, base) = (&downlink.registration, part.base());
        let device = self.devices.get(registration);
        if device.is_some_and(|device| device.peer != downlink.peer) {
            // It has moved since, and what it observes where it was is not where it is.
            return self.coap.forget_observation(downlink.peer, token);
        }
        if response.code.is_success() && response.observe.is_some() {
            let token = (token, now.instant);
            self.established(registration, (observed, *parameters), base, token);
        } else if let Some(device) = self.devices.get_mut(registration) {
            // It was one, and is none any more.
            device.observations.remove_token(token);
            if response.code.is_success() || is_final(response.code) {
                device.refuses(observed);
            }
        }
        if response.code.is_success() && downlink.purpose == Purpose::Restored {
            // Whoever asks for an observation gets the first value as the answer.
            let place = (downlink.child.as_ref(), base);
            self.report(now, &downlink.registration, place, response, None);
        }
    }

    /// What the device's answer to the whole operation means.
    fn answered(
        &mut self,
        downlink: &Downlink<P>,
        response: &Response,
    ) -> Result<OperationReply, OperationFailure> {
        let operation = &downlink.operation;
        if is_plain_read(operation, response) {
            return Err(not_observable());
        }
        if response.code.is_success() && answer::has_values(operation) {
            let child = downlink.child.as_ref();
            let base = operation.path();
            let entries = self.values_in(&downlink.registration, child, base, response)?;
            return Ok(answer::delivered(response.code, answer::values(entries)));
        }
        let device = self.devices.get(&downlink.registration);
        let root = device.map_or_else(Cow::default, |device| downlink.root(device));
        let reply = answer::decode(operation, &root, response)?;
        match downlink.child {
            Some(_) => without_prefix(&root, reply),
            None => Ok(reply),
        }
    }

    /// One step of an operation is done: on with the next, unless this one spoils all.
    fn step_answered(&mut self, now: Now, mut downlink: Downlink<P>, response: &Response) {
        let purpose = downlink.purpose;
        match self.take_step(&mut downlink, response) {
            Ok(None) => {
                if let Err(failure) = self.begin(now, downlink) {
                    self.fail(purpose, failure);
                }
            }
            Ok(Some(reply)) => {
                if let Course::Piecewise { lesson, .. } = downlink.course {
                    self.learn(&downlink.registration, lesson);
                }
                if let Purpose::Asked(tag) = purpose {
                    self.operation_done(tag, Ok(reply));
                }
            }
            Err(failure) => self.fail(purpose, failure),
        }
    }

    /// Takes the answer of a step in and moves to the next; the operation's end, if it was the last.
    fn take_step(
        &mut self,
        downlink: &mut Downlink<P>,
        response: &Response,
    ) -> Result<Option<OperationReply>, OperationFailure> {
        let has_values = answer::has_values(downlink.current());
        let returned = if has_values && response.code.is_success() {
            let (child, base) = (downlink.child.as_ref(), downlink.current().path());
            answer::values(self.values_in(&downlink.registration, child, base, response)?)
        } else {
            Vec::new()
        };
        let observes = matches!(downlink.operation, Operation::Observe { .. });
        let absent = pieces::may_be_absent(&downlink.operation, downlink.current(), response.code);
        let Course::Piecewise {
            step,
            left,
            values,
            succeeded,
            ..
        } = &mut downlink.course
        else {
            return Err(OperationFailure::Invalid("not a step".to_owned()));
        };
        let unobserved = is_plain_read(step, response);
        // Attributes that were written are not observed yet.
        *succeeded |= response.code.is_success()
            && !unobserved
            && !matches!(step, Operation::WriteAttributes { .. });
        let spoils = !response.code.is_success() && !absent;
        // An observation of nothing would be silent for ever.
        let nothing = observes && left.is_empty() && !*succeeded;
        if nothing && unobserved {
            return Err(not_observable());
        }
        if spoils || nothing {
            return answer::decode(step, &AlternatePath::default(), response).map(Some);
        }
        values.extend(returned);
        match left.pop_front() {
            Some(next) => {
                *step = next;
                Ok(None)
            }
            None => Ok(Some(answer::delivered(
                Code::CONTENT_2_05,
                std::mem::take(values),
            ))),
        }
    }

    /// The values of a response. A device that labels its payloads wrongly is found out.
    pub(crate) fn values_in(
        &mut self,
        registration: &RegistrationId,
        child: Option<&ChildPrefix>,
        base: Path,
        response: &Response,
    ) -> Result<Vec<Entry>, OperationFailure> {
        // RFC 7252 §5.9.1.3: what is known is still right, and not sent again.
        if response.code == Code::VALID_2_03 {
            return Ok(Vec::new());
        }
        let device = self.devices.get(registration);
        let quirks = device.map_or_else(Quirks::default, |device| device.quirks);
        let mut root = device.map_or_else(AlternatePath::default, |device| {
            device.alternate_path.clone()
        });
        if let Some(child) = child {
            root = root.of_child(child);
        }
        let definitions = Arc::clone(&self.definitions);
        let place = Place {
            root: &root,
            base,
            definitions: &definitions,
        };
        let entries = answer::entries(place, response, quirks).or_else(|failure| {
            let (mislabelled, entries) = answer::guess(place, response, quirks).ok_or(failure)?;
            let lesson = Quirks {
                mislabelled: Some(mislabelled),
                ..Quirks::default()
            };
            // What one behind a gateway gets wrong, the gateway and the others need not.
            if child.is_none() {
                self.learn(registration, lesson);
            }
            Ok(entries)
        })?;
        // What a device behind a gateway reports says nothing of the gateway.
        if child.is_none()
            && let Some(device) = self.devices.get_mut(registration)
        {
            device.take_report(&entries);
        }
        Ok(entries)
    }

    /// Remembers what the device turned out not to do, here and in the state tier.
    fn learn(&mut self, registration: &RegistrationId, lesson: Quirks) {
        let Some(device) = self.devices.get_mut(registration) else {
            return;
        };
        let known = device.quirks.and(lesson);
        if known == device.quirks {
            return;
        }
        device.quirks = known;
        tracing::debug!(endpoint = %device.endpoint, ?known, "learnt what the device does not do");
        if self.awaiting.len() >= self.config.max_pending_commits {
            // It is known here, and learnt again after the next registration.
            return;
        }
        if let Some(shard) = registration_shard(registration) {
            let command = Command::LearnQuirks {
                registration: registration.clone(),
                quirks: lesson,
            };
            self.commit(shard, command, Awaiting::Quirks);
        }
    }
}

/// The reply with links below the child, whether or not the gateway put its prefix in front of them.
fn without_prefix(
    root: &AlternatePath,
    reply: OperationReply,
) -> Result<OperationReply, OperationFailure> {
    let links = ObjectLinks::parse_below(root, &reply.links)
        .map_err(|error| OperationFailure::BadAnswer(error.to_string()))?;
    Ok(OperationReply {
        links: links.to_string(),
        ..reply
    })
}

/// Whether the device answered an Observe like a Read.
// RFC 7641 §3.1: without the option it does not notify.
fn is_plain_read(operation: &Operation, response: &Response) -> bool {
    matches!(operation, Operation::Observe { .. })
        && response.code.is_success()
        && response.observe.is_none()
}

fn not_observable() -> OperationFailure {
    OperationFailure::BadAnswer("it was read and is not observed".to_owned())
}
