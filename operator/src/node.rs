//! Wires the parts: the lease first, the controllers behind it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crd::{Device, FirmwareImage, FirmwareRollout};
use kube::runtime::reflector;
use kube::{Api, Client};
use node_runtime::files::Reloading;
use node_runtime::{Condition, Drain, Readiness, Stage, Tasks};
use tokio::sync::watch;

use crate::config::Config;
use crate::controller::{Settings, Shared, Triggers};
use crate::kubernetes::Kind;
use crate::lease::{Lease, Role, Terms};
use crate::metrics::{KindLabel, Metrics};
use crate::state_tier::{Credentials, StateTier};
use crate::{device, image, kubernetes, lease, rollout};

/// What every controller is made of.
struct Parts<'a> {
    client: Client,
    namespace: Option<String>,
    state_tier: StateTier,
    metrics: Metrics,
    settings: Settings,
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
    let parts = Parts {
        client,
        settings: Settings::from(&config),
        namespace: config.namespace,
        state_tier,
        metrics,
        role,
        tasks,
        readiness,
    };
    parts.devices();
    parts.firmware();
    Ok(())
}

impl Parts<'_> {
    fn shared<K: Kind>(&self, field_manager: &'static str) -> Shared<K> {
        Shared::new(
            self.client.clone(),
            self.state_tier.clone(),
            self.metrics.clone(),
            self.settings,
            field_manager,
        )
    }

    fn devices(&self) {
        let context = Arc::new(device::Context::new(
            self.client.clone(),
            self.state_tier.clone(),
            self.metrics.clone(),
            self.settings,
        ));
        self.control(
            ["devices", "devices-definition", "devices-watch"],
            |api: Api<Device>, watching, drain| device::run(context, api, watching, drain),
        );
    }

    /// Images and rollouts look at each other.
    fn firmware(&self) {
        let (images, image_writer) = reflector::store::<FirmwareImage>();
        let (rollouts, rollout_writer) = reflector::store::<FirmwareRollout>();
        let image_triggers = Arc::new(Triggers::default());
        let rollout_triggers = Arc::new(Triggers::default());
        let mut shared = self.shared(image::FIELD_MANAGER);
        shared.triggers = Arc::clone(&image_triggers);
        let context = image::Context::new(
            shared,
            (images.clone(), rollouts.clone()),
            Arc::clone(&rollout_triggers),
        );
        let names = [
            "firmwareimages",
            "firmwareimages-definition",
            "firmwareimages-watch",
        ];
        self.control(names, |api, watching, drain| {
            image::run(Arc::new(context), (api, image_writer), watching, drain)
        });
        let mut shared = self.shared(rollout::FIELD_MANAGER);
        shared.triggers = rollout_triggers;
        let context = rollout::Context::new(
            shared,
            (images, rollouts),
            image_triggers,
            self.namespace.clone(),
        );
        let names = [
            "firmwarerollouts",
            "firmwarerollouts-definition",
            "firmwarerollouts-watch",
        ];
        self.control(names, |api, watching, drain| {
            rollout::run(Arc::new(context), (api, rollout_writer), watching, drain)
        });
    }

    /// Runs a controller once its kind is served and this replica leads. `names` are those of its task, of the
    /// condition that the kind is served, and of that on its watch.
    fn control<K, F>(
        &self,
        [name, served, watching]: [&'static str; 3],
        run: impl FnOnce(Api<K>, Condition, Drain) -> F + Send + 'static,
    ) where
        K: Kind,
        F: Future<Output = ()> + Send + 'static,
    {
        let api = kubernetes::objects::<K>(self.client.clone(), self.namespace.as_deref());
        let served = self.readiness.condition(served);
        let watching = self.readiness.condition(watching);
        let label = KindLabel { kind: name };
        let missing = self.metrics.crd_missing.get_or_create_owned(&label);
        let mut role = self.role.clone();
        self.tasks
            .spawn_service(name, Stage::Intake, |drain| async move {
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
