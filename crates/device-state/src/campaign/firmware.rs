//! What a device does next, through the Firmware Update object (LwM2M Core 1.2 §E.6).
//!
//! ```text
//!  Waiting ─ turn ─▶ Scheduled ─ /3/0, /5/0 read ─▶ Offered ─ URI taken ─▶ Downloading ─ state 2 ─▶ Downloaded
//!                        ▲                                                      │                      │ Update taken
//!                        │ backoff                            failure that may pass                    ▼
//!                     Retrying ◀────────────────────────────────────────────────┘                  Updating
//!                                                                                                       │ result 1
//!                          Succeeded ◀── the version read back is the image's ── Verifying ◀────────────┘
//! ```
//!
//! Of a push nothing is offered: the device is Downloading while the package is written to it, and what it says counts when
//! that is over.
//!
//! A device is believed by what it says in `/5/0/3` and `/5/0/5` after it was asked for something, never by what was
//! known before. It says so in notifications; as those are lost with a reboot, `/5/0` is read whenever it registers, and
//! once a minute otherwise. What decides is the version that it runs.

use std::time::Duration;

use lwm2m::{Entry, ExecuteArguments, Operation, Path, Value, WriteMode};

use super::{DevicePolicy, Failure, Image, Ledger, Phase, SkipReason, Transfer};
use crate::id::Timestamp;
use crate::record::OperationOutcome;

/// How long nothing is heard of a device that is busy before it is asked.
pub const POLL: Duration = Duration::from_mins(1);
/// How long a device may take to say what it makes of a package that was written to it, before it is asked.
const AFTER_PUSH: Duration = Duration::from_secs(5);

const DEVICE: Path = Path::ObjectInstance(3, 0);
/// What it runs.
pub const VERSION: Path = Path::Resource(3, 0, 3);
pub(crate) const BATTERY: Path = Path::Resource(3, 0, 9);
const FIRMWARE: Path = Path::ObjectInstance(5, 0);
const PACKAGE: Path = Path::Resource(5, 0, 0);
const PACKAGE_URI: Path = Path::Resource(5, 0, 1);
const UPDATE: Path = Path::Resource(5, 0, 2);
/// How far the update is.
pub const STATE: Path = Path::Resource(5, 0, 3);
/// What came of it.
pub const RESULT: Path = Path::Resource(5, 0, 5);

/// `/5/0/3`.
mod state {
    pub(super) const IDLE: i64 = 0;
    pub(super) const DOWNLOADING: i64 = 1;
    pub(super) const DOWNLOADED: i64 = 2;
    pub(super) const UPDATING: i64 = 3;
}

/// `/5/0/5`.
mod result {
    pub(super) const NONE: i64 = 0;
    pub(super) const SUCCESS: i64 = 1;
    pub(super) const OUT_OF_MEMORY: u8 = 3;
    pub(super) const CONNECTION_LOST: u8 = 4;
    /// LwM2M Core 1.2: the device puts it off, and goes on later.
    pub(super) const DEFERRED: i64 = 11;
}

const METHOD_NOT_ALLOWED: (u8, u8) = (4, 5);
/// RFC 7959 §2.9.2: it lost the blocks that it had.
const REQUEST_ENTITY_INCOMPLETE: (u8, u8) = (4, 8);

/// What the device said since it was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// `/5/0/3`
    pub state: Option<i64>,
    /// `/5/0/5`
    pub result: Option<i64>,
    /// `/3/0/3`
    pub version: Option<String>,
    /// `/3/0/9`
    pub battery: Option<i64>,
}

/// What happened to the device.
#[derive(Clone, Copy, Debug)]
pub enum Input<'i> {
    /// Its turn came.
    Admitted { wave: u8 },
    /// It registered: it was away, and may have restarted.
    Registered,
    /// It told something about the update or what it runs.
    Reported,
    /// What was being done with it ended.
    Ended {
        operation: &'i Operation,
        outcome: &'i OperationOutcome,
    },
    /// [`Ledger::due`] has come.
    Due,
    /// Nobody begins any more. Not for a device that may have been told to install.
    Halted,
    /// It was deleted.
    Forgotten,
}

/// Where the device is then, and what is done with it. An operation takes the place of what [`Ledger::operation`] names.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub ledger: Ledger,
    pub operation: Option<Operation>,
}

