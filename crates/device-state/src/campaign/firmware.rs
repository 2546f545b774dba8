//! What a device does next, through the object that the image is for ([`UpdateObject`]).
//!
//! ```text
//!  Waiting ─ turn ─▶ Scheduled ── what it is read ─▶ Offered ─ URI taken ─▶ Downloading ─ state 2 ─▶ Downloaded
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
//! A device is believed by what it says of state and result after it was asked for something, never by what was known
//! before. It says so in notifications; as those are lost with a reboot, the object is read whenever it registers, and
//! once a minute otherwise. What decides is the version that it runs.
//!
//! Software that is installed in another version makes room for the new one first, which it keeps until then, and is
//! switched on behind the update while the device is Verifying.

use std::time::Duration;

use lwm2m::{Operation, Path};

use super::{
    DevicePolicy, Failure, Image, Ledger, Phase, SkipReason, Stage, Transfer, UpdateObject, Verdict,
};
use crate::id::Timestamp;
use crate::record::OperationOutcome;

/// How long nothing is heard of a device that is busy before it is asked.
pub const POLL: Duration = Duration::from_mins(1);
/// How long a device may take to say what it makes of a package that was written to it, before it is asked.
const AFTER_PUSH: Duration = Duration::from_secs(5);

const DEVICE: Path = Path::ObjectInstance(3, 0);
pub(crate) const BATTERY: Path = Path::Resource(3, 0, 9);
pub(crate) const HARDWARE: Path = Path::Resource(3, 0, 18);

// The results that may pass: of LwM2M Core 1.2 §E.6, and of LwM2M SwMgmt 1.0.
const OUT_OF_MEMORY: [u8; 2] = [3, 51];
const CONNECTION_LOST: [u8; 2] = [4, 52];

const METHOD_NOT_ALLOWED: (u8, u8) = (4, 5);
/// RFC 7959 §2.9.2: it lost the blocks that it had.
const REQUEST_ENTITY_INCOMPLETE: (u8, u8) = (4, 8);

