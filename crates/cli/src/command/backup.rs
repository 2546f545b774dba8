//! `backup`: copies of the state tier in a directory or in object storage.

mod progress;
mod source;

use backup::{
    Access, BackupId, Catalog, CatalogError, CreateError, Target, TargetError, Wanted, create,
    verify,
};
use clap::{Args, Subcommand};
use tonic::Status;

use self::progress::Written;
use self::source::ApiSource;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::view::backup::{BackupView, BackupsView, CreatedView, RemovedView, VerifiedView};

const HINT: &str = "`drover backup list` lists the backups";

#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    /// Make a backup of the whole state tier, while it runs.
    #[command(after_help = "\
Holds everything that was acknowledged before the command began. Only what no earlier backup at
the same place has is written; every backup is whole nevertheless. Secrets are sealed with the
cluster key, which is not in the backup: keep it elsewhere.

For s3:// the environment says the rest, as for other programs: AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP.

Examples:
  drover backup create --to file:///mnt/backups/drover
  drover backup create --to s3://backups/drover --parallel 8 -o json

JSON: {\"id\", \"clusterId\", \"clusterName\", \"software\", \"startTime\", \"endTime\", \"bytes\",
  \"shards\": [{\"shard\", \"node\", \"term\", \"index\", \"leaderTime\", \"files\", \"bytes\"}], \"writtenBytes\"}")]
    Create(Create),
    /// List backups, the oldest first.
    #[command(after_help = "\
Example:
  drover backup list --from s3://backups/drover

JSON: {\"backups\": [{\"id\", \"error\": of a manifest that cannot be read, or \"clusterId\", …}]}")]
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show what a backup holds.
    #[command(after_help = "Example:\n  drover backup show latest --from s3://backups/drover")]
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Read a backup again, and compare everything with its manifest.
    #[command(after_help = "\
Example:
  drover backup verify latest --from s3://backups/drover

JSON: {\"id\", \"files\", \"bytes\", \"problems\": [{\"object\", \"shard\", \"name\", \"problem\"}]}. Exit code 1 if
there are problems.")]
    Verify {
        #[command(flatten)]
        which: Which,
        /// Files that are read at a time.
        #[arg(long, value_name = "N", default_value = "4", value_parser = at_a_time())]
        parallel: u16,
    },
    /// Remove backups, and files that no other backup needs.
    #[command(after_help = "\
Files stay while another backup is being made: the next delete or prune removes them.

Example:
  drover backup delete 20261130T174512Z-5f3a9c1e --from s3://backups/drover

JSON: {\"backups\": [ids], \"files\", \"bytes\", \"waitsFor\": [ids of backups that are being made]}")]
    Delete {
        /// Ids of backups.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<BackupId>,
        #[command(flatten)]
        place: Place,
    },
    /// Remove all backups but the newest, and files that no backup needs.
    #[command(after_help = "\
Example:
  drover backup prune --keep 14 --from s3://backups/drover

JSON as of delete.")]
    Prune {
        /// How many backups stay.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        keep: u32,
        #[command(flatten)]
        place: Place,
    },
}

/// Where backups lie.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where backups lie: file:///folder or s3://bucket/prefix.
    #[arg(
        long,
        value_name = "URL",
        env = "DROVER_BACKUPS",
        hide_env_values = true
    )]
    from: String,
}

/// Which backup, and where.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Id of the backup, or latest.
    #[arg(value_name = "ID")]
    id: Wanted,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Where the backup goes: file:///folder or s3://bucket/prefix.
    #[arg(
        long,
        value_name = "URL",
        env = "DROVER_BACKUPS",
        hide_env_values = true
    )]
    to: String,
    /// Shards that are copied at a time.
    #[arg(long, value_name = "N", default_value = "4", value_parser = at_a_time())]
    parallel: u16,
}

fn at_a_time() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=12)
}

impl Place {
    fn open(&self) -> Result<Target, Failure> {
        Target::open(&self.from, Access::Existing).map_err(place)
    }
}

impl Backup {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(global).await,
            Self::List { place } => {
                let target = place.open()?;
                let found = Catalog::new(&target).list().await.map_err(catalog)?;
                let view = BackupsView::from(found);
                global.output.show(&view, BackupsView::table)
            }
            Self::Show { which } => {
                let target = which.place.open()?;
                let found = Catalog::new(&target).find(&which.id).await;
                let view = BackupView::from(found.map_err(catalog)?);
                global.output.show(&view, BackupView::table)
            }
            Self::Verify { which, parallel } => check(global, &which, parallel.into()).await,
            Self::Delete { ids, place } => {
                let target = place.open()?;
                let removed = Catalog::new(&target).delete(&ids).await.map_err(catalog)?;
                global
                    .output
                    .show(&RemovedView::from(removed), RemovedView::text)
            }
            Self::Prune { keep, place } => {
                let target = place.open()?;
                let removed = Catalog::new(&target).prune(keep as usize).await;
                let view = RemovedView::from(removed.map_err(catalog)?);
                global.output.show(&view, RemovedView::text)
            }
        }
    }
}

impl Create {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let source = ApiSource::connect(global).await?;
        let target = Target::open(&self.to, Access::Create).map_err(place)?;
        let written = Written::default();
        let note = |progress| written.note(progress);
        let made = create(&source, &target, self.parallel.into(), &note).await;
        let view = CreatedView::new(made.map_err(creation)?, written.bytes());
        global.output.show(&view, CreatedView::table)
    }
}

async fn check(global: &Global, which: &Which, parallel: usize) -> Result<(), Failure> {
    let target = which.place.open()?;
    let manifest = Catalog::new(&target).find(&which.id).await;
    let manifest = manifest.map_err(catalog)?;
    let read = Written::default();
    let note = |bytes| read.read(bytes, manifest.bytes());
    let verified = verify(&target, &manifest, parallel, &note).await;
    let verified = verified.map_err(place)?;
    let (problems, files) = (verified.problems.len(), verified.files);
    let view = VerifiedView::new(&manifest.id, verified);
    global.output.show(&view, VerifiedView::text)?;
    if problems == 0 {
        Ok(())
    } else {
        Err(Failure::Other(anyhow::anyhow!(
            "backup {} is damaged: {problems} of {files} files",
            manifest.id
        )))
    }
}

fn place(error: TargetError) -> Failure {
    match error {
        TargetError::Url { .. } | TargetError::Folder { .. } => Failure::usage(
            format!("{:#}", anyhow::Error::new(error)),
            "give file:///folder or s3://bucket/prefix",
        ),
        error => Failure::Other(error.into()),
    }
}

fn catalog(error: CatalogError) -> Failure {
    match error {
        CatalogError::Target(error) => place(error),
        CatalogError::Unknown(_) | CatalogError::Empty(_) => Failure::NotFound {
            message: error.to_string(),
            hint: HINT.to_owned(),
        },
        error @ CatalogError::Manifest { .. } => Failure::Other(error.into()),
    }
}

fn creation(error: CreateError<Status>) -> Failure {
    match error {
        CreateError::Target(error) => place(error),
        CreateError::Source { shard, source } => {
            Failure::call(format!("read shard {shard}"))(source)
        }
        error => Failure::Other(error.into()),
    }
}
