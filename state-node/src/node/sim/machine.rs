//! A state node as it is, but for its disk, its connections, and what it does when it gives up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use device_state::NodeId;
use node_runtime::{Readiness, Tasks};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::wires::{Place, Wires};
use super::{MACHINES, SHARDS};
use crate::access::config::{ApiAccess, Mode};
use crate::config::Config;
use crate::dial::Dialer;
use crate::fail_stop::FailStop;
use crate::identity::IdentityFile;
use crate::node::parts::{Parts, Surroundings};
use crate::node::storage::Storage;
use crate::node::{Progress, Security};
use crate::raft::Member;
use crate::raft::sim::until;
use crate::raft::sim::volume::{Opened, Volume};
use crate::seal::Seal;
use crate::tenants::Tenants;

/// Between two comparisons of the replicas of a shard.
const COMPARE_EVERY: Duration = Duration::from_secs(5);

pub(super) fn internal(place: Place) -> String {
    format!("node-{place}:7444")
}

pub(super) fn api(place: Place) -> String {
    format!("node-{place}:7443")
}

pub(super) struct Machine {
    place: Place,
    wires: Wires,
    volume: Volume,
    /// Whether it is losing its power, so that nobody wonders what it finds.
    dying: Arc<AtomicBool>,
    /// What a node stopped itself for.
    given_up: Arc<Mutex<Vec<String>>>,
    running: Option<Running>,
}

struct Running {
    tasks: Tasks,
    parts: Parts,
    ready: watch::Receiver<Progress>,
    writer: JoinSet<()>,
}

impl Machine {
    pub(super) fn new(place: Place, wires: Wires, seed: u64) -> Self {
        Self {
            place,
            wires,
            volume: Volume::new(seed),
            dying: Arc::default(),
            given_up: Arc::default(),
            running: None,
        }
    }

    fn config(&self) -> Config {
        Config {
            data_dir: self.volume.folder().to_owned(),
            shards: SHARDS,
            seeds: (1..=MACHINES).map(internal).collect(),
            disk_reserve_bytes: 0,
            compare_replicas_every: COMPARE_EVERY,
            api_access: ApiAccess {
                mode: Some(Mode::Anonymous),
                ..ApiAccess::default()
            },
            ..Config::default()
        }
    }

    fn fail_stop(&self) -> FailStop {
        let (dying, given_up) = (self.dying.clone(), self.given_up.clone());
        FailStop::hooked(move |what| {
            if !dying.load(Ordering::SeqCst) {
                given_up.lock().unwrap().push(what.to_owned());
            }
        })
    }

    /// Starts from what the disk has.
    pub(super) async fn start(&mut self) {
        self.dying.store(false, Ordering::SeqCst);
        let tasks = Tasks::new();
        let config = self.config();
        let fail_stop = self.fail_stop();
        let mut registry = Registry::default();
        let tenants = Tenants::new(&config.tenants, config.tenant_default, &mut registry);
        let tenants = Arc::new(tenants.unwrap());
        let security = Security::open(&config, &tenants, &mut registry, &tasks);
        let security = security.await.unwrap();
        let identity =
            IdentityFile::open(&config.data_dir, SHARDS, NodeId(0xa0 + self.place)).unwrap();
        let Opened {
            log,
            stores,
            writer,
        } = self.volume.open(SHARDS, &fail_stop).await;
        let (wires, place) = (self.wires.clone(), self.place);
        let around = Surroundings {
            storage: Storage { log, stores },
            dialer: Dialer::Secured(Arc::new(move |endpoint| wires.channel(place, &endpoint))),
            fail_stop,
            tenants,
            seal: Arc::new(Seal::new(&[7; 32])),
        };
        let own = Member {
            internal: internal(self.place),
            api: api(self.place),
            cluster: String::new(),
        };
        let id = identity.node();
        let parts = Parts::open(config, (id, own), around, &tasks)
            .await
            .unwrap();
        let incoming = self.wires.listen(self.place, &internal(self.place));
        parts.serve_internal(incoming, security.only_state_nodes);
        let incoming = self.wires.listen(self.place, &api(self.place));
        let health = parts.serve_api(incoming, security.access).unwrap();
        let condition = Readiness::new().condition("shards");
        let ready = parts.run(identity, condition, health);
        self.running = Some(Running {
            tasks,
            parts,
            ready,
            writer,
        });
    }

    /// Whether it runs, and every shard has a leader that it follows.
    pub(super) fn is_ready(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| *running.ready.borrow() == Progress::Ready)
    }

    /// Gives all its leaderships to others.
    pub(super) async fn step_aside(&self) {
        let Some(running) = &self.running else {
            return;
        };
        for group in running.parts.groups.iter().filter(|group| group.leads()) {
            group.step_aside().await;
        }
    }

    /// Panics if it stopped itself.
    pub(super) fn is_well(&self) {
        let given_up = self.given_up.lock().unwrap();
        assert!(given_up.is_empty(), "node {}: {given_up:?}", self.place);
    }

    /// Loses power.
    pub(super) async fn crash(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        self.dying.store(true, Ordering::SeqCst);
        self.wires.break_off(self.place);
        self.volume.strike();
        let Running {
            tasks,
            parts,
            mut writer,
            ..
        } = running;
        for group in parts.groups.iter() {
            // It may have stopped by itself when its disk was struck.
            let _stopped = group.raft().shutdown().await;
        }
        let stores: Vec<_> = parts
            .groups
            .iter()
            .map(|group| group.store().clone())
            .collect();
        drop(parts);
        tasks
            .shut_down(Duration::from_secs(1), std::future::pending())
            .await;
        writer.shutdown().await;
        until("nobody uses the rows any more", || {
            stores.iter().all(|store| Arc::strong_count(store) == 1)
        })
        .await;
        drop(stores);
        self.volume.lose_power();
    }
}
