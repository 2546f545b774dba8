//! All callers together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use crate::calls::Calls;
use crate::commands::{self, Asked};
use crate::credentials::{self, Kept};
use crate::executes::{self, Executed};
use crate::registers::{self, History};
use crate::watcher::Watcher;

/// Callers that work until they are told to stop.
#[derive(Debug)]
pub struct Work {
    stop: Arc<AtomicBool>,
    histories: JoinSet<History>,
    commands: JoinSet<Vec<Asked>>,
    credentials: JoinSet<Vec<Kept>>,
    executes: JoinSet<Vec<Executed>>,
}

/// What callers were told.
#[derive(Debug)]
pub struct Records {
    history: History,
    asked: Vec<Asked>,
    kept: Vec<Kept>,
    pub executed: Vec<Executed>,
}

impl Work {
    /// Begins, on the current runtime. `devices` are there and execute what they are asked to.
    pub fn start(calls: &Calls, devices: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut histories, mut commands) = (JoinSet::new(), JoinSet::new());
        let (mut credentials, mut executes) = (JoinSet::new(), JoinSet::new());
        for register in registers::all() {
            for caller in 0..registers::CALLERS {
                histories.spawn(register.clone().work(caller, calls.clone(), stop.clone()));
            }
        }
        for caller in 0..commands::CALLERS {
            commands.spawn(commands::work(caller, calls.clone(), stop.clone()));
        }
        for caller in 0..credentials::CALLERS {
            credentials.spawn(credentials::work(caller, calls.clone(), stop.clone()));
        }
        let devices: Arc<[String]> = devices.into();
        for caller in 0..executes::CALLERS {
            executes.spawn(executes::work(
                caller,
                devices.clone(),
                calls.clone(),
                stop.clone(),
            ));
        }
        Self {
            stop,
            histories,
            commands,
            credentials,
            executes,
        }
    }

    /// Panics if a caller has failed: none ends before it is told to.
    pub fn goes_on(&mut self) {
        if let Some(ended) = self.histories.try_join_next() {
            panic!("a caller of registers ended: {:?}", ended.map(drop));
        }
        if let Some(ended) = self.commands.try_join_next() {
            panic!("a caller of commands ended: {:?}", ended.map(drop));
        }
        if let Some(ended) = self.credentials.try_join_next() {
            panic!("a caller of credentials ended: {:?}", ended.map(drop));
        }
        if let Some(ended) = self.executes.try_join_next() {
            panic!("a caller of devices ended: {:?}", ended.map(drop));
        }
    }

    /// Has them stop, and waits for it. Nothing may be broken any more.
    pub async fn stop(self) -> Records {
        self.stop.store(true, Ordering::SeqCst);
        Records {
            history: self.histories.join_all().await.concat(),
            asked: self.commands.join_all().await.concat(),
            kept: self.credentials.join_all().await.concat(),
            executed: self.executes.join_all().await.concat(),
        }
    }
}

impl Records {
    /// Nothing that was acknowledged is missing, and nothing is there that was taken back. What of commands on devices has
    /// to hold only the devices know: [`crate::check_executed`].
    pub async fn check(&self, calls: &Calls, watcher: &Watcher) {
        let last = registers::last_reads(calls, &self.history).await;
        registers::check(&self.history, &last);
        watcher.saw_all(&self.history, &self.asked).await;
        credentials::check(calls, &self.kept).await;
    }

    /// How calls ended, in lines.
    pub fn ledger(&self, calls: &Calls) -> String {
        calls.tally().ledger(&self.history)
    }
}
