//! `read` and `discover`: what a device has, asked of the device.

use std::fmt::Write as _;

use clap::Args;
use proto::drover::v1::{DiscoverRequest, DiscoverResponse, ReadCompositeRequest, ReadRequest};
use serde::Serialize;

use crate::api::Api;
use crate::arguments::{Behind, Global, Targets};
use crate::command::devices;
use crate::failure::Failure;
use crate::model::{self, object_name, resource_name};
use crate::table;
use crate::view::value::{ReadView, values};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover read sim-0001 /3/0/0
  drover read sim-0001 /3/0 -o json
  drover read sim-0001 /3303/0/5700 --accept senml-cbor
  drover read sim-0001 /3/0/9 /4/0 /3303
  drover read gateway-1 /3303/0/5700 --child dev0

Of several paths, those that the device does not have are left out. A device without composite
operations is asked for one after the other.

JSON: {\"endpoint\", \"path\", \"values\": [{\"path\", \"type\", \"value\"}]}. A time is RFC 3339, an
  opaque value Base64, an object link \"object:instance\".")]
pub(crate) struct Read {
    #[command(flatten)]
    targets: Targets,
    /// Content format to ask for: text, opaque, cbor, tlv, json, senml-json, senml-cbor, lwm2m-cbor or a number.
    #[arg(long, value_name = "FORMAT", value_parser = model::parse_format)]
    accept: Option<u32>,
    /// Ask even if the object's definition says that the resource cannot be read.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    behind: Behind,
}

impl Read {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let named = self.targets.named();
        let Targets { endpoint, paths } = self.targets;
        self.behind.check(&paths)?;
        let answer = match paths.as_slice() {
            [path] if *path != lwm2m::Path::Root => {
                let request = ReadRequest {
                    endpoint: endpoint.clone(),
                    path: path.to_string(),
                    accept: self.accept,
                    force: self.force,
                    child: self.behind.prefix(),
                };
                api.operations().read(api.request(request)).await
            }
            paths => {
                let request = ReadCompositeRequest {
                    endpoint: endpoint.clone(),
                    paths: paths.iter().map(ToString::to_string).collect(),
                    accept: self.accept,
                };
                api.operations().read_composite(api.request(request)).await
            }
        };
        let answer = answer
            .map_err(Failure::call(format!(
                "read {named} of {}",
                self.behind.of(&endpoint)
            )))?
            .into_inner();
        model::learn(&api, answer.values.iter().map(|value| value.path.as_str())).await;
        let view = ReadView {
            endpoint,
            path: named,
            values: values(answer.values),
        };
        global.output.show(&view, ReadView::table)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover discover sim-0001
  drover discover sim-0001 /3/0

JSON: {\"endpoint\", \"path\", \"links\": [{\"path\", \"attributes\": [{\"name\", \"value\"}]}]};
  without a path as `drover device`.")]
pub(crate) struct Discover {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Path, such as /3 or /3/0.
    #[arg(value_name = "PATH", value_parser = model::parse_path)]
    path: Option<lwm2m::Path>,
    /// How many levels to go down; needs LwM2M 1.2.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=3))]
    depth: Option<u32>,
    #[command(flatten)]
    behind: Behind,
}

#[derive(Debug, Serialize)]
struct DiscoverView {
    endpoint: String,
    path: String,
    links: Vec<LinkView>,
}

#[derive(Debug, Serialize)]
struct LinkView {
    path: String,
    attributes: Vec<AttributeView>,
}

#[derive(Debug, Serialize)]
struct AttributeView {
    name: String,
    value: Option<String>,
}

impl Discover {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let Some(path) = self.path.filter(|path| *path != lwm2m::Path::Root) else {
            if !self.behind.prefix().is_empty() {
                return Err(Failure::usage(
                    "a device behind a gateway has not registered with anything",
                    "name a path, or see `drover children` for its objects",
                ));
            }
            let device = devices::get(&api, self.endpoint).await?;
            return global.output.show(&device, devices::objects);
        };
        let request = DiscoverRequest {
            endpoint: self.endpoint.clone(),
            path: path.to_string(),
            depth: self.depth,
            child: self.behind.prefix(),
        };
        let answer = api.operations().discover(api.request(request)).await;
        let answer = answer.map_err(Failure::call(format!(
            "discover {path} of {}",
            self.behind.of(&self.endpoint)
        )))?;
        let answer = answer.into_inner();
        model::learn(&api, answer.links.iter().map(|link| link.path.as_str())).await;
        let view = DiscoverView::new(self.endpoint, path.to_string(), answer);
        global.output.show(&view, DiscoverView::table)
    }
}

impl DiscoverView {
    fn new(endpoint: String, path: String, answer: DiscoverResponse) -> Self {
        let links = answer.links.into_iter().map(|link| LinkView {
            path: link.path,
            attributes: link
                .attributes
                .into_iter()
                .map(|attribute| AttributeView {
                    name: attribute.name,
                    value: attribute.value,
                })
                .collect(),
        });
        Self {
            endpoint,
            path,
            links: links.collect(),
        }
    }

    fn table(&self) -> String {
        let rows = self.links.iter().map(|link| {
            let name = resource_name(&link.path).or_else(|| object_name(&link.path));
            vec![
                link.path.clone(),
                name.unwrap_or_default().to_owned(),
                link.attributes(),
            ]
        });
        table::render(&["PATH", "NAME", "ATTRIBUTES"], rows)
    }
}

impl LinkView {
    fn attributes(&self) -> String {
        let mut text = String::new();
        for attribute in &self.attributes {
            let separator = if text.is_empty() { "" } else { " " };
            let _ = match &attribute.value {
                Some(value) => write!(text, "{separator}{}={value}", attribute.name),
                None => write!(text, "{separator}{}", attribute.name),
            };
        }
        text
    }
}
