//! `rollout create`.

use clap::Args;
use device_state::campaign::Share;
use proto::drover::v1::{Campaign, CampaignPlan, CreateCampaignRequest};

use super::plan::PlanArgs;
use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::command::devices;
use crate::failure::Failure;
use crate::table;
use crate::view::campaign::{CampaignView, firmware};

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the campaign: a-z, 0-9 and -.
    #[arg(value_name = "NAME")]
    name: String,
    /// Nothing begins until `drover rollout resume`.
    #[arg(long)]
    paused: bool,
    /// Waves up to this one need no approval any more.
    #[arg(
        long,
        value_name = "WAVE",
        default_value = "",
        hide_default_value = true
    )]
    approved_through: String,
    /// By which whoever made it knows it again.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    owner: String,
    /// Only devices of this group, as it is now.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    group: String,
    #[command(flatten)]
    once: Once,
    #[command(flatten)]
    plan: PlanArgs,
}

impl Create {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (plan, package) = self.plan.plan(&self.name)?;
        let campaign = Campaign {
            plan: Some(CampaignPlan {
                group: self.group,
                ..plan.into()
            }),
            owner: self.owner,
            paused: self.paused,
            approved_through: self.approved_through,
            name: self.name,
            ..Campaign::default()
        };
        let name = campaign.name.clone();
        let api = Api::connect(global).await?;
        if let Some(package) = package.filter(|_| !self.once.dry_run) {
            package.store(&api).await?;
        }
        let request = api.request(CreateCampaignRequest {
            campaign: Some(campaign),
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
        });
        let answer = api.campaigns().create_campaign(request).await;
        let action = format!("create the campaign {name}");
        let told = answer.map_err(Failure::call(action))?.into_inner();
        let text = if self.once.dry_run {
            preview(&api, &told).await?
        } else {
            format!("campaign {name} created; `drover rollout get {name} --watch` follows it\n")
        };
        global.output.show(&CampaignView::from(told), |_| text)
    }
}

/// What would be done, with the devices as they are now.
async fn preview(api: &Api, campaign: &Campaign) -> Result<String, Failure> {
    let plan = campaign.plan.clone().unwrap_or_default();
    let members = devices::all(api, "", &plan.filter).await?.len() as u64;
    Ok(planned(&plan, members))
}

fn planned(plan: &CampaignPlan, members: u64) -> String {
    let mut text = format!("{members} devices would get {}\n\n", firmware(plan));
    let mut left = members;
    let last = plan.waves.len().saturating_sub(1);
    let rows = plan.waves.iter().enumerate().map(|(place, wave)| {
        let size = if place == last {
            left
        } else {
            share(&wave.size, members).min(left)
        };
        left -= size;
        let shown = match (wave.filter.as_str(), place == last) {
            ("", _) | (_, true) => size.to_string(),
            _ => format!("at most {size}"),
        };
        let soak = wave
            .soak
            .and_then(|soak| std::time::Duration::try_from(soak).ok());
        vec![
            wave.name.clone(),
            shown,
            wave.filter.clone(),
            share(&wave.max_concurrent, size).to_string(),
            wave.success_threshold.clone(),
            too_many(wave),
            crate::time::short(soak.unwrap_or_default()),
            if wave.needs_approval { "yes" } else { "no" }.to_owned(),
        ]
    });
    let headings = [
        "WAVE", "DEVICES", "FILTER", "AT ONCE", "SUCCESS", "STOPS AT", "SOAK", "APPROVAL",
    ];
    text += &table::render(&headings, rows.collect::<Vec<_>>());
    text
}

fn too_many(wave: &proto::drover::v1::CampaignWave) -> String {
    let devices = match wave.max_failed_devices {
        0 => None,
        devices => Some(format!("{devices} failed")),
    };
    let part = wave.max_failed_percent.as_str();
    let part = (!part.is_empty()).then(|| format!("more than {part}"));
    let both: Vec<String> = devices.into_iter().chain(part).collect();
    both.join(" or ")
}

/// `20`, `5%` or `0.5%`, as the API has written it.
fn share(text: &str, of: u64) -> u64 {
    let share = match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.parse().unwrap_or(100.0);
            Share::Millionths((percent * 10_000.0).round() as u32)
        }
        None => Share::Devices(text.parse().unwrap_or(u64::MAX)),
    };
    share.of(of)
}

#[cfg(test)]
mod tests {
    use proto::drover::v1::{CampaignImage, CampaignWave};

    use super::*;

    #[test]
    fn a_preview_counts_the_devices_of_each_wave() {
        let wave = |name: &str, size: &str, filter: &str| CampaignWave {
            name: name.to_owned(),
            size: size.to_owned(),
            filter: filter.to_owned(),
            max_concurrent: "50%".to_owned(),
            max_failed_devices: 2,
            max_failed_percent: "0.5%".to_owned(),
            needs_approval: name == "canary",
            ..CampaignWave::default()
        };
        let plan = CampaignPlan {
            image: Some(CampaignImage {
                name: "m".to_owned(),
                version: "2.0.0".to_owned(),
                uri: "coap://h/2".to_owned(),
                ..Default::default()
            }),
            waves: vec![
                wave("canary", "0.5%", ""),
                wave("north", "10", "labels.site = north"),
                wave("rest", "100%", ""),
            ],
            ..CampaignPlan::default()
        };
        insta::assert_snapshot!(planned(&plan, 142), @"
        142 devices would get 2.0.0 from coap://h/2

        WAVE     DEVICES      FILTER                AT ONCE   SUCCESS   STOPS AT                     SOAK   APPROVAL
        canary   1            -                     1         -         2 failed or more than 0.5%   0s     yes
        north    at most 10   labels.site = north   5         -         2 failed or more than 0.5%   0s     no
        rest     131          -                     66        -         2 failed or more than 0.5%   0s     no
        ");
    }
}
