//! Operations on devices behind a gateway (OMA LwM2M Gateway 1.1).

use coap::PeerKey;
use lwm2m::{AlternatePath, ChildPrefix, ObjectLinks, Operation, RegistrationId};

use super::Waiting;
use crate::engine::Engine;
use crate::output::{Now, OperationFailure, OperationReply, OperationTag};

impl<P: PeerKey> Engine<P> {
    /// An operation on a device behind the gateway that has the registration; ends in one
    /// [`Output::OperationDone`](crate::Output::OperationDone). Its paths, and those of its answer, are below the child.
    ///
    /// Reads, writes, executions, Discover and notification attributes are for children. The rest ends in
    /// [`OperationFailure::Invalid`]: gateways do not do it, or what it would report has no place yet that is not the
    /// gateway's own.
    pub fn handle_child_operation(
        &mut self,
        now: Now,
        tag: OperationTag,
        registration: &RegistrationId,
        child: &ChildPrefix,
        operation: Operation,
    ) {
        if !is_for_children(&operation) {
            let name = operation.name();
            let refusal = format!("a device behind a gateway cannot be asked for {name}");
            return self.operation_done(tag, Err(OperationFailure::Invalid(refusal)));
        }
        let waiting = Waiting {
            tag,
            child: Some(child.clone()),
            operation,
        };
        self.handle_waiting(now, registration, waiting);
    }
}

const fn is_for_children(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::Execute { .. }
            | Operation::Discover { .. }
            | Operation::WriteAttributes { .. }
    )
}

/// The reply with links below the child, whether or not the gateway put its prefix in front of them.
pub(super) fn without_prefix(
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
