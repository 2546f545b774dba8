//! `groups`: names for the devices that a filter lets through.

use clap::{Args, Subcommand};
use fleet_plan::group::Stored;
use fleet_wire::group::asked;
use proto::drover::v1::{
    DeleteDeviceGroupRequest, GetDeviceGroupRequest, ListDeviceGroupsRequest, PutDeviceGroupRequest,
};

use crate::api::Api;
use crate::arguments::{Global, Once, Seen};
use crate::failure::Failure;
use crate::selector::Selection;
use crate::view::group::{GroupView, GroupsView};

#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// Add a group, or replace the one of its name.
    #[command(after_help = "\
Who is in the group is looked up whenever it matters. `drover devices --group` lists them, `drover
rollout create --group` updates them.

Examples:
  drover groups put north -l site=north
  drover groups put old --filter 'firmware_version = \"1.*\"' --description 'to be updated'")]
    Put(Put),
    /// List groups.
    #[command(
        after_help = "JSON: {\"groups\": [{\"name\", \"filter\", \"description\", \"etag\"}]}."
    )]
    List,
    /// Show a group, and who is in it.
    #[command(after_help = "\
Every device of the group is looked at, which takes seconds for a million.

JSON: {\"name\", \"filter\", \"description\", \"etag\", \"devices\", \"registered\", \"asleep\",
  \"firmwareVersions\": [{\"version\", \"devices\"}]}; a version that is empty stands for all others.")]
    Get {
        /// Name of the group.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove a group; its devices stay, and campaigns that were made of it go on.
    Remove {
        /// Name of the group.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        seen: Seen,
        #[command(flatten)]
        once: Once,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// Name of the group: letters, digits and hyphens.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    selection: Selection,
    /// What it is for.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    once: Once,
}

impl Groups {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(global).await,
            Self::List => list(global).await,
            Self::Get { name } => get(global, name).await,
            Self::Remove { name, seen, once } => {
                let api = Api::connect(global).await?;
                let action = format!("remove the group {name}");
                let request = api.request(DeleteDeviceGroupRequest {
                    name,
                    etag: seen.etag,
                    request_id: once.request_id,
                    validate_only: once.dry_run,
                });
                let answer = api.groups().delete_device_group(request).await;
                answer.map(drop).map_err(Failure::call(action))
            }
        }
    }
}

impl Put {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let action = format!("put the group {}", self.name);
        let api = Api::connect(global).await?;
        let request = api.request(PutDeviceGroupRequest {
            group: Some(asked(Stored {
                name: self.name,
                filter: self.selection.filter().unwrap_or_default(),
                description: self.description,
                etag: self.seen.etag,
            })),
            request_id: self.once.request_id,
            validate_only: self.once.dry_run,
        });
        let answer = api.groups().put_device_group(request).await;
        let stored = answer.map_err(Failure::call(action))?.into_inner();
        global
            .output
            .show(&GroupView::from(stored), |_| String::new())
    }
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListDeviceGroupsRequest {});
    let answer = api.groups().list_device_groups(request).await;
    let answer = answer.map_err(Failure::call("list groups"))?.into_inner();
    let view = GroupsView {
        groups: answer.groups.into_iter().map(GroupView::from).collect(),
    };
    global.output.show(&view, GroupsView::table)
}

async fn get(global: &Global, name: String) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("get the group {name}");
    let request = api.request(GetDeviceGroupRequest { name, count: true });
    let answer = api.groups().get_device_group(request).await;
    let group = answer.map_err(Failure::call(action))?.into_inner();
    global.output.show(&GroupView::from(group), GroupView::text)
}
