//! Operations from the state tier to the worker that holds the device.

use lwm2m::RegistrationId;
use node_runtime::Drain;
use state_client::{DeviceOperations, Downlink};
use tokio::sync::mpsc;

use crate::driver::{Input, Inquiring, Passing};

/// Hands operations on until `drain` starts.
pub(crate) async fn run(
    mut operations: DeviceOperations,
    workers: Vec<mpsc::Sender<Input>>,
    drain: Drain,
) {
    loop {
        let event = tokio::select! {
            event = operations.next() => event,
            () = drain.started() => return,
        };
        match event {
            Some(Downlink::Operation(operation)) => {
                let Some(worker) = workers.get(worker_of(&operation.registration, workers.len()))
                else {
                    return;
                };
                // A worker that is that far behind makes its callers wait here.
                if worker
                    .send(Input::Operation(Passing {
                        operation,
                        tried: 0,
                    }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Some(Downlink::Cancelled(key)) => {
                for worker in &workers {
                    if worker.send(Input::Cancel(key)).await.is_err() {
                        return;
                    }
                }
            }
            Some(Downlink::Inquiry(inquiry)) => {
                // The first passes it on.
                let input = Input::Inquired(Box::new(Inquiring::from(inquiry)));
                let Some(worker) = workers.first() else {
                    return;
                };
                if worker.send(input).await.is_err() {
                    return;
                }
            }
            Some(Downlink::Revoked(id)) => {
                for worker in &workers {
                    let input = Input::Revoked(id.clone());
                    if worker.send(input).await.is_err() {
                        return;
                    }
                }
            }
            None => return,
        }
    }
}

/// The worker that gave the registration its id: its last byte. If the device moved since, that worker hands on.
fn worker_of(registration: &RegistrationId, workers: usize) -> usize {
    let id = registration.as_str();
    let last = id.len().checked_sub(2).and_then(|start| id.get(start..));
    last.and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
        % workers
}
