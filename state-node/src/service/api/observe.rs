//! `Observe` and `ObserveComposite`: a hold on an observation for as long as the caller listens, the current value, then what the device notifies.
//!
//! 1. The hold is committed with a lease, so that the observation is established anew when the device registers again,
//!    wherever that is.
//! 2. The device is asked to observe; its answer is the first message.
//! 3. Notifications come out of the shard's feed, which their ingress node writes them to.
//! 4. When the caller goes the hold is released; the shard's leader cancels what nobody holds any more.

use std::sync::Arc;
use std::time::Duration;

use device_state::query::FeedPosition;
use device_state::{
    Command, DeviceName, Event, ObservationHolder, OperationOutcome, Timestamp, ValueOrigin,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use lwm2m::{ChildPrefix, NotificationAttributes, Observed, Operation, Path, Value};
use node_runtime::{Drain, Stage, clock, random};
use proto::convert::public::{DeviceRequest, reported_values};
use proto::drover::v1::{ObserveResponse, ReportedValue};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::raft::group::Group;
use crate::service::api::{Api, DEFAULT_TIMEOUT};
use crate::service::status;
use crate::shared_feed::SharedPage;

/// How long a hold outlives its holder.
const LEASE: Duration = Duration::from_secs(180);
const RENEWAL: Duration = Duration::from_secs(60);
/// Notifications that may wait to be written to a caller.
const QUEUE: usize = 64;

/// One caller's hold on an observation.
struct Hold {
    api: Api,
    endpoint: DeviceName,
    observed: Observed,
    parameters: NotificationAttributes,
    holder: u64,
}

impl Hold {
    async fn renew(&self) -> Result<(), Status> {
        let command = Command::HoldObservation {
            endpoint: self.endpoint.clone(),
            observed: self.observed.clone(),
            parameters: self.parameters,
            holder: self.holder,
            lease_until: Timestamp(clock::now_ms()).saturating_add(LEASE),
        };
        self.api
            .commit(self.api.shard_of(&self.endpoint), command)
            .await
            .map(drop)
    }

    async fn release(&self) {
        let command = Command::ReleaseObservation {
            endpoint: self.endpoint.clone(),
            observed: self.observed.clone(),
            holder: self.holder,
        };
        if let Err(error) = self
            .api
            .commit(self.api.shard_of(&self.endpoint), command)
            .await
        {
            // Its lease ends it.
            tracing::debug!(endpoint = %self.endpoint.shown(), %error, "a hold was not released");
        }
    }
}

impl Api {
    pub(super) async fn start_observing(
        &self,
        request: DeviceRequest,
    ) -> Result<BoxStream<'static, Result<ObserveResponse, Status>>, Status> {
        let Operation::Observe {
            observed,
            parameters,
        } = &request.operation
        else {
            return Err(Status::internal("not an observation"));
        };
        let child = observed.child().cloned();
        let hold = Hold {
            api: self.clone(),
            endpoint: request.endpoint.clone(),
            observed: observed.clone(),
            parameters: *parameters,
            // Not that of what is declared.
            holder: random::random_u64().max(ObservationHolder::DECLARED + 1),
        };
        let group = self.router().group_of(&request.endpoint).clone();
        // From before the hold: nothing that is notified because of it can be missed.
        let position = FeedPosition::after(group.events().revision());
        hold.renew().await?;
        let first = match self.ask(request, DEFAULT_TIMEOUT).await {
            Ok((OperationOutcome::Delivered { values, .. }, _)) => current(child.as_ref(), values),
            Ok(_) => Vec::new(),
            Err(status) => {
                hold.release().await;
                return Err(status);
            }
        };
        let (sink, responses) = mpsc::channel(QUEUE);
        // The channel was just made: it takes one message.
        drop(sink.try_send(Ok(ObserveResponse { values: first })));
        let observer = Observer {
            hold,
            group,
            position,
            sink,
        };
        self.tasks
            .spawn_job("observe", Stage::Intake, |drain| observer.run(drain));
        Ok(ReceiverStream::new(responses).boxed())
    }
}

fn current(child: Option<&ChildPrefix>, values: Vec<(Path, Value)>) -> Vec<ReportedValue> {
    let now = Timestamp(clock::now_ms());
    let values = values
        .into_iter()
        .map(|(path, value)| (path, value, now))
        .collect();
    reported_values(child, ValueOrigin::Notify, values)
}

struct Observer {
    hold: Hold,
    group: Arc<Group>,
    position: FeedPosition,
    sink: mpsc::Sender<Result<ObserveResponse, Status>>,
}

/// The caller is gone or was told why it ends.
struct Over;

impl Observer {
    async fn run(mut self, drain: Drain) {
        tokio::select! {
            () = drain.started() => drop(self.sink.try_send(Err(status::stopping()))),
            _ = self.follow() => {}
        }
        tracing::debug!(endpoint = %self.hold.endpoint.shown(), observed = %self.hold.observed, "an observer went");
        self.hold.release().await;
    }

    async fn follow(&mut self) -> Result<(), Over> {
        let mut feed = self.group.events().feed();
        let mut renewal = tokio::time::interval_at(Instant::now() + RENEWAL, RENEWAL);
        loop {
            feed.mark_unchanged();
            self.send_new().await?;
            tokio::select! {
                _ = feed.changed() => {}
                () = self.sink.closed() => return Err(Over),
                _ = renewal.tick() => if let Err(error) = self.hold.renew().await {
                    tracing::debug!(endpoint = %self.hold.endpoint.shown(), %error, "a hold was not renewed this time");
                    if status::is_hold_refused(&error) {
                        // It ended, and others took its place meanwhile.
                        drop(self.sink.try_send(Err(error)));
                        return Err(Over);
                    }
                },
            }
        }
    }

    async fn send_new(&mut self) -> Result<(), Over> {
        loop {
            let entries = match self.group.feed().read(self.position) {
                SharedPage::Entries(entries) => entries,
                SharedPage::Compacted { resume } => {
                    // Notifications that nobody keeps are lost to a caller that was too slow; newer ones are not.
                    self.position = resume;
                    continue;
                }
            };
            let Some(last) = entries.last() else {
                return Ok(());
            };
            self.position = FeedPosition::of(last.entry());
            for entry in entries
                .iter()
                .map(|shared| shared.entry())
                .filter(|entry| entry.endpoint == self.hold.endpoint)
            {
                let Event::ValuesReported {
                    child,
                    origin: ValueOrigin::Notify,
                    values,
                } = &entry.event
                else {
                    continue;
                };
                let observed = &self.hold.observed;
                let values: Vec<_> = values
                    .iter()
                    .filter(|(path, _, _)| observed.covers(child.as_ref(), *path))
                    .cloned()
                    .collect();
                if values.is_empty() {
                    continue;
                }
                let values = reported_values(child.as_ref(), ValueOrigin::Notify, values);
                self.sink
                    .send(Ok(ObserveResponse { values }))
                    .await
                    .map_err(|_| Over)?;
            }
        }
    }
}
