//! The steps of one bootstrap: what to send next, and what an answer means.

use std::collections::VecDeque;

use coap::{Code, Failure, Request, Response};
use lwm2m::{ContentFormat, EncodeError, Entry, ObjectLinks, Path, Registry, decode};

use super::layout::Layout;
use super::output::{BootstrapOutcome, BootstrapStep};
use super::plan::BootstrapPlan;

/// A plan on its way to a device.
#[derive(Debug)]
pub(super) struct Run {
    plan: BootstrapPlan,
    todo: VecDeque<Task>,
    /// Formats for writes that the device has not refused, the best first.
    formats: Vec<ContentFormat>,
    attempt: Attempt,
}

/// A step that is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Discover,
    Delete(Path),
    /// By its place in the plan.
    Write(usize),
    Read(Path),
    Finish,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    /// After the device found the accounts inconsistent.
    Second,
}

/// What an answer means.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The next step is due.
    Next,
    /// So it is, after the caller is told.
    Discovered(ObjectLinks),
    /// So it is, after the caller is told.
    Reported {
        path: Path,
        values: Vec<Entry>,
    },
    /// The same plan goes out again from the deletes on.
    Again,
    End(BootstrapOutcome),
}

impl Run {
    /// `preferred` is the format that the device asked for.
    pub(super) fn new(plan: BootstrapPlan, preferred: Option<ContentFormat>) -> Self {
        let discover = plan.discover.then_some(Task::Discover);
        let todo = discover.into_iter().chain(tasks(&plan)).collect();
        Self {
            todo,
            plan,
            formats: formats(preferred),
            attempt: Attempt::First,
        }
    }

    /// The next step with its request.
    pub(super) fn next(&mut self) -> Result<(Task, BootstrapStep, Request), EncodeError> {
        // Finish is the last task of all, and after its answer there is no next.
        let task = self.todo.pop_front().unwrap_or(Task::Finish);
        let (step, request) = match task {
            Task::Discover => (
                BootstrapStep::Discover,
                Request {
                    accept: Some(ContentFormat::LINK.0),
                    ..request(Code::GET, Path::Root)
                },
            ),
            Task::Delete(path) => (BootstrapStep::Delete { path }, request(Code::DELETE, path)),
            Task::Write(index) => self.write(index)?,
            // Without Accept the device answers in the format it prefers; every format can be decoded.
            Task::Read(path) => (BootstrapStep::Read { path }, request(Code::GET, path)),
            Task::Finish => (BootstrapStep::Finish, Request::new(Code::POST, ["bs"])),
        };
        Ok((task, step, request))
    }

    fn write(&mut self, index: usize) -> Result<(BootstrapStep, Request), EncodeError> {
        let unsupported = EncodeError::UnsupportedFormat(ContentFormat::TLV);
        let write = self.plan.writes.get(index).ok_or(unsupported)?;
        loop {
            let format = *self.formats.first().ok_or(unsupported)?;
            match write.encode(format) {
                Ok(payload) => {
                    let path = write.path;
                    let request = Request {
                        content_format: Some(format.0),
                        payload,
                        ..request(Code::PUT, path)
                    };
                    return Ok((BootstrapStep::Write { path, format }, request));
                }
                Err(error) if self.formats.len() == 1 => return Err(error),
                Err(_) => drop(self.formats.remove(0)),
            }
        }
    }

    /// The device answered.
    pub(super) fn answered(
        &mut self,
        task: Task,
        step: BootstrapStep,
        response: &Response,
    ) -> Verdict {
        let code = response.code;
        let refused = Verdict::End(BootstrapOutcome::Refused { step, code });
        match task {
            // LwM2M Core 1.2 §6.1.7, Bootstrap-Discover and Bootstrap-Read: a device need not have them, and the accounts
            // are what matters.
            Task::Discover | Task::Read(_) if !code.is_success() => Verdict::Next,
            Task::Discover => self.discovered(response),
            Task::Read(path) => reported(path, response),
            // What is not there need not be deleted.
            Task::Delete(_) if code.is_success() || code == Code::NOT_FOUND_4_04 => Verdict::Next,
            Task::Write(_) if code.is_success() => Verdict::Next,
            Task::Write(_) if is_wrong_format(code) && self.formats.len() > 1 => {
                self.formats.remove(0);
                self.todo.push_front(task);
                Verdict::Next
            }
            Task::Finish if code.is_success() => Verdict::End(BootstrapOutcome::Finished),
            Task::Finish if code == Code::NOT_ACCEPTABLE_4_06 => self.inconsistent(),
            Task::Delete(_) | Task::Write(_) | Task::Finish => refused,
        }
    }

