//! `operations`: what is under way for a device, and how it ended.

use clap::Subcommand;
use proto::drover::v1::{CancelOperationRequest, GetOperationRequest, ListOperationsRequest};

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::view::operation::{OperationView, OperationsView};

#[derive(Debug, Subcommand)]
pub(crate) enum Operations {
    /// List the operations of a device.
    #[command(after_help = "Example:\n  drover operations list sim-0001")]
    List {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
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
            Self::List { endpoint } => {
                let action = format!("list operations of {endpoint}");
                let answer = operations
                    .list_operations(api.request(ListOperationsRequest { endpoint }))
                    .await;
                let answer = answer.map_err(Failure::call(action))?.into_inner();
                let view = OperationsView {
                    operations: answer
                        .operations
                        .into_iter()
                        .map(OperationView::from)
                        .collect(),
                };
                return global.output.show(&view, OperationsView::table);
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
