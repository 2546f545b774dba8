//! Wires the parts: the lease first, the controllers behind it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crd::{DeviceProfile, FirmwareImage, FirmwareRollout};
use kube::runtime::reflector;
use kube::{Api, Client};
use node_runtime::files::Reloading;
use node_runtime::{Condition, Drain, Readiness, Stage, Tasks};
use package_source::Fetcher;
use tokio::sync::watch;

use crate::announcer::{Announcer, Publisher};
use crate::brake::Brake;
use crate::config::Config;
use crate::controller::sweep::Sweep;
use crate::controller::{self, Settings, Shared, Triggers};
use crate::feed::{Feed, Follower, Listener, Terms as FeedTerms};
use crate::kubernetes::Kind;
use crate::lease::{Lease, Role, Terms};
use crate::metrics::{KindLabel, Metrics};
use crate::state_tier::{Credentials, StateTier};
use crate::{
    bootstrap, device, enrollment, group, image, kubernetes, lease, model, operation, profile,
    rollout, secrets,
};

/// What every controller is made of.
struct Parts<'a> {
    client: Client,
    namespace: Option<String>,
    state_tier: StateTier,
    metrics: Metrics,
    settings: Settings,
    announcer: Announcer,
    brake: Brake,
    role: watch::Receiver<Role>,
    tasks: &'a Tasks,
    readiness: &'a Readiness,
}

/// Starts every task. A replica without the lease is ready too: it waits to take over.
pub(crate) async fn start(
    config: Config,
    metrics: Metrics,
    tasks: &Tasks,
    readiness: &Readiness,
) -> anyhow::Result<()> {
    let client = kubernetes::client(config.kubeconfig.as_deref()).await?;
    let every = Duration::from_secs(config.reload_seconds.max(1));
    let reloading = Reloading::new(tasks, every);
    let credentials = Credentials::new(&config, &reloading)?;
    let state_tier = StateTier::new(&config.api, &credentials)?;
    let (leading, role) = watch::channel(Role::StandingBy);
    if config.leader_election {
        let namespace = config.lease_namespace.clone();
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        let terms = Terms::new(Duration::from_secs(u64::from(config.lease_seconds)));
        let lease = Lease::new(client.clone(), &namespace, &config.lease_name, terms);
        let metrics = metrics.clone();
        tasks.spawn_service("lease", Stage::HandOver, |drain| {
            lease::hold(lease, leading, metrics, drain)
        });
    } else {
        metrics.leader.set(1);
        leading.send_replace(Role::Leading);
    }
    let (announcer, told) = Announcer::new(metrics.clone());
    let publisher = Publisher::new(client.clone(), metrics.clone());
    // Until the controllers have ended, which tell.
    tasks.spawn_service("announcer", Stage::Flush, |drain| {
        publisher.run(told, drain)
    });
    let (brake, namespaces) = Brake::new();
    let watching = readiness.condition("namespaces-watch");
    let (asking, only) = (client.clone(), config.namespace.clone());
    tasks.spawn_service("namespaces", Stage::Intake, |drain| {
        namespaces.watch(asking, only, watching, drain)
    });
    let parts = Parts {
        client,
        announcer,
        brake,
        settings: Settings::from(&config),
        namespace: config.namespace,
        state_tier,
        metrics,
        role,
        tasks,
        readiness,
    };
    let feed = Feed::default();
    let devices = parts.devices_and_profiles(&feed);
    let policies = parts.enrollment(&feed, &devices);
    let listeners: Vec<Arc<dyn Listener>> = vec![devices, policies, parts.operations(&feed)];
    parts.events(feed, listeners);
    parts.firmware();
    parts.swept(Arc::new(group::Context::new(parts.shared())));
    parts.swept(Arc::new(bootstrap::Context::new(parts.shared())));
    // They are of no namespace: an operator that sees only one leaves them to another.
    if parts.namespace.is_none() {
        parts.swept(Arc::new(model::Context::new(parts.shared())));
    }
    Ok(())
}

