//! `watch`: the events of the fleet, for as long as it is not interrupted, whichever node goes away meanwhile.

mod progress;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use proto::drover::v1::{EventFilter, EventKind, WatchEventsRequest, WatchEventsResponse};
use tonic::Code;

use crate::api::{Addresses, Api};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::model;
use crate::output::note;
use crate::view::event::EventView;
use progress::Progress;

/// Between attempts to go on: the first, doubled each time up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover watch
  drover watch sim-0001 -o json
  drover watch --prefix meter- --type values-reported --path /3303 -o json
  drover watch --initial -o json
  drover watch --resume-file seen.token -o json >> events.jsonl
  drover watch --resume-token \"$TOKEN\" --count 100 -o json

JSON: one line for each event, {\"time\", \"endpoint\", \"event\", …, \"resumeToken\"}; event is Registered,
  Updated, Deregistered, Expired, ValuesReported, OperationFinished, DesiredChanged, DesiredRemoved,
  Bootstrapped, LabelsChanged, Deleted or CampaignMoved; with --initial also Present, and InitialComplete when every device that was
  there has come. Each event comes at least once, those of one device in order. When a node goes
  away, the watch goes on at another one.")]
pub(crate) struct Watch {
    /// Endpoint name of the device; every device unless it is given.
    #[arg(value_name = "ENDPOINT", default_value = "")]
    endpoint: String,
    /// Only events of this type; several may be given.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kinds: Vec<Kind>,
    /// Only devices whose endpoint names start with this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// Of values and desired resources only those at or below this path, such as /3303; several may be given.
    #[arg(long = "path", value_name = "PATH", value_parser = model::parse_path)]
    paths: Vec<lwm2m::Path>,
    /// Begin with the devices as they are.
    #[arg(long)]
    initial: bool,
    /// Go on after the event that had this token.
    #[arg(
        long,
        value_name = "TOKEN",
        default_value = "",
        conflicts_with = "resume_file"
    )]
    resume_token: String,
    /// Keep the token of the last printed event in this file, and go on after it the next time.
    #[arg(long, value_name = "FILE")]
    resume_file: Option<PathBuf>,
    /// End after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// The types of events, as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Registered,
    Updated,
    Deregistered,
    Expired,
    ValuesReported,
    OperationFinished,
    DesiredChanged,
    DesiredRemoved,
    Bootstrapped,
    LabelsChanged,
    Deleted,
    CampaignMoved,
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Registered => Self::Registered,
            Kind::Updated => Self::Updated,
            Kind::Deregistered => Self::Deregistered,
            Kind::Expired => Self::Expired,
            Kind::ValuesReported => Self::ValuesReported,
            Kind::OperationFinished => Self::OperationFinished,
            Kind::DesiredChanged => Self::DesiredChanged,
            Kind::DesiredRemoved => Self::DesiredRemoved,
            Kind::Bootstrapped => Self::Bootstrapped,
            Kind::LabelsChanged => Self::LabelsChanged,
            Kind::Deleted => Self::Deleted,
            Kind::CampaignMoved => Self::CampaignMoved,
        }
    }
}

impl Watch {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let addresses = Addresses::find(global)?;
        let progress = match &self.resume_file {
            Some(file) => Progress::in_file(file)?,
            None => Progress::after(self.resume_token.clone()),
        };
        let mut follower = Follower {
            global,
            left: self.count.unwrap_or(u64::MAX),
            request: self.request(),
            addresses,
            next: 0,
            attempts: 0,
            progress,
        };
        let mut pause = FIRST_PAUSE;
        while follower.left > 0 {
            let before = follower.progress.token().to_owned();
            match follower.follow().await {
                Ok(()) => {}
                Err(failure) if self.initial && is_expired(&failure) => {
                    note("the events since then are gone: the devices as they are come again");
                    follower.progress.forget();
                }
                Err(failure) if !follower.goes_on(&failure) => return Err(failure),
                Err(failure) => note(&format!("watch interrupted, going on: {failure}")),
            }
            if before != follower.progress.token() {
                pause = FIRST_PAUSE;
            }
            if follower.left > 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(())
    }

    fn request(&self) -> WatchEventsRequest {
        let kinds = self.kinds.iter().map(|kind| EventKind::from(*kind).into());
        WatchEventsRequest {
            resume_token: String::new(),
            endpoint: self.endpoint.clone(),
            filter: Some(EventFilter {
                kinds: kinds.collect(),
                endpoint_prefix: self.prefix.clone(),
                paths: self.paths.iter().map(ToString::to_string).collect(),
            }),
            include_initial: self.initial,
            checkpoint_interval: None,
        }
    }
}

fn is_expired(failure: &Failure) -> bool {
    failure.reason().as_deref() == Some("RESUME_TOKEN_EXPIRED")
}

/// A watch and how far it has come.
struct Follower<'a> {
    global: &'a Global,
    addresses: Addresses,
    /// Which address is tried first.
    next: usize,
    attempts: usize,
    request: WatchEventsRequest,
    progress: Progress,
    /// Events to print.
    left: u64,
}

impl Follower<'_> {
    /// Follows the events at one node.
    async fn follow(&mut self) -> Result<(), Failure> {
        self.attempts += 1;
        let (channel, number) = self.addresses.connect_from(self.next).await?;
        // If this node ends the watch, another one may serve it.
        self.next = number + 1;
        let api = Api::new(channel, self.global.timeout);
        let request = WatchEventsRequest {
            resume_token: self.progress.token().to_owned(),
            ..self.request.clone()
        };
        let mut devices = api.devices();
        let begun = tokio::time::timeout(api.timeout(), devices.watch_events(request)).await;
        let begun = begun
            .unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("the API does not answer")));
        let mut stream = begun.map_err(Failure::call("watch events"))?.into_inner();
        while self.left > 0 {
            let message = stream.message().await;
            let Some(message) = message.map_err(Failure::call("watch events"))? else {
                return Ok(());
            };
            self.show(message)?;
        }
        Ok(())
    }

    /// The token is kept after the event is printed: what is cut in between comes again.
    fn show(&mut self, message: WatchEventsResponse) -> Result<(), Failure> {
        let token = message.resume_token.clone();
        if let Some(view) = EventView::new(message) {
            self.global.output.show_item(&view, EventView::line)?;
            self.left -= u64::from(view.is_event());
        }
        self.progress.keep(token)
    }

    /// A watch that had begun survives the node that it was on, and an election. One that had not goes on only while there
    /// are nodes that were not asked.
    fn goes_on(&self, failure: &Failure) -> bool {
        let reason = failure.reason();
        if let Some("TOO_MANY_WATCHERS" | "NODE_OUT_OF_TOUCH" | "NODE_BEHIND") = reason.as_deref() {
            return self.has_begun() || self.attempts < self.addresses.len();
        }
        let passes = match failure {
            Failure::Unreachable { .. } => true,
            Failure::Call { status, .. } => matches!(
                (status.code(), reason.as_deref()),
                (
                    Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal,
                    _
                ) | (Code::ResourceExhausted, Some("SLOW_CONSUMER"))
            ),
            _ => false,
        };
        passes && self.has_begun()
    }

    fn has_begun(&self) -> bool {
        self.progress.has_begun()
    }
}
