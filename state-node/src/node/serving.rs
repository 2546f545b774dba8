//! The services of a node, and what they are made of.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use node_runtime::telemetry::LogLevel;
use node_runtime::{Readiness, Stage, admin};
use prometheus_client::registry::Registry;
use proto::drover::v1::artefacts_server::ArtefactsServer;
use proto::drover::v1::backups_server::BackupsServer;
use proto::drover::v1::bootstrap_server::BootstrapServer;
use proto::drover::v1::campaigns_server::CampaignsServer;
use proto::drover::v1::cluster_server::ClusterServer;
use proto::drover::v1::credentials_server::CredentialsServer;
use proto::drover::v1::desired_state_server::DesiredStateServer;
use proto::drover::v1::device_groups_server::DeviceGroupsServer;
use proto::drover::v1::device_profiles_server::DeviceProfilesServer;
use proto::drover::v1::devices_server::DevicesServer;
use proto::drover::v1::diagnostics_server::DiagnosticsServer;
use proto::drover::v1::enrollment_policies_server::EnrollmentPoliciesServer;
use proto::drover::v1::object_models_server::ObjectModelsServer;
use proto::drover::v1::observations_server::ObservationsServer;
use proto::drover::v1::operations_server::OperationsServer;
use proto::rpc::v1::raft_server::RaftServer;
use proto::rpc::v1::state_server::StateServer;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use crate::access::layer::AccessLayer;
use crate::listen::{Connections, OnlyFrom};
use crate::metrics::StateCollector;
use crate::node::NodeError;
use crate::node::parts::Parts;
use crate::raft::network::{MAX_MESSAGE, server};
use crate::service::api::{Api, Uploads};
use crate::service::backups::BackupService;
use crate::service::calls::Calls;
use crate::service::keeper::Keeper;
use crate::service::models::Models;
use crate::service::state::StateService;

fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(32 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

impl Parts {
    fn state_service(&self) -> StateService {
        StateService {
            node: self.id,
            own: self.own.clone(),
            data_dir: self.config.data_dir.as_path().into(),
            router: self.router.clone(),
            attachments: self.attachments.clone(),
            calls: Calls {
                router: self.router.clone(),
                seal: self.seal.clone(),
            },
            keeper: Keeper {
                router: self.router.clone(),
                seal: self.seal.clone(),
                tasks: self.tasks.clone(),
            },
            tasks: self.tasks.clone(),
        }
    }

    fn backup_service(&self) -> BackupsServer<BackupService> {
        let service = BackupService {
            state: self.state_service(),
            backups: self.backups.clone(),
            cluster_name: self.config.cluster_name.clone(),
            disk: self.disk.clone(),
        };
        BackupsServer::new(service)
    }

    /// The internal service goes last: others need this node's answers until its leaderships are handed over.
    pub(super) fn serve_internal(&self, incoming: Connections, only: OnlyFrom) {
        let (groups, comparer) = (self.groups.clone(), self.comparer.clone());
        let raft = server::Service::new(groups, comparer, self.tasks.clone());
        let raft = RaftServer::new(raft)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let state = StateServer::new(self.state_service()).max_decoding_message_size(MAX_MESSAGE);
        let raft = InterceptedService::new(raft, only.clone());
        // State nodes read checkpoints of each other for whoever asks them: all rows are in these, so nobody else does.
        let backups = InterceptedService::new(self.backup_service(), only);
        let router = builder()
            .add_service(raft)
            .add_service(state)
            .add_service(backups);
        self.tasks
            .spawn_service("internal", Stage::Flush, |drain| async move {
                let served = router
                    .serve_with_incoming_shutdown(incoming, drain.started_owned())
                    .await;
                log_end("internal", served);
            });
    }

    pub(super) fn serve_api(
        &self,
        incoming: Connections,
        access: AccessLayer,
    ) -> Result<HealthReporter, NodeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let api = Api {
            state: self.state_service(),
            models: Models::default(),
            tasks: self.tasks.clone(),
            signer: self.seal.signer().clone(),
            watchers: self.watchers.clone(),
            uploads: Uploads::default(),
        };
        let reflection = self.config.reflection.then(reflection).transpose()?;
        let router = builder()
            .layer(access)
            .add_service(health_service)
            .add_service(self.backup_service())
            .add_optional_service(reflection)
            .add_service(DevicesServer::new(api.clone()))
            .add_service(OperationsServer::new(api.clone()))
            .add_service(DesiredStateServer::new(api.clone()))
            .add_service(BootstrapServer::new(api.clone()))
            .add_service(CampaignsServer::new(api.clone()))
            .add_service(ArtefactsServer::new(api.clone()))
            .add_service(DeviceGroupsServer::new(api.clone()))
            .add_service(EnrollmentPoliciesServer::new(api.clone()))
            .add_service(DeviceProfilesServer::new(api.clone()))
            .add_service(ClusterServer::new(api.clone()))
            .add_service(ObjectModelsServer::new(api.clone()))
            .add_service(ObservationsServer::new(api.clone()))
            .add_service(DiagnosticsServer::new(api.clone()))
            .add_service(CredentialsServer::new(api));
        self.tasks
            .spawn_service("api", Stage::Intake, |drain| async move {
                let served = router
                    .serve_with_incoming_shutdown(incoming, drain.started_owned())
                    .await;
                log_end("api", served);
            });
        Ok(health)
    }

    pub(super) async fn serve_admin(
        &self,
        mut registry: Registry,
        readiness: Readiness,
        log_level: LogLevel,
    ) -> Result<SocketAddr, NodeError> {
        registry.register_collector(Box::new(StateCollector {
            groups: self.groups.clone(),
            attachments: self.attachments.clone(),
            log: self.log.clone(),
            disk: self.disk.clone(),
            data_dir: self.config.data_dir.clone(),
        }));
        self.watchers.register(&mut registry);
        self.router.enrollments().register(&mut registry);
        let admin = admin::Admin {
            metrics: Arc::new(registry),
            readiness,
            log_level,
        };
        Ok(admin::serve(self.config.admin_listen, admin, &self.tasks).await?)
    }
}

/// The public API as it describes itself, with the health of its services.
fn reflection() -> Result<
    tonic_reflection::server::v1::ServerReflectionServer<
        impl tonic_reflection::server::v1::ServerReflection,
    >,
    tonic_reflection::server::Error,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::drover::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
}

fn log_end(name: &str, served: Result<(), tonic::transport::Error>) {
    if let Err(error) = served {
        tracing::error!(name, %error, "a listener ended");
    }
}