/// What the campaign wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    pub image: &'w Image,
    pub transfer: Transfer,
    pub policy: &'w DevicePolicy,
    pub going: Going,
}

/// Whether a campaign still begins something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    On,
    /// It was halted: what was told to install comes to its end, and nothing is begun anew.
    Halted,
}

/// Moves a device on. Nothing of what it says is trusted to come in order, or at all.
pub fn step(
    wanted: Wanted<'_>,
    ledger: &Ledger,
    known: &Known,
    input: Input<'_>,
    now: Timestamp,
) -> Step {
    let mut walk = Walk {
        wanted,
        ledger: ledger.clone(),
        known,
        now,
        operation: None,
    };
    if let Input::Ended { .. } = input {
        walk.ledger.operation = None;
    }
    if !ledger.phase.is_final() {
        walk.take(input);
    }
    // Whatever comes, somebody looks after a device until it is done with.
    if walk.ledger.phase.is_active() && walk.ledger.due <= now {
        walk.ledger.due = walk.after(POLL);
    }
    Step {
        ledger: walk.ledger,
        operation: walk.operation,
    }
}

struct Walk<'w> {
    wanted: Wanted<'w>,
    ledger: Ledger,
    known: &'w Known,
    now: Timestamp,
    operation: Option<Operation>,
}