impl Parts<'_> {
    fn shared<K: Kind>(&self) -> Shared<K> {
        let mut shared = Shared::new(
            self.client.clone(),
            self.state_tier.clone(),
            self.metrics.clone(),
            self.settings,
            self.announcer.clone(),
            self.brake.clone(),
        );
        shared.namespace.clone_from(&self.namespace);
        shared
    }

    /// Devices refer to profiles, and both take values from Secrets.
    fn devices_and_profiles(&self, feed: &Feed) -> Arc<device::Context> {
        let store = reflector::store::<DeviceProfile>();
        let seen = store.0.clone();
        let devices = Arc::new(device::Context::new(self.shared(), feed.clone(), seen));
        let references = Arc::clone(devices.references());
        let profiles = Arc::new(profile::Context::new(self.shared(), references));
        self.secrets(secrets::Concerned {
            devices: Arc::clone(devices.references()),
            profiles: Arc::clone(profiles.references()),
        });
        let listener = Arc::clone(&devices);
        self.control(|api, watching, drain| device::run(devices, api, watching, drain));
        self.control(|api, watching, drain| {
            controller::sweep::control(profiles, api, store, watching, drain)
        });
        listener
    }

    /// Follows Secrets while this replica leads.
    fn secrets(&self, concerned: secrets::Concerned) {
        let (client, only) = (self.client.clone(), self.namespace.clone());
        let watching = self.readiness.condition("secrets-watch");
        // Standing by is a healthy state.
        watching.meet();
        let mut role = self.role.clone();
        self.tasks
            .spawn_service("secrets", Stage::Intake, |drain| async move {
                let leads = role.wait_for(|role| *role == Role::Leading);
                tokio::select! {
                    // The sender is dropped while the node ends only.
                    led = leads => if led.is_err() {
                        return;
                    },
                    () = drain.started() => return,
                }
                secrets::watch(client, only, concerned, watching, drain).await;
            });
    }

    fn operations(&self, feed: &Feed) -> Arc<dyn Listener> {
        let context = Arc::new(operation::Context::new(self.shared(), feed.clone()));
        let listener = Arc::clone(&context);
        self.control(|api, watching, drain| operation::run(context, api, watching, drain));
        listener
    }

    /// Follows what happens in the state tier while this replica leads. A stream that is down makes no replica unready: all
    /// that follows from it is that things are seen later.
    fn events(&self, feed: Feed, listeners: Vec<Arc<dyn Listener>>) {
        let follower = Follower {
            feed,
            state_tier: self.state_tier.clone(),
            listeners,
            metrics: self.metrics.clone(),
            terms: FeedTerms::new(),
        };
        let mut role = self.role.clone();
        self.tasks
            .spawn_service("events", Stage::Intake, |drain| async move {
                let follow = async {
                    // The sender is dropped while the node ends only.
                    if role.wait_for(|role| *role == Role::Leading).await.is_ok() {
                        follower.run().await;
                    }
                };
                tokio::select! {
                    () = follow => {}
                    () = drain.started() => {}
                }
            });
    }

    /// Images and rollouts look at each other.
    fn firmware(&self) {
        let images = reflector::store::<FirmwareImage>();
        let rollouts = reflector::store::<FirmwareRollout>();
        let image_triggers = Arc::new(Triggers::default());
        let rollout_triggers = Arc::new(Triggers::default());
        let mut shared = self.shared();
        shared.triggers = Arc::clone(&image_triggers);
        let seen = rollouts.0.clone();
        let context = image::Context::new(shared, seen, Arc::clone(&rollout_triggers));
        let mut shared = self.shared();
        shared.triggers = rollout_triggers;
        let rollout_context = rollout::Context::new(shared, images.0.clone(), image_triggers);
        self.control(|api, watching, drain| {
            image::run(
                Arc::new(context),
                api,
                images,
                Fetcher::new(),
                watching,
                drain,
            )
        });
        self.control(|api, watching, drain| {
            let context = Arc::new(rollout_context);
            controller::sweep::control(context, api, rollouts, watching, drain)
        });
    }

    /// Policies may make objects of devices.
    fn enrollment(&self, feed: &Feed, devices: &Arc<device::Context>) -> Arc<dyn Listener> {
        let context = enrollment::Context::new(self.shared(), Arc::clone(devices), feed.clone());
        let context = Arc::new(context);
        self.swept(Arc::clone(&context));
        context
    }

    /// A kind whose objects leave something behind in the state tier.
    fn swept<S: Sweep>(&self, context: Arc<S>) {
        self.control(|api, watching, drain| {
            let store = reflector::store();
            controller::sweep::control(context, api, store, watching, drain)
        });
    }

    /// Runs a controller once its kind is served and this replica leads.
    fn control<K, F>(&self, run: impl FnOnce(Api<K>, Condition, Drain) -> F + Send + 'static)
    where
        K: Kind,
        F: Future<Output = ()> + Send + 'static,
    {
        let api = kubernetes::objects::<K>(self.client.clone(), self.namespace.as_deref());
        let kind = kubernetes::plural::<K>();
        let served = self.readiness.condition(format!("{kind}-definition"));
        let watching = self.readiness.condition(format!("{kind}-watch"));
        let label = KindLabel { kind: kind.clone() };
        let missing = self.metrics.crd_missing.get_or_create_owned(&label);
        let mut role = self.role.clone();
        self.tasks
            .spawn_service(&kind, Stage::Intake, |drain| async move {
                let wait = async {
                    kubernetes::definition_served(&api, &missing, &served).await;
                    // Standing by is a healthy state.
                    watching.meet();
                    let leads = role.wait_for(|role| *role == Role::Leading).await;
                    leads.map(drop)
                };
                tokio::select! {
                    // The sender is dropped while the node ends only.
                    led = wait => if led.is_ok() {
                        run(api, watching, drain).await;
                    },
                    () = drain.started() => {}
                }
            });
    }
}
