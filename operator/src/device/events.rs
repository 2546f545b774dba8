//! What happens in the state tier, as a reason to reconcile.

use std::time::Duration;

use tonic::Code;

use super::Context;
use crate::controller::jittered;
use crate::state_tier::CallError;

/// How long until a broken stream is opened again.
const RETRY: Duration = Duration::from_secs(1);

/// Never ends. A stream that breaks goes on where it was; one that cannot is begun anew, and every
/// object is looked at once, because anything may have happened in between.
pub(super) async fn follow(context: &Context) {
    let mut resume_token = String::new();
    loop {
        if let Err(error) = follow_once(context, &mut resume_token).await {
            if is_compacted(&error) {
                resume_token.clear();
            }
            tracing::info!(%error, "the stream of events broke");
        }
        context.shared.metrics.event_streams_broken.inc();
        tokio::time::sleep(jittered(RETRY)).await;
    }
}

async fn follow_once(context: &Context, resume_token: &mut String) -> Result<(), CallError> {
    let mut events = context.shared.state_tier.events(resume_token).await?;
    if resume_token.is_empty() {
        context.shared.triggers.add(context.shared.known.names());
    }
    while let Some(message) = events.message().await? {
        if let Some(event) = &message.event {
            let concerned = context.index.concerned(event, &context.shared.known);
            context.shared.triggers.add(concerned);
        }
        *resume_token = message.resume_token;
    }
    Ok(())
}

/// Whether the events after the resume token are no longer kept, or the token is of another cluster.
fn is_compacted(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Refused(status) if matches!(status.code(), Code::OutOfRange | Code::InvalidArgument)
    )
}
