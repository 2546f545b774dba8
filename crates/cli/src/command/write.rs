//! `write`, `exec`, `create`, `delete` and `attributes`: durable operations, which change the device.

use std::time::Duration;

use clap::Args;
use lwm2m::Path;
use lwm2m::value::ValueType;
use proto::drover::v1::{
    CreateInstanceRequest, DeleteInstanceRequest, Delivery, ExecuteRequest, Operation,
    OperationResponse, PathValue, WriteAttributesRequest, WriteRequest, delivery, operation,
    write_request,
};
use tonic::{Request, Response, Status};

use crate::api::Api;
use crate::arguments::{Behind, Global, Target};
use crate::failure::Failure;
use crate::model::{self, TypeName};
use crate::view::operation::OperationView;

/// What the API may take beyond the deadline of the operation to tell how it ended.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// How a change is delivered.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct DeliveryOptions {
    /// Return once the cluster has accepted it; `drover operations get` tells how it ended.
    #[arg(long)]
    no_wait: bool,
    /// 0 to 255: of what waits for the device, the highest goes first, and among equals the oldest.
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: u8,
    /// Give up older writes that wait and of which this one leaves nothing.
    #[arg(long)]
    supersede: bool,
    /// Now or not at all: fail if the device sleeps or has other operations waiting.
    #[arg(long, conflicts_with = "no_wait")]
    immediate: bool,
    /// The same id again is the same operation, done once.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only check whether the operation would be accepted.
    #[arg(long)]
    dry_run: bool,
}

/// Whether the device is asked for what its objects' definitions forbid.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Force {
    /// Send even if the object's definition forbids it.
    #[arg(long = "force")]
    pub(crate) is_set: bool,
}

impl DeliveryOptions {
    /// The operation may wait for the device as long as the caller does.
    pub(crate) fn message(self, global: &Global) -> Delivery {
        let wait = if self.no_wait {
            delivery::Wait::UntilAccepted
        } else {
            delivery::Wait::UntilFinished
        };
        Delivery {
            deadline: prost_types::Duration::try_from(global.timeout).ok(),
            request_id: self
                .request_id
                .unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>())),
            wait: wait.into(),
            priority: self.priority.into(),
            supersede: self.supersede,
            immediate: self.immediate,
            validate_only: self.dry_run,
        }
    }
}

pub(crate) fn request<T>(global: &Global, message: T) -> Request<T> {
    Api::request_within(global.timeout.saturating_add(ANSWER_TIME), message)
}

/// Prints how an operation ended; an end other than delivery is a failure.
pub(crate) fn finish(
    global: &Global,
    action: String,
    answer: Result<Response<OperationResponse>, Status>,
) -> Result<(), Failure> {
    let operation = answer
        .map_err(Failure::call(action))?
        .into_inner()
        .operation;
    // Of one that was only tried there is nothing to show.
    let Some(operation) = operation else {
        return Ok(());
    };
    if ended_badly(&operation) {
        return Err(Failure::Operation {
            operation: Box::new(operation),
        });
    }
    global
        .output
        .show(&OperationView::from(operation), OperationView::line)
}

pub(crate) fn ended_badly(operation: &Operation) -> bool {
    use operation::State;
    matches!(
        operation.state(),
        State::Rejected | State::Expired | State::Cancelled | State::Superseded
    )
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover write sim-0001 /3/0/14 +02:00
  drover write sim-0001 /1/0 1=600 6=true
  drover write meter-7 /31000/0/1 -5 --type integer
  drover write meter-7 /3/0/14 +02:00 --timeout 12h --no-wait

The text of a value: a number, true or false, Base64 for bytes, RFC 3339 or seconds for a time,
OBJECT:INSTANCE for a link. It is typed by the object's definition.")]
pub(crate) struct Write {
    #[command(flatten)]
    target: Target,
    /// VALUE for a resource; ID=VALUE for each resource of an object instance, or instance of a resource.
    #[arg(value_name = "VALUE", required = true, allow_negative_numbers = true)]
    values: Vec<String>,
    /// Data type, where no object definition tells it.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    named: Option<TypeName>,
    /// Remove what is not given from the object instance or the resource.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    behind: Behind,
}

/// A value for the API to type, or values that are typed.
enum Written {
    Text(String),
    Values(Vec<PathValue>),
}

impl Write {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Target { endpoint, path } = self.target;
        check_place(path)?;
        let api = Api::connect(global).await?;
        model::learn(&api, [path.to_string().as_str()]).await;
        let written = written(path, &self.values, self.named)?;
        let (text, values) = match written {
            Written::Text(text) => (text, Vec::new()),
            Written::Values(values) => (String::new(), values),
        };
        let mode = if self.replace {
            write_request::Mode::Replace
        } else {
            write_request::Mode::Unspecified
        };
        let action = format!("write {path} of {}", self.behind.of(&endpoint));
        let message = WriteRequest {
            endpoint,
            path: path.to_string(),
            mode: mode.into(),
            values,
            text,
            force: self.force.is_set,
            child: self.behind.prefix(),
            delivery: Some(self.delivery.message(global)),
        };
        let answer = api.operations().write(request(global, message)).await;
        finish(global, action, answer)
    }
}

fn check_place(path: Path) -> Result<(), Failure> {
    match path {
        Path::ObjectInstance(..) | Path::Resource(..) | Path::ResourceInstance(..) => Ok(()),
        Path::Root | Path::Object(_) => Err(Failure::usage(
            format!("{path} cannot be written"),
            "name a resource (/3/0/14) or an object instance (/3/0)",
        )),
    }
}

