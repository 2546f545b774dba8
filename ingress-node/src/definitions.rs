//! The definitions of objects by which the values of devices are typed: the OMA's, with those of vendors over them.
//!
//! The state tier keeps those of vendors. They change seldom, and what is read in the meantime is typed as before: so they
//! are asked for every few seconds, and sent only when they changed.

use std::sync::Arc;
use std::time::Duration;

use lwm2m::Registry;
use node_runtime::Drain;
use state_client::Client;
use tokio::sync::mpsc;

use crate::driver::Input;

/// How often they are asked for.
const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Hands the definitions to the workers whenever they changed.
pub(crate) async fn watch(client: Client, workers: Vec<mpsc::Sender<Input>>, drain: Drain) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = drain.started() => return,
        }
        let news = match client.definitions(known, TIMEOUT).await {
            Ok(Some(news)) => news,
            Ok(None) => continue,
            Err(error) => {
                tracing::debug!(%error, "the definitions of objects could not be asked for");
                continue;
            }
        };
        known = Some(news.changes);
        if news.changes == 0 {
            // The workers begin with those of the OMA.
            continue;
        }
        let vendors = news.models.len();
        let definitions = Arc::new(Registry::oma().with(news.models));
        for worker in &workers {
            let told = Input::Definitions(Arc::clone(&definitions));
            if worker.send(told).await.is_err() {
                return;
            }
        }
        tracing::info!(vendors, "the definitions of objects changed");
    }
}
