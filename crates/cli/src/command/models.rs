//! `models`: objects that vendors define.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use lwm2m::{ObjectModel, ObjectVersion, Registry, ddf};
use proto::drover::v1::{
    DeleteObjectModelRequest, ListObjectModelsRequest, PutObjectModelsRequest,
};

use crate::api::Api;
use crate::arguments::{Global, Once};
use crate::failure::Failure;
use crate::model;
use crate::view::model::{ModelView, ModelsView};

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Add the objects of definition files, or replace those of the same ids and versions.
    #[command(after_help = "\
A definition file (DDF) is XML in the form in which the OMA publishes objects. It describes
objects that the OMA registry does not have, or newer versions of them; objects 0 to 1023 are the
OMA's alone. For objects that nobody else needs to know, ids 26241 to 32768 are free to use.

From then on values of the objects have types and names, and what their definitions forbid is
refused before a device is asked.

Example:
  drover models add pump.xml valve.xml")]
    Add {
        /// Definition files. All are checked before the first is added.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        once: Once,
    },
    /// List the objects that were added.
    #[command(after_help = "\
The objects of the OMA registry are always known, and are not listed.

JSON: {\"models\": [{\"id\", \"version\", \"name\", \"resources\": how many}]}")]
    List,
    /// Show the definition of an object, of a vendor or of the OMA.
    #[command(after_help = "\
Operations: R is read, W is write, E is execute; a resource without any is for bootstrap servers.

Examples:
  drover models show 26241
  drover models show 3 --version 1.0 -o json

JSON: {\"id\", \"version\", \"lwm2mVersion\", \"name\", \"multiple\", \"mandatory\", \"description\",
  \"resources\": [{\"id\", \"name\", \"operations\", \"multiple\", \"mandatory\", \"type\", \"range\",
  \"units\", \"description\"}]}")]
    Show(Which),
    /// Remove an object that was added.
    #[command(after_help = "\
Values that are known of devices stay as they are.

Examples:
  drover models remove 26241                 all versions
  drover models remove 26241 --version 1.0")]
    Remove {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        once: Once,
    },
}

/// An object, in one version or in any.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Object id.
    #[arg(value_name = "ID", value_parser = clap::value_parser!(u16).range(0..=65_534))]
    id: u16,
    /// Version of the object, such as 1.0.
    #[arg(long, value_name = "VERSION")]
    version: Option<ObjectVersion>,
}

impl Models {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Add { files, once } => add(global, &files, &once).await,
            Self::List => list(global).await,
            Self::Show(which) => show(global, which).await,
            Self::Remove { which, once } => remove(global, which, once).await,
        }
    }
}

async fn add(global: &Global, files: &[PathBuf], once: &Once) -> Result<(), Failure> {
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        texts.push((file, checked(file)?));
    }
    let api = Api::connect(global).await?;
    let mut added = Vec::new();
    for (file, ddf) in texts {
        let action = format!("add the objects of {}", file.display());
        let request = api.request(PutObjectModelsRequest {
            ddf,
            request_id: once.request_id.clone(),
            validate_only: once.dry_run,
        });
        let answer = api.object_models().put_object_models(request).await;
        let answer = answer.map_err(Failure::call(action))?.into_inner();
        added.extend(answer.models);
    }
    global
        .output
        .show(&ModelsView::from(added), ModelsView::table)
}

/// The text of a definition file that the API will take.
fn checked(file: &Path) -> Result<String, Failure> {
    let name = file.display();
    let unreadable = |error: std::io::Error| {
        Failure::usage(
            format!("cannot read {name}: {error}"),
            "name an XML file in the form of OMA's LWM2M.xsd",
        )
    };
    let mut text = String::new();
    File::open(file)
        .and_then(|input| {
            let limit = ddf::MAX_DOCUMENT as u64 + 1;
            input.take(limit).read_to_string(&mut text)
        })
        .map_err(unreadable)?;
    let models = ddf::parse(&text).map_err(|error| {
        Failure::usage(
            format!("{name}: {error}"),
            "nothing was added; examples/pump.xml is a complete definition",
        )
    })?;
    let admitted = models
        .iter()
        .try_for_each(|model| Registry::oma().admits(model));
    admitted.map_err(|error| Failure::usage(format!("{name}: {error}"), "nothing was added"))?;
    Ok(text)
}

async fn list(global: &Global) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let request = api.request(ListObjectModelsRequest {});
    let answer = api.object_models().list_object_models(request).await;
    let answer = answer
        .map_err(Failure::call("list object models"))?
        .into_inner();
    global
        .output
        .show(&ModelsView::from(answer.models), ModelsView::table)
}

async fn show(global: &Global, which: Which) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("show object {}", which.id);
    let added = model::versions(&api, which.id).await;
    let added = added.map_err(Failure::call(action))?;
    let known = Registry::oma().with(added);
    let Some(found) = known.object(which.id, which.version) else {
        return Err(unknown(&which, known.versions(which.id)));
    };
    global.output.show(&ModelView::from(found), ModelView::text)
}

fn unknown(which: &Which, versions: &[ObjectModel]) -> Failure {
    let versions: Vec<String> = versions
        .iter()
        .map(|model| model.version.to_string())
        .collect();
    if versions.is_empty() {
        return Failure::usage(
            format!("no definition of object {} is known", which.id),
            "`drover models add FILE` adds one, `drover models list` lists those that were added",
        );
    }
    Failure::usage(
        format!("object {} is not known in that version", which.id),
        format!("known are {}", versions.join(", ")),
    )
}

async fn remove(global: &Global, which: Which, once: Once) -> Result<(), Failure> {
    let api = Api::connect(global).await?;
    let action = format!("remove the model of object {}", which.id);
    let request = api.request(DeleteObjectModelRequest {
        id: u32::from(which.id),
        version: which
            .version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        request_id: once.request_id,
        validate_only: once.dry_run,
    });
    let answer = api.object_models().delete_object_model(request).await;
    answer.map(drop).map_err(Failure::call(action))
}