fn written(path: Path, values: &[String], named: Option<TypeName>) -> Result<Written, Failure> {
    let resource = path.resource_id().is_some();
    match values {
        [value] if resource && !is_assignment(path, value) => single(path, value, named),
        values => {
            let typed: Result<Vec<PathValue>, Failure> = values
                .iter()
                .map(|value| model::assignment(path, value, named))
                .collect();
            typed.map(Written::Values)
        }
    }
}

/// A resource with several instances takes `ID=VALUE`; for any other a text with `=` is just a text.
fn is_assignment(path: Path, value: &str) -> bool {
    model::is_multiple(path) && matches!(path, Path::Resource(..)) && value.contains('=')
}

fn single(path: Path, text: &str, named: Option<TypeName>) -> Result<Written, Failure> {
    if named.is_some() || text.is_empty() {
        return Ok(Written::Values(vec![model::typed(path, text, named)?]));
    }
    // The API types a text by its own definitions, which may know more objects than this program.
    let time = model::value_type(path) == Some(ValueType::Time);
    let seconds = time.then(|| model::seconds_of(text)).flatten();
    Ok(Written::Text(seconds.map_or_else(
        || text.to_owned(),
        |seconds| seconds.to_string(),
    )))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover exec sim-0001 /3/0/4
  drover exec meter-7 /31000/0/9 \"0='on',1\"

An executed resource is sent to the device at most once.")]
pub(crate) struct Exec {
    #[command(flatten)]
    target: Target,
    /// Arguments: digits, each with an optional value, such as 0='on',1.
    #[arg(value_name = "ARGUMENTS", default_value = "")]
    arguments: String,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    force: Force,
    #[command(flatten)]
    behind: Behind,
}

impl Exec {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Target { endpoint, path } = self.target;
        let action = format!("execute {path} of {}", self.behind.of(&endpoint));
        let message = ExecuteRequest {
            endpoint,
            path: path.to_string(),
            arguments: self.arguments,
            force: self.force.is_set,
            child: self.behind.prefix(),
            delivery: Some(self.delivery.message(global)),
        };
        let api = Api::connect(global).await?;
        let answer = api.operations().execute(request(global, message)).await;
        finish(global, action, answer)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover create meter-7 /3303
  drover create meter-7 /3303 --instance 2 5750=Boiler")]
pub(crate) struct Create {
    #[command(flatten)]
    target: Target,
    /// Instance id; the device chooses unless it is given.
    #[arg(long, value_name = "ID")]
    instance: Option<u16>,
    /// Values of resources.
    #[arg(value_name = "ID=VALUE")]
    values: Vec<String>,
    /// Data type, where no object definition tells it.
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    named: Option<TypeName>,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    force: Force,
}

impl Create {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Target { endpoint, path } = self.target;
        // Without an id the values still need a place; the API reads only their resource ids then.
        let base = path
            .child(self.instance.unwrap_or_default())
            .filter(|_| matches!(path, Path::Object(_)));
        let base = base.ok_or_else(|| {
            Failure::usage(
                format!("no instance of {path} can be created"),
                "name an object, for example /3303",
            )
        })?;
        let api = Api::connect(global).await?;
        if !self.values.is_empty() {
            model::learn(&api, [base.to_string().as_str()]).await;
        }
        let values: Result<Vec<PathValue>, Failure> = self
            .values
            .iter()
            .map(|value| model::assignment(base, value, self.named))
            .collect();
        let action = format!("create an instance of {path} of {endpoint}");
        let message = CreateInstanceRequest {
            endpoint,
            path: path.to_string(),
            instance: self.instance.map(u32::from),
            values: values?,
            force: self.force.is_set,
            delivery: Some(self.delivery.message(global)),
        };
        let answer = api
            .operations()
            .create_instance(request(global, message))
            .await;
        finish(global, action, answer)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover delete meter-7 /3303/2
  drover delete meter-7 /16/0/0/3      an instance of a resource: LwM2M 1.2")]
pub(crate) struct Delete {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    force: Force,
}

impl Delete {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Target { endpoint, path } = self.target;
        let action = format!("delete {path} of {endpoint}");
        let message = DeleteInstanceRequest {
            endpoint,
            path: path.to_string(),
            force: self.force.is_set,
            delivery: Some(self.delivery.message(global)),
        };
        let api = Api::connect(global).await?;
        let answer = api
            .operations()
            .delete_instance(request(global, message))
            .await;
        finish(global, action, answer)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drover attributes sim-0001 /3303/0/5700 pmin=10 pmax=60 gt=30
  drover attributes sim-0001 /3303/0/5700 gt           remove gt")]
pub(crate) struct Attributes {
    #[command(flatten)]
    target: Target,
    /// NAME=VALUE sets an attribute, NAME removes it.
    #[arg(value_name = "NAME[=VALUE]", required = true)]
    attributes: Vec<String>,
    #[command(flatten)]
    delivery: DeliveryOptions,
    #[command(flatten)]
    behind: Behind,
}

impl Attributes {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Target { endpoint, path } = self.target;
        let action = format!("set attributes of {path} of {}", self.behind.of(&endpoint));
        let message = WriteAttributesRequest {
            endpoint,
            path: path.to_string(),
            attributes: self.attributes.join("&"),
            child: self.behind.prefix(),
            delivery: Some(self.delivery.message(global)),
        };
        let api = Api::connect(global).await?;
        let answer = api
            .operations()
            .write_attributes(request(global, message))
            .await;
        finish(global, action, answer)
    }
}