    /// The step ended without an answer.
    pub(super) fn failed(task: Task, step: BootstrapStep, reason: Failure) -> Verdict {
        let is_optional = matches!(task, Task::Discover | Task::Read(_));
        let outcome = match reason {
            Failure::Timeout | Failure::Unanswered => BootstrapOutcome::TimedOut,
            // Old clients reject what they do not know. One that knows nothing rejects the next step as well.
            Failure::Reset if is_optional => return Verdict::Next,
            Failure::Reset | Failure::Cancelled | Failure::PeerGone => BootstrapOutcome::Gone,
            Failure::OutOfMessageIds => BootstrapOutcome::Overloaded,
            Failure::BlockwiseFailed | Failure::BodyTooLarge | Failure::BadOption
                if is_optional =>
            {
                return Verdict::Next;
            }
            Failure::BlockwiseFailed | Failure::BodyTooLarge | Failure::BadOption => {
                BootstrapOutcome::Garbled { step }
            }
        };
        Verdict::End(outcome)
    }

    fn discovered(&mut self, response: &Response) -> Verdict {
        let Ok(links) = ObjectLinks::parse_bytes(&response.payload) else {
            return Verdict::Next;
        };
        Layout::new(&links).fit(&mut self.plan);
        self.todo = tasks(&self.plan).collect();
        Verdict::Discovered(links)
    }

    // LwM2M Core 1.2 §6.1.7, Bootstrap-Finish: 4.06 says that the configuration is inconsistent or incomplete, and the
    // server may correct it. It cannot know what is amiss, so it starts from nothing.
    fn inconsistent(&mut self) -> Verdict {
        if self.attempt == Attempt::Second {
            return Verdict::End(BootstrapOutcome::Inconsistent);
        }
        self.attempt = Attempt::Second;
        self.todo = tasks(&self.plan).collect();
        Verdict::Again
    }
}

/// What a plan asks for after Discover.
fn tasks(plan: &BootstrapPlan) -> impl Iterator<Item = Task> {
    let deletes = plan.deletes.iter().copied().map(Task::Delete);
    let writes = (0..plan.writes.len()).map(Task::Write);
    let reads = plan.reads.iter().copied().map(Task::Read);
    deletes.chain(writes).chain(reads).chain([Task::Finish])
}

/// TLV is what LwM2M 1.0 has, which knows no preferred format.
fn formats(preferred: Option<ContentFormat>) -> Vec<ContentFormat> {
    let usual = [
        ContentFormat::TLV,
        ContentFormat::SENML_CBOR,
        ContentFormat::SENML_JSON,
    ];
    let others = usual
        .into_iter()
        .filter(|format| Some(format.canonical()) != preferred.map(ContentFormat::canonical));
    preferred.into_iter().chain(others).collect()
}

fn is_wrong_format(code: Code) -> bool {
    matches!(
        code,
        Code::UNSUPPORTED_CONTENT_FORMAT_4_15 | Code::NOT_ACCEPTABLE_4_06
    )
}

fn reported(path: Path, response: &Response) -> Verdict {
    // LwM2M Transport 1.2 §6.4.4: a payload without Content-Format is plain text.
    let format = response
        .content_format
        .map_or(ContentFormat::TEXT, ContentFormat);
    match decode(format, path, &response.payload, Registry::oma()) {
        Ok(values) => Verdict::Reported { path, values },
        Err(_) => Verdict::Next,
    }
}

/// LwM2M Core 1.2 §6.1.7: bootstrap knows no alternate path.
fn request(method: Code, path: Path) -> Request {
    Request::new(method, path.segments().map(|id| id.to_string()))
}
