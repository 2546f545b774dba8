//! Cancelling what objects have asked for that are gone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use device_state::Namespace;
use tokio::sync::Notify;

use super::Context;
use crate::controller::jittered;
use crate::state_tier::CallError;

/// How long until a withdrawal that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Something that waits for its device, and that nobody wants any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) namespace: String,
    pub(super) endpoint: String,
    pub(super) id: String,
}

/// Bounded by the objects that there were.
#[derive(Default)]
pub(super) struct Withdrawals {
    waiting: Mutex<Vec<Withdrawal>>,
    added: Notify,
}

impl Withdrawals {
    pub(super) fn add(&self, withdrawal: Withdrawal) {
        self.put_back(withdrawal);
        self.added.notify_one();
    }

    fn put_back(&self, withdrawal: Withdrawal) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(withdrawal);
    }

    pub(super) fn take(&self) -> Vec<Withdrawal> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Never ends.
pub(super) async fn run(context: &Context) {
    let brake = &context.shared.brake;
    brake.until_known().await;
    loop {
        for withdrawal in context.withdrawals.take() {
            if brake.holds(&withdrawal.namespace) {
                context.withdrawals.put_back(withdrawal);
                continue;
            }
            if let Err(error) = cancel(context, &withdrawal).await {
                let endpoint = &withdrawal.endpoint;
                tracing::warn!(endpoint, %error, "what a deleted object has asked for is not cancelled yet");
                context.withdrawals.put_back(withdrawal);
            }
        }
        tokio::select! {
            () = context.withdrawals.added.notified() => {}
            () = brake.until_changed() => {}
            () = tokio::time::sleep(jittered(RETRY)) => {}
        }
    }
}

async fn cancel(context: &Context, withdrawal: &Withdrawal) -> Result<(), CallError> {
    let Withdrawal {
        namespace,
        endpoint,
        id,
    } = withdrawal;
    // The state tier has nothing where it can have nothing.
    let Ok(namespace) = Namespace::new(namespace) else {
        return Ok(());
    };
    let state_tier = &context.shared.state_tier;
    state_tier.cancel(&namespace, endpoint, id).await?;
    context.shared.changed("cancel");
    tracing::info!(%namespace, endpoint, operation = id, "the object is gone: its operation was cancelled");
    Ok(())
}
