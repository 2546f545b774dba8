//! Letting go of all sessions and devices: because the node ends, or because others took it for dead.

use std::time::{Duration, Instant};

use device_state::MemberPhase;
use lwm2m_server::OperationFailure;

use super::contexts::Contexts;
use super::revocation::Revocations;
use super::{Driver, Fresh, Sessions};

/// How long exchanges may take to end after the node began to leave.
const LAST_EXCHANGES: Duration = Duration::from_secs(2);

impl Driver {
    /// The node ends: nothing new is owned from now on, and what is owned is let go soon.
    pub(super) fn leave(&mut self) {
        self.routes.phase = MemberPhase::Leaving;
        self.streams.stop_accepting();
        self.let_go_at = Some(Instant::now() + LAST_EXCHANGES);
    }

    /// Lets go once nothing is under way any more.
    pub(super) fn let_go_when_due(&mut self, now: Instant) {
        let is_idle = self.operations.is_empty() && self.calls.is_empty();
        if self.let_go_at.is_some_and(|at| is_idle || at <= now) {
            self.let_go_at = None;
            let told = self.let_contexts_go();
            self.forget_everything();
            self.calls.extend(told);
        }
    }

    /// Sessions stay stored: the next datagram of each device finds a new owner, here or elsewhere. A connection cannot
    /// be passed on, and the fresh engine does not know it, so its device is told to make another one.
    pub(super) fn forget_everything(&mut self) {
        let Fresh {
            dtls,
            oscore,
            application,
        } = (self.fresh)();
        (self.dtls, self.application) = (dtls, application);
        self.bootstraps.clear();
        self.dtls.set_credentials(self.trust.credentials.clone());
        self.cookies.set(&mut self.dtls, self.period);
        self.contexts = Contexts::new(oscore);
        self.revocations = Revocations::default();
        self.streams.release_all(Instant::now());
        self.sessions = Sessions::default();
        self.strays = super::take_over::Strays::default();
        // What was asked of the state tier may happen or not, as with a node that died.
        self.calls.clear();
        for key in self.operations.take_keys() {
            // Nobody knows whether the device got it.
            self.answer(key, Err(OperationFailure::Timeout));
        }
    }
}
