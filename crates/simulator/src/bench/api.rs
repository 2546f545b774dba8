//! The public API, as a measurement sees it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proto::drover::v1::operations_client::OperationsClient;
use tonic::transport::{Channel, Endpoint};

use crate::fleet::Fleet;

/// How often to look whether something has come about.
pub(crate) const PERIOD: Duration = Duration::from_millis(5);

/// Operations by way of the node at `HOST:PORT`.
pub(crate) async fn operations(api: &str) -> Result<OperationsClient<Channel>> {
    let channel = Endpoint::from_shared(format!("http://{api}"))
        .with_context(|| format!("{api} is not HOST:PORT"))?
        .connect()
        .await
        .with_context(|| format!("cannot reach the API at {api}"))?;
    Ok(OperationsClient::new(channel))
}

/// Waits until so many devices are registered.
pub(crate) async fn all_registered(fleet: &Fleet, devices: usize, limit: Duration) -> Result<()> {
    let registered = || fleet.totals().registered as usize;
    let all = until(limit, || registered() == devices).await;
    ensure!(all, "{} of {devices} devices are registered", registered());
    Ok(())
}

/// Waits for something; whether it came about in time.
pub(crate) async fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let wait = async {
        while !holds() {
            tokio::time::sleep(PERIOD).await;
        }
    };
    tokio::time::timeout(limit, wait).await.is_ok()
}
