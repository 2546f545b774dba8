//! `operations`: what is under way for a device, and how it ended.

use clap::Subcommand;
use proto::drover::v1::{
    CancelOperationRequest, GetOperationRequest, ListOperationsRequest, WaitOperationRequest,
};

use crate::api::Api;
use crate::arguments::Global;
use crate::command::write;
use crate::failure::Failure;
use crate::view::operation::{OperationView, OperationsView};

/// The largest page that the API gives.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum Operations {
    /// List the operations of a device, or of all devices.
    #[command(after_help = "\
Operations that have ended are kept for an hour, 64 of each device at most.

Examples:
  drover operations list sim-0001
  drover operations list --filter 'state = PENDING'
  drover operations list sim-0001 --filter 'name = write AND path = /3/*'

Fields of filters: state (PENDING, IN_FLIGHT, DELIVERED, REJECTED, EXPIRED, CANCELLED, SUPERSEDED),
name, path, enqueue_time.")]
    List {
        /// Endpoint name of the device; without one: of all devices.
        #[arg(
            value_name = "ENDPOINT",
            default_value = "-",
            hide_default_value = true
        )]
        endpoint: String,
        /// Only operations that pass this filter, as of the API.
        #[arg(
            long,
            value_name = "FILTER",
            default_value = "",
            hide_default_value = true
        )]
        filter: String,
    },
    /// Wait until an operation has ended, as long as --timeout lets it.
    #[command(after_help = "Example:\n  drover operations wait sim-0001 3-17 --timeout 10m")]
    Wait {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Id, as `drover write` printed it.
        id: String,
    },
    /// Show one operation.
    #[command(after_help = "Example:\n  drover operations get sim-0001 3-17")]
    Get {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Id, as `drover write` printed it.
        id: String,
    },
    /// Cancel an operation that was not sent yet.
    #[command(after_help = "Example:\n  drover operations cancel sim-0001 3-17")]
    Cancel {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Id, as `drover write` printed it.
        id: String,
    },
}

impl Operations {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let mut operations = api.operations();
        let operation = match self {
            Self::List { endpoint, filter } => {
                let view = OperationsView {
                    operations: all(&api, endpoint, filter).await?,
                };
                return global.output.show(&view, OperationsView::table);
            }
            Self::Wait { endpoint, id } => {
                let action = format!("wait for operation {id} of {endpoint}");
                let request = WaitOperationRequest {
                    endpoint,
                    id,
                    timeout: prost_types::Duration::try_from(global.timeout).ok(),
                };
                let answer = operations
                    .wait_operation(write::request(global, request))
                    .await;
                answer.map_err(Failure::call(action))?
            }
            Self::Get { endpoint, id } => {
                let action = format!("show operation {id} of {endpoint}");
                let answer = operations
                    .get_operation(api.request(GetOperationRequest { endpoint, id }))
                    .await;
                answer.map_err(Failure::call(action))?
            }
            Self::Cancel { endpoint, id } => {
                let action = format!("cancel operation {id} of {endpoint}");
                let answer = operations
                    .cancel_operation(api.request(CancelOperationRequest { endpoint, id }))
                    .await;
                answer.map_err(Failure::call(action))?
            }
        };
        global.output.show(
            &OperationView::from(operation.into_inner()),
            OperationView::table,
        )
    }
}

/// All pages.
async fn all(api: &Api, endpoint: String, filter: String) -> Result<Vec<OperationView>, Failure> {
    let mut operations = Vec::new();
    let mut request = ListOperationsRequest {
        endpoint,
        filter,
        page_size: PAGE,
        page_token: String::new(),
    };
    loop {
        let action = format!("list operations of {}", request.endpoint);
        let answer = api
            .operations()
            .list_operations(api.request(request.clone()))
            .await;
        let page = answer.map_err(Failure::call(action))?.into_inner();
        operations.extend(page.operations.into_iter().map(OperationView::from));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(operations);
        }
    }
}