/// What the device said since it was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// [`UpdateObject::state`]
    pub stage: Option<Stage>,
    /// [`UpdateObject::result`]
    pub verdict: Option<Verdict>,
    /// [`UpdateObject::version`]
    pub version: Option<String>,
    /// [`UpdateObject::activation`]
    pub is_active: Option<bool>,
    /// `/3/0/9`
    pub battery: Option<i64>,
    /// `/3/0/18`
    pub hardware: Option<String>,
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
            Input::Forgotten => self.skip(SkipReason::Forgotten),
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

    const fn object(&self) -> UpdateObject {
        self.wanted.image.object
    }

    /// From the beginning: what it runs, and whether it can be updated.
    fn schedule(&mut self) {
        self.enter(
            Phase::Scheduled,
            self.after(self.wanted.policy.wake_up_deadline),
        );
        let image = self.wanted.image;
        let asks_device = self.wanted.policy.minimum_battery > 0
            || image.compatibility.hardware_version.is_some()
            || image.object.version_holder() == DEVICE;
        self.read(if asks_device {
            DEVICE
        } else {
            image.object.path()
        });
    }

    fn scheduled(&mut self, input: Input<'_>) {
        let object = self.object();
        match input {
            Input::Ended { operation, outcome } if operation.path() == DEVICE => match outcome {
                OperationOutcome::Delivered { .. } => self.assess_device(),
                OperationOutcome::Rejected { .. } => self.assess_unread(),
                _ => self.lost(DEVICE),
            },
            Input::Ended { outcome, .. } => match outcome {
                OperationOutcome::Delivered { .. } => self.assess_object(),
                OperationOutcome::Rejected { code, .. } => self.unsupported(*code),
                _ => self.lost(object.path()),
            },
            // An update that somebody else began goes on: look again.
            Input::Due => self.poll(object.path()),
            _ => {}
        }
    }

    /// Whether the device is to be updated, by what it says of itself.
    fn assess_device(&mut self) {
        let Image {
            object,
            compatibility,
            ..
        } = self.wanted.image;
        let battery = i64::from(self.wanted.policy.minimum_battery);
        let skipped = if object.version_holder() == DEVICE {
            self.assess_version()
        } else {
            None
        };
        let skipped = skipped.or_else(|| {
            if !compatibility.admits_hardware(self.known.hardware.as_deref()) {
                Some(SkipReason::Hardware)
            } else if self.known.battery.is_some_and(|level| level < battery) {
                Some(SkipReason::Battery)
            } else {
                None
            }
        });
        match skipped {
            Some(reason) => self.skip(reason),
            None => self.read(object.path()),
        }
    }

    /// Nothing is known of what it runs; it may be updated nevertheless, unless that has to be known.
    fn assess_unread(&mut self) {
        let Image {
            object,
            compatibility,
            ..
        } = self.wanted.image;
        if !compatibility.admits_hardware(None) {
            self.skip(SkipReason::Hardware);
        } else if object.version_holder() == DEVICE && !compatibility.admits_version(None) {
            self.skip(SkipReason::Version);
        } else {
            self.read(object.path());
        }
    }

    /// Why what the device runs is left as it is.
    fn assess_version(&mut self) -> Option<SkipReason> {
        self.ledger.version_before.clone_from(&self.known.version);
        let compatibility = &self.wanted.image.compatibility;
        if self.runs_the_image() {
            Some(SkipReason::UpToDate)
        } else if compatibility.admits_version(self.known.version.as_deref()) {
            None
        } else {
            Some(SkipReason::Version)
        }
    }

    /// Whether what the image is for is to be updated, and what is in the way.
    fn assess_object(&mut self) {
        let object = self.object();
        // Of a package that is not installed, software tells the version as well; and over nothing, everything can be put.
        let is_installed = match object {
            UpdateObject::Software(_) => self.known.stage == Some(Stage::Installed),
            UpdateObject::Firmware | UpdateObject::Component(_) => true,
        };
        if is_installed
            && object.version_holder() != DEVICE
            && let Some(reason) = self.assess_version()
        {
            return self.skip(reason);
        }
        match self.known.stage {
            Some(Stage::Downloading | Stage::Downloaded) => self.clear(self.reset_order()),
            Some(Stage::Installed) => match object.make_room() {
                Some(order) => self.clear(order),
                None => self.offer(),
            },
            Some(Stage::Updating) => self.look_again(),
            Some(Stage::Idle) | None => self.offer(),
        }
    }

    fn skip(&mut self, reason: SkipReason) {
        self.enter(Phase::Skipped(reason), Timestamp::NEVER);
    }

    fn clear(&mut self, order: Operation) {
        self.enter(Phase::Offered, self.ledger.deadline);
        self.ask(order);
    }

    /// Whether an operation was to make room for the image.
    fn clears(&self, operation: &Operation) -> bool {
        *operation == self.reset_order() || Some(operation) == self.object().make_room().as_ref()
    }

    fn reset_order(&self) -> Operation {
        self.object().reset(self.wanted.transfer)
    }

    fn offer(&mut self) {
        match self.wanted.transfer {
            Transfer::Pull => self.enter(Phase::Offered, self.ledger.deadline),
            Transfer::Push => {
                // Whether it sleeps or is being written to, nobody tells.
                let policy = self.wanted.policy;
                let time = policy
                    .wake_up_deadline
                    .saturating_add(policy.download_timeout);
                self.enter(Phase::Downloading, self.after(time));
            }
        }
        let Image { uri, object, .. } = self.wanted.image;
        self.ask(object.offer(self.wanted.transfer, uri));
    }

    fn unsupported(&mut self, code: u8) {
        match parts(code) {
            (4, 4) | METHOD_NOT_ALLOWED => self.skip(SkipReason::Unsupported),
            (class, detail) => self.fail(Failure::Refused(class, detail)),
        }
    }

    fn offered(&mut self, input: Input<'_>) {
        let Input::Ended { operation, outcome } = input else {
            return;
        };
        let cleared = self.clears(operation);
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
            Input::Ended { operation, outcome } if operation.path() == self.object().package() => {
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
            Input::Registered | Input::Due => self.poll(self.object().path()),
            _ => {}
        }
    }

    fn is_pushing(&self) -> bool {
        self.wanted.transfer == Transfer::Push && self.is_being_asked()
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
        match (self.known.stage, self.known.verdict) {
            (Some(Stage::Downloaded), _) => self.install(),
            (Some(Stage::Updating), _) => self.updates(),
            // Some install what they have got without being told.
            (Some(Stage::Idle), Some(Verdict::Success)) => self.verify(),
            // Software that made no room says so of the version before, too.
            (Some(Stage::Installed), _) if self.runs_the_image() => self.verify(),
            (Some(Stage::Idle) | None, Some(Verdict::Failure(result))) => {
                self.fail(Failure::UpdateResult(result));
            }
            (Some(Stage::Idle), _) if heard == Heard::Asked => self.fail(Failure::Interrupted),
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
        self.ask(self.object().install());
    }

    fn downloaded(&mut self, input: Input<'_>) {
        let object = self.object();
        match input {
            Input::Ended { operation, outcome } if operation.path() == object.update() => {
                self.ordered(outcome);
            }
            // It was asked because nobody knew whether the order reached it.
            Input::Ended { outcome, .. } => match outcome {
                OperationOutcome::Delivered { .. } => self.judge_order(),
                _ => self.lost(object.path()),
            },
            Input::Reported => match (self.known.stage, self.known.verdict) {
                (Some(Stage::Idle), Some(Verdict::Success)) | (Some(Stage::Installed), _) => {
                    self.verify();
                }
                (_, Some(Verdict::Failure(result))) => self.fail(Failure::UpdateResult(result)),
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
                self.read(self.object().path());
            }
            _ => self.lost(self.object().path()),
        }
    }

    /// What came of an order of which nobody knows whether it arrived.
    fn judge_order(&mut self) {
        let waits = matches!(
            (self.known.stage, self.known.verdict),
            (Some(Stage::Downloaded), Some(Verdict::Open) | None)
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
            Input::Registered | Input::Due => self.poll(self.object().path()),
            _ => {}
        }
    }

    fn judge_update(&mut self, heard: Heard) {
        match (self.known.stage, self.known.verdict) {
            (_, Some(Verdict::Failure(result))) => self.fail(Failure::UpdateResult(result)),
            (Some(Stage::Idle), Some(Verdict::Success)) | (Some(Stage::Installed), _) => {
                self.verify();
            }
            // A restart took the result with it.
            (Some(Stage::Idle), _) if heard == Heard::Asked => self.verify(),
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
        self.read(self.object().version_holder());
    }

    fn verifying(&mut self, input: Input<'_>) {
        let holder = self.object().version_holder();
        match input {
            Input::Reported if self.runs_the_image() => self.switch_on(),
            Input::Ended { operation, outcome } if self.switches_on(operation) => {
                self.switched_on(outcome);
            }
            Input::Ended { outcome, .. } => match outcome {
                // What cannot be read back is as the device says.
                OperationOutcome::Delivered { .. } if self.known.version.is_none() => {
                    self.switch_on();
                }
                OperationOutcome::Rejected { .. } => self.switch_on(),
                OperationOutcome::Delivered { .. } if self.runs_the_image() => self.switch_on(),
                OperationOutcome::Delivered { .. } => self.mismatch(),
                _ => self.look_again(),
            },
            Input::Registered | Input::Due => self.poll(holder),
            _ => {}
        }
    }

    /// It is installed. Software is not yet running by that.
    fn switch_on(&mut self) {
        match self.object().activate() {
            Some(_) if self.is_being_asked() => {}
            Some(order) if self.known.is_active != Some(true) => {
                self.operation = Some(order);
                self.look_again();
            }
            _ => self.succeed(),
        }
    }

    fn switches_on(&self, operation: &Operation) -> bool {
        self.object().activate().as_ref() == Some(operation)
    }

    fn switched_on(&mut self, outcome: &OperationOutcome) {
        match outcome {
            OperationOutcome::Delivered { .. } => self.succeed(),
            // One that does not tell whether it runs may do so by itself.
            OperationOutcome::Rejected { .. } if self.known.is_active.is_none() => self.succeed(),
            OperationOutcome::Rejected { code, .. } => {
                let (class, detail) = parts(*code);
                self.fail(Failure::Refused(class, detail));
            }
            _ => self.look_again(),
        }
    }

    const fn is_being_asked(&self) -> bool {
        self.ledger.operation.is_some()
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
        if !self.is_being_asked() {
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
        self.ask(self.reset_order());
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

/// Class and detail of a CoAP code (RFC 7252 §3).
const fn parts(code: u8) -> (u8, u8) {
    (code >> 5, code & 0x1f)
}

impl Failure {
    /// Whether trying again may help: what lies in the network or in a moment does pass, what lies in the image or the
    /// device does not.
    pub fn may_pass(self) -> bool {
        match self {
            Self::UpdateResult(result) => {
                OUT_OF_MEMORY.contains(&result) || CONNECTION_LOST.contains(&result)
            }
            Self::Refused(class, detail) => {
                class == 5 || matches!((class, detail), REQUEST_ENTITY_INCOMPLETE)
            }
            Self::DownloadTimeout | Self::Interrupted => true,
            Self::InstallTimeout | Self::VersionMismatch => false,
        }
    }
}