impl Walk<'_> {
    fn take(&mut self, input: Input<'_>) {
        match input {
            Input::Admitted { wave } => {
                self.ledger.wave = Some(wave);
                self.schedule();
            }
            Input::Forgotten => self.enter(Phase::Skipped(SkipReason::Forgotten), Timestamp::NEVER),
            Input::Halted => self.halt(),
            Input::Due if self.now >= self.ledger.deadline => self.run_out(),
            _ => self.go_on(input),
        }
    }

    fn go_on(&mut self, input: Input<'_>) {
        match self.ledger.phase {
            Phase::Scheduled => self.scheduled(input),
            Phase::Offered => self.offered(input),
            Phase::Downloading => self.downloading(input),
            Phase::Downloaded => self.downloaded(input),
            Phase::Updating => self.updating(input),
            Phase::Verifying => self.verifying(input),
            // Its deadline ends the pause; nothing else does.
            Phase::Waiting
            | Phase::Retrying
            | Phase::Succeeded
            | Phase::Failed(_)
            | Phase::Expired
            | Phase::Skipped(_)
            | Phase::Cancelled => {}
        }
    }

    /// From the beginning: what it runs, and whether it can be updated.
    fn schedule(&mut self) {
        self.enter(
            Phase::Scheduled,
            self.after(self.wanted.policy.wake_up_deadline),
        );
        self.read(DEVICE);
    }

    fn scheduled(&mut self, input: Input<'_>) {
        match input {
            Input::Ended { operation, outcome } if operation.path() == DEVICE => match outcome {
                OperationOutcome::Delivered { .. } => self.assess(),
                // Nothing is known of what it runs; it may be updated nevertheless.
                OperationOutcome::Rejected { .. } => self.read(FIRMWARE),
                _ => self.lost(DEVICE),
            },
            Input::Ended { outcome, .. } => match outcome {
                OperationOutcome::Delivered { .. } => self.clear_or_offer(),
                OperationOutcome::Rejected { code, .. } => self.unsupported(*code),
                _ => self.lost(FIRMWARE),
            },
            // An update that somebody else began goes on: look again.
            Input::Due => self.poll(FIRMWARE),
            _ => {}
        }
    }

    /// Whether the device is to be updated, by what it says of itself.
    fn assess(&mut self) {
        self.ledger.version_before.clone_from(&self.known.version);
        let battery = i64::from(self.wanted.policy.minimum_battery);
        if self.runs_the_image() {
            self.enter(Phase::Skipped(SkipReason::UpToDate), Timestamp::NEVER);
        } else if self.known.battery.is_some_and(|level| level < battery) {
            self.enter(Phase::Skipped(SkipReason::Battery), Timestamp::NEVER);
        } else {
            self.read(FIRMWARE);
        }
    }

    fn clear_or_offer(&mut self) {
        match self.known.state {
            Some(state::DOWNLOADING | state::DOWNLOADED) => {
                self.enter(Phase::Offered, self.ledger.deadline);
                self.reset();
            }
            Some(state::UPDATING) => self.look_again(),
            _ => self.offer(),
        }
    }

    fn offer(&mut self) {
        let uri = &self.wanted.image.uri;
        match self.wanted.transfer {
            Transfer::Pull => {
                self.enter(Phase::Offered, self.ledger.deadline);
                self.ask(write(PACKAGE_URI, Value::String(uri.clone())));
            }
            Transfer::Push => {
                // Whether it sleeps or is being written to, nobody tells.
                let policy = self.wanted.policy;
                let time = policy
                    .wake_up_deadline
                    .saturating_add(policy.download_timeout);
                self.enter(Phase::Downloading, self.after(time));
                self.ask(write(PACKAGE, Value::String(uri.clone())));
            }
        }
    }

    fn unsupported(&mut self, code: u8) {
        match parts(code) {
            (4, 4) | METHOD_NOT_ALLOWED => {
                self.enter(Phase::Skipped(SkipReason::Unsupported), Timestamp::NEVER);
            }
            (class, detail) => self.fail(Failure::Refused(class, detail)),
        }
    }

    fn offered(&mut self, input: Input<'_>) {
        let Input::Ended { operation, outcome } = input else {
            return;
        };
        let cleared = *operation == reset(self.wanted.transfer);
        match outcome {
            // A device that knows only the other way takes what comes all the same, or says why not.
            OperationOutcome::Delivered { .. } | OperationOutcome::Rejected { .. } if cleared => {
                self.offer();
            }
            OperationOutcome::Delivered { .. } => {
                let deadline = self.after(self.wanted.policy.download_timeout);
                self.enter(Phase::Downloading, deadline);
                self.look_again();
                self.judge_download(Heard::Unasked);
            }
            OperationOutcome::Rejected { code, .. } => {
                let (class, detail) = parts(*code);
                self.fail(Failure::Refused(class, detail));
            }
            // Written or not, the device is asked for the same again.
            _ if self.now < self.ledger.deadline => self.offer(),
            _ => self.run_out(),
        }
    }

    fn downloading(&mut self, input: Input<'_>) {
        match input {
            Input::Ended { operation, outcome } if operation.path() == PACKAGE => {
                self.pushed(outcome);
            }
            // It is of before: what there is to say of this package comes with the end of it.
            Input::Reported if self.is_pushing() => {}
            Input::Reported => self.judge_download(Heard::Unasked),
            Input::Ended { outcome, .. } => {
                self.look_again();
                if let OperationOutcome::Delivered { .. } = outcome {
                    self.judge_download(Heard::Asked);
                }
            }
            Input::Registered | Input::Due => self.poll(FIRMWARE),
            _ => {}
        }
    }

    fn is_pushing(&self) -> bool {
        self.wanted.transfer == Transfer::Push && self.ledger.operation.is_some()
    }

    /// What came of a push. What the device makes of the package, it says from now on.
    fn pushed(&mut self, outcome: &OperationOutcome) {
        if let OperationOutcome::Rejected { code, .. } = outcome {
            let (class, detail) = parts(*code);
            return self.fail(Failure::Refused(class, detail));
        }
        self.ledger.asked_at = self.now;
        self.ledger.due = self.after(AFTER_PUSH).min(self.ledger.deadline);
    }

    fn judge_download(&mut self, heard: Heard) {
        match (self.known.state, self.known.result) {
            (Some(state::DOWNLOADED), _) => self.install(),
            (Some(state::UPDATING), _) => self.updates(),
            // Some install what they have got without being told.
            (Some(state::IDLE), Some(result::SUCCESS)) => self.verify(),
            (Some(state::IDLE) | None, Some(result)) if is_failure(result) => {
                self.fail(Failure::UpdateResult(narrow(result)));
            }
            (Some(state::IDLE), _) if heard == Heard::Asked => self.fail(Failure::Interrupted),
            _ => {}
        }
    }

    fn install(&mut self) {
        self.enter(
            Phase::Downloaded,
            self.after(self.wanted.policy.wake_up_deadline),
        );
        self.order();
    }

    /// Until the phase's deadline, however often it is given.
    fn order(&mut self) {
        self.ask(Operation::Execute {
            path: UPDATE,
            arguments: ExecuteArguments::default(),
        });
    }

    fn downloaded(&mut self, input: Input<'_>) {
        match input {
            Input::Ended { operation, outcome } if operation.path() == UPDATE => {
                self.ordered(outcome);
            }
            // It was asked because nobody knew whether the order reached it.
            Input::Ended { outcome, .. } => match outcome {
                OperationOutcome::Delivered { .. } => self.judge_order(),
                _ => self.lost(FIRMWARE),
            },
            Input::Reported => match (self.known.state, self.known.result) {
                (Some(state::IDLE), Some(result::SUCCESS)) => self.verify(),
                (_, Some(result)) if is_failure(result) => {
                    self.fail(Failure::UpdateResult(narrow(result)));
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn ordered(&mut self, outcome: &OperationOutcome) {
        match outcome {
            OperationOutcome::Delivered { .. } => self.updates(),
            OperationOutcome::Rejected { code, .. } if parts(*code) != METHOD_NOT_ALLOWED => {
                let (class, detail) = parts(*code);
                self.fail(Failure::Refused(class, detail));
            }
            // Some refuse it because they are at it already.
            OperationOutcome::Rejected { .. } => {
                self.updates();
                self.read(FIRMWARE);
            }
            _ => self.lost(FIRMWARE),
        }
    }

    /// What came of an order of which nobody knows whether it arrived.
    fn judge_order(&mut self) {
        let waits = matches!(
            (self.known.state, self.known.result),
            (Some(state::DOWNLOADED), Some(result::NONE) | None)
        );
        match self.wanted.going {
            Going::On if waits => self.order(),
            Going::Halted if waits => self.halt(),
            _ => self.updates(),
        }
    }

    fn updates(&mut self) {
        self.enter(
            Phase::Updating,
            self.after(self.wanted.policy.install_timeout),
        );
        self.look_again();
        self.judge_update(Heard::Unasked);
    }

    fn updating(&mut self, input: Input<'_>) {
        match input {
            Input::Reported => self.judge_update(Heard::Unasked),
            Input::Ended { outcome, .. } => {
                self.look_again();
                if let OperationOutcome::Delivered { .. } = outcome {
                    self.judge_update(Heard::Asked);
                }
            }
            Input::Registered | Input::Due => self.poll(FIRMWARE),
            _ => {}
        }
    }

    fn judge_update(&mut self, heard: Heard) {
        match (self.known.state, self.known.result) {
            (_, Some(result)) if is_failure(result) => {
                self.fail(Failure::UpdateResult(narrow(result)));
            }
            (Some(state::IDLE), Some(result::SUCCESS)) => self.verify(),
            // A restart took the result with it.
            (Some(state::IDLE), _) if heard == Heard::Asked => self.verify(),
            // One that keeps what it got is not told again: some install at night.
            _ => {}
        }
    }

    fn verify(&mut self) {
        // It may have fallen asleep behind it.
        self.enter(
            Phase::Verifying,
            self.after(self.wanted.policy.wake_up_deadline),
        );
        self.read(DEVICE);
    }

    fn verifying(&mut self, input: Input<'_>) {
        match input {
            Input::Reported if self.runs_the_image() => self.succeed(),
            Input::Ended { outcome, .. } => match outcome {
                // What cannot be read back is as the device says.
                OperationOutcome::Delivered { .. } if self.known.version.is_none() => {
                    self.succeed();
                }
                OperationOutcome::Rejected { .. } => self.succeed(),
                OperationOutcome::Delivered { .. } if self.runs_the_image() => self.succeed(),
                OperationOutcome::Delivered { .. } => self.mismatch(),
                _ => self.look_again(),
            },
            Input::Registered | Input::Due => self.poll(DEVICE),
            _ => {}
        }
    }

    /// It may restart only now; but not for ever.
    fn mismatch(&mut self) {
        let until = self
            .ledger
            .since
            .saturating_add(self.wanted.policy.install_timeout);
        if self.now >= until {
            self.fail(Failure::VersionMismatch);
        } else {
            self.look_again();
        }
    }

    fn succeed(&mut self) {
        self.enter(Phase::Succeeded, Timestamp::NEVER);
    }

    fn runs_the_image(&self) -> bool {
        self.known.version.as_deref() == Some(self.wanted.image.version.as_str())
    }

    /// The phase's time is over.
    fn run_out(&mut self) {
        match self.ledger.phase {
            Phase::Scheduled | Phase::Offered | Phase::Downloaded => {
                self.enter(Phase::Expired, Timestamp::NEVER);
            }
            Phase::Downloading => self.fail(Failure::DownloadTimeout),
            Phase::Updating | Phase::Verifying => self.fail(Failure::InstallTimeout),
            Phase::Retrying => {
                self.ledger.retries = self.ledger.retries.saturating_add(1);
                self.schedule();
            }
            _ => {}
        }
    }

    fn fail(&mut self, failure: Failure) {
        let again = self.wanted.going == Going::On && failure.may_pass();
        if again && self.ledger.retries < self.wanted.policy.retries {
            let doubled = 1_u32 << self.ledger.retries.min(16);
            let backoff = self.wanted.policy.retry_backoff.saturating_mul(doubled);
            self.enter(Phase::Retrying, self.after(backoff));
        } else {
            self.enter(Phase::Failed(failure), Timestamp::NEVER);
        }
    }

    /// What has the image installed is not stopped, and what is told to, neither.
    fn halt(&mut self) {
        match self.ledger.phase {
            Phase::Waiting | Phase::Scheduled | Phase::Offered | Phase::Retrying => {
                self.enter(Phase::Cancelled, Timestamp::NEVER);
            }
            // Without the order to install, what it has got or gets is of no use.
            Phase::Downloading | Phase::Downloaded => {
                self.enter(Phase::Cancelled, Timestamp::NEVER);
                self.reset();
            }
            _ => {}
        }
    }

    fn enter(&mut self, phase: Phase, deadline: Timestamp) {
        self.ledger.phase = phase;
        self.ledger.since = self.now;
        self.ledger.deadline = deadline;
        self.ledger.due = deadline;
    }

    fn read(&mut self, path: Path) {
        self.operation = Some(Operation::Read { path, accept: None });
    }

    /// Asks unless it is being asked.
    fn poll(&mut self, path: Path) {
        if self.ledger.operation.is_none() {
            self.read(path);
        }
        self.look_again();
    }

    /// A read has no answer.
    fn lost(&mut self, path: Path) {
        if self.now < self.ledger.deadline {
            self.read(path);
        } else {
            self.run_out();
        }
    }

    /// Has the device throw away what it has of a package.
    fn reset(&mut self) {
        self.ask(reset(self.wanted.transfer));
    }

    /// What it says from now on says something of it.
    fn ask(&mut self, operation: Operation) {
        self.ledger.asked_at = self.now;
        self.operation = Some(operation);
    }

    fn look_again(&mut self) {
        if !self.ledger.phase.is_final() {
            self.ledger.due = self.after(POLL).min(self.ledger.deadline);
        }
    }

    fn after(&self, duration: Duration) -> Timestamp {
        self.now.saturating_add(duration)
    }
}

/// Whether what is known was said in answer to a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Asked,
    Unasked,
}

/// In place of the URI of a package of the cluster, its bytes are written to [`PACKAGE`].
fn write(path: Path, value: Value) -> Operation {
    Operation::Write {
        path,
        mode: WriteMode::Replace,
        values: vec![Entry::new(path, value)],
    }
}

/// LwM2M Core 1.2 §E.6: an empty URI does it, and a package of a zero byte, which a device takes that cannot fetch.
fn reset(transfer: Transfer) -> Operation {
    match transfer {
        Transfer::Pull => write(PACKAGE_URI, Value::String(String::new())),
        Transfer::Push => write(PACKAGE, Value::Opaque(vec![0])),
    }
}

const fn is_failure(result: i64) -> bool {
    result > result::SUCCESS && result != result::DEFERRED
}

/// Results are of a byte; what is not is a failure without a name.
fn narrow(result: i64) -> u8 {
    u8::try_from(result).unwrap_or(u8::MAX)
}

/// Class and detail of a CoAP code (RFC 7252 §3).
const fn parts(code: u8) -> (u8, u8) {
    (code >> 5, code & 0x1f)
}

impl Failure {
    /// Whether trying again may help: what lies in the network or in a moment does pass, what lies in the image or the
    /// device does not.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::UpdateResult(result) => {
                matches!(result, result::OUT_OF_MEMORY | result::CONNECTION_LOST)
            }
            Self::Refused(class, detail) => {
                class == 5 || matches!((class, detail), REQUEST_ENTITY_INCOMPLETE)
            }
            Self::DownloadTimeout | Self::Interrupted => true,
            Self::InstallTimeout | Self::VersionMismatch => false,
        }
    }
}
