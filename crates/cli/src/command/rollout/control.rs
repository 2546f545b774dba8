//! What people say to a campaign while it runs: pause, resume, approve, abort; and delete.

use clap::Args;
use proto::drover::v1::campaign::State;
use proto::drover::v1::{
    AbortCampaignRequest, ApproveCampaignRequest, Campaign, DeleteCampaignRequest,
    PauseCampaignRequest,
};
use tokio::time::timeout;

use super::follow::Looks;
use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::view::campaign::{CampaignView, is_final, state_name};

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Name of the campaign.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    once: Once,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    named: Named,
    /// Also the waves up to this one [default: the first one that waits for it, or will].
    #[arg(
        long,
        value_name = "WAVE",
        default_value = "",
        hide_default_value = true
    )]
    through: String,
}

/// No further device begins.
pub(crate) async fn pause(named: Named, global: &Global) -> Result<(), Failure> {
    let Named { name, once } = named;
    let mut campaign = gate(&name, &once, Gate::Closed, global).await?;
    if campaign.state() == State::Stopped && !once.dry_run {
        campaign = until_noticed(&name, global).await?;
    }
    let text = format!(
        "{name} is paused: no further device begins, those that have begun go on; `drover rollout resume {name}` lets it \
         go on"
    );
    show(global, campaign, text, once.dry_run.into())
}

/// That somebody looked at a campaign that stopped by itself counts once the planner has seen it. A resume that came before
/// would be as if nothing had been said.
async fn until_noticed(name: &str, global: &Global) -> Result<Campaign, Failure> {
    let mut looks = Looks::begin(global, name.to_owned(), global.timeout)?;
    let noticed = until_not_stopped(&mut looks);
    timeout(global.timeout, noticed).await.unwrap_or_else(|_| {
        Err(Failure::Unfinished {
            message: format!("the campaign {name} was told, and is still stopped"),
            hint: "the cluster may be electing a leader: say it again".to_owned(),
        })
    })
}

async fn until_not_stopped(looks: &mut Looks) -> Result<Campaign, Failure> {
    loop {
        let campaign = looks.next().await?;
        if campaign.state() != State::Stopped {
            return Ok(campaign);
        }
    }
}

/// Devices may begin again.
pub(crate) async fn resume(named: Named, global: &Global) -> Result<(), Failure> {
    let Named { name, once } = named;
    let campaign = gate(&name, &once, Gate::Open, global).await?;
    if campaign.state() == State::Stopped {
        return Err(Failure::Campaign {
            message: format!(
                "the campaign {name} stopped by itself, and goes on only once somebody has paused it: {}",
                campaign.reason
            ),
            hint: format!(
                "if it is to go on nevertheless: drover rollout pause {name} && drover rollout resume {name}"
            ),
        });
    }
    show(
        global,
        campaign,
        format!("{name} goes on"),
        once.dry_run.into(),
    )
}

/// Whether devices may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Closed,
    Open,
}

async fn gate(name: &str, once: &Once, gate: Gate, global: &Global) -> Result<Campaign, Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(PauseCampaignRequest {
        name: name.to_owned(),
        resume: gate == Gate::Open,
        request_id: once.request_id.clone(),
        validate_only: once.dry_run,
    });
    let verb = match gate {
        Gate::Closed => "pause",
        Gate::Open => "resume",
    };
    let answer = api.campaigns().pause_campaign(request).await;
    let told = answer.map_err(Failure::call(format!("{verb} the campaign {name}")))?;
    Ok(told.into_inner())
}

impl Approve {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Named { name, once } = self.named;
        let api = Api::connect(global).await?;
        let request = api.request(ApproveCampaignRequest {
            name: name.clone(),
            through: self.through,
            request_id: once.request_id,
            validate_only: once.dry_run,
        });
        let answer = api.campaigns().approve_campaign(request).await;
        let action = format!("approve a wave of the campaign {name}");
        let campaign = answer.map_err(Failure::call(action))?.into_inner();
        let text = format!("{name} is approved through {}", campaign.approved_through);
        show(global, campaign, text, once.dry_run.into())
    }
}

pub(crate) async fn abort(named: Named, global: &Global) -> Result<(), Failure> {
    let Named { name, once } = named;
    let api = Api::connect(global).await?;
    let request = api.request(AbortCampaignRequest {
        name: name.clone(),
        request_id: once.request_id,
        validate_only: once.dry_run,
    });
    let answer = api.campaigns().abort_campaign(request).await;
    let action = format!("abort the campaign {name}");
    let mut campaign = answer.map_err(Failure::call(action))?.into_inner();
    if campaign.state() == State::Stopped && !once.dry_run {
        campaign = until_noticed(&name, global).await?;
    }
    let text = format!(
        "{name} ends for good: no further device begins, devices that were not told to install are taken back, those that \
         were come to their end; `drover rollout status {name}` waits for it"
    );
    show(global, campaign, text, once.dry_run.into())
}

pub(crate) async fn delete(named: Named, global: &Global) -> Result<(), Failure> {
    let Named { name, once } = named;
    let api = Api::connect(global).await?;
    let request = api.request(DeleteCampaignRequest {
        name: name.clone(),
        request_id: once.request_id,
        validate_only: once.dry_run,
    });
    let answer = api.campaigns().delete_campaign(request).await;
    answer.map_err(Failure::call(format!("delete the campaign {name}")))?;
    match (Mode::from(once.dry_run), global.output) {
        (Mode::Rehearsal, _) => output::note(COULD),
        (Mode::Real, Format::Table) => {
            return output::write(&format!(
                "{name} is deleted, with what became of its devices\n"
            ));
        }
        (Mode::Real, _) => {}
    }
    Ok(())
}

const COULD: &str = "nothing was done; it could be";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Real,
    /// `--dry-run`
    Rehearsal,
}

impl From<bool> for Mode {
    fn from(dry_run: bool) -> Self {
        if dry_run { Self::Rehearsal } else { Self::Real }
    }
}

/// Tells what was done, by `text`, unless there was nothing left to do.
fn show(global: &Global, campaign: Campaign, text: String, mode: Mode) -> Result<(), Failure> {
    let text = match mode {
        Mode::Real if is_final(campaign.state()) => {
            let (name, state) = (&campaign.name, state_name(campaign.state()));
            format!("{name} is {state} already: nothing changes any more\n")
        }
        Mode::Real => text + "\n",
        Mode::Rehearsal => {
            output::note(COULD);
            String::new()
        }
    };
    global.output.show(&CampaignView::from(campaign), |_| text)
}
