//! `rollout get`, `rollout get --watch` and `rollout status`: looking at a campaign, once or until it ends.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use proto::drover::v1::campaign::State;
use proto::drover::v1::{Campaign, GetCampaignRequest};
use tokio::time::Instant;
use tonic::Code;

use crate::api::{Addresses, Api};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::output::{self, Format, note};
use crate::time;
use crate::view::campaign::{CampaignView, is_final, line, state_name, tree};

/// Between two looks.
const POLL: Duration = Duration::from_secs(1);
/// Longest wait for one answer, however long the campaign takes.
const ANSWER: Duration = Duration::from_secs(30);
/// ECMA-48: to the first column of the first line, and erase all that follows.
const HOME: &str = "\x1b[H\x1b[J";

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Name of the campaign.
    #[arg(value_name = "NAME")]
    name: String,
    /// Go on until the campaign is final: exit code 0 if it succeeded, 1 otherwise.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Name of the campaign.
    #[arg(value_name = "NAME")]
    name: String,
}

impl Get {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let mut looks = Looks::begin(global, self.name, global.timeout)?;
        let campaign = looks.first().await?;
        if !self.watch {
            let text = tree::text(&campaign, time::now());
            let view = CampaignView::from(campaign);
            return global.output.show(&view, |_| text);
        }
        let mut screen = match (global.output, io::stdout().is_terminal()) {
            (Format::Table, true) => Screen::Redrawn,
            (format, _) => Screen::Lines { format, last: None },
        };
        let mut campaign = campaign;
        loop {
            screen.show(&campaign)?;
            if is_final(campaign.state()) {
                return verdict(&campaign);
            }
            campaign = looks.next().await?;
        }
    }
}

/// Where a campaign is shown that changes.
enum Screen {
    Redrawn,
    /// What is as it was is not shown again.
    Lines {
        format: Format,
        last: Option<Box<Campaign>>,
    },
}

impl Screen {
    fn show(&mut self, campaign: &Campaign) -> Result<(), Failure> {
        match self {
            Self::Redrawn => {
                let text = tree::text(campaign, time::now());
                output::write(&format!("{HOME}{text}"))
            }
            Self::Lines { last, .. } if last.as_deref() == Some(campaign) => Ok(()),
            Self::Lines { format, last } => {
                *last = Some(Box::new(campaign.clone()));
                let view = CampaignView::from(campaign.clone());
                format.show_item(&view, |_| dated(campaign))
            }
        }
    }
}

/// `TIME  NAME  …`.
fn dated(campaign: &Campaign) -> String {
    let now = humantime::format_rfc3339_seconds(time::now());
    format!("{now}  {}  {}\n", campaign.name, line(campaign))
}

impl Status {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let until = Instant::now() + global.timeout;
        let mut looks = Looks::begin(global, self.name, ANSWER.min(global.timeout))?;
        let mut campaign = looks.first().await?;
        let mut told = String::new();
        loop {
            let now = line(&campaign);
            if now != told {
                note(&format!("waiting for {}: {now}", campaign.name));
                if let Some(next) = tree::next(&campaign) {
                    note(&format!("  {next}"));
                }
                told = now;
            }
            if is_final(campaign.state()) || campaign.state() == State::Stopped {
                let text = dated(&campaign);
                let view = CampaignView::from(campaign.clone());
                global.output.show(&view, |_| text)?;
                return verdict(&campaign);
            }
            if Instant::now() >= until {
                return Err(Failure::Unfinished {
                    message: format!("the campaign {} has not ended: {told}", campaign.name),
                    hint: "allow more time with --timeout, for example --timeout 8h".to_owned(),
                });
            }
            campaign = looks.next().await?;
        }
    }
}

/// What the exit code says of a campaign that ended or stopped.
fn verdict(campaign: &Campaign) -> Result<(), Failure> {
    if campaign.state() == State::Succeeded {
        return Ok(());
    }
    let name = &campaign.name;
    let reason = match campaign.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let hint = tree::next(campaign);
    Err(Failure::Campaign {
        message: format!(
            "the campaign {name} is {}{reason}",
            state_name(campaign.state())
        ),
        hint: hint.unwrap_or_else(|| {
            format!("`drover rollout devices {name}` tells what became of each device")
        }),
    })
}

/// A campaign that is looked at again and again, whichever node goes away meanwhile.
pub(super) struct Looks {
    addresses: Addresses,
    /// Which address is tried first.
    turn: usize,
    api: Option<Api>,
    name: String,
    timeout: Duration,
}

impl Looks {
    pub(super) fn begin(global: &Global, name: String, timeout: Duration) -> Result<Self, Failure> {
        Ok(Self {
            addresses: Addresses::find(global)?,
            turn: 0,
            api: None,
            name,
            timeout,
        })
    }

    /// The campaign now. Where a node ends before it answers, another one is asked.
    async fn first(&mut self) -> Result<Campaign, Failure> {
        for _ in 1..self.addresses.len() {
            match self.look().await {
                Err(failure) if failure.is_broken() => {
                    note(&format!("interrupted, going on: {failure}"));
                }
                other => return other,
            }
        }
        self.look().await
    }

    /// The campaign a moment later. What passes is waited for: it was there before.
    pub(super) async fn next(&mut self) -> Result<Campaign, Failure> {
        loop {
            tokio::time::sleep(POLL).await;
            match self.look().await {
                Err(failure) if passes(&failure) => {
                    note(&format!("interrupted, going on: {failure}"));
                    self.api = None;
                }
                other => return other,
            }
        }
    }

    async fn look(&mut self) -> Result<Campaign, Failure> {
        let api = if let Some(api) = self.api.take() {
            api
        } else {
            let (channel, number) = self.addresses.connect_from(self.turn).await?;
            // If this node fails, another one may answer.
            self.turn = number + 1;
            Api::new(channel, self.timeout)
        };
        let request = api.request(GetCampaignRequest {
            name: self.name.clone(),
        });
        let answer = api.campaigns().get_campaign(request).await;
        let action = format!("show the campaign {}", self.name);
        let campaign = answer.map_err(Failure::call(action))?.into_inner();
        self.api = Some(api);
        Ok(campaign)
    }
}

fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } => true,
        Failure::Call { status, .. } => matches!(
            status.code(),
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown
        ),
        _ => false,
    }
}
