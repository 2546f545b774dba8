//! `children`: the devices behind a gateway.

use clap::Args;
use proto::drover::v1::{ChildDevice, ListChildrenRequest};
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::model::{self, object_name};
use crate::table;
use crate::view::device::object_path;

#[derive(Debug, Args)]
#[command(after_help = "\
Reads object 25 of the gateway (OMA LwM2M Gateway 1.1). The prefix is what the other commands take with --child.

Examples:
  drover children gateway-1
  drover read gateway-1 /3303/0/5700 --child dev0

JSON: {\"endpoint\", \"children\": [{\"instance\", \"id\", \"prefix\", \"objects\": [\"/3303/0\", …], \"problem\"}]};
  a device with a problem cannot be asked for anything.")]
pub(crate) struct Children {
    /// Endpoint name of the gateway.
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
}

#[derive(Debug, Serialize)]
struct ChildrenView {
    endpoint: String,
    children: Vec<ChildView>,
}

#[derive(Debug, Serialize)]
struct ChildView {
    instance: u32,
    id: String,
    prefix: String,
    objects: Vec<String>,
    problem: Option<String>,
}

impl Children {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let endpoint = self.endpoint;
        let request = ListChildrenRequest {
            endpoint: endpoint.clone(),
        };
        let answer = api.operations().list_children(api.request(request)).await;
        let answer = answer.map_err(Failure::call(format!("list the children of {endpoint}")))?;
        let children = answer.into_inner().children;
        let view = ChildrenView {
            children: children.into_iter().map(ChildView::from).collect(),
            endpoint,
        };
        let objects = view.children.iter().flat_map(|child| &child.objects);
        model::learn(&api, objects.map(String::as_str)).await;
        global.output.show(&view, ChildrenView::table)
    }
}

impl From<ChildDevice> for ChildView {
    fn from(child: ChildDevice) -> Self {
        Self {
            instance: child.instance,
            id: child.id,
            prefix: child.prefix,
            objects: child.objects.iter().map(object_path).collect(),
            problem: (!child.problem.is_empty()).then_some(child.problem),
        }
    }
}

impl ChildrenView {
    fn table(&self) -> String {
        let rows = self.children.iter().map(|child| {
            vec![
                child.instance.to_string(),
                child.id.clone(),
                child.prefix.clone(),
                child.shown(),
            ]
        });
        table::render(&["INSTANCE", "ID", "PREFIX", "OBJECTS"], rows)
    }
}

impl ChildView {
    /// Its objects, or why it cannot be asked.
    fn shown(&self) -> String {
        if let Some(problem) = &self.problem {
            return format!("({problem})");
        }
        let named = |path: &String| match object_name(path) {
            Some(name) => format!("{path} {name}"),
            None => path.clone(),
        };
        let objects: Vec<String> = self.objects.iter().map(named).collect();
        objects.join(", ")
    }
}
